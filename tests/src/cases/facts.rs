//! What conditions are told of cases: the test plays the edge that states addresses and places, and whoever sets attributes.

use super::example::Sent;
use crate::{Testbed, policy::PLACE_HEADER};
use portcullis_cli::policy::cases::{Bearer, Case, CaseFacts, Claim};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// The HTTP filters of the shipped bootstrap, and what is in front of them.
const CONNECTION: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The claim that names the device of a token, in the policies of examples.
const DEVICE: &str = "deviceid";

/// Puts the edge in front of the filter: it vouches for the place that a request states, and for the last address of
/// `x-forwarded-for`. The clients of tests state them.
pub(super) fn edge(bootstrap: &mut Value) {
    let connection = bootstrap.pointer_mut(CONNECTION).expect("a listener");
    connection["xff_num_trusted_hops"] = json!(1);
    let vouch = json!({"metadata_namespace": "portcullis", "key": PLACE_HEADER, "type": "STRING"});
    let filter = json!({
        "name": "envoy.filters.http.header_to_metadata",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
            "request_rules": [{"header": PLACE_HEADER, "on_header_present": vouch}],
        },
    });
    connection["http_filters"].as_array_mut().expect("a list of filters").insert(0, filter);
}

/// The case with what its request carries of the facts: place, address, and the device that the token names, one of its own.
pub(super) fn carried(mut case: Case) -> Case {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let facts = &mut case.facts;
    let country = facts.place.as_ref().and_then(|place| place.country.clone());
    let address = facts.ip.map(|ip| ip.to_string());
    let stated = [(PLACE_HEADER, country), ("x-forwarded-for", address)];
    case.request.headers.extend(stated.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if let (Some(device), Some(Bearer { claims, .. })) = (facts.device.get_mut("id"), &mut case.bearer) {
        *device += &format!("-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        claims.push((DEVICE.to_owned(), Claim::Value(json!(device))));
    }
    case
}

/// Why the facts of a case cannot be brought about, if they cannot.
pub(super) fn hindrance(case: &Case) -> Option<String> {
    let later = case.then.iter().map(|then| &then.facts);
    let all: Vec<&CaseFacts> = std::iter::once(&case.facts).chain(later).collect();
    let is_stated = |facts: &&CaseFacts| {
        let place = facts.place.as_ref();
        facts.now_ms.is_some() || place.is_some_and(|place| place.asn.is_some() || place.proxy.is_some())
    };
    all.iter().any(is_stated).then(|| "nobody states its time, or more of its place".to_owned())
}

/// Sets the attributes that facts name, through the admin API. The session of those of sessions is open.
pub(super) async fn set(testbed: &Testbed, sent: &Sent, facts: &CaseFacts) {
    let text = |name: &str| sent.claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let issuer = text("iss");
    put(testbed, &format!("session/{}", sent.session), "", &facts.session).await;
    put(testbed, &format!("subject/{}", text("sub")), issuer, &facts.subject).await;
    let mut device = BTreeMap::new();
    for (name, value) in facts.device.iter().filter(|(name, _)| *name != "id") {
        device.insert(format!("device.{name}"), value.clone());
    }
    put(testbed, &format!("device/{}", text(DEVICE)), issuer, &device).await;
}

async fn put(testbed: &Testbed, holder: &str, issuer: &str, attributes: &BTreeMap<String, String>) {
    for (name, value) in attributes {
        testbed.service.admin().attribute(holder, issuer, name, &typed(value)).await;
    }
}

/// A value as the file of cases has it.
fn typed(text: &str) -> Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(truth), _) => json!(truth),
        (_, Ok(number)) => json!(number),
        _ => json!(text),
    }
}
