//! Whether trust in a token was taken back, for those who verify it themselves and ask about nothing else: the admin API.

use super::Registry;
use super::sessions::Tombstone;
use crate::judge::{End, Reason};
use crate::store::StoreError;
use crate::token::Token;

impl Registry {
    /// Whether a block or a revocation stands against a token, or its session was revoked, as far as memory knows. It opens no
    /// session, and is no activity; that a session has reached a limit is nothing that anybody has taken back.
    pub(crate) fn is_taken_back(&self, token: &Token, now_ms: u64) -> bool {
        if self.blocked_until_ms(token, now_ms).is_some() || self.is_revoked(token) {
            return true;
        }
        self.find(token.id).is_some_and(|session| {
            let over = session.ended().map(|end| Tombstone::of(&session, end));
            let returned = session.returned.filter(|_| token.returns_from_ms() <= session.returned_from_ms);
            over.is_some_and(|tombstone| self.refuses(tombstone, token)) || returned.is_some_and(is_revoked)
        })
    }

    /// The same, also by what only the store knows. Blocks. What is there and cannot be read may be a revocation.
    pub(crate) fn is_taken_back_on_disk(&self, token: &Token, now_ms: u64) -> Result<bool, StoreError> {
        if self.is_taken_back(token, now_ms) {
            return Ok(true);
        }
        if self.find(token.id).is_some() {
            return Ok(false);
        }
        Ok(match self.store.tombstones_of(&[token.id])?.pop() {
            None => false,
            Some((_, None)) => true,
            Some((_, Some(record))) => Tombstone::read(&record).is_some_and(|tombstone| self.refuses(tombstone, token)),
        })
    }

    fn refuses(&self, tombstone: Tombstone, token: &Token) -> bool {
        is_revoked(tombstone.end) && !tombstone.on(self.terms.undated_logins).opens_for(token)
    }
}

fn is_revoked(end: End) -> bool {
    end.reason == Reason::Revoked
}

#[cfg(test)]
mod tests {
    use crate::audit::EndedBy;
    use crate::blocks::{Block, BlockedParty};
    use crate::fixtures::{Fixture, HOUR, IDLE, MINUTE, T0, login, person};
    use crate::made_by::MadeBy;
    use crate::registry::revoked;

    #[test]
    fn a_token_is_taken_back_by_a_revocation_of_its_session_wherever_that_is_and_not_by_a_limit() {
        let fixture = Fixture::new();
        let token = login("s", T0);
        let is_taken_back = |fixture: &Fixture, at_ms| fixture.registry.is_taken_back_on_disk(&token, at_ms).unwrap();
        assert!(!is_taken_back(&fixture, T0), "nobody knows its session");
        let session = fixture.live(&token, T0);
        assert!(!is_taken_back(&fixture, T0 + IDLE + HOUR), "it is over by a limit");
        assert!(fixture.registry.end(&session, revoked(T0 + 1), EndedBy::Admin));
        assert!(is_taken_back(&fixture, T0 + 2) && fixture.registry.is_taken_back(&token, T0 + 2));
        fixture.flush();
        drop(session);
        assert!(fixture.registry.find(token.id).is_none());
        assert!(is_taken_back(&fixture, T0 + 2), "only the store knows it");
        let later = login("s", T0 + MINUTE);
        assert!(!fixture.registry.is_taken_back_on_disk(&later, T0 + MINUTE).unwrap(), "it is of a later login");
        drop(fixture.live(&later, T0 + MINUTE));
        assert!(is_taken_back(&fixture, T0 + MINUTE), "and that does not bring the old one back");
        assert!(!fixture.registry.is_taken_back(&later, T0 + MINUTE));
    }

    #[test]
    fn a_block_takes_back_the_tokens_of_sessions_that_nobody_has_seen() {
        let fixture = Fixture::new();
        let token = person("s", T0);
        let block = Block {
            issuer: token.issuer.to_string(),
            party: BlockedParty::Subject(token.subject.to_string()),
            until_ms: Some(T0 + HOUR),
            made_at_ms: T0,
            reason: String::new(),
            transmitter: String::new(),
            email: None,
            by: MadeBy::default(),
        };
        fixture.registry.block(&block);
        assert!(fixture.registry.is_taken_back(&token, T0 + 1));
    }
}
