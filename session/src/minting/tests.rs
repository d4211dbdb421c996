//! Tokens as a whole: what they say, when they are the same, and when there is none.

use super::*;
use crate::config::Reloadable;
use crate::fixtures::{Fixture, HOUR, T0, machine, person};
use crate::intern::ScopeSet;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::token::Token;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::signing::{SigningAlgorithm, SigningKey};
use portcullis_contract::wire::{self, MintedToken};
use serde_json::{Value, json};
use std::sync::Arc;

/// Keys that sign at any time.
pub(crate) fn keys(kid: &str) -> Arc<SigningKeys> {
    let key = Arc::new(SigningKey::generate(SigningAlgorithm::Ed25519, kid));
    Arc::new(SigningKeys::new("https://portcullis.example", vec![DatedKey { key, from_ms: None, until_ms: None }]))
}

/// A minter with these keys.
pub(crate) fn minter(keys: Arc<SigningKeys>) -> (Minter, Arc<MintingMetrics>) {
    let metrics = Arc::clone(&Metrics::new().unwrap().minting);
    let minter = Minter::new(Reloadable::new(Some(keys)), Arc::clone(&metrics)).unwrap();
    (minter, metrics)
}

/// The header and the claims of a token.
pub(crate) fn read(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut part = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (part(), part())
}

struct Bench {
    minter: Minter,
    metrics: Arc<MintingMetrics>,
    token: Token,
    session: Arc<Session>,
    wanted: Wanted,
    scopes: Vec<Arc<str>>,
    _fixture: Fixture,
}

impl Bench {
    fn new(change: impl FnOnce(&mut wire::UpstreamToken)) -> Self {
        Self::of(person("s", T0), change)
    }

    fn of(token: Token, change: impl FnOnce(&mut wire::UpstreamToken)) -> Self {
        let fixture = Fixture::new();
        let session = fixture.live(&token, T0);
        let (minter, metrics) = minter(keys("k1"));
        let mut wanted = wire::UpstreamToken { audience: "orders".to_owned(), ttl_ms: 30_000, ..Default::default() };
        change(&mut wanted);
        let scopes = vec!["orders:read".into(), "reports".into()];
        Self { minter, metrics, token, session, wanted: wanted.into(), scopes, _fixture: fixture }
    }

    fn ask<'a>(&'a self, change: impl FnOnce(&mut Subject<'a>, &mut Request<'a>), now_ms: u64) -> Option<MintedToken> {
        let mut subject = Subject {
            session: &self.session,
            generation: 0,
            token: &self.token,
            left: None,
            ends_ms: None,
            is_once: false,
        };
        let mut request = Request { id: "r-1", address: "192.0.2.1", held: None };
        change(&mut subject, &mut request);
        let route = Route { wanted: &self.wanted, name: "orders.list", scopes: &self.scopes, workload: "edge" };
        self.minter.answer(route, subject, request, now_ms)
    }

    fn plain(&self, now_ms: u64) -> MintedToken {
        self.ask(|_, _| (), now_ms).expect("a token")
    }
}

#[test]
fn a_token_says_what_the_draft_requires() {
    let bench = Bench::new(|_| ());
    let minted = bench.plain(T0);
    let (header, claims) = read(&minted.token);
    assert_eq!(header, json!({"alg": "EdDSA", "kid": "k1", "typ": "txntoken+jwt"}));
    let iat = T0 / 1_000;
    let expected = json!({
        "iss": "https://portcullis.example", "aud": "orders", "iat": iat, "exp": iat + 30, "txn": "r-1", "sub": "alice",
        "scope": "orders:read", "req_wl": "edge", "rctx": {"route": "orders.list"},
    });
    assert_eq!(claims, expected);
    assert_eq!(minted.expires_at_ms, (iat + 30) * 1_000);
}

#[test]
fn scopes_are_those_that_the_route_requires_or_all_and_never_more_than_the_session_holds() {
    fn scope<'a>(bench: &'a Bench, left: Option<&'a [String]>) -> String {
        let token = bench.ask(|subject, _| subject.left = left, T0).unwrap().token;
        read(&token).1["scope"].as_str().unwrap().to_owned()
    }
    let (route, all) = (Bench::new(|_| ()), Bench::new(|wanted| wanted.held_scopes = true));
    assert_eq!(
        (scope(&route, None), scope(&all, None)),
        ("orders:read".to_owned(), "openid orders:read orders:write".to_owned())
    );
    let left = ["openid".to_owned()];
    assert_eq!((scope(&route, Some(&left)), scope(&all, Some(&left))), (String::new(), "openid".to_owned()));
}

#[test]
fn an_address_is_part_of_a_token_only_where_it_is_wanted() {
    let ids = |bench: &Bench| {
        let one = bench.plain(T0);
        let other = bench.ask(|_, request| request.address = "192.0.2.2", T0).unwrap();
        (read(&one.token).1["rctx"].clone(), one.id == other.id)
    };
    assert_eq!(ids(&Bench::new(|_| ())), (json!({"route": "orders.list"}), true));
    let expected = json!({"route": "orders.list", "req_ip": "192.0.2.1"});
    assert_eq!(ids(&Bench::new(|wanted| wanted.address = true)), (expected, false));
}

#[test]
fn one_token_serves_half_of_its_life_and_its_text_is_sent_once() {
    let bench = Bench::new(|_| ());
    let first = bench.plain(T0);
    let held = |id, now_ms| bench.ask(|_, request| request.held = Some(id), now_ms).unwrap();
    let again = held(first.id, T0 + 14_000);
    assert_eq!((again.id, again.token.as_str()), (first.id, ""));
    assert_eq!(held(first.id + 1, T0 + 14_000).token, first.token, "the filter holds another one");
    let second = held(first.id, T0 + 15_000);
    assert!(second.id != first.id && !second.token.is_empty());
    assert_eq!(bench.metrics.counts(), [2, 0, 0]);
}

#[test]
fn a_token_never_outlives_the_clients_token_or_the_session() {
    let exp = |bench: &Bench, ends_ms: Option<u64>, now_ms| {
        bench.ask(|subject, _| subject.ends_ms = ends_ms, now_ms).map(|minted| minted.expires_at_ms)
    };
    let bench = Bench::new(|_| ());
    let second = |ms: u64| ms / 1_000 * 1_000;
    assert_eq!(exp(&bench, Some(T0 + 5_000), T0), Some(second(T0 + 5_000)));
    assert_eq!(exp(&bench, None, T0), Some(second(T0 + 30_000)), "that one is for whose session ends then");
    let late = T0 + HOUR - 4_000;
    assert_eq!(exp(&bench, None, late), Some(second(T0 + HOUR)));
    assert_eq!(exp(&bench, None, late + 2_000), Some(second(T0 + HOUR)), "minting another one would be of no use");
    assert_eq!(exp(&bench, None, T0 + HOUR), None);
    assert_eq!(bench.metrics.counts(), [3, 0, 1]);
}

#[test]
fn another_token_is_minted_when_what_it_says_would_differ_or_the_session_has_changed() {
    let bench = Bench::new(|_| ());
    let first = bench.plain(T0).id;
    let left = ["openid".to_owned()];
    let fewer = Token { scopes: ScopeSet::new(["openid"]), ..bench.token.clone() };
    // The same claims at the same time are the same token: each request has an id of its own.
    let ids = [
        bench.ask(|subject, request| (subject.left, request.id) = (Some(&left[..]), "r-2"), T0),
        bench.ask(|subject, request| (subject.generation, request.id) = (1, "r-3"), T0),
        bench.ask(|subject, request| (subject.is_once, request.id) = (true, "r-4"), T0),
        bench.ask(|subject, request| (subject.is_once, request.id) = (true, "r-5"), T0),
        bench.ask(|subject, request| (subject.token, subject.generation, request.id) = (&fewer, 2, "r-6"), T0),
    ];
    let mut all: Vec<u64> = ids.into_iter().flatten().map(|minted| minted.id).chain([first]).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
    assert_eq!(bench.ask(|_, request| request.id = "r-7", T0).unwrap().id, first, "nothing has changed");
}

#[test]
fn keys_that_are_replaced_sign_at_once_and_none_that_is_gone_is_used() {
    let metrics = Arc::clone(&Metrics::new().unwrap().minting);
    let held = Reloadable::new(Some(keys("k1")));
    let mut bench = Bench::new(|_| ());
    bench.minter = Minter::new(held.clone(), metrics).unwrap();
    assert_eq!(read(&bench.plain(T0).token).0["kid"], "k1");
    held.replace(Some(keys("k2")));
    assert_eq!(read(&bench.plain(T0).token).0["kid"], "k2");
    let key = Arc::new(SigningKey::generate(SigningAlgorithm::Es256, "k3"));
    let over = DatedKey { key, from_ms: None, until_ms: Some(T0) };
    held.replace(Some(Arc::new(SigningKeys::new("https://portcullis.example", vec![over]))));
    assert!(bench.ask(|_, _| (), T0).is_none());
}

#[test]
fn a_machine_without_a_subject_is_its_client_and_a_request_without_an_id_gets_one() {
    let bench = Bench::of(Token { subject: "".into(), ..machine(T0) }, |_| ());
    let token = bench.ask(|_, request| request.id = "", T0).unwrap().token;
    let claims = read(&token).1;
    assert_eq!(claims["sub"], "robot");
    assert_eq!(claims["txn"].as_str().unwrap().len(), 32);
}

#[test]
fn an_id_that_is_not_one_counts_as_unknown() {
    let id = |id: &str| {
        let question = wire::Question { request_id: id.to_owned(), ..Default::default() };
        Request::of(&question).own().borrow().id.to_owned()
    };
    assert_eq!(
        (id("r-1"), id("a b"), id("\u{e4}"), id(&"x".repeat(129))),
        ("r-1".to_owned(), String::new(), String::new(), String::new())
    );
}
