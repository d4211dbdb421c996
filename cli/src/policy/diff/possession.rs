//! How bound tokens are verified.

use super::{
    change::{Change, Direction, Part},
    settings::changed,
    words,
};
use crate::policy::name_list::NameList;
use portcullis_engine::policy::Possession;
use serde_json::json;
use std::collections::BTreeSet;

/// The differences, where both policies verify bound tokens. That they do or do not is a difference of their issuers.
pub(super) fn changes(old: Option<&Possession>, new: Option<&Possession>) -> Vec<Part> {
    let Some((old, new)) = old.zip(new) else { return Vec::new() };
    let dpop = [window(old, new), nonce(old, new), algorithms(old, new)];
    let dpop = dpop.into_iter().flatten().map(|change| ("dpop".to_owned(), change));
    let urls = [old, new].map(|possession| json!(possession.external_origin));
    let url = changed("external_url", "proofs are for URLs of", urls);
    dpop.chain(url.map(|change| ("external_url".to_owned(), change))).collect()
}

fn window(old: &Possession, new: &Possession) -> Option<Change> {
    let [before, after] = [old, new].map(|possession| words::duration(possession.terms.window));
    let (direction, text) = match new.terms.window.cmp(&old.terms.window) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => (Direction::MorePermissive, "older proofs are accepted"),
        std::cmp::Ordering::Less => (Direction::LessPermissive, "only newer proofs are accepted"),
    };
    let text = format!("`window` is {after}, was {before}: {text}");
    Some(Change::new(direction, "window", text, json!(before), json!(after)))
}

fn nonce(old: &Possession, new: &Possession) -> Option<Change> {
    let (direction, text) = match (old.needs_nonce, new.needs_nonce) {
        (true, false) => (Direction::MorePermissive, "proofs need no nonce any more"),
        (false, true) => (Direction::LessPermissive, "proofs need a nonce"),
        _ => return None,
    };
    let [before, after] = [old, new].map(|possession| json!(if possession.needs_nonce { "required" } else { "off" }));
    Some(Change::new(direction, "nonce", text.to_owned(), before, after))
}

fn algorithms(old: &Possession, new: &Possession) -> Option<Change> {
    let names =
        |possession: &Possession| possession.algorithms.split(' ').map(str::to_owned).collect::<BTreeSet<String>>();
    let (before, after) = (names(old), names(new));
    let added: Vec<&String> = after.difference(&before).collect();
    let removed: Vec<&String> = before.difference(&after).collect();
    let (direction, text) = match (added.is_empty(), removed.is_empty()) {
        (true, true) => return None,
        (false, _) => {
            (Direction::MorePermissive, format!("proofs that are signed with {} are accepted", NameList::or(&added)))
        }
        (true, false) => (
            Direction::LessPermissive,
            format!("proofs that are signed with {} are no longer accepted", NameList::or(&removed)),
        ),
    };
    Some(Change::new(direction, "algorithms", text, json!(before), json!(after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_engine::policy::Policy;

    fn possession(dpop: &str, more: &str) -> Option<Possession> {
        let policy = format!(
            r#"{{"issuers": [{{"issuer": "i", "audiences": ["a"], "algorithms": ["ES256"], "bound_tokens": "verify",
                "keys": {{"jwks_url": "https://i/jwks", "cluster": "i"}}}}], "session": {{"cluster": "s"}}, "dpop": {dpop}{more},
                "routes": [{{"name": "r", "match": {{"path": "/"}}, "authenticated": true}}]}}"#
        );
        Policy::parse(policy.as_bytes()).expect("a policy").possession
    }

    #[test]
    fn whatever_accepts_more_proofs_is_more_permissive() {
        let standard = possession("{}", "");
        for (other, kind) in [
            (possession(r#"{"window": "90s"}"#, ""), "window"),
            (possession(r#"{"algorithms": ["ES256", "EdDSA", "RS256"]}"#, ""), "algorithms"),
        ] {
            let directions = |old: &Option<Possession>, new: &Option<Possession>| {
                let changes = changes(old.as_ref(), new.as_ref()).into_iter();
                changes.map(|(_, change)| (change.kind, change.direction)).collect::<Vec<_>>()
            };
            assert_eq!(directions(&standard, &other), [(kind, Direction::MorePermissive)]);
            assert_eq!(directions(&other, &standard), [(kind, Direction::LessPermissive)]);
        }
        let with_nonce = possession(r#"{"nonce": "required"}"#, "");
        let lifted = changes(with_nonce.as_ref(), standard.as_ref());
        assert_eq!(lifted[0].1.direction, Direction::MorePermissive);
    }

    #[test]
    fn another_url_is_a_change_and_no_verification_is_none_here() {
        let (here, there) = (possession("{}", ""), possession("{}", r#", "external_url": "https://api.example""#));
        assert_eq!(changes(here.as_ref(), there.as_ref())[0].1.direction, Direction::Changed);
        assert_eq!(changes(here.as_ref(), here.as_ref()).len(), 0);
        assert_eq!(changes(here.as_ref(), None).len(), 0);
    }
}
