//! The claim names of issuers, as filters describe them from their policies. With these, the service reads a token that a
//! caller presents as the filter does. The tokens of an issuer that no filter has described are read by the usual names.

use portcullis_contract::token::{ClaimNames, Fault, Unverified};
use portcullis_contract::wire;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use tracing::warn;

/// Issuers that are remembered. The tokens of any more are read by the usual names.
const ISSUERS_MAX: usize = 10_000;

/// Claims that may hold the scopes, or name the session, of one issuer's tokens.
const CLAIMS_MAX: usize = 100;

/// An issuer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIssuer {
    /// `iss`
    pub name: String,
    /// Claims that contain scopes.
    pub scope_claims: Vec<String>,
    /// Claims that identify the session.
    pub session_claims: Vec<String>,
}

/// The issuers that filters have described. They are also on disk: after a restart, a token can be presented before any
/// filter has reconnected, and with other claim names it would name another session.
#[derive(Debug, Default)]
pub struct Issuers {
    known: RwLock<HashMap<String, ClaimNames>>,
    is_unwritten: AtomicBool,
}

impl Issuers {
    /// Remembers the issuers of a filter's policy. Where two policies differ, the latest one applies. The error says how a
    /// description breaks the contract.
    pub(crate) fn learn(&self, described: Vec<wire::Issuer>) -> Result<(), String> {
        let is_sound = |claims: &[String]| (1..=CLAIMS_MAX).contains(&claims.len());
        if let Some(issuer) = described.iter().find(|i| !is_sound(&i.scope_claims) || !is_sound(&i.session_claims)) {
            return Err(format!("issuer `{}` needs 1 to {CLAIMS_MAX} scope claims and session claims", issuer.name));
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for issuer in described {
            let names = ClaimNames { scopes: issuer.scope_claims, session: issuer.session_claims };
            if known.len() >= ISSUERS_MAX && !known.contains_key(&issuer.name) {
                warn!(
                    issuer = issuer.name,
                    "more than {ISSUERS_MAX} issuers: the tokens of this one are read with the default claim names"
                );
                continue;
            }
            let before = known.insert(issuer.name.clone(), names);
            if known.get(&issuer.name) == before.as_ref() {
                continue;
            }
            self.is_unwritten.store(true, Ordering::SeqCst);
            if before.is_some() {
                warn!(issuer = issuer.name, "the policies of two filters name different claims for the same issuer");
            }
        }
        Ok(())
    }

    /// Loads the issuers that are on disk.
    pub(crate) fn load(&self, stored: Vec<KnownIssuer>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for issuer in stored {
            known.insert(issuer.name, ClaimNames { scopes: issuer.scope_claims, session: issuer.session_claims });
        }
    }

    /// All issuers, if the disk lacks some. From then on, the disk is assumed to have them.
    pub(crate) fn take_unwritten(&self) -> Option<Vec<KnownIssuer>> {
        self.is_unwritten.swap(false, Ordering::SeqCst).then(|| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let stored = |(name, names): (&String, &ClaimNames)| KnownIssuer {
                name: name.clone(),
                scope_claims: names.scopes.clone(),
                session_claims: names.session.clone(),
            };
            known.iter().map(stored).collect()
        })
    }

    /// The disk may lack some of the issuers.
    pub(crate) fn unwritten(&self) {
        self.is_unwritten.store(true, Ordering::SeqCst);
    }

    /// Reads a token that nobody has verified here.
    pub(crate) fn read(&self, token: &str) -> Result<Unverified, Fault> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let usual = ClaimNames::default();
        Unverified::read(token, |issuer| known.get(issuer).unwrap_or(&usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

    fn described(name: &str, scope_claims: &[&str], session_claims: &[&str]) -> wire::Issuer {
        let owned = |claims: &[&str]| claims.iter().map(|claim| (*claim).to_owned()).collect();
        wire::Issuer { name: name.to_owned(), scope_claims: owned(scope_claims), session_claims: owned(session_claims) }
    }

    #[test]
    fn a_token_is_read_by_the_names_of_its_issuer_else_by_the_usual_ones() {
        let issuers = Issuers::default();
        let read = |issuer: &str| {
            let claims = format!(
                r#"{{"iss":"{issuer}","sub":"a","iat":1,"exp":2,"scp":"a","roles":["b"],"sid":"s","session_state":"t"}}"#
            );
            let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
            let facts = issuers.read(&format!("{header}.{claims}.AA")).unwrap().facts;
            (facts.scopes.join(" "), facts.session_key.as_str().to_owned())
        };
        let usual = ("a".to_owned(), "s".to_owned());
        assert_eq!(read("i"), usual);
        issuers.learn(vec![described("i", &["roles"], &["session_state", "sid"])]).unwrap();
        assert_eq!((read("i"), read("j")), (("b".to_owned(), "t".to_owned()), usual.clone()));
        issuers.learn(vec![described("i", &["scp"], &["sid"])]).unwrap();
        assert_eq!(read("i"), usual);
    }

    #[test]
    fn an_issuer_without_claims_breaks_the_contract_and_the_number_of_issuers_is_bounded() {
        let issuers = Issuers::default();
        assert!(issuers.learn(vec![described("i", &[], &["sid"])]).is_err());
        assert!(issuers.learn(vec![described("i", &["scp"], &[])]).is_err());
        assert!(issuers.learn(vec![described("i", &["scp"; CLAIMS_MAX + 1], &["sid"])]).is_err());
        let many = (0..=ISSUERS_MAX).map(|n| described(&n.to_string(), &["scp"], &["sid"])).collect();
        issuers.learn(many).unwrap();
        assert_eq!(issuers.known.read().unwrap().len(), ISSUERS_MAX);
    }
}
