//! The session service, and what happens without its verdict.

use super::ROOT;
use crate::policy::{
    Outage, SessionService,
    at::At,
    duration::{duration_within, limit},
    fault::Faults,
    raw::{RawCredential, RawOutage, RawSession},
    shape::Given,
    text::{quoted, visible},
};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(200);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The `session` part of a policy.
pub(super) struct GivenSession {
    pub(super) service: SessionService,
    pub(super) outage: Outage,
}

pub(super) fn session(raw: Given<RawSession>, faults: &mut Faults) -> Option<Option<GivenSession>> {
    raw.or(None, |raw| given(raw, faults).map(Some))
}

fn given(raw: RawSession, faults: &mut Faults) -> Option<GivenSession> {
    let at = ROOT.key("session");
    let cluster = cluster(raw.cluster, &at.key("cluster"), faults);
    let protocol = raw.protocol.or((), |text| faults.check(&at.key("protocol"), protocol(&text)));
    let timeout = raw
        .timeout
        .or(TIMEOUT, |text| faults.check(&at.key("timeout"), duration_within(&text, TIMEOUT_MIN, TIMEOUT_MAX)));
    let credential_env = raw.credential.or(None, |raw| credential(raw, &at.key("credential"), faults).map(Some));
    let outage = outage(raw.on_outage, Outage::default(), &at.key("on_outage"), faults);
    protocol?;
    Some(GivenSession {
        service: SessionService { cluster: cluster?, timeout: timeout?, credential_env: credential_env? },
        outage: outage?,
    })
}

/// The name of an Envoy cluster.
pub(super) fn cluster(name: Given<String>, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    let name = name.required(at, faults)?;
    faults.check(at, visible(&name))
}

fn protocol(text: &str) -> Result<(), String> {
    match text {
        "stream" => Ok(()),
        "introspection" | "authzen" => Err(format!("`{text}` is not supported yet; use `stream`")),
        _ => Err(format!("unknown value {}; expected `stream`", quoted(text))),
    }
}

fn credential(raw: RawCredential, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    let at = at.key("env");
    let name = raw.env.required(&at, faults)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        // The text isn't repeated: it may be the credential itself.
        faults.add(&at, "expected the name of an environment variable: letters, digits and `_`");
        return None;
    }
    Some(name)
}

/// What happens without a verdict.
pub(super) fn outage(raw: Given<RawOutage>, default: Outage, at: &At<'_>, faults: &mut Faults) -> Option<Outage> {
    raw.or(default, |raw| match raw {
        RawOutage::Deny => Some(Outage::Deny),
        RawOutage::ReadOnly => Some(Outage::ReadOnly),
        RawOutage::Grace(text) => {
            let at = at.key("grace");
            let text = text.required(&at, faults)?;
            faults.check(&at, limit(&text)).map(Outage::Grace)
        }
    })
}
