//! How tokens are verified that are bound to a key or a certificate of their client.

use super::{ROOT, issuers::ALGORITHMS, some_texts, word};
use crate::{
    policy::{
        Algorithm, BoundTokens, Issuer, Possession,
        deserialize::Given,
        duration::duration_within,
        fault::Faults,
        raw::{RawDpop, RawNonce},
        text::{quoted, visible},
    },
    token::dpop::{HttpUrl, ProofTerms},
};
use portcullis_contract::bounds::PROOF_LASTS_MS_MAX;
use std::time::Duration;

const WINDOW: Duration = Duration::from_mins(1);
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_millis(PROOF_LASTS_MS_MAX / 2);

/// The algorithms of proofs unless the policy lists others.
const ALGORITHMS_DEFAULT: [Algorithm; 2] = [Algorithm::ES256, Algorithm::EdDSA];

/// The parts of a policy about proofs.
pub(super) struct RawPossession {
    pub(super) dpop: Given<RawDpop>,
    pub(super) external_url: Given<String>,
}

/// Reads the parts. The inner `None`: no issuer's bound tokens are verified. `is_endpoint`: the session service is an
/// introspection endpoint, which cannot know whether a proof was used before.
pub(super) fn possession(
    raw: RawPossession,
    issuers: Option<&[Issuer]>,
    is_endpoint: bool,
    faults: &mut Faults,
) -> Option<Option<Possession>> {
    let is_verifying = |issuer: &Issuer| issuer.bound_tokens == BoundTokens::Verify;
    let verifies = issuers.is_some_and(|issuers| issuers.iter().any(is_verifying));
    let verifying = issuers.into_iter().flatten().enumerate().filter(|(_, issuer)| is_verifying(issuer));
    for (index, _) in verifying.filter(|_| is_endpoint) {
        let message = "only Portcullis's own session service knows whether a proof was used before; use `refuse` or `bearer`, \
                       or `$.session.protocol: stream`";
        faults.add(&ROOT.key("issuers").item(index).key("bound_tokens"), message);
    }
    let given = [("dpop", raw.dpop.is_absent()), ("external_url", raw.external_url.is_absent())];
    for (key, _) in given.into_iter().filter(|(_, is_absent)| !is_absent && !verifies && issuers.is_some()) {
        let message =
            "only bound tokens that are verified need this; omit this key, or give an issuer `bound_tokens: verify`";
        faults.add(&ROOT.key(key), message);
    }
    let external_origin =
        raw.external_url.or(None, |text| faults.check(&ROOT.key("external_url"), origin(&text)).map(Some));
    let possession = raw.dpop.or(standard(), |raw| dpop(raw, faults));
    let possession = Possession { external_origin: external_origin?, ..possession? };
    Some(verifies.then_some(possession))
}

fn standard() -> Possession {
    of(WINDOW, false, ALGORITHMS_DEFAULT.to_vec())
}

fn of(window: Duration, needs_nonce: bool, algorithms: Vec<Algorithm>) -> Possession {
    let names = algorithms.iter().filter_map(|listed| ALGORITHMS.iter().find(|(_, known)| known == listed));
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    Possession {
        algorithms: names.join(" "),
        terms: ProofTerms { window, algorithms },
        needs_nonce,
        external_origin: None,
    }
}

fn dpop(raw: RawDpop, faults: &mut Faults) -> Option<Possession> {
    let at = ROOT.key("dpop");
    let window =
        raw.window.or(WINDOW, |text| faults.check(&at.key("window"), duration_within(&text, WINDOW_MIN, WINDOW_MAX)));
    let nonce = raw.nonce.or(RawNonce::Off, Some);
    let algorithms = some_texts(raw.algorithms, &at.key("algorithms"), faults, |text| word(text, &ALGORITHMS));
    let algorithms = algorithms.or(ALGORITHMS_DEFAULT.to_vec(), Some);
    Some(of(window?, nonce? == RawNonce::Required, algorithms?))
}

/// A URL without path, query and fragment.
fn origin(text: &str) -> Result<String, String> {
    let text = visible(text)?;
    if text.contains('@') {
        // The text is not quoted: user information can contain a password.
        return Err("the URL must not contain user information".to_owned());
    }
    let url = HttpUrl::parse(&text).filter(|_| !text.contains(['?', '#']));
    let origin = url.as_ref().and_then(|url| url.as_str().strip_suffix('/'));
    match origin.filter(|origin| origin.matches('/').count() == 2) {
        Some(origin) => Ok(origin.to_owned()),
        None => Err(format!("{} is not a scheme and a host such as `https://api.example.com`", quoted(&text))),
    }
}
