//! OAuth access tokens at the admin API. They are verified as strictly as the filter verifies tokens, and by the same code.

use super::caller::{Subject, has};
use super::roster::Refused;
use super::{Caller, Scope, Scopes};
use crate::signals::{KeySettings, Keys, Outbound, Unverified};
use portcullis_contract::token::{Fault, Issuer, Judged, Rejection, SignatureError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Tokens of one issuer, as they are configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OauthSettings {
    /// What its tokens must meet. Its keys are in `keys`.
    pub(crate) issuer: Issuer,
    /// Where its keys are.
    pub(crate) keys: KeySettings,
    /// `acr` must be one of these; empty: it is not asked about.
    pub(crate) acr: Vec<String>,
    /// How long ago the person may have logged in.
    pub(crate) max_age: Option<Duration>,
    /// What claims grant.
    pub(crate) granted: Vec<Granted>,
}

/// The scopes that a value of a claim grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    /// A name or, if it starts with `/`, a JSON Pointer.
    pub(crate) claim: String,
    /// The value.
    pub(crate) value: String,
    /// The scopes.
    pub(crate) scopes: Vec<Scope>,
}

/// Verifies tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    settings: OauthSettings,
    keys: Arc<Keys>,
}

/// Two that are configured in the same way are the same, whatever keys they have fetched so far.
impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Verifier {}

impl Verifier {
    /// One without keys yet. The error says what is wrong with where they are.
    pub(crate) fn new(settings: OauthSettings) -> Result<Self, String> {
        let caller = Outbound::new(settings.keys.tls(None)?);
        let issuer = &*settings.issuer.issuer;
        let keys = Keys::new(issuer, issuer, &settings.keys.at, caller)?;
        Ok(Self { settings, keys: Arc::new(keys) })
    }

    /// `iss` of the tokens that it admits.
    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer.issuer
    }

    /// Fetches the keys if that is due.
    pub(super) fn refresh(&self) {
        self.keys.refresh();
    }

    /// Who a token says has called, and until when; `None` if it is of another issuer, or is no such token at all.
    pub(super) async fn caller(&self, token: &str, now_ms: u64) -> Option<Result<(Caller, u64), Refused>> {
        let judged = match Judged::read(token, &self.settings.issuer, now_ms) {
            Ok(judged) => judged,
            Err(Rejection::Invalid(Fault::Issuer | Fault::NotCompact)) => return None,
            Err(rejection) => return Some(Err(Refused::Token(rejection.to_string()))),
        };
        let verified = self.keys.verified(judged.key(), |keys| judged.verify(keys, |_| None)).await;
        Some(match verified {
            Ok(_) => self.admit(judged, now_ms),
            Err(Unverified::Late | Unverified::Failing | Unverified::NoKeys) => {
                Err(Refused::Unavailable(self.settings.issuer.issuer.to_string()))
            }
            Err(Unverified::Refused(error)) => Err(Refused::Token(why(error))),
        })
    }

    /// The caller of a token whose signature is good.
    fn admit(&self, judged: Judged<'_>, now_ms: u64) -> Result<(Caller, u64), Refused> {
        let OauthSettings { issuer, acr, max_age, granted, .. } = &self.settings;
        let (facts, claims) = judged.into_facts();
        let Some(sub) = facts.subject.as_deref() else {
            return Err(Refused::Token(Fault::Missing("sub").to_string()));
        };
        let is_recent = |limit: &Duration| {
            let age_ms = facts.authenticated_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms));
            age_ms.is_some_and(|age_ms| u128::from(age_ms) < limit.as_millis())
        };
        let is_strong = acr.is_empty() || facts.acr.as_ref().is_some_and(|held| acr.contains(held));
        if !is_strong || !max_age.as_ref().is_none_or(is_recent) {
            return Err(Refused::Login { acr: acr.clone(), max_age: *max_age });
        }
        let claims = Value::Object(claims);
        let own = facts.scopes.iter().filter_map(|scope| Scope::named(scope));
        let by_claims = granted.iter().filter(|granted| has(&claims, &granted.claim, &granted.value));
        let scopes: Scopes = own.chain(by_claims.flat_map(|granted| granted.scopes.iter().copied())).collect();
        let caller = Caller {
            name: name(&issuer.issuer, sub),
            scopes,
            subject: Some(Subject { issuer: Arc::clone(&issuer.issuer), sub: sub.into() }),
            claims: Arc::new(claims),
        };
        Ok((caller, facts.dies_at_ms))
    }
}

fn why(error: SignatureError) -> String {
    match error {
        SignatureError::UnknownKey => "no key of the issuer matches the token".to_owned(),
        SignatureError::KeyAlgorithm => Fault::KeyAlgorithm.to_string(),
        SignatureError::Signature => Fault::Signature.to_string(),
    }
}

/// The name of a user as a caller. It is that of nobody else: a configured issuer contains no `#`, and the name of a credential
/// neither.
fn name(issuer: &str, sub: &str) -> Arc<str> {
    format!("{issuer}#{sub}").into()
}
