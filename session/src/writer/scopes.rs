//! Changes of a party's scopes. They are computed here, on the one thread that changes narrowings, from what holds then: two
//! callers that change the scopes of one party at the same time both get what they asked for.

use super::commit::Commit;
use super::op::{Changed, HeldBack, Reply, answer};
use super::prepare::{Group, Step};
use crate::narrowings::{Narrowing, Party, ScopeChange};
use crate::store::Change;
use std::collections::{BTreeMap, HashSet};

impl Commit {
    pub(super) fn prepare_scope_change(&self, group: &mut Group, change: ScopeChange, reply: Reply<Changed>) {
        let held_back = self.held_back(group, &change);
        if !held_back.is_empty() {
            return answer(reply, Ok(Err(HeldBack(held_back))));
        }
        let mut made = vec![self.narrowing(group, &change.party).changed(&change)];
        if change.party.every_client {
            made.extend(self.given_back_to_clients(group, &change));
        }
        group.changes.extend(made.iter().cloned().map(Change::Narrowing));
        group.steps.push(Step::ChangeScopes(made, change, reply));
    }

    /// What becomes of a party's narrowing that is set as a whole. With the one of a client, what signals have taken from its
    /// subject with every client is lifted as well: whoever gives a session everything back means that.
    pub(super) fn set_narrowing(&self, group: &Group, set: Narrowing) -> Vec<Narrowing> {
        let Party { issuer, subject, every_client, .. } = &set.party;
        let is_with_all = !every_client && !subject.is_empty() && set.is_lifted();
        let all = is_with_all.then(|| self.narrowing(group, &Party::of_subject(issuer, subject)));
        let all = all.filter(|all| !all.signalled.is_empty());
        let all = all.map(|all| Narrowing { signalled: BTreeMap::new(), made_at_ms: set.made_at_ms, ..all });
        all.into_iter().chain([set]).collect()
    }

    /// The scopes to give back to one client that are taken from every client of its subject.
    fn held_back(&self, group: &Group, change: &ScopeChange) -> Vec<String> {
        let Party { issuer, subject, every_client, .. } = &change.party;
        if *every_client || change.restore.is_empty() {
            return Vec::new();
        }
        let Narrowing { removed, signalled, .. } = self.narrowing(group, &Party::of_subject(issuer, subject));
        let is_taken =
            |scope: &&String| removed.contains(scope) || signalled.values().any(|left| !left.contains(scope));
        change.restore.iter().filter(is_taken).cloned().collect()
    }

    /// What is given back to a subject is given back to each of its clients.
    fn given_back_to_clients(&self, group: &Group, change: &ScopeChange) -> Vec<Narrowing> {
        let is_theirs = |party: &Party| change.party.covers(party) && *party != change.party;
        let given = self.parties_in(group).into_iter().filter(is_theirs).filter_map(|party| {
            let before = self.narrowing(group, &party);
            let after = before.clone().changed(&ScopeChange { party, remove: Vec::new(), ..change.clone() });
            (after != before).then_some(after)
        });
        given.collect()
    }

    /// The parties that have a narrowing, before or after the changes so far.
    pub(super) fn parties_in(&self, group: &Group) -> HashSet<Party> {
        let in_memory = self.registry.all_narrowings().into_iter().map(|narrowing| narrowing.party);
        let in_group = group.changes.iter().filter_map(narrowing_of).map(|narrowing| narrowing.party.clone());
        in_memory.chain(in_group).collect()
    }

    /// The narrowing of a party as it will be after the changes before this one.
    pub(super) fn narrowing(&self, group: &Group, party: &Party) -> Narrowing {
        let in_group = group.changes.iter().rev().filter_map(narrowing_of).find(|narrowing| narrowing.party == *party);
        in_group.cloned().unwrap_or_else(|| self.registry.narrowing_at(party))
    }
}

const fn narrowing_of(change: &Change) -> Option<&Narrowing> {
    match change {
        Change::Narrowing(narrowing) => Some(narrowing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Fixture, T0, narrowing, person};
    use crate::intern::ScopeSet;
    use crate::made_by::MadeBy;
    use crate::token::Token;
    use crate::writer::{Op, op};
    use portcullis_contract::{KeyKind, SessionId};

    fn change(client: Option<&str>, remove: &[&str], restore: &[&str]) -> ScopeChange {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let party = match client {
            Some(client) => Party::of("https://id", "alice", client, ""),
            None => Party::of_subject("https://id", "alice"),
        };
        ScopeChange {
            party,
            remove: texts(remove),
            restore: texts(restore),
            reason: String::new(),
            made_at_ms: T0,
            by: MadeBy::default(),
        }
    }

    /// Makes changes in one commit.
    fn make(fixture: &Fixture, changes: Vec<ScopeChange>) -> Vec<Changed> {
        let (ops, mut answers): (Vec<_>, Vec<_>) =
            changes.into_iter().map(|change| op(|reply| Op::ChangeScopes(change, reply))).unzip();
        fixture.commit().make_all(ops);
        answers.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap()).collect()
    }

    fn of_client(client: &str) -> Token {
        let id = SessionId::of(KeyKind::Claim, "https://id", "s", client);
        Token { id, client: client.into(), ..person("s", T0) }
    }

    fn left(fixture: &Fixture, client: &str) -> Vec<String> {
        fixture.live(&of_client(client), T0).scopes().1.now.to_vec()
    }

    #[test]
    fn changes_of_one_party_add_up_in_one_commit_in_several_and_after_a_crash() {
        for together in [true, false] {
            let mut fixture = Fixture::new();
            drop(fixture.live(&of_client("web"), T0));
            let both = vec![change(Some("web"), &["openid"], &[]), change(Some("web"), &["orders:read"], &[])];
            match together {
                true => drop(make(&fixture, both)),
                false => both.into_iter().for_each(|one| drop(make(&fixture, vec![one]))),
            }
            assert_eq!(left(&fixture, "web"), ["orders:write"], "{together}");
            fixture.flush();
            fixture = fixture.crash();
            assert_eq!(left(&fixture, "web"), ["orders:write"], "{together}");
            let made = make(&fixture, vec![change(Some("web"), &[], &["openid"])]);
            assert_eq!(made[0].as_ref().unwrap().removed, ["orders:read"]);
            assert_eq!(left(&fixture, "web"), ["openid", "orders:write"], "{together}");
            assert_eq!(left(&fixture, "cli").len(), 3, "another client is another party");
        }
    }

    #[test]
    fn what_is_taken_from_a_subject_is_taken_from_every_client_and_given_back_to_each() {
        let fixture = Fixture::new();
        make(&fixture, vec![change(Some("web"), &["openid"], &[]), change(None, &["orders:write"], &[])]);
        assert_eq!(left(&fixture, "web"), ["orders:read"]);
        assert_eq!(left(&fixture, "never seen before"), ["openid", "orders:read"]);
        let refused = make(&fixture, vec![change(Some("web"), &[], &["orders:write", "openid"])]);
        assert_eq!(refused, [Err(HeldBack(vec!["orders:write".to_owned()]))]);
        assert_eq!(left(&fixture, "web"), ["orders:read"], "a refused change changes nothing");
        let all = ["openid", "orders:write"];
        make(&fixture, vec![change(Some("cli"), &["openid"], &[]), change(None, &[], &all)]);
        for client in ["web", "cli", "other"] {
            assert_eq!(left(&fixture, client).len(), 3, "{client}");
        }
        assert!(fixture.registry.all_narrowings().is_empty());
        let fixture = fixture.crash();
        assert!(fixture.registry.all_narrowings().is_empty());
    }

    #[test]
    fn a_change_adds_to_scopes_that_were_set() {
        let fixture = Fixture::new();
        let session = fixture.live(&of_client("web"), T0);
        let (set, _answer) = op(|reply| Op::Narrow(narrowing(&session, Some(&["openid", "orders:read"])), reply));
        let (removed, _answer) = op(|reply| Op::ChangeScopes(change(Some("web"), &["openid"], &[]), reply));
        fixture.commit().make_all(vec![set, removed]);
        assert_eq!(session.scopes().1.now, ScopeSet::new(["orders:read"]));
        make(&fixture, vec![change(Some("web"), &[], &["orders:write"])]);
        assert_eq!(session.scopes().1.now, ScopeSet::new(["orders:read", "orders:write"]));
    }
}
