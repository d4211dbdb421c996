//! The audit log as a file: `audit`.

use super::access::duration;
use super::credentials::secret;
use super::otlp::{self, RawOtlp};
use super::raw::RawCredential;
use crate::audit_log::{ALL_MILLIONTHS, AuditFile, SAMPLED, Sample};
use crate::metrics::OUTCOMES;
use portcullis_audit::note::SignerKey;
use portcullis_audit::record::Format;
use serde::Deserialize;
use std::time::Duration;

/// What is in force where a key is left out.
const RECORDS: u64 = 1_000;
const EVERY: &str = "10s";
const SIZE: &str = "100MiB";
const AGE: &str = "1d";
const RETAIN: &str = "90d";

const RECORDS_MAX: u64 = 100_000;
const EVERY_MS_MIN: u64 = 100;
const EVERY_MS_MAX: u64 = 3_600_000;
/// A restart reads the whole file back.
const SIZE_BYTES_MIN: u64 = 64 << 10;
const SIZE_BYTES_MAX: u64 = 4 << 30;
const AGE_MS_MIN: u64 = 60_000;
const RETAIN_MS_MIN: u64 = 24 * 60 * 60 * 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of `audit`")]
pub(super) struct RawAudit {
    file: String,
    #[serde(default)]
    format: RawFormat,
    signing_key: RawCredential,
    #[serde(default)]
    checkpoint: RawCheckpoint,
    #[serde(default)]
    rotate: RawRotate,
    retain: Option<String>,
    #[serde(default)]
    sample: Vec<RawSample>,
    otlp: Option<RawOtlp>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawFormat {
    #[default]
    Portcullis,
    Ocsf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with `records`, `every` or `webhook`")]
struct RawCheckpoint {
    records: Option<u64>,
    every: Option<String>,
    webhook: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with `size` or `age`")]
struct RawRotate {
    size: Option<String>,
    age: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `code`, `keep` or `outcome`")]
struct RawSample {
    code: String,
    outcome: Option<String>,
    keep: String,
}

pub(super) fn read(
    raw: Option<&RawAudit>,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<AuditFile> {
    let raw = raw?;
    if raw.file.is_empty() {
        faults.push("audit.file: is empty: name a file".to_owned());
    }
    let key = secret("audit.signing_key", &raw.signing_key, env)
        .and_then(|text| SignerKey::read(&text).map_err(|fault| format!("audit.signing_key: {fault}")))
        .map_err(|fault| faults.push(fault))
        .ok();
    let records = raw.checkpoint.records.unwrap_or(RECORDS);
    if !(1..=RECORDS_MAX).contains(&records) {
        faults.push(format!("audit.checkpoint.records: `{records}` is not between 1 and {RECORDS_MAX}"));
    }
    let mut ms = |at: &str, text: &Option<String>, default: &str, min: u64, max: u64| {
        let text = text.as_deref().unwrap_or(default);
        let count = faults.len();
        let ms = duration(at, text, faults);
        if faults.len() == count && !(min..=max).contains(&ms) {
            let most = if max == u64::MAX { String::new() } else { format!(" and at most {}s", max / 1_000) };
            faults.push(format!("{at}: `{text}` is not at least {min}ms{most}"));
        }
        ms
    };
    let every_ms = ms("audit.checkpoint.every", &raw.checkpoint.every, EVERY, EVERY_MS_MIN, EVERY_MS_MAX);
    let age_ms = ms("audit.rotate.age", &raw.rotate.age, AGE, AGE_MS_MIN, u64::MAX);
    let retain_ms = ms("audit.retain", &raw.retain, RETAIN, RETAIN_MS_MIN, u64::MAX);
    let size = raw.rotate.size.as_deref().unwrap_or(SIZE);
    let size_bytes = bytes(size).filter(|bytes| (SIZE_BYTES_MIN..=SIZE_BYTES_MAX).contains(bytes));
    if size_bytes.is_none() {
        faults.push(format!("audit.rotate.size: `{size}` is not a size from 64KiB to 4GiB: use one like `100MiB`"));
    }
    let sample = raw.sample.iter().enumerate().map(|(number, raw)| sample(number, raw, faults)).collect();
    let otlp = raw.otlp.as_ref().and_then(|raw| otlp::read(raw, env, faults));
    Some(AuditFile {
        path: raw.file.clone().into(),
        format: match raw.format {
            RawFormat::Portcullis => Format::Portcullis,
            RawFormat::Ocsf => Format::Ocsf,
        },
        key: key?,
        records,
        every: Duration::from_millis(every_ms),
        size_bytes: size_bytes?,
        age_ms,
        retain_ms,
        sample,
        webhook: raw.checkpoint.webhook.clone(),
        otlp,
    })
}

fn sample(number: usize, raw: &RawSample, faults: &mut Vec<String>) -> Sample {
    if !SAMPLED.contains(&raw.code.as_str()) {
        let known = SAMPLED.join("` and `");
        faults.push(format!("audit.sample[{number}].code: `{}` cannot be sampled: only `{known}` can", raw.code));
    }
    // Evaluations are also denied for what only a filter finds otherwise.
    let is_unknown = |outcome: &&str| raw.code == "refused" && OUTCOMES.iter().all(|(_, label)| label != outcome);
    if let Some(outcome) = raw.outcome.as_deref().filter(is_unknown) {
        faults.push(format!("audit.sample[{number}].outcome: there is no outcome `{outcome}`"));
    }
    let kept = millionths(&raw.keep).filter(|kept| (1..=ALL_MILLIONTHS).contains(kept));
    if kept.is_none() {
        faults.push(format!("audit.sample[{number}].keep: `{}` is not a share: use one like `1%` or `0.1%`", raw.keep));
    }
    Sample::new(&raw.code, raw.outcome.clone(), kept.unwrap_or(ALL_MILLIONTHS))
}

/// A share in millionths: per cent, with at most four digits after the point.
fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 4 || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    format!("{whole}{part:0<4}").parse().ok()
}

/// A size in bytes: a whole number and one of the units `KiB`, `MiB`, `GiB`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, read};
    use super::*;

    fn given(audit: &str) -> Result<Settings, String> {
        let key = SignerKey::generate("audit.example/1").unwrap().secret();
        let env = |name: &str| Some(if name == "KEY" { key.clone() } else { "a".repeat(16) });
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: data}}\n";
        read(&format!("{start}{audit}"), &env).map_err(|faults| faults.to_string())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let file = given("audit: {file: a.jsonl, signing_key: {env: KEY}}").unwrap().audit.unwrap();
        assert_eq!((file.records, file.every, file.size_bytes), (1_000, Duration::from_secs(10), 100 << 20));
        assert_eq!((file.age_ms, file.retain_ms, file.format), (86_400_000, 90 * 86_400_000, Format::Portcullis));
        assert!(given("").unwrap().audit.is_none());
        let all = "audit: {file: audit.jsonl, format: ocsf, signing_key: {env: KEY}, checkpoint: {records: 7, every: 1s}, \
                   rotate: {size: 1GiB, age: 1h}, retain: 7d}";
        let file = given(all).unwrap().audit.unwrap();
        assert_eq!((file.records, file.size_bytes, file.age_ms, file.format), (7, 1 << 30, 3_600_000, Format::Ocsf));
    }

    #[test]
    fn a_share_is_per_cent() {
        for (text, expected) in [
            ("1%", Some(10_000)),
            ("100%", Some(1_000_000)),
            ("0.1%", Some(1_000)),
            ("12.3456%", Some(123_456)),
            ("1", None),
            ("%", None),
            ("-1%", None),
            ("1.23456%", None),
        ] {
            assert_eq!(millionths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_fault_says_where_it_is() {
        for (audit, wanted) in [
            ("audit: {file: a}", "signing_key: is missing"),
            ("audit: {file: a, signing_key: {env: KEY}, sign: 1}", "audit.sign: unknown key"),
            ("audit: {file: a, signing_key: {env: KEY}, format: xml}", "audit.format: unknown variant `xml`"),
            ("audit: {file: '', signing_key: {env: KEY}}", "audit.file: is empty"),
            ("audit: {file: a, signing_key: {env: ADMIN}}", "audit.signing_key: is not a key as"),
            ("audit: {file: a, signing_key: {}}", "audit.signing_key: needs either `env` or `file`"),
            ("audit: {file: a, signing_key: {env: KEY}, checkpoint: {records: 0}}", "audit.checkpoint.records: `0`"),
            (
                "audit: {file: a, signing_key: {env: KEY}, checkpoint: {every: 2h}}",
                "audit.checkpoint.every: `2h` is not",
            ),
            ("audit: {file: a, signing_key: {env: KEY}, checkpoint: {every: 5}}", "`5` is not a duration"),
            ("audit: {file: a, signing_key: {env: KEY}, rotate: {size: 100MB}}", "audit.rotate.size: `100MB`"),
            ("audit: {file: a, signing_key: {env: KEY}, rotate: {size: 1KiB}}", "audit.rotate.size: `1KiB`"),
            ("audit: {file: a, signing_key: {env: KEY}, retain: 1h}", "audit.retain: `1h` is not"),
            (
                "audit: {file: a, signing_key: {env: KEY}, sample: [{code: login, keep: 1%}]}",
                "audit.sample[0].code: `login`",
            ),
            (
                "audit: {file: a, signing_key: {env: KEY}, sample: [{code: refused, keep: 0%}]}",
                "audit.sample[0].keep: `0%`",
            ),
            (
                "audit: {file: a, signing_key: {env: KEY}, sample: [{code: refused, outcome: x, keep: 1%}]}",
                "audit.sample[0].outcome: there is no outcome `x`",
            ),
        ] {
            let faults = given(audit).map(drop).expect_err(audit);
            assert!(faults.contains(wanted), "{wanted}: {faults}");
        }
    }
}
