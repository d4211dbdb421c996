//! Everybody who may call the admin API, and who of them has.

use super::{Caller, Scope, Scopes, Subject, Verifier};
use crate::credential::{Credentials, Presented, bearer};
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// The name of the admin who presents `admin_credential`.
pub(crate) const ADMIN_CREDENTIAL: &str = "admin_credential";

/// Everybody who may call the admin API. Clones share the keys of issuers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admins {
    pub(crate) named: Vec<Named>,
    pub(crate) oauth: Vec<Arc<Verifier>>,
}

/// An admin with a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Tells it from all others.
    pub(crate) name: Arc<str>,
    /// What it presents.
    pub(crate) credentials: Credentials,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// Who it is as a user.
    pub(crate) subject: Option<Subject>,
}

/// What has let a caller in. A call that lasts is over when it would not any more.
#[derive(Debug, Clone)]
pub(crate) enum Pass {
    /// A credential.
    Credential(Presented),
    /// A token that is good until an instant, and whose verifier must still be there.
    Token(Arc<Verifier>, u64),
}

/// Why nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no credential, or not exactly one.
    Missing,
    /// Nobody has this one.
    Unknown,
    /// It is a token of a configured issuer that is not good, and why.
    Token(String),
    /// It is a good token, of a login that is not strong or not recent enough.
    Login {
        /// The accepted contexts, if they are asked about.
        acr: Vec<String>,
        /// How long ago the login may be, if that is asked about.
        max_age: Option<Duration>,
    },
    /// The keys of this issuer cannot be fetched.
    Unavailable(String),
}

impl Admins {
    /// The caller that a request shows, and what has let it in.
    pub(crate) async fn identify(&self, headers: &HeaderMap, now_ms: u64) -> Result<(Caller, Pass), Refused> {
        let token = bearer(headers).ok_or(Refused::Missing)?;
        let presented = Presented::of(token);
        if let Some(caller) = self.holder_of(&presented) {
            return Ok((caller, Pass::Credential(presented)));
        }
        let text = std::str::from_utf8(token).map_err(|_| Refused::Unknown)?;
        for verifier in &self.oauth {
            if let Some(found) = verifier.caller(text, now_ms).await {
                return found.map(|(caller, until_ms)| (caller, Pass::Token(Arc::clone(verifier), until_ms)));
            }
        }
        Err(Refused::Unknown)
    }

    /// Who presents a credential. It is compared with all, so that the time does not reveal whose it is.
    fn holder_of(&self, presented: &Presented) -> Option<Caller> {
        let holder = self.named.iter().fold(None, |found, named| {
            let is_held = named.credentials.hold(presented);
            if is_held { Some(named) } else { found }
        });
        holder.map(|named| Caller {
            name: Arc::clone(&named.name),
            scopes: named.scopes,
            subject: named.subject.clone(),
            claims: Arc::new(Value::Object(Map::new())),
        })
    }

    /// Whether what has let a caller in would let it in again, for what needs `scope`. What a token grants does not change
    /// while it is good.
    pub(crate) fn still_let_in(&self, pass: &Pass, scope: Scope) -> bool {
        match pass {
            Pass::Credential(presented) => self.holder_of(presented).is_some_and(|caller| caller.may(scope)),
            Pass::Token(verifier, _) => self.oauth.contains(verifier),
        }
    }

    /// The same people, with the keys that `before` has fetched already.
    pub(crate) fn with_keys_of(mut self, before: &Self) -> Self {
        for verifier in &mut self.oauth {
            if let Some(same) = before.oauth.iter().find(|held| *held == verifier) {
                *verifier = Arc::clone(same);
            }
        }
        self
    }

    /// The one who presents `admin_credential`.
    pub(crate) fn admin_credential(&self) -> Option<&Named> {
        self.named.iter().find(|named| &*named.name == ADMIN_CREDENTIAL)
    }

    /// Everybody else with a credential.
    pub(crate) fn people(&self) -> impl Iterator<Item = &Named> {
        self.named.iter().filter(|named| &*named.name != ADMIN_CREDENTIAL)
    }

    /// Fetches the keys that are due.
    pub(super) fn refresh(&self) {
        self.oauth.iter().for_each(|verifier| verifier.refresh());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::AUTHORIZATION;

    fn named(name: &str, secrets: &[&str], scope: Scope) -> Named {
        let scopes = Scopes::from_iter([scope]);
        Named { name: name.into(), credentials: Credentials::new(secrets), scopes, subject: None }
    }

    fn admins() -> Admins {
        let named = vec![
            named(ADMIN_CREDENTIAL, &["root"], Scope::Admin),
            named("anna", &["old", "new"], Scope::View),
            named("ben", &["bens"], Scope::Operate),
        ];
        Admins { named, oauth: Vec::new() }
    }

    async fn identified(admins: &Admins, value: &str) -> Result<(Caller, Pass), Refused> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        admins.identify(&headers, 0).await
    }

    #[tokio::test]
    async fn a_credential_says_who_has_called() {
        let admins = admins();
        for (secret, name, scope) in [
            ("root", "admin_credential", "portcullis:admin"),
            ("old", "anna", "portcullis:view"),
            ("new", "anna", "portcullis:view"),
            ("bens", "ben", "portcullis:operate"),
        ] {
            let (caller, _) = identified(&admins, &format!("Bearer {secret}")).await.unwrap();
            assert_eq!((&*caller.name, caller.scopes.names().collect::<Vec<_>>()), (name, vec![scope]));
        }
        for (value, why) in [
            ("Bearer other", Refused::Unknown),
            ("Bearer a.b.c", Refused::Unknown),
            ("Bearer ", Refused::Unknown),
            ("Basic root", Refused::Missing),
            ("root", Refused::Missing),
        ] {
            assert_eq!(identified(&admins, value).await.map(drop).unwrap_err(), why, "{value}");
        }
        assert_eq!(admins.identify(&HeaderMap::new(), 0).await.map(drop).unwrap_err(), Refused::Missing);
    }

    #[tokio::test]
    async fn whoever_is_removed_or_may_do_less_is_not_let_in_again() {
        let mut admins = admins();
        let (_, pass) = identified(&admins, "Bearer old").await.unwrap();
        assert!(admins.still_let_in(&pass, Scope::View) && !admins.still_let_in(&pass, Scope::Operate));
        admins.named[1] = named("anna", &["new"], Scope::View);
        assert!(!admins.still_let_in(&pass, Scope::View));
        let (_, pass) = identified(&admins, "Bearer new").await.unwrap();
        admins.named[1] = named("anna", &["new"], Scope::Approve);
        assert!(!admins.still_let_in(&pass, Scope::View));
        admins.named.remove(1);
        assert!(!admins.still_let_in(&pass, Scope::Approve));
    }
}
