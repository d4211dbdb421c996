//! What the policies name for the conditions of the session service.

use super::change::{Change, Direction, Part};
use portcullis_engine::policy::{CLIENT_CERTIFICATE, DeviceSource, FactSources, PlaceHeaders};
use serde_json::{Value, json};

/// The differences. A condition can need a fact to refuse as well as to release, and nothing here knows the conditions: so any
/// difference counts as more permissive.
pub(super) fn changes(old: &FactSources, new: &FactSources) -> Vec<Part> {
    let parts = [
        ("trusted_hops", "trusted_hops", [old, new].map(|facts| json!(facts.trusted_hops))),
        ("device", "device", [old, new].map(device)),
        ("session", "attributes", [old, new].map(attributes)),
        ("session", "place", [old, new].map(|facts| place(&facts.place))),
    ];
    let differ = parts.into_iter().filter(|(_, _, [before, after])| before != after);
    let part = |(subject, kind, [before, after]): (&str, &'static str, [Value; 2])| {
        let text = format!(
            "`{kind}` is {}, was {}: conditions of the session service may decide differently",
            shown(&after),
            shown(&before)
        );
        (subject.to_owned(), Change::new(Direction::MorePermissive, kind, text, before, after))
    };
    differ.map(part).collect()
}

fn device(facts: &FactSources) -> Value {
    let sources = facts.device.iter().map(|source| match source {
        DeviceSource::ClientCertificate => json!(CLIENT_CERTIFICATE),
        DeviceSource::Claim(name) => json!({"claim": name}),
    });
    sources.collect()
}

fn attributes(facts: &FactSources) -> Value {
    let FactSources { headers, client_certificate, claims, groups, .. } = facts;
    let groups = groups.as_ref().map(|claim| claim.as_str());
    match headers.is_empty() && !client_certificate && claims.is_empty() && groups.is_none() {
        true => Value::Null,
        false => {
            json!({"headers": headers, "client_certificate": client_certificate, "claims": claims, "groups": groups})
        }
    }
}

fn place(headers: &PlaceHeaders) -> Value {
    match *headers == PlaceHeaders::default() {
        true => Value::Null,
        false => json!({"country": headers.country, "asn": headers.asn, "proxy": headers.proxy}),
    }
}

fn shown(value: &Value) -> String {
    let is_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if is_nothing { "nothing".to_owned() } else { format!("`{value}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_of_the_facts_counts_as_more_permissive_and_none_is_none() {
        let none = FactSources::default();
        let place = PlaceHeaders { country: Some("x-country".to_owned()), ..PlaceHeaders::default() };
        let some = FactSources {
            trusted_hops: vec!["edge".to_owned()],
            device: vec![DeviceSource::ClientCertificate],
            headers: vec!["x-device-id".to_owned()],
            place,
            ..FactSources::default()
        };
        assert!(changes(&none, &none).is_empty() && changes(&some, &some).is_empty());
        for (old, new) in [(&none, &some), (&some, &none)] {
            let parts = changes(old, new);
            let kinds: Vec<_> = parts.iter().map(|(subject, change)| (subject.as_str(), change.kind)).collect();
            let expected = [
                ("trusted_hops", "trusted_hops"),
                ("device", "device"),
                ("session", "attributes"),
                ("session", "place"),
            ];
            assert_eq!(kinds, expected);
            assert!(parts.iter().all(|(_, change)| change.direction == Direction::MorePermissive));
        }
        let (_, hops) = &changes(&none, &some)[0];
        let expected =
            "`trusted_hops` is `[\"edge\"]`, was nothing: conditions of the session service may decide differently";
        assert_eq!(hops.text, expected);
    }
}
