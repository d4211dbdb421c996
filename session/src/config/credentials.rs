//! The credentials of `session.yaml`: read from the environment or from files, and long enough not to be guessed.

use super::raw::{RawCredential, RawCredentials};
use crate::credential::Credentials;

/// The shortest credential: 128 bits, if it is random.
const BYTES_MIN: usize = 16;

/// Credentials, and the key that they are read from.
pub(super) struct Held<'c> {
    pub(super) at: String,
    pub(super) credentials: &'c Credentials,
}

/// No secret may open two doors, or stand for two people: a filter could administer, and the audit would name the wrong one.
pub(super) fn are_distinct(held: &[Held<'_>], faults: &mut Vec<String>) {
    for (number, one) in held.iter().enumerate() {
        let same = held.iter().take(number).find(|other| one.credentials.overlap(other.credentials));
        if let Some(Held { at: other, .. }) = same {
            let Held { at, .. } = one;
            faults.push(match other.as_str() {
                "filter_credential" => {
                    format!("{at}: is also a `filter_credential`: every filter could use the admin API")
                }
                other => format!("{at}: is also in `{other}`: use another secret"),
            });
        }
    }
}

/// Credentials of which callers present one.
pub(super) fn all(
    at: &str,
    sources: &RawCredentials,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<Credentials> {
    let secrets: Vec<Result<String, String>> = match sources {
        RawCredentials::One(source) => vec![long_secret(at, source, env)],
        RawCredentials::Several(none) if none.is_empty() => vec![Err(format!("{at}: is empty: add a credential"))],
        RawCredentials::Several(sources) => {
            sources.iter().enumerate().map(|(n, source)| long_secret(&format!("{at}[{n}]"), source, env)).collect()
        }
    };
    let mut sound = Vec::with_capacity(secrets.len());
    for secret in secrets {
        match secret {
            Ok(secret) => sound.push(secret),
            Err(fault) => faults.push(fault),
        }
    }
    (!sound.is_empty()).then(|| Credentials::new(sound))
}

/// Secrets that `read` makes something of. Its error says what is wrong, without the secret.
pub(super) fn each<T>(
    at: &str,
    sources: &RawCredentials,
    env: &dyn Fn(&str) -> Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
    faults: &mut Vec<String>,
) -> Vec<T> {
    let (sources, is_list) = match sources {
        RawCredentials::One(source) => (std::slice::from_ref(source), false),
        RawCredentials::Several(sources) => (sources.as_slice(), true),
    };
    if sources.is_empty() {
        faults.push(format!("{at}: is empty: add a secret"));
    }
    let mut sound = Vec::with_capacity(sources.len());
    for (number, source) in sources.iter().enumerate() {
        let at = if is_list { format!("{at}[{number}]") } else { at.to_owned() };
        let made = secret(&at, source, env).and_then(|text| read(&text).map_err(|fault| format!("{at}: {fault}")));
        match made {
            Ok(made) => sound.push(made),
            Err(fault) => faults.push(fault),
        }
    }
    sound
}

/// A secret that cannot be guessed, if it is random.
pub(super) fn long_secret(
    at: &str,
    source: &RawCredential,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    match secret(at, source, env)? {
        short if short.len() < BYTES_MIN => Err(format!(
            "{at}: has fewer than {BYTES_MIN} bytes: use a random one, from `openssl rand -hex 32` for example"
        )),
        secret => Ok(secret),
    }
}

/// A secret of any length.
pub(super) fn secret(at: &str, source: &RawCredential, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let secret = match (&source.env, &source.file) {
        (Some(variable), None) => env(variable)
            .filter(|secret| !secret.trim().is_empty())
            .ok_or_else(|| format!("{at}.env: the environment variable `{variable}` is unset or empty"))?,
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(secret) if !secret.trim().is_empty() => secret,
            Ok(_) => return Err(format!("{at}.file: `{file}` is empty")),
            Err(e) => return Err(format!("{at}.file: cannot read `{file}`: {e}")),
        },
        _ => return Err(format!("{at}: needs either `env` or `file`")),
    };
    // Files end with a line break that is not part of the secret.
    Ok(secret.trim().to_owned())
}
