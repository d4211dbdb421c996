//! Checks of single rules: public subtrees, loose session limits, and behaviour during an outage.

use super::{linter::Linter, warning::Warning};
use portcullis_engine::{
    policy::{Access, Freshness, Limits, Mode, Outage, Rule},
    route::{Match, Segment},
};
use std::time::Duration;

/// The longest time between authentications that NIST SP 800-63B-4 recommends for AAL2.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest inactivity that it recommends for AAL2.
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// The longest lease for which nobody is warned: a person who revokes a session waits this long at most.
const LEASE_MAX: Duration = Duration::from_secs(1);

impl Linter<'_> {
    pub(super) fn routes(&mut self) {
        let policy = &self.loaded.policy;
        for (index, (rule, source)) in policy.rules.iter().zip(&policy.source.routes).enumerate() {
            if matches!(rule.access, Access::Public) {
                self.public(index, &source.matches);
            }
            if matches!(rule.access, Access::Optional) {
                self.optional(index, &rule.name);
            }
            if rule.mode == Mode::Shadow && policy.mode != Mode::Shadow {
                self.shadow_route(index, &rule.name);
            }
            self.limits(index, &rule.limits);
            if source.has_own_outage {
                self.outage(&format!("$.routes[{index}].session.on_outage"), rule.limits.on_outage);
            }
            if source.has_own_freshness {
                self.lease(&format!("$.routes[{index}].session.freshness"), rule.limits.freshness);
            }
            self.lease_of_approval(index, rule, source.has_own_freshness);
        }
    }

    fn shadow_route(&mut self, index: usize, name: &str) {
        let message = format!("requests on `{name}` are released, whatever the decision");
        let help =
            "omit the key as soon as `portcullis shadow report` shows that no legitimate request would be refused";
        self.warn(Warning::ShadowMode, &format!("$.routes[{index}].mode"), message, help);
    }

    fn optional(&mut self, index: usize, name: &str) {
        let message = format!("everyone can use `{name}` without a token");
        let help = "make sure that the upstream treats a request without `x-portcullis-subject` as anonymous; write `true` if a token is required";
        self.warn(Warning::TokenOptional, &format!("$.routes[{index}].authenticated"), message, help);
    }

    fn public(&mut self, index: usize, answers: &Match) {
        if answers.path.segments().last() != Some(&Segment::Rest) {
            return;
        }
        let path = format!("$.routes[{index}].match.path");
        let message = "everything under this path is public, including whatever is added later";
        let help = "list the public paths, or require at least `authenticated: true`";
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
                let help = format!("write `{words}` or less, unless the session service enforces a stricter limit");
                self.warn(Warning::SessionLimitLoose, &path, message, help);
            }
        }
    }

    pub(super) fn lease(&mut self, path: &str, freshness: Freshness) {
        if freshness.lease().is_none_or(|lease| lease <= LEASE_MAX) {
            return;
        }
        let message = "a worker that does not answer keeps a revocation from being final for as long as its lease";
        let help = "write a lease of `1s` or less; `500ms` saves as many questions of a busy session";
        self.warn(Warning::LeaseLong, &format!("{path}.lease"), message, help);
    }

    /// What somebody has to approve is seldom what needs to be fast.
    fn lease_of_approval(&mut self, index: usize, rule: &Rule, is_own: bool) {
        let Access::Scopes(requirement) = &rule.access else { return };
        if rule.lease().is_none() || !requirement.needs_approval(&self.loaded.policy.register) {
            return;
        }
        let path = if is_own { "session.freshness" } else { "require" };
        let message = format!(
            "`{}` requires a scope that needs an approval, and a worker decides its requests by itself for a moment",
            rule.name
        );
        let help = "add `session: {freshness: each_request}` to the route, unless its requests are frequent";
        self.warn_of_key(Warning::LeaseOfApproval, &format!("$.routes[{index}].{path}"), message, help);
    }

    pub(super) fn outage(&mut self, path: &str, outage: Outage) {
        let message = match outage {
            Outage::Deny => return,
            Outage::ReadOnly => {
                "while the session service is unavailable, GET, HEAD and OPTIONS requests pass even if their session has ended".to_owned()
            }
            Outage::Grace(_) => {
                "while the session service is unavailable, requests pass for a while even if their session has ended".to_owned()
            }
        };
        let help = "write `deny`, unless availability matters more here than revocation";
        self.warn(Warning::OutageNotDenied, path, message, help);
    }
}
