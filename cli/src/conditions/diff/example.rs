//! A generated session and request in words.

use portcullis_conditions::{Request, Session};

/// What is known of them, on one line.
pub(super) fn words(session: &Session, request: &Request) -> String {
    let place = request.place.clone().unwrap_or_default();
    let device = session.device.clone();
    let compliant = device.as_ref().and_then(|device| device.compliant);
    let managed = device.as_ref().and_then(|device| device.managed);
    let mut words = vec![
        named("access", &session.access),
        named("subject", &session.subject),
        named("client", &session.client),
        named("host", &request.host),
        format!("login {}s ago", request.now_ms.saturating_sub(session.login_at_ms) / 1_000),
    ];
    let known = [
        ("groups", list(&session.groups)),
        ("acr", session.acr.clone()),
        ("amr", list(&session.amr)),
        ("risk", session.risk.clone()),
        ("new place", session.new_place.then(|| "yes".to_owned())),
        ("device", device.map(|device| device.id)),
        ("compliant", compliant.map(|flag| flag.to_string())),
        ("managed", managed.map(|flag| flag.to_string())),
        ("ip", request.ip.map(|ip| ip.to_string())),
        ("country", place.country),
        ("asn", place.asn.map(|asn| asn.to_string())),
        ("proxy", place.proxy.map(|flag| flag.to_string())),
    ];
    words.extend(known.into_iter().filter_map(|(name, value)| Some(named(name, &value?))));
    let attributes = request.attributes.iter().chain(&session.attributes);
    words.extend(attributes.map(|(name, value)| named(name, value)));
    words.extend(session.subject_attributes.iter().map(|(name, value)| named(&format!("subject's {name}"), value)));
    words.join(", ")
}

fn named(name: &str, value: &str) -> String {
    format!("{name} {}", value.escape_debug())
}

fn list(all: &[String]) -> Option<String> {
    (!all.is_empty()).then(|| all.join("+"))
}
