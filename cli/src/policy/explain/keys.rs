//! The keys of a token's issuer, when they are not in the policy: fetched from its URL, or read from a file.

use crate::{error::Error, input, tls};
use portcullis_engine::{
    USER_AGENT,
    policy::{Issuer, KeySource, Policy},
    token::{Claimed, KeySet},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use ureq::Agent;

/// The timeout of a fetch: the filter's own.
const FETCH_MAX: Duration = Duration::from_millis(portcullis_engine::token::FETCH_TIMEOUT_MS);

/// Where to take keys from that are not in the policy.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Fetch the keys of the token's issuer from its `jwks_url`, from this machine and not through Envoy's cluster
    #[arg(long, requires = "token", conflicts_with = "keys")]
    fetch_keys: bool,
    /// Trust the root certificates in this PEM file instead of the system's when keys are fetched
    #[arg(long, value_name = "FILE", requires = "fetch_keys")]
    ca: Option<PathBuf>,
    /// Read the key set (JWK Set) of the token's issuer from this file
    #[arg(long, value_name = "FILE", requires = "token")]
    keys: Option<PathBuf>,
}

impl Source {
    /// Puts the keys of the issuer that a token names into the policy, and returns where they are from. `None` if they are
    /// not asked for, or if the policy has no such issuer or holds its keys already.
    pub(super) fn supply(&self, policy: &mut Policy, token: &str) -> Result<Option<String>, Error> {
        if !self.fetch_keys && self.keys.is_none() {
            return Ok(None);
        }
        let bytes_max = policy.limits.key_set_bytes;
        let named = Claimed::read(token).issuer;
        let mut issuers = policy.issuers.iter_mut();
        let Some(issuer) = issuers.find(|issuer| Some(&*issuer.issuer) == named.as_deref()) else { return Ok(None) };
        let Some(url) = url(issuer) else { return Ok(None) };
        let (from, json) = match &self.keys {
            Some(file) => input::text_within(file, bytes_max as u64)?,
            None => (url.clone(), fetch(&url, self.ca.as_deref(), bytes_max)?),
        };
        KeySet::parse(json.as_bytes())
            .map_err(|error| Error::failed(format_args!("cannot use the keys of `{from}`: {error}")))?;
        issuer.keys = KeySource::Inline(json);
        Ok(Some(from))
    }
}

/// The URL of an issuer's keys, if they are not in the policy.
pub(super) fn url(issuer: &Issuer) -> Option<String> {
    match &issuer.keys {
        KeySource::Remote { authority, path, https, .. } => {
            Some(format!("{}://{authority}{path}", if *https { "https" } else { "http" }))
        }
        KeySource::Inline(_) | KeySource::Opaque => None,
    }
}

/// Fetches a key set as the filter does: only a 200 counts, and redirects are not followed.
fn fetch(url: &str, ca: Option<&Path>, bytes_max: usize) -> Result<String, Error> {
    let failed = |why: String| Error::failed(format_args!("cannot fetch the keys at `{url}`: {why}"));
    let tls = if url.starts_with("https:") { tls::config(ca, None)? } else { Default::default() };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(FETCH_MAX))
        .user_agent(USER_AGENT)
        .tls_config(tls)
        .build();
    let call = Agent::from(config).get(url).header("accept", "application/jwk-set+json, application/json");
    let answer = call.call().map_err(|error| failed(words(&error)))?;
    if answer.status() != 200 {
        return Err(failed(format!("the response had status {}", answer.status().as_u16())));
    }
    let too_long = || failed(format!("the key set is longer than {bytes_max} bytes (`limits.key_set_bytes`)"));
    let body = answer.into_body().into_with_config().limit(bytes_max as u64 + 1).read_to_vec();
    let body = body.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => too_long(),
        error => failed(words(&error)),
    })?;
    if body.len() > bytes_max {
        return Err(too_long());
    }
    String::from_utf8(body).map_err(|_| failed("the key set is not JSON".to_owned()))
}

/// A server chooses parts of some errors; none of them may act on a terminal.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("there was no response within {} s", FETCH_MAX.as_secs()),
        error => error.to_string().escape_debug().to_string(),
    }
}
