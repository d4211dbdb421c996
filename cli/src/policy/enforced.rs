//! The policies that a running proxy has, from the configuration dump of its admin interface.
//!
//! Only what is in use counts: a listener that is still warming, or an extension configuration that Envoy has rejected, is not
//! what requests are decided by.

use super::{load::Loaded, manifest};
use crate::{document::Document, error::Error, tls};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use ureq::Agent;

/// The largest dump, in bytes.
const DUMP_BYTES_MAX: u64 = 256 << 20;
/// The timeout for the whole dump.
const DUMP_MAX: Duration = Duration::from_secs(60);
/// What every part of a dump with a wasm filter contains.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// The only policy of the proxy whose admin interface is at `url`. With several, `digest` selects one by its first digits.
pub(super) fn policy(url: &str, digest: Option<&str>) -> Result<Loaded, Error> {
    let dump = fetch(url)?;
    let dump: Value = serde_json::from_str(&dump).map_err(|error| {
        Error::failed(format_args!(
            "the response of `{url}` is not a configuration dump: {error}; is it Envoy's admin interface?"
        ))
    })?;
    only(&dump, url, digest)
}

fn only(dump: &Value, url: &str, digest: Option<&str>) -> Result<Loaded, Error> {
    let mut found: BTreeMap<String, (Vec<String>, Loaded)> = BTreeMap::new();
    for part in parts_in_use(dump) {
        for loaded in policies(&part, url)? {
            let (names, _) = found.entry(loaded.policy.digest.clone()).or_insert_with(|| (Vec::new(), loaded));
            names.push(part.name.clone());
        }
    }
    let known = !found.is_empty();
    if let Some(wanted) = digest {
        found.retain(|digest, _| digest.starts_with(wanted));
    }
    let lines = |found: &BTreeMap<String, (Vec<String>, Loaded)>| -> String {
        found.iter().map(|(digest, (names, _))| format!("\n  {digest}  {}", names.join(", "))).collect()
    };
    match (found.len(), known) {
        (1, _) => found.into_values().next().map(|(_, loaded)| loaded).ok_or_else(|| Error::failed("no policy")),
        (0, false) => Err(Error::failed(format_args!("no listener of the proxy at `{url}` has a policy"))),
        (0, true) => Err(Error::invalid(format_args!(
            "the proxy at `{url}` has no policy whose digest begins with these digits"
        ))),
        _ => Err(Error::invalid(format_args!(
            "the proxy at `{url}` has several policies; choose one with `--digest`{}",
            lines(&found)
        ))),
    }
}

/// A part of a dump that is in use: a listener, or a configuration of an extension.
struct Part<'d> {
    name: String,
    value: &'d Value,
}

fn parts_in_use(dump: &Value) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for section in list(dump, "configs") {
        let static_listeners = list(section, "static_listeners").into_iter().filter_map(|of| of.get("listener"));
        let dynamic = list(section, "dynamic_listeners").into_iter();
        let dynamic = dynamic.filter_map(|of| of.get("active_state")?.get("listener"));
        let extensions = list(section, "ecds_filters").into_iter().filter_map(|of| of.get("ecds_filter"));
        for (kind, value) in
            static_listeners.chain(dynamic).map(|of| ("listener", of)).chain(extensions.map(|of| ("extension", of)))
        {
            let name = value.get("name").and_then(Value::as_str).unwrap_or("without a name").escape_debug();
            parts.push(Part { name: format!("{kind} {name}"), value });
        }
    }
    parts
}

/// The elements of a list, if it is there.
fn list<'v>(value: &'v Value, key: &str) -> Vec<&'v Value> {
    value.get(key).and_then(Value::as_array).map(|list| list.iter().collect()).unwrap_or_default()
}

fn policies(part: &Part<'_>, url: &str) -> Result<Vec<Loaded>, Error> {
    let text = part.value.to_string();
    if !text.contains(WASM) {
        return Ok(Vec::new());
    }
    let name = format!("{url}, {}", part.name);
    let unread = || Error::failed(format_args!("cannot read {name} of the configuration dump"));
    let root = Document::tree(&text).map_err(|_| unread())?;
    let found = manifest::policies(&text, &root).into_iter();
    let loaded = found.map(|node| -> Result<Loaded, Error> {
        Loaded::of(Document::of_part(name.clone(), text.clone(), |_, _| node)?)
    });
    loaded.collect::<Result<_, Error>>().map_err(|error| {
        let why = crate::report::text(&error);
        Error::failed(format_args!(
            "the proxy has a policy that does not load, so the last good one is in force, or none: {why}"
        ))
    })
}

fn fetch(url: &str) -> Result<String, Error> {
    let failed =
        |why: String| Error::failed(format_args!("cannot read the configuration of the proxy at `{url}`: {why}"));
    let tls = if url.starts_with("https:") { tls::config(None, None)? } else { Default::default() };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(DUMP_MAX))
        .tls_config(tls)
        .build();
    let address = format!("{}/config_dump", url.trim_end_matches('/').trim_end_matches("/config_dump"));
    let answer = Agent::from(config)
        .get(address)
        .call()
        .map_err(|error| failed(error.to_string().escape_debug().to_string()))?;
    if answer.status() != 200 {
        return Err(failed(format!(
            "the response had status {}; is it Envoy's admin interface?",
            answer.status().as_u16()
        )));
    }
    let body = answer.into_body().into_with_config().limit(DUMP_BYTES_MAX).read_to_string();
    body.map_err(|error| failed(error.to_string().escape_debug().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wasm(realm: &str) -> Value {
        json!({
            "name": "portcullis",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": "portcullis", "fail_open": false,
                    "configuration": {
                        "@type": "type.googleapis.com/google.protobuf.Struct",
                        "value": {"realm": realm, "routes": [{"name": "a", "match": {"path": "/a"}, "public": true}]}
                    }
                }
            }
        })
    }

    fn listener(name: &str, realm: &str) -> Value {
        json!({"name": name, "filter_chains": [{"filters": [{"typed_config": {"http_filters": [wasm(realm)]}}]}]})
    }

    fn realm(dump: &Value, digest: Option<&str>) -> Result<String, String> {
        only(dump, "http://x", digest)
            .map(|loaded| loaded.policy.realm)
            .map_err(|error| anstream::adapter::strip_str(&crate::report::text(&error)).to_string())
    }

    #[test]
    fn what_is_in_use_is_the_policy_and_what_waits_or_was_rejected_is_not() {
        let dump = json!({"configs": [
            {"bootstrap": {"static_resources": {"listeners": [listener("boot", "bootstrap")]}}},
            {
                "static_listeners": [{"listener": {"name": "plain"}}],
                "dynamic_listeners": [{
                    "name": "in",
                    "active_state": {"listener": listener("in", "active")},
                    "warming_state": {"listener": listener("in", "warming")},
                    "draining_state": {"listener": listener("in", "draining")},
                    "error_state": {"failed_configuration": listener("in", "failed")}
                }, {"name": "again", "active_state": {"listener": listener("again", "active")}}]
            },
            {"ecds_filters": [{"ecds_filter": wasm("active"), "error_state": {"failed_configuration": wasm("failed")}}]}
        ]});
        assert_eq!(realm(&dump, None).as_deref(), Ok("active"));
    }

    #[test]
    fn one_of_several_policies_has_to_be_chosen() {
        let two = json!({"configs": [{"static_listeners": [
            {"listener": listener("one", "1")}, {"listener": listener("two", "2")}
        ]}]});
        let refused = realm(&two, None).expect_err("two policies");
        assert!(refused.contains("listener one") && refused.contains("listener two"), "{refused}");
        let digest =
            refused.lines().find(|line| line.contains("listener two")).and_then(|line| line.split_whitespace().next());
        assert_eq!(realm(&two, digest).as_deref(), Ok("2"));
        assert!(realm(&two, Some("x")).is_err_and(|why| why.contains("begins with")));
        assert!(realm(&json!({"configs": []}), None).is_err_and(|why| why.contains("no listener")));
    }

    #[test]
    fn a_policy_that_does_not_load_is_not_taken_for_what_is_enforced() {
        let mut faulty = listener("one", "1");
        faulty["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]["config"]["configuration"]
            ["value"]["routes"] = json!([]);
        let dump = json!({"configs": [{"static_listeners": [{"listener": faulty}]}]});
        assert!(realm(&dump, None).is_err_and(|why| why.contains("does not load")));
    }
}
