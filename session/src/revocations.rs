//! Revocations of a whole party: "all sessions of … before T are revoked". They hold for sessions that were seen and for
//! those that were not, until they are lifted or no token can need them any more.

use crate::made_by::MadeBy;
use crate::per_party::{OfParty, PerParty, page};
use portcullis_contract::token::TokenDigest;
use portcullis_contract::{KeyKind, SessionId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The party that a revocation or a block is about, within its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedParty {
    /// Every session of the issuer.
    Everyone,
    /// The sessions of one subject.
    Subject(String),
    /// The sessions of one client.
    Client(String),
    /// The sessions that one value of a session claim names, of whatever client.
    Sid(String),
    /// The sessions of one subject, except those that one value of a session claim names.
    Others {
        /// The subject.
        subject: String,
        /// The value.
        sid: String,
    },
    /// The sessions of one subject that no session claim names.
    Unnamed(String),
    /// The session with this public id, which was not seen. Its issuer is not known: it is the empty one.
    Session(#[serde(with = "crate::store::id_text")] SessionId),
}

impl RevokedParty {
    /// The public id of what holds for this party: the first 16 bytes of SHA-256(issuer, 0x00, kind of party, 0x00, name), as
    /// lower-case hex. What a transmitter's signal has made has 0x00 and the transmitter's name besides.
    pub fn id(&self, issuer: &str, transmitter: &str) -> String {
        let (kind, name) = match self {
            Self::Everyone => ("issuer", Cow::default()),
            Self::Subject(name) => ("subject", name.into()),
            Self::Client(name) => ("client", name.into()),
            Self::Sid(name) => ("sid", name.into()),
            Self::Others { subject, sid } => ("others", format!("{subject}\0{sid}").into()),
            Self::Unnamed(name) => ("unnamed", name.into()),
            Self::Session(id) => ("session", id.to_string().into()),
        };
        let by = if transmitter.is_empty() { String::new() } else { format!("\0{transmitter}") };
        let digest = TokenDigest::of(&format!("{issuer}\0{kind}\0{name}{by}"));
        digest.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a session or token of `issuer` is of this party.
    pub fn holds(&self, issuer: &str, bearer: Bearer<'_>) -> bool {
        let is_issuers = issuer == bearer.issuer;
        match self {
            Self::Everyone => is_issuers,
            Self::Subject(named) => is_issuers && named == bearer.subject,
            Self::Client(named) => is_issuers && named == bearer.client,
            Self::Sid(named) => is_issuers && bearer.sid() == Some(named),
            Self::Others { subject, sid } => is_issuers && subject == bearer.subject && bearer.sid() != Some(sid),
            Self::Unnamed(named) => is_issuers && named == bearer.subject && bearer.sid().is_none(),
            Self::Session(id) => *id == bearer.id(),
        }
    }
}

/// The facts of a token, or of a session, that revocations are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// `sub`; may be empty.
    pub subject: &'a str,
    /// The client; may be empty.
    pub client: &'a str,
    /// What its session key was made from.
    pub kind: KeyKind,
    /// Its session key.
    pub key: &'a str,
    /// Its start: its login, else when it was issued.
    pub start_ms: u64,
    /// Its login; 0 if unknown. A session claim outlives tokens, and only a login opens its session again.
    pub login_ms: u64,
}

impl<'a> Bearer<'a> {
    /// The value of its session claim, if its key is one.
    pub fn sid(&self) -> Option<&'a str> {
        (self.kind == KeyKind::Claim).then_some(self.key)
    }

    /// The public id of its session. It is a digest, so it is computed where a rule needs it, and not for every question.
    pub fn id(&self) -> SessionId {
        SessionId::of(self.kind, self.issuer, self.key, self.client)
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The issuer of the tokens.
    pub issuer: String,
    /// Which of the issuer's sessions it revokes.
    pub party: RevokedParty,
    /// Sessions and tokens that started before this instant are revoked.
    pub before_ms: u64,
    /// When it was made.
    pub made_at_ms: u64,
    /// The end of the sessions that it ended: see `leads.rs`.
    pub ends_at_ms: u64,
    /// The reason that its caller stated; may be empty.
    pub reason: String,
    /// Who has made it.
    #[serde(default, skip_serializing_if = "MadeBy::is_nobody")]
    pub by: MadeBy,
}

impl OfParty for Revocation {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn party(&self) -> RevokedParty {
        self.party.clone()
    }
}

impl Revocation {
    /// Whether it revokes a session or token.
    pub fn covers(&self, bearer: Bearer<'_>) -> bool {
        let began_ms = match &self.party {
            RevokedParty::Everyone
            | RevokedParty::Subject(_)
            | RevokedParty::Client(_)
            | RevokedParty::Others { .. }
            | RevokedParty::Unnamed(_) => bearer.start_ms,
            RevokedParty::Sid(_) => bearer.login_ms,
            // As after the revocation of a session that was seen.
            RevokedParty::Session(_) if bearer.kind.returns() => bearer.start_ms,
            RevokedParty::Session(_) => bearer.login_ms,
        };
        began_ms < self.before_ms && self.is_about(bearer)
    }

    /// Whether a session or token is of the revoked party, whenever it began.
    pub fn is_about(&self, bearer: Bearer<'_>) -> bool {
        self.party.holds(&self.issuer, bearer)
    }

    /// The stricter of two revocations of the same party: the one with the later instant.
    pub fn merged(self, other: &Self) -> Self {
        let ends_at_ms = self.ends_at_ms.max(other.ends_at_ms);
        let stricter = if other.before_ms > self.before_ms { other.clone() } else { self };
        Self { ends_at_ms, ..stricter }
    }

    /// The latest of its instants: no end that it caused is later.
    pub fn latest_ms(&self) -> u64 {
        self.before_ms.max(self.ends_at_ms)
    }
}

/// All revocations.
#[derive(Debug, Default)]
pub struct Revocations(PerParty<Revocation>);

impl Revocations {
    /// Adds a revocation, or moves the one of the same party to the later instant.
    pub fn add(&mut self, revocation: Revocation) {
        let merged = match self.0.get(&revocation.issuer, &revocation.party) {
            Some(held) => revocation.merged(held),
            None => revocation,
        };
        self.0.put(merged);
    }

    /// Takes a revocation back, unless another of the same party has come since; returns whether it was there.
    pub fn lift(&mut self, revocation: &Revocation) -> bool {
        self.0.remove(revocation)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Revocation> {
        self.0.all()
    }

    /// A page of at most `limit` of them; see [`page`].
    pub fn page(&self, after: Option<&str>, limit: usize) -> (Vec<(String, Revocation)>, bool) {
        page(self.all(), after, limit)
    }

    /// The revocation of an id, if there is one.
    pub fn of_session(&self, id: SessionId) -> Option<&Revocation> {
        self.0.get("", &RevokedParty::Session(id))
    }

    /// The revocation that covers a session or token, if there is one.
    pub fn against(&self, bearer: Bearer<'_>) -> Option<&Revocation> {
        self.0.about(bearer).find(|revocation| revocation.covers(bearer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(party: RevokedParty, before_ms: u64) -> Revocation {
        let issuer = if matches!(party, RevokedParty::Session(_)) { "" } else { "i" };
        Revocation {
            issuer: issuer.to_owned(),
            party,
            before_ms,
            made_at_ms: 7,
            ends_at_ms: 7,
            reason: String::new(),
            by: MadeBy::default(),
        }
    }

    fn parties() -> [RevokedParty; 6] {
        let a = || "a".to_owned();
        let id = RevokedParty::Session(A.id());
        let others = RevokedParty::Others { subject: a(), sid: "b".to_owned() };
        [
            RevokedParty::Everyone,
            RevokedParty::Subject(a()),
            RevokedParty::Client(a()),
            RevokedParty::Sid(a()),
            others,
            id,
        ]
    }

    const A: Bearer<'_> =
        Bearer { issuer: "i", subject: "a", client: "a", kind: KeyKind::Claim, key: "a", start_ms: 49, login_ms: 49 };

    #[test]
    fn a_revocation_stands_against_its_party_before_its_instant_and_no_other() {
        let mut revocations = Revocations::default();
        let made = [
            revocation(RevokedParty::Everyone, 10),
            revocation(RevokedParty::Subject("alice".to_owned()), 20),
            revocation(RevokedParty::Client("app".to_owned()), 30),
            revocation(RevokedParty::Sid("s".to_owned()), 40),
        ];
        for revocation in &made {
            revocations.add(revocation.clone());
        }
        let rows = [
            ("i", "bob", "web", None, 9, 9, true),
            ("i", "bob", "web", None, 10, 10, false),
            ("i", "alice", "web", None, 19, 19, true),
            ("i", "alice", "web", None, 20, 20, false),
            ("i", "alice", "app", None, 29, 29, true),
            ("i", "bob", "app", None, 30, 30, false),
            ("j", "alice", "app", Some("s"), 0, 0, false),
            ("i", "app", "alice", None, 15, 15, false),
            ("i", "s", "s", None, 15, 15, false),
            ("i", "bob", "web", Some("s"), 39, 39, true),
            ("i", "bob", "web", Some("s"), 40, 40, false),
            // A later token of the same login, whether it says when that was or not.
            ("i", "bob", "web", Some("s"), 50, 39, true),
            ("i", "bob", "web", Some("s"), 50, 0, true),
            ("i", "bob", "web", Some("t"), 50, 0, false),
        ];
        for (issuer, subject, client, sid, start_ms, login_ms, expected) in rows {
            let kind = if sid.is_some() { KeyKind::Claim } else { KeyKind::Login };
            let bearer = Bearer { issuer, subject, client, kind, key: sid.unwrap_or("s"), start_ms, login_ms };
            assert_eq!(revocations.against(bearer).is_some(), expected, "{bearer:?}");
            let any = made.iter().any(|revocation| revocation.covers(bearer));
            assert_eq!(any, expected, "{bearer:?}");
        }
    }

    #[test]
    fn a_revoked_id_refuses_the_first_token_of_its_session_and_a_later_login_opens_it() {
        use KeyKind::{Claim, Login, LoginUndated, Machine};
        let bearer = |kind, key, client, start_ms, login_ms| Bearer { kind, key, client, start_ms, login_ms, ..A };
        for (kind, start_ms, login_ms, expected) in [
            (Claim, 49, 49, true),
            // A refreshed token of that login, whether it says when that was or not.
            (Claim, 90, 49, true),
            (Claim, 90, 0, true),
            (Claim, 50, 50, false),
            (Login, 49, 49, true),
            (Login, 50, 50, false),
            // Nobody logs in: what counts is when its token was issued.
            (Machine, 49, 0, true),
            (Machine, 50, 0, false),
            (LoginUndated, 49, 0, true),
            (LoginUndated, 50, 0, false),
        ] {
            let one = bearer(kind, "k", "web", start_ms, login_ms);
            let mut revocations = Revocations::default();
            revocations.add(revocation(RevokedParty::Session(one.id()), 50));
            assert_eq!(revocations.against(one).is_some(), expected, "{one:?}");
            for other in
                [bearer(kind, "other", "web", 0, 0), bearer(kind, "k", "app", 0, 0), Bearer { issuer: "j", ..one }]
            {
                assert!(revocations.against(other).is_none(), "{other:?}");
            }
        }
    }

    #[test]
    fn a_revocation_of_an_id_is_stored_with_the_id_as_text() {
        let made = revocation(RevokedParty::Session(A.id()), 50);
        let text = serde_json::to_string(&made).unwrap();
        assert!(text.contains(&format!(r#""party":{{"session":"{}"}}"#, A.id())), "{text}");
        assert_eq!(serde_json::from_str::<Revocation>(&text).unwrap(), made);
        assert!(serde_json::from_str::<RevokedParty>(r#"{"session":"x"}"#).is_err());
    }

    #[test]
    fn an_earlier_instant_never_loosens_a_revocation() {
        for party in parties() {
            let mut revocations = Revocations::default();
            for before in [50, 20] {
                revocations.add(revocation(party.clone(), before));
            }
            assert!(revocations.against(A).is_some(), "{party:?}");
        }
    }

    #[test]
    fn a_revocation_that_is_lifted_stands_against_nobody_and_leaves_the_others() {
        for lifted in parties() {
            let mut revocations = Revocations::default();
            parties().into_iter().for_each(|party| revocations.add(revocation(party, 50)));
            assert!(!revocations.lift(&revocation(lifted.clone(), 49)), "another one stands");
            assert!(revocations.lift(&revocation(lifted.clone(), 50)));
            let left: Vec<_> = revocations.all().map(|revocation| revocation.party.clone()).collect();
            assert_eq!(left, parties().into_iter().filter(|party| *party != lifted).collect::<Vec<_>>());
            for party in left {
                revocations.lift(&revocation(party, 50));
            }
            assert!(revocations.against(A).is_none());
        }
    }

    #[test]
    fn each_party_has_an_id_of_its_own_whatever_the_instant() {
        let ids: std::collections::HashSet<_> =
            parties().into_iter().flat_map(|party| [1, 2].map(|at| revocation(party.clone(), at).id())).collect();
        assert_eq!(ids.len(), parties().len());
        // printf 'i\0subject\0a' | sha256sum | cut -c1-32
        assert_eq!(revocation(RevokedParty::Subject("a".to_owned()), 1).id(), "f4bb4079a078c3d14eb29a0b54f04d11");
    }
}
