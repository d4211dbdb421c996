//! The collector that the audit log is sent to: `audit.otlp`.

use super::credentials::secret;
use super::raw::RawCredential;
use crate::audit_log::OtlpSettings;
use crate::signals::{Url, trusted};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most headers.
const HEADERS_MAX: usize = 16;

/// Headers that each request has of itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `url`, `headers` or `ca`")]
pub(super) struct RawOtlp {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, RawCredential>,
    ca: Option<String>,
}

pub(super) fn read(
    raw: &RawOtlp,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<OtlpSettings> {
    if raw.headers.len() > HEADERS_MAX {
        faults.push(format!("audit.otlp.headers: has more than {HEADERS_MAX} entries"));
    }
    let mut headers = Vec::with_capacity(raw.headers.len());
    for (name, source) in &raw.headers {
        let at = format!("audit.otlp.headers.{name}");
        match secret(&at, source, env).and_then(|value| header(&at, name, value)) {
            Ok(header) => headers.push(header),
            Err(fault) => faults.push(fault),
        }
    }
    let ca: Option<PathBuf> = raw.ca.as_ref().map(Into::into);
    let url = Url::read(&raw.url).map_err(|fault| faults.push(format!("audit.otlp.url: {fault}"))).ok()?;
    if let Err(fault) = trusted(ca.as_ref(), &url) {
        faults.push(format!("audit.otlp: {fault}"));
    }
    Some(OtlpSettings { url, headers, ca })
}

fn header(at: &str, name: &str, value: String) -> Result<(String, String), String> {
    let name = name.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_token) || RESERVED.contains(&&*name) {
        return Err(format!("{at}: is not a header that can be set"));
    }
    if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(format!("{at}: has a value that no header can have"));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> (Option<OtlpSettings>, String) {
        let env = |name: &str| Some(if name == "ODD" { "a\tb".to_owned() } else { "Bearer hidden".to_owned() });
        let mut faults = Vec::new();
        let read = read(&serde_norway::from_str(text).unwrap(), &env, &mut faults);
        (read, faults.join("\n"))
    }

    #[test]
    fn a_collector_has_a_url_and_perhaps_headers() {
        let (read, faults) = given("{url: 'http://127.0.0.1:4318/v1/logs', headers: {Authorization: {env: TOKEN}}}");
        let read = read.unwrap();
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(read.headers, [("authorization".to_owned(), "Bearer hidden".to_owned())]);
        assert!(!format!("{read:?}").contains("hidden"));
    }

    #[test]
    fn a_fault_says_where_it_is() {
        for (text, wanted) in [
            (
                "{url: 'http://collector:4318/v1/logs'}",
                "audit.otlp.url: `http://collector:4318/v1/logs` is not encrypted",
            ),
            ("{url: 'http://localhost:1', headers: {Host: {env: T}}}", "audit.otlp.headers.Host: is not a header"),
            ("{url: 'http://localhost:1', headers: {'a b': {env: T}}}", "audit.otlp.headers.a b: is not a header"),
            ("{url: 'http://localhost:1', headers: {a: {env: ODD}}}", "audit.otlp.headers.a: has a value"),
            ("{url: 'http://localhost:1', headers: {a: {}}}", "audit.otlp.headers.a: needs either `env` or `file`"),
            ("{url: 'http://localhost:1', ca: /nowhere}", "audit.otlp: ca: cannot read"),
        ] {
            let (_, faults) = given(text);
            assert!(faults.starts_with(wanted), "{wanted}: {faults}");
        }
    }
}
