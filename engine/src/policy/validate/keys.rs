//! The source of an issuer's keys.

use super::session::cluster;
use crate::{
    policy::{
        KeySource,
        deserialize::Given,
        duration::duration_within,
        fault::Faults,
        json_path::At,
        raw::RawKeys,
        text::{quoted, visible},
    },
    route::Host,
};
use serde_json::Value;
use std::time::Duration;

const REFRESH: Duration = Duration::from_secs(600);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn keys(raw: RawKeys, at: &At<'_>, faults: &mut Faults) -> Option<KeySource> {
    match (raw.jwks_url.is_absent(), raw.inline.is_absent()) {
        (false, true) => remote(raw, at, faults),
        (true, false) => inline(raw, at, faults),
        (true, true) => {
            faults.add(at, "specify where the keys are: `jwks_url` with `cluster`, or `inline`");
            None
        }
        (false, false) => {
            faults.add(at, "specify either `jwks_url` or `inline`, not both");
            None
        }
    }
}

fn remote(raw: RawKeys, at: &At<'_>, faults: &mut Faults) -> Option<KeySource> {
    let url = raw.jwks_url.value().and_then(|text| faults.check(&at.key("jwks_url"), Url::parse(&text)));
    let cluster = cluster(raw.cluster, &at.key("cluster"), faults);
    let refresh = raw
        .refresh
        .or(REFRESH, |text| faults.check(&at.key("refresh"), duration_within(&text, REFRESH_MIN, REFRESH_MAX)));
    let Url { https, authority, path } = url?;
    Some(KeySource::Remote { authority, path, https, cluster: cluster?, refresh: refresh? })
}

fn inline(raw: RawKeys, at: &At<'_>, faults: &mut Faults) -> Option<KeySource> {
    for (key, given) in [("cluster", raw.cluster), ("refresh", raw.refresh)] {
        if !given.is_absent() {
            faults.add(&at.key(key), "inline keys are not fetched; omit this key");
        }
    }
    let Given::Value(set) = raw.inline else {
        return None;
    };
    let at = at.key("inline");
    let Some(set_keys) = set.get("keys") else {
        faults.add(&at, "expected a JWK Set: an object with a list `keys`");
        return None;
    };
    let at = at.key("keys");
    match set_keys.as_array() {
        None => faults.add(&at, "expected a list of keys"),
        Some(keys) if keys.is_empty() => faults.add(&at, "must not be empty"),
        Some(keys) => {
            // A `null` was already reported when the document was read.
            let misfits = keys.iter().enumerate().filter(|(_, key)| !key.is_object() && !key.is_null());
            misfits.for_each(|(index, _)| faults.add(&at.item(index), "expected a key: an object"));
            return keys.iter().all(Value::is_object).then(|| KeySource::Inline(set.to_string()));
        }
    }
    None
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    https: bool,
    authority: String,
    path: String,
}

impl Url {
    /// Reads an absolute HTTP URL, split into what a request needs.
    fn parse(text: &str) -> Result<Self, String> {
        let text = visible(text)?;
        let wrong = |what: &str| format!("{} {what}", quoted(&text));
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong("is not a URL such as `https://id.example.com/jwks`"))?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("has a scheme other than `https` and `http`")),
        };
        if rest.contains('#') {
            return Err(wrong("contains a fragment, which is never sent"));
        }
        let (authority, target) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        if authority.contains('@') {
            // The URL is not quoted: user information can contain a password.
            return Err("the URL must not contain user information".to_owned());
        }
        if Host::parse(authority.as_bytes()).is_none() {
            return Err(wrong("has no valid host"));
        }
        let path = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { https, authority: authority.to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_what_a_request_needs() {
        for (text, https, authority, path) in [
            ("https://id.example.com/jwks", true, "id.example.com", "/jwks"),
            ("http://127.0.0.1:8080/a/b?c=d/e", false, "127.0.0.1:8080", "/a/b?c=d/e"),
            ("https://id.example.com", true, "id.example.com", "/"),
            ("https://id.example.com?x", true, "id.example.com", "/?x"),
            ("https://[::1]:8443/", true, "[::1]:8443", "/"),
        ] {
            let url = Url { https, authority: authority.into(), path: path.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
    }

    #[test]
    fn all_else_is_refused_and_no_password_repeated() {
        for text in [
            "",
            "id.example.com/jwks",
            "ftp://a/b",
            "https://",
            "https:///jwks",
            "https://a/b#c",
            "https://a b/",
            "https://a:x/",
            "//a/b",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(!Url::parse("https://me:hunter2@a/b").unwrap_err().contains("hunter2"));
    }
}
