//! Blocks: "whatever comes from … is refused", until the block is lifted or runs out. A block ends no session: when it is over,
//! the sessions of its party are what they were.
//!
//! Of two blocks of one party the latest call stands, also where it is the shorter one: a caller who shortens a block must be
//! able to.

use crate::email::EmailDigest;
use crate::made_by::MadeBy;
use crate::per_party::{OfParty, PerParty, page};
use crate::revocations::{Bearer, RevokedParty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The party that a block is about, within its issuer. A whole issuer cannot be blocked: take it out of the policy instead. Nor can
/// the id of a session: block its `sid`, subject or client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockedParty {
    /// One subject.
    Subject(String),
    /// One client.
    Client(String),
    /// One value of a session claim, with whatever client.
    Sid(String),
}

impl From<BlockedParty> for RevokedParty {
    fn from(party: BlockedParty) -> Self {
        match party {
            BlockedParty::Subject(name) => Self::Subject(name),
            BlockedParty::Client(name) => Self::Client(name),
            BlockedParty::Sid(name) => Self::Sid(name),
        }
    }
}

/// A party that cannot be blocked.
#[derive(Debug, PartialEq, Eq)]
pub struct NotBlockable;

impl TryFrom<RevokedParty> for BlockedParty {
    type Error = NotBlockable;

    fn try_from(party: RevokedParty) -> Result<Self, NotBlockable> {
        match party {
            RevokedParty::Everyone
            | RevokedParty::Session(_)
            | RevokedParty::Others { .. }
            | RevokedParty::Unnamed(_) => Err(NotBlockable),
            RevokedParty::Subject(name) => Ok(Self::Subject(name)),
            RevokedParty::Client(name) => Ok(Self::Client(name)),
            RevokedParty::Sid(name) => Ok(Self::Sid(name)),
        }
    }
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The issuer of the tokens.
    pub issuer: String,
    /// Whose questions it refuses.
    pub party: BlockedParty,
    /// When it runs out; `None`: it stands until it is lifted.
    pub until_ms: Option<u64>,
    /// When it was made.
    pub made_at_ms: u64,
    /// The reason that its caller stated; may be empty.
    pub reason: String,
    /// The transmitter whose signal has made it; empty when an operator did. Neither undoes the other's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub transmitter: String,
    /// The e-mail address by which that signal has named the user: another one may lift it when no session says it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailDigest>,
    /// Who has made it.
    #[serde(default, skip_serializing_if = "MadeBy::is_nobody")]
    pub by: MadeBy,
}

impl OfParty for Block {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn party(&self) -> RevokedParty {
        self.party.clone().into()
    }

    fn transmitter(&self) -> &str {
        &self.transmitter
    }
}

impl Block {
    /// Whether a session or token is of its party.
    pub fn is_about(&self, bearer: Bearer<'_>) -> bool {
        self.party().holds(&self.issuer, bearer)
    }

    /// The first instant at which it refuses nothing any more.
    pub fn ends_at_ms(&self) -> u64 {
        self.until_ms.unwrap_or(u64::MAX)
    }

    /// Whether it still refuses at `now_ms`.
    pub fn stands(&self, now_ms: u64) -> bool {
        now_ms < self.ends_at_ms()
    }
}

/// All blocks, by the transmitter that made them.
#[derive(Debug, Default)]
pub struct Blocks(BTreeMap<String, PerParty<Block>>);

impl Blocks {
    /// Adds a block in the place of the one of the same party and transmitter, which is returned.
    pub fn add(&mut self, block: Block) -> Option<Block> {
        self.0.entry(block.transmitter.clone()).or_default().put(block)
    }

    /// Takes a block back, unless another of the same party and transmitter has come since; returns whether it was there.
    pub fn lift(&mut self, block: &Block) -> bool {
        self.0.get_mut(&block.transmitter).is_some_and(|blocks| blocks.remove(block))
    }

    /// The block of a party that a transmitter has made.
    pub fn get(&self, transmitter: &str, issuer: &str, party: &BlockedParty) -> Option<&Block> {
        self.0.get(transmitter)?.get(issuer, &party.clone().into())
    }

    /// The parties that a transmitter has blocked by an e-mail address.
    pub fn by_email(&self, transmitter: &str, issuer: &str, email: EmailDigest) -> Vec<BlockedParty> {
        let blocks = self.0.get(transmitter).into_iter().flat_map(PerParty::all);
        let named = blocks.filter(|block| block.issuer == issuer && block.email == Some(email));
        named.map(|block| block.party.clone()).collect()
    }

    /// All of them, in no order, with those that have run out and are not collected yet.
    pub fn all(&self) -> impl Iterator<Item = &Block> {
        self.0.values().flat_map(PerParty::all)
    }

    /// A page of at most `limit` of those that stand at `now_ms`; see [`page`].
    pub fn page(&self, after: Option<&str>, limit: usize, now_ms: u64) -> (Vec<(String, Block)>, bool) {
        page(self.all().filter(|block| block.stands(now_ms)), after, limit)
    }

    /// Until when the party of a session or token is blocked, if a block of it stands at `now_ms`: with several blocks, until
    /// the last of them.
    pub fn until_ms(&self, bearer: Bearer<'_>, now_ms: u64) -> Option<u64> {
        let about = self.0.values().flat_map(|blocks| blocks.about(bearer));
        about.filter(|block| block.stands(now_ms)).map(Block::ends_at_ms).max()
    }

    /// The blocks of the party of a session or token that stand at `now_ms`, the oldest first.
    pub fn of(&self, bearer: Bearer<'_>, now_ms: u64) -> Vec<Block> {
        let about = self.0.values().flat_map(|blocks| blocks.about(bearer));
        let mut standing: Vec<_> = about.filter(|block| block.stands(now_ms)).cloned().collect();
        standing.sort_by_key(|block| block.made_at_ms);
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;

    fn block(party: BlockedParty, until_ms: Option<u64>) -> Block {
        let (issuer, reason, transmitter) = ("i".to_owned(), String::new(), String::new());
        Block { issuer, party, until_ms, made_at_ms: 7, reason, transmitter, email: None, by: MadeBy::default() }
    }

    fn parties() -> [BlockedParty; 3] {
        let a = || "a".to_owned();
        [BlockedParty::Subject(a()), BlockedParty::Client(a()), BlockedParty::Sid(a())]
    }

    fn bearer<'a>(issuer: &'a str, subject: &'a str, client: &'a str, kind: KeyKind, key: &'a str) -> Bearer<'a> {
        Bearer { issuer, subject, client, kind, key, start_ms: 0, login_ms: 0 }
    }

    const A: Bearer<'_> =
        Bearer { issuer: "i", subject: "a", client: "a", kind: KeyKind::Claim, key: "a", start_ms: 0, login_ms: 0 };

    #[test]
    fn a_block_is_about_its_party_whenever_it_began_and_about_no_other() {
        let mut blocks = Blocks::default();
        for party in parties() {
            blocks.add(block(party, None));
        }
        for (bearer, expected) in [
            (bearer("i", "a", "x", KeyKind::Login, "x"), true),
            (bearer("i", "x", "a", KeyKind::Login, "x"), true),
            (bearer("i", "x", "x", KeyKind::Claim, "a"), true),
            (bearer("i", "x", "x", KeyKind::Login, "a"), false),
            (bearer("i", "x", "x", KeyKind::Machine, "a"), false),
            (bearer("i", "", "", KeyKind::Claim, "x"), false),
            (bearer("j", "a", "a", KeyKind::Claim, "a"), false),
        ] {
            assert_eq!(blocks.until_ms(bearer, u64::MAX - 1).is_some(), expected, "{bearer:?}");
            let any = blocks.all().any(|block| block.is_about(bearer));
            assert_eq!(any, expected, "{bearer:?}");
        }
    }

    #[test]
    fn a_block_runs_out_at_its_instant_and_the_last_one_of_several_counts() {
        let [subject, client, _] = parties();
        let mut blocks = Blocks::default();
        blocks.add(block(subject, Some(50)));
        assert_eq!((blocks.until_ms(A, 49), blocks.until_ms(A, 50)), (Some(50), None));
        blocks.add(block(client, Some(60)));
        assert_eq!(
            (blocks.until_ms(A, 49), blocks.until_ms(A, 59), blocks.until_ms(A, 60)),
            (Some(60), Some(60), None)
        );
        assert_eq!(blocks.page(None, 9, 50).0.len(), 1, "what has run out is not listed");
        let of = |now_ms| blocks.of(A, now_ms).iter().map(|block| block.until_ms).collect::<Vec<_>>();
        assert_eq!((of(49), of(50), of(60)), (vec![Some(50), Some(60)], vec![Some(60)], vec![]));
    }

    #[test]
    fn the_latest_block_of_a_party_stands_whichever_is_stricter() {
        for party in parties() {
            for (first, second) in [(None, Some(50)), (Some(50), None), (Some(50), Some(40))] {
                let mut blocks = Blocks::default();
                assert_eq!(blocks.add(block(party.clone(), first)), None);
                assert_eq!(blocks.add(block(party.clone(), second)), Some(block(party.clone(), first)));
                assert_eq!(blocks.until_ms(A, 0), Some(second.unwrap_or(u64::MAX)), "{party:?}");
                assert!(!blocks.lift(&block(party.clone(), first)), "another one stands");
                assert!(blocks.lift(&block(party.clone(), second)));
                assert_eq!(blocks.until_ms(A, 0), None, "{party:?}");
            }
        }
    }

    #[test]
    fn what_a_transmitter_blocks_and_what_an_operator_blocks_stand_beside_each_other() {
        let [subject, ..] = parties();
        let own = block(subject.clone(), Some(50));
        let signalled = Block { transmitter: "okta".to_owned(), ..block(subject.clone(), None) };
        let mut blocks = Blocks::default();
        assert_eq!(blocks.add(own.clone()), None);
        assert_eq!(blocks.add(signalled.clone()), None);
        assert_ne!(own.id(), signalled.id());
        assert_eq!(blocks.page(None, 9, 0).0.len(), 2);
        assert_eq!(blocks.get("okta", "i", &subject), Some(&signalled));
        assert_eq!(blocks.until_ms(A, 60), Some(u64::MAX));
        assert!(blocks.lift(&signalled));
        assert_eq!((blocks.until_ms(A, 49), blocks.until_ms(A, 60)), (Some(50), None));
    }

    #[test]
    fn a_block_has_the_id_of_a_revocation_of_its_party() {
        for party in parties() {
            assert_eq!(block(party.clone(), None).id(), block(party.clone(), Some(1)).id());
            assert_eq!(block(party.clone(), None).id(), RevokedParty::from(party.clone()).id("i", ""));
            assert_eq!(BlockedParty::try_from(RevokedParty::from(party.clone())), Ok(party));
        }
        assert_eq!(BlockedParty::try_from(RevokedParty::Everyone), Err(NotBlockable));
    }
}
