//! Another decision point: `conditions: {authzen: …}`.

use super::access::duration;
use super::credentials::long_secret;
use super::raw::RawCredential;
use crate::conditions::Classes;
use crate::pdp::{OnOutage, PdpSettings};
use crate::signals::{Url, trusted};
use crate::store::postgres::Secret;
use serde::Deserialize;
use std::path::PathBuf;

/// The bounds of a decision's time: a request waits for it.
const TIMEOUT_MS_MIN: u64 = 10;
const TIMEOUT_MS_MAX: u64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `url`, and with `credential`, `timeout`, `on_outage` or `ca`")]
pub(super) struct RawPdp {
    url: String,
    credential: Option<RawCredential>,
    timeout: Option<String>,
    #[serde(default)]
    on_outage: OnOutage,
    ca: Option<String>,
}

/// Reads one that decides about these routes.
pub(super) fn read(
    at: &str,
    raw: RawPdp,
    classes: Classes,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<PdpSettings> {
    let RawPdp { url, credential, timeout, on_outage, ca } = raw;
    let before = faults.len();
    let timeout_ms = duration(&format!("{at}.timeout"), timeout.as_deref().unwrap_or("1s"), faults);
    if faults.len() == before && !(TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        faults.push(format!("{at}.timeout: is not between {TIMEOUT_MS_MIN}ms and {}s", TIMEOUT_MS_MAX / 1_000));
    }
    let credential = credential.and_then(|source| {
        let read = long_secret(&format!("{at}.credential"), &source, env);
        read.map_err(|fault| faults.push(fault)).ok().map(Secret)
    });
    let base = url.trim_end_matches('/').to_owned();
    if base.contains(['?', '#']) {
        faults.push(format!("{at}.url: has a query or a fragment: it is the identifier of the decision point"));
    }
    let ca: Option<PathBuf> = ca.map(Into::into);
    let url = Url::read(&base).map_err(|fault| faults.push(format!("{at}.url: {fault}"))).ok()?;
    if let Err(fault) = trusted(ca.as_ref(), &url) {
        faults.push(format!("{at}: {fault}"));
    }
    (faults.len() == before).then_some(PdpSettings { base, url, credential, timeout_ms, on_outage, ca, classes })
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, read};
    use super::*;

    fn given(text: &str) -> Result<Settings, String> {
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: data}}\n";
        let env = |name: &str| Some(if name == "SHORT" { "short".to_owned() } else { format!("the-secret-of-{name}") });
        read(&format!("{start}conditions: {text}\n"), &env).map_err(|faults| faults.to_string())
    }

    fn pdp(text: &str) -> PdpSettings {
        given(text).unwrap().pdp.expect("a decision point")
    }

    #[test]
    fn a_decision_point_needs_only_a_url() {
        let only = pdp("{authzen: {url: 'http://127.0.0.1:3592/'}}");
        let wanted = ("http://127.0.0.1:3592", 1_000, OnOutage::Deny, &None, &Classes::default());
        assert_eq!((&*only.base, only.timeout_ms, only.on_outage, &only.credential, &only.classes), wanted);
        let all = pdp(
            "{authzen: {url: 'http://localhost:1/t', credential: {env: PDP}, timeout: 50ms, on_outage: read_only}, classes: [api]}",
        );
        assert_eq!((&*all.base, all.timeout_ms, all.on_outage), ("http://localhost:1/t", 50, OnOutage::ReadOnly));
        assert!(all.credential.is_some() && all.classes.hold("api") && !all.classes.hold("web"));
    }

    #[test]
    fn each_fault_says_where_it_is() {
        let url = "url: 'http://127.0.0.1:1'";
        for (text, wanted) in [
            ("{}".to_owned(), "conditions: needs either `cedar` or `authzen`"),
            (format!("{{cedar: a, authzen: {{{url}}}}}"), "conditions: has both `cedar` and `authzen`: make it a list"),
            ("{authzen: {}}".to_owned(), "conditions.authzen.url: is missing"),
            ("{authzen: {url: 'http://pdp'}}".to_owned(), "conditions.authzen.url: `http://pdp` is not encrypted"),
            ("{authzen: {url: 'https://pdp?x=1'}}".to_owned(), "conditions.authzen.url: has a query"),
            (format!("{{authzen: {{{url}, timeout: 1m}}}}"), "conditions.authzen.timeout: is not between 10ms and 10s"),
            (format!("{{authzen: {{{url}, timeout: x}}}}"), "conditions.authzen.timeout: `x` is not a duration"),
            (format!("{{authzen: {{{url}, on_outage: grace}}}}"), "grace"),
            (
                format!("{{authzen: {{{url}, credential: {{env: SHORT}}}}}}"),
                "conditions.authzen.credential: has fewer than 16",
            ),
            (format!("{{authzen: {{{url}, ca: /nowhere}}}}"), "conditions.authzen: ca: cannot read"),
            (format!("{{authzen: {{{url}}}, mode: shadow}}"), "conditions.mode: is for `cedar` only"),
            ("[]".to_owned(), "conditions: is an empty list"),
            (
                format!("[{{authzen: {{{url}}}}}, {{authzen: {{{url}}}}}]"),
                "conditions[1].authzen: there is one already",
            ),
            (format!("[{{authzen: {{{url}}}}}, {{cedar: a}}]"), "conditions[1]: never decides"),
        ] {
            let faults = given(&text).expect_err(&text);
            assert!(faults.contains(wanted), "{text}: {faults}");
        }
    }
}
