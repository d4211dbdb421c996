//! Records as OTLP/HTTP logs in JSON (OpenTelemetry Protocol 1.x). The body of a log record is the exact line of the file, so that
//! it can be proved with the checkpoints of the file.

use serde::{Deserialize, Serialize};

/// The code of what is said where records are missing.
const GAP: &str = "gap";

/// The severity of every record: `INFO`.
const INFO: u8 = 9;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// When it happened, in milliseconds since the epoch.
    pub(super) ms: u64,
    /// Its number.
    pub(super) seq: u64,
    /// Its code.
    pub(super) code: String,
    /// The line, without its newline.
    pub(super) text: String,
}

/// A request to `/v1/logs`: the lines, and before them how many are missing.
pub(super) fn request(origin: &str, missing: u64, lines: &[Line], now_ms: u64) -> Vec<u8> {
    let gap = (missing > 0).then(|| gap(missing, now_ms));
    let records = gap.into_iter().chain(lines.iter().map(|line| record(line, now_ms)));
    let scope_logs = ScopeLogs {
        scope: Scope { name: "portcullis.audit", version: env!("CARGO_PKG_VERSION") },
        log_records: records.collect(),
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", "portcullis-session"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("portcullis.audit.origin", origin),
        ],
    };
    let request = Request { resource_logs: [ResourceLogs { resource, scope_logs: [scope_logs] }] };
    // Nothing in it can fail to become JSON.
    serde_json::to_vec(&request).unwrap_or_default()
}

fn record(line: &Line, now_ms: u64) -> LogRecord<'_> {
    LogRecord {
        time_unix_nano: nanos(line.ms),
        observed_time_unix_nano: nanos(now_ms),
        severity_number: INFO,
        severity_text: "INFO",
        body: Value::Text(&line.text),
        attributes: vec![text("portcullis.audit.code", &line.code), number("portcullis.audit.seq", line.seq)],
    }
}

/// Not a line of the file, which has them all.
fn gap(missing: u64, now_ms: u64) -> LogRecord<'static> {
    LogRecord {
        time_unix_nano: nanos(now_ms),
        observed_time_unix_nano: nanos(now_ms),
        severity_number: INFO,
        severity_text: "INFO",
        body: Value::Text("records of the audit log are missing here: the collector did not take them"),
        attributes: vec![text("portcullis.audit.code", GAP), number("portcullis.audit.dropped", missing)],
    }
}

fn nanos(ms: u64) -> String {
    format!("{ms}000000")
}

const fn text<'a>(key: &'static str, value: &'a str) -> Attribute<'a> {
    Attribute { key, value: Value::Text(value) }
}

fn number(key: &'static str, value: u64) -> Attribute<'static> {
    Attribute { key, value: Value::Number(value.to_string()) }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Resource<'a>,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope,
    log_records: Vec<LogRecord<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

/// 64-bit integers are texts in protobuf's JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    time_unix_nano: String,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: &'static str,
    body: Value<'a>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
enum Value<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    #[serde(rename = "intValue")]
    Number(String),
}

/// What a collector answers with 200.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Partial,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    rejected_log_records: serde_json::Value,
}

/// How many log records a collector has refused although it has answered with 200. What cannot be read says nothing.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let Answer { partial_success } = serde_json::from_slice(answer).unwrap_or_default();
    match partial_success.rejected_log_records {
        serde_json::Value::String(text) => text.parse().unwrap_or_default(),
        serde_json::Value::Number(number) => number.as_u64().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_carries_the_exact_line() {
        let text = r#"{"seq":7,"code":"login","subject":"ä\"\\"}"#;
        let line = Line { ms: 1_700_000_000_123, seq: 7, code: "login".to_owned(), text: text.to_owned() };
        let request: serde_json::Value =
            serde_json::from_slice(&request("audit.example/1", 0, &[line], 1_700_000_000_200)).unwrap();
        let logs = &request["resourceLogs"][0];
        assert_eq!(
            logs["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "portcullis-session"}})
        );
        let record = &logs["scopeLogs"][0]["logRecords"];
        assert_eq!(
            *record,
            json!([{
                "timeUnixNano": "1700000000123000000",
                "observedTimeUnixNano": "1700000000200000000",
                "severityNumber": 9,
                "severityText": "INFO",
                "body": {"stringValue": text},
                "attributes": [
                    {"key": "portcullis.audit.code", "value": {"stringValue": "login"}},
                    {"key": "portcullis.audit.seq", "value": {"intValue": "7"}},
                ],
            }])
        );
    }

    #[test]
    fn what_is_missing_is_said_before_the_lines_that_follow() {
        let request: serde_json::Value = serde_json::from_slice(&request("o", 12, &[], 1)).unwrap();
        let gap = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(gap["attributes"][1], json!({"key": "portcullis.audit.dropped", "value": {"intValue": "12"}}));
    }

    #[test]
    fn a_partial_success_says_how_many_were_refused() {
        for (answer, expected) in [
            (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedLogRecords":4}}"#, 4),
            (r#"{"partialSuccess":{}}"#, 0),
            ("{}", 0),
            ("", 0),
            ("<html>", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}
