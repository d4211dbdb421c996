//! Rules on their own: public subtrees, loose session limits, and what happens without a verdict.

use super::{Linter, Warning};
use portcullis_engine::{
    policy::{Access, Limits, Outage},
    route::{Match, Segment},
};
use std::time::Duration;

/// NIST SP 800-63B-4: the longest time that it recommends until somebody at AAL2 must authenticate again.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The same for the time without activity.
const IDLE_MAX: Duration = Duration::from_secs(3600);

impl Linter<'_> {
    pub(super) fn routes(&mut self) {
        let (loaded, matches) = (self.loaded, self.written.matches());
        for (index, rule) in loaded.policy.rules.iter().enumerate() {
            if matches!(rule.access, Access::Public) {
                self.public(index, matches.get(index).and_then(Option::as_ref));
            }
            self.limits(index, &rule.limits);
            let pointer = format!("/routes/{index}/session/on_outage");
            if self.written.get(&pointer).is_some() {
                self.outage(&format!("$.routes[{index}].session.on_outage"), rule.limits.on_outage);
            }
        }
    }

    fn public(&mut self, index: usize, answers: Option<&Match>) {
        let is_subtree = answers.is_some_and(|answers| answers.path.segments().last() == Some(&Segment::Rest));
        if !is_subtree {
            return;
        }
        let path = format!("$.routes[{index}].match.path");
        let message = "this makes public whatever will ever stand under the path";
        let help = "name the paths that are public, or require at least `authenticated: true`";
        self.warn(Warning::PublicSubtree, &path, message, help);
    }

    fn limits(&mut self, index: usize, limits: &Limits) {
        for (key, limit, max, words) in
            [("max_idle", limits.max_idle, IDLE_MAX, "1h"), ("max_age", limits.max_age, AGE_MAX, "24h")]
        {
            if limit.is_some_and(|limit| limit > max) {
                let path = format!("$.routes[{index}].session.{key}");
                let message =
                    format!("longer than the `{words}` that NIST SP 800-63B-4 recommends for `{key}` at AAL2");
                let help = format!("write `{words}` or less, unless the session service keeps stricter limits");
                self.warn(Warning::SessionLimitLoose, &path, message, help);
            }
        }
    }

    pub(super) fn outage(&mut self, path: &str, outage: Outage) {
        let message = match outage {
            Outage::Deny => return,
            Outage::ReadOnly => {
                "without the session service, GET, HEAD and OPTIONS pass in sessions that may have ended".to_owned()
            }
            Outage::Grace(_) => {
                "without the session service, sessions that may have ended go on for a while".to_owned()
            }
        };
        let help = "write `deny`, unless being answered matters more here than a revocation";
        self.warn(Warning::OutageNotDenied, path, message, help);
    }
}
