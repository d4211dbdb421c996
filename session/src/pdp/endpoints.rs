//! Where a decision point is asked: as its metadata says, else at the paths of the standard.

use crate::signals::Url;
use serde_json::Value;

/// What comes between the host and the path of an identifier (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// The endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) one: Url,
    /// `None`: it takes one question at a time.
    pub(super) many: Option<Url>,
}

/// Where the metadata of an identifier is.
pub(super) fn metadata_of(base: &str) -> Result<Url, String> {
    let start = base.find("://").map_or(0, |at| at + "://".len());
    let host_end = base.get(start..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| start + at);
    let (host, path) = base.split_at_checked(host_end).unwrap_or((base, ""));
    Url::read(&[host, WELL_KNOWN, path].concat())
}

impl Endpoints {
    /// Those of the standard.
    pub(super) fn usual(base: &str) -> Result<Self, String> {
        let at = |path: &str| Url::read(&[base, path].concat());
        Ok(Self { one: at("/access/v1/evaluation")?, many: Some(at("/access/v1/evaluations")?) })
    }

    /// Those that metadata names. It is of no use unless it is about the identifier that it was found by.
    pub(super) fn read(base: &str, url: &Url, metadata: &[u8]) -> Result<Self, String> {
        let metadata: Value = serde_json::from_slice(metadata).map_err(|e| format!("the metadata is not JSON: {e}"))?;
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        let stated = text("policy_decision_point").unwrap_or_default();
        if stated.trim_end_matches('/') != base {
            return Err(
                "the metadata is that of another decision point: `url` must be its `policy_decision_point`".to_owned()
            );
        }
        let named = |name: &str| {
            let endpoint = text(name)?;
            Some(url.names(endpoint).ok_or_else(|| format!("`{name}` of the metadata cannot be called")))
        };
        let one = named("access_evaluation_endpoint").ok_or("the metadata names no `access_evaluation_endpoint`")??;
        Ok(Self { one, many: named("access_evaluations_endpoint").transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BASE: &str = "https://pdp.example.com/tenant1";

    fn read(metadata: &Value) -> Result<Endpoints, String> {
        Endpoints::read(BASE, &Url::read(BASE).unwrap(), metadata.to_string().as_bytes())
    }

    fn url(text: &str) -> Url {
        Url::read(text).unwrap()
    }

    #[test]
    fn metadata_is_between_the_host_and_the_path() {
        for (base, wanted) in [
            ("https://pdp.example.com", "https://pdp.example.com/.well-known/authzen-configuration"),
            (BASE, "https://pdp.example.com/.well-known/authzen-configuration/tenant1"),
            ("http://[::1]:3592/a/b", "http://[::1]:3592/.well-known/authzen-configuration/a/b"),
        ] {
            assert_eq!(metadata_of(base), Ok(url(wanted)));
        }
    }

    #[test]
    fn without_metadata_the_paths_are_those_of_the_standard() {
        let usual = Endpoints::usual(BASE).unwrap();
        assert_eq!(usual.one, url("https://pdp.example.com/tenant1/access/v1/evaluation"));
        assert_eq!(usual.many, Some(url("https://pdp.example.com/tenant1/access/v1/evaluations")));
    }

    #[test]
    fn an_endpoint_that_metadata_does_not_name_is_not_there() {
        let one = "https://pdp.example.com/one";
        let metadata = json!({"policy_decision_point": BASE, "access_evaluation_endpoint": one, "capabilities": []});
        assert_eq!(read(&metadata), Ok(Endpoints { one: url(one), many: None }));
    }

    #[test]
    fn metadata_of_another_point_or_with_less_protection_is_not_used() {
        let (one, many) = ("https://pdp.example.com/one", "http://pdp.example.com/many");
        for metadata in [
            json!({"policy_decision_point": "https://pdp.example.com", "access_evaluation_endpoint": one}),
            json!({"access_evaluation_endpoint": one}),
            json!({"policy_decision_point": BASE}),
            json!({"policy_decision_point": BASE, "access_evaluation_endpoint": one, "access_evaluations_endpoint": many}),
            json!({"policy_decision_point": BASE, "access_evaluation_endpoint": 7}),
            json!([]),
        ] {
            assert!(read(&metadata).is_err(), "{metadata}");
        }
    }
}
