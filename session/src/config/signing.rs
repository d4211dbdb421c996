//! The keys that sign tokens for upstreams: `signing`.

use super::credentials::secret;
use super::raw::RawCredential;
use crate::minting::{DatedKey, SigningKeys};
use crate::signals::Url;
use jiff::Timestamp;
use portcullis_contract::signing::SigningKey;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most keys.
const KEYS_MAX: usize = 16;

/// The longest `kid` in bytes: each token has it.
const KID_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `issuer` and `keys`")]
pub(super) struct RawSigning {
    issuer: String,
    keys: Vec<RawSigningKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `file` or `env`, with `kid`, and with `from` or `until`")]
struct RawSigningKey {
    file: Option<String>,
    env: Option<String>,
    kid: String,
    from: Option<String>,
    until: Option<String>,
}

impl RawSigning {
    /// The files that keys are read from.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.keys.iter().filter_map(|key| key.file.as_ref().map(PathBuf::from))
    }
}

type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reads the keys.
pub(super) fn read(raw: Option<&RawSigning>, env: Env<'_>, faults: &mut Vec<String>) -> Option<Arc<SigningKeys>> {
    let RawSigning { issuer, keys: raw } = raw?;
    let before = faults.len();
    if let Err(fault) = Url::read(issuer) {
        faults.push(format!("signing.issuer: {fault}"));
    }
    if raw.is_empty() {
        faults.push("signing.keys: is empty: add a key, which `portcullis keys new` makes".to_owned());
    }
    if raw.len() > KEYS_MAX {
        faults.push(format!("signing.keys: has {} keys: at most {KEYS_MAX} are allowed", raw.len()));
    }
    let keys: Vec<_> = raw.iter().enumerate().map(|(number, raw)| key(number, raw, env, faults)).collect();
    for (number, key) in raw.iter().enumerate() {
        if raw.iter().take(number).any(|other| other.kid == key.kid) {
            faults.push(format!("signing.keys[{number}].kid: `{}` is the name of another key", key.kid));
        }
    }
    let keys = SigningKeys::new(issuer, keys.into_iter().collect::<Option<_>>()?);
    if let Some((old, new)) = keys.gap() {
        let number = raw.iter().position(|raw| raw.kid == old.key.kid()).unwrap_or_default();
        faults.push(format!(
            "signing.keys[{number}].until: is not after the `from` of `{}`: verifiers need both keys for a while",
            new.key.kid()
        ));
    }
    if faults.len() == before && keys.signer(now_ms()).is_none() {
        faults.push(
            "signing.keys: none signs now: a key needs a `from` that has passed and an `until` that has not".to_owned(),
        );
    }
    (faults.len() == before).then(|| Arc::new(keys))
}

fn key(number: usize, raw: &RawSigningKey, env: Env<'_>, faults: &mut Vec<String>) -> Option<DatedKey> {
    let at = format!("signing.keys[{number}]");
    let before = faults.len();
    if raw.kid.is_empty() || raw.kid.len() > KID_BYTES_MAX || !raw.kid.bytes().all(|byte| byte.is_ascii_graphic()) {
        faults.push(format!("{at}.kid: needs 1 to {KID_BYTES_MAX} visible ASCII characters"));
    }
    let source = RawCredential { env: raw.env.clone(), file: raw.file.clone() };
    let read = secret(&at, &source, env)
        .and_then(|text| SigningKey::read(&text, &raw.kid).map_err(|fault| format!("{at}: {fault}")))
        .map_err(|fault| faults.push(fault))
        .ok();
    let from_ms = instant(&format!("{at}.from"), raw.from.as_deref(), faults);
    let until_ms = instant(&format!("{at}.until"), raw.until.as_deref(), faults);
    if let (Some(from_ms), Some(until_ms)) = (from_ms, until_ms)
        && until_ms <= from_ms
    {
        faults.push(format!("{at}.until: is not after `from`"));
    }
    let key = Arc::new(read?);
    (faults.len() == before).then_some(DatedKey { key, from_ms, until_ms })
}

fn instant(at: &str, text: Option<&str>, faults: &mut Vec<String>) -> Option<u64> {
    let text = text?;
    let ms = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    if ms.is_none() {
        faults.push(format!("{at}: `{text}` is not a time: use one like `2027-01-31T12:00:00Z`"));
    }
    ms
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, read};
    use super::*;
    use portcullis_contract::signing::SigningAlgorithm;
    use std::sync::LazyLock;

    static PEM: LazyLock<String> =
        LazyLock::new(|| SigningKey::generate(SigningAlgorithm::Ed25519, "k").to_pem().unwrap());

    fn given(signing: &str) -> Result<Settings, String> {
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: data}}\n";
        let env = |name: &str| match name {
            "KEY" => Some(PEM.clone()),
            "NONE" => None,
            _ => Some("a-secret-of-16-bytes".to_owned()),
        };
        read(&format!("{start}signing: {signing}\n"), &env).map_err(|faults| faults.to_string())
    }

    #[test]
    fn keys_come_from_the_environment_and_from_files_which_are_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let es256 = SigningKey::generate(SigningAlgorithm::Es256, "k2");
        std::fs::write(file.path(), es256.to_pem().unwrap()).unwrap();
        let path = file.path().display();
        let settings = given(&format!(
            "{{issuer: 'https://p.example', keys: [{{env: KEY, kid: k1, until: 2999-01-02T00:00:00Z}}, {{file: '{path}', kid: k2, from: 2999-01-01T00:00:00Z}}]}}"
        ))
        .unwrap();
        assert!(settings.credential_files.read().iter().any(|known| known == file.path()));
        let keys = settings.signing.read().clone().unwrap();
        assert_eq!((&*keys.issuer, keys.signer(now_ms()).unwrap().key.kid()), ("https://p.example", "k1"));
        let set = keys.jwks(now_ms());
        assert_eq!((&set["keys"][0]["alg"], &set["keys"][1]["alg"]), (&"EdDSA".into(), &"ES256".into()));
        assert_eq!(set["keys"][1], es256.public_jwk());
    }

    #[test]
    fn each_fault_says_where_it_is_and_nothing_of_a_key() {
        let with = |keys: &str| format!("{{issuer: 'https://p', keys: [{keys}]}}");
        let missing = tempfile::tempdir().unwrap().path().join("k.pem");
        for (text, wanted) in [
            ("{keys: []}".to_owned(), "signing.issuer: is missing"),
            ("{issuer: 'https://p', keys: []}".to_owned(), "signing.keys: is empty"),
            ("{issuer: p, keys: [{env: KEY, kid: a}]}".to_owned(), "signing.issuer: `p` is not an `https` URL"),
            (with("{env: KEY}"), "signing.keys[0].kid: is missing"),
            (with("{kid: a}"), "signing.keys[0]: needs either `env` or `file`"),
            (with("{env: NONE, kid: a}"), "signing.keys[0].env: the environment variable `NONE` is unset"),
            (with("{env: ADMIN, kid: a}"), "signing.keys[0]: is not a private key in PEM"),
            (with(&format!("{{file: '{}', kid: a}}", missing.display())), "signing.keys[0].file: cannot read"),
            (with("{env: KEY, kid: 'a b'}"), "signing.keys[0].kid: needs 1 to 128"),
            (with("{env: KEY, kid: a}, {env: KEY, kid: a}"), "signing.keys[1].kid: `a` is the name of another key"),
            (with("{env: KEY, kid: a, from: soon}"), "signing.keys[0].from: `soon` is not a time"),
            (
                with("{env: KEY, kid: a, from: 2026-01-02T00:00:00Z, until: 2026-01-01T00:00:00Z}"),
                "signing.keys[0].until: is not after `from`",
            ),
            (with("{env: KEY, kid: a, from: 2999-01-01T00:00:00Z}"), "signing.keys: none signs now"),
            (with("{env: KEY, kid: a, until: 2020-01-01T00:00:00Z}"), "signing.keys: none signs now"),
            (
                with("{env: KEY, kid: a, until: 2999-01-01T00:00:00Z}, {env: KEY, kid: b, from: 2999-01-02T00:00:00Z}"),
                "signing.keys[0].until: is not after the `from` of `b`",
            ),
            (with("{env: KEY, kid: a, alg: x}"), "signing.keys[0].alg: unknown key"),
        ] {
            let faults = given(&text).map(drop).expect_err(&text);
            assert!(faults.contains(wanted) && !faults.contains("a-secret"), "{wanted}: {faults}");
        }
    }

    #[test]
    fn keys_change_with_a_reload_and_appear_or_disappear_with_a_restart() {
        let one = given("{issuer: 'https://p', keys: [{env: KEY, kid: a}]}").unwrap();
        let other = given("{issuer: 'https://p', keys: [{env: KEY, kid: b}]}").unwrap();
        assert_eq!(one.take_over(&other).reloaded, ["signing"]);
        assert_eq!(one.signing.read().as_ref().unwrap().signer(now_ms()).unwrap().key.kid(), "b");
    }
}
