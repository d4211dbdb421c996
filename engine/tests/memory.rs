//! What open requests and leases cost a worker, by the heap's own account. A 64-bit machine's figures bound those of wasm, whose pointers
//! are half as large.

#![expect(clippy::expect_used, reason = "in test code a panic is how a test fails")]

use jwt_simple::prelude::*;
use portcullis_engine::{
    authorize::{Act, Gate, Head, Step},
    policy::Policy,
    time::{Monotonic, Now},
    token::IssuerId,
    wire,
};
use prost::Message;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const NOW_MS: u64 = 1_800_000_000_000;
const NOW: Now = at(NOW_MS);
const STREAMS: u32 = 10_000;
const SESSIONS: u32 = 500;
const BYTES_PER_STREAM_MAX: usize = 1_024;

const TOKENS: u32 = 100;
const ROUTES: u32 = 100;
const LEASES: usize = 10_000;
const BYTES_PER_LEASE_MAX: usize = 150;
const LEASES_BYTES_MAX: usize = 2 << 20;

/// There is one account of the heap, so one test at a time.
static ACCOUNT: Mutex<()> = Mutex::new(());

const POLICY: &str = r#"{
  "issuers": [{"issuer": "https://id", "audiences": ["api"], "algorithms": ["ES256"],
    "keys": {"jwks_url": "https://id/jwks", "cluster": "id"}}],
  "session": {"cluster": "session"},
  "routes": [{"name": "live", "match": {"path": "/live"}, "authenticated": true}]
}"#;

const fn at(ms: u64) -> Now {
    Now { wall_ms: Some(ms), instant: Monotonic(ms) }
}

fn token(key: &ES256KeyPair, session: u32) -> String {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Custom {
        sid: String,
    }
    let custom = Custom { sid: format!("session-{session}") };
    let mut claims = Claims::with_custom_claims(custom, Duration::from_mins(5))
        .with_issuer("https://id")
        .with_audience("api")
        .with_subject("alice");
    claims.issued_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 - 10));
    claims.invalid_before = None;
    claims.expires_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 + 300));
    let options = HeaderOptions { signature_type: Some("at+jwt".into()), ..Default::default() };
    key.sign_with_options(claims, &options).expect("signed")
}

/// Answers every question of a message with a good verdict, and with a lease if it lasts for some time.
fn answer(message: &[u8], lease_ms: Option<u64>) -> Vec<u8> {
    let questions = wire::FilterMessage::decode(message).expect("a message").questions;
    let verdict = |id| wire::Verdict { id, outcome: 1, lease_ms, ..Default::default() };
    let verdicts = questions.iter().map(|question| verdict(question.id)).collect();
    wire::ServiceMessage { verdicts, received: true, ..Default::default() }.encode_to_vec()
}

/// A worker that is connected and has its issuer's key.
fn connected(policy: &str, key: &ES256KeyPair) -> Gate {
    let policy = Policy::parse(policy.as_bytes()).expect("a valid policy");
    let mut gate = Gate::new(policy, |_| None, 1).map_err(|(_, error)| error).expect("a gate");
    assert_eq!(gate.act(NOW.instant), Some(Act::Open));
    gate.opened(Some(1), NOW.instant);
    assert!(gate.act(NOW.instant).is_some());
    let capabilities = [wire::BEAT, wire::LEASES].map(str::to_owned).to_vec();
    let welcome = wire::ServiceMessage {
        welcome: Some(wire::Welcome { capabilities, ..Default::default() }),
        ..Default::default()
    };
    gate.message(1, &welcome.encode_to_vec(), NOW);
    let key_set = format!(r#"{{"keys":[{}]}}"#, key.public_key().with_key_id("k").to_jwk());
    assert_eq!(gate.fetches(NOW.instant).len(), 1);
    assert!(gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), NOW).0.is_ok());
    gate
}

fn arrive(gate: &mut Gate, context: u32, path: &str, token: &str, now: Now) -> Step {
    let headers = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), path.as_bytes().to_vec()),
        (":authority".to_owned(), b"api".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ];
    gate.arrive(context, &Head::read(&headers), |_| None, now)
}

/// What is left after counts and waits are reported.
fn report(gate: &mut Gate) {
    gate.tally.drain().for_each(drop);
    gate.waits_ms = Vec::new();
}

#[test]
fn ten_thousand_followed_streams_cost_less_than_a_kibibyte_each() {
    let _one_at_a_time = ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let _heap = dhat::Profiler::builder().testing().build();
    let key = ES256KeyPair::generate().with_key_id("k");
    let tokens: Vec<String> = (0..SESSIONS).map(|session| token(&key, session)).collect();
    let mut gate = connected(POLICY, &key);

    let before = dhat::HeapStats::get().curr_bytes;
    for context in 0..STREAMS {
        let token = &tokens[usize::try_from(context % SESSIONS).expect("fits")];
        assert!(matches!(arrive(&mut gate, context, "/live", token, NOW), Step::Wait));
        let Some(Act::Send { message, .. }) = gate.act(NOW.instant) else { panic!("no question was sent") };
        assert_eq!(gate.message(1, &answer(&message, None), NOW).len(), 1);
    }
    gate.tick(at(NOW_MS + 100));
    let Some(Act::Send { message, .. }) = gate.act(at(NOW_MS + 100).instant) else { panic!("no follow was sent") };
    let follows = wire::FilterMessage::decode(message.as_slice()).expect("a message").follows.len();
    assert_eq!(u32::try_from(follows), Ok(SESSIONS));
    drop(message);
    report(&mut gate);
    let per_stream = dhat::HeapStats::get().curr_bytes.saturating_sub(before) / usize::try_from(STREAMS).expect("fits");
    println!("{per_stream} bytes for each of {STREAMS} followed streams of {SESSIONS} sessions");
    assert!(per_stream < BYTES_PER_STREAM_MAX, "{per_stream} bytes");
}

#[test]
fn ten_thousand_leases_cost_less_than_two_mebibytes() {
    let _one_at_a_time = ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let _heap = dhat::Profiler::builder().testing().build();
    let key = ES256KeyPair::generate().with_key_id("k");
    let tokens: Vec<String> = (0..TOKENS).map(|session| token(&key, session)).collect();
    let paths: Vec<String> = (0..ROUTES).map(|route| format!("/{route}")).collect();
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).expect("JSON");
    policy["session"]["freshness"] = serde_json::json!({"lease": "5s"});
    let route = |path: &String| serde_json::json!({"name": path, "match": {"path": path}, "authenticated": true});
    policy["routes"] = paths.iter().map(route).collect();
    let mut gate = connected(&policy.to_string(), &key);

    let mut held = Vec::new();
    let mut peak = 0;
    for lease_ms in [None, Some(5_000)] {
        let before = dhat::HeapStats::get().curr_bytes;
        for (context, (token, path)) in
            (0..).zip(tokens.iter().flat_map(|token| paths.iter().map(move |path| (token, path))))
        {
            assert!(matches!(arrive(&mut gate, context, path, token, NOW), Step::Wait));
            let Some(Act::Send { message, .. }) = gate.act(NOW.instant) else { panic!("no question was sent") };
            assert_eq!(gate.message(1, &answer(&message, lease_ms), NOW).len(), 1);
            gate.gone(context);
            gate.tick(at(NOW_MS + 20));
            report(&mut gate);
            peak = peak.max(dhat::HeapStats::get().curr_bytes.saturating_sub(before));
        }
        held.push(dhat::HeapStats::get().curr_bytes);
    }
    assert_eq!(gate.leases_held(), LEASES);
    let [without, with] = held[..] else { panic!("{held:?}") };
    let per_lease = (with - without) / LEASES;
    println!("{per_lease} bytes for each of {LEASES} leases, at most {peak} at once");
    assert!(per_lease <= BYTES_PER_LEASE_MAX && peak < LEASES_BYTES_MAX, "{per_lease} bytes, {peak} at once");
    // A renewal is about all of them, and leaves nothing behind.
    for token in &tokens {
        assert!(matches!(arrive(&mut gate, 1, "/7", token, at(NOW_MS + 1_000)), Step::Release(_)));
        gate.gone(1);
    }
    let Some(Act::Send { message, .. }) = gate.act(at(NOW_MS + 1_700).instant) else { panic!("no renewal was sent") };
    let renewal = wire::FilterMessage::decode(message.as_slice()).expect("a message").renewal.expect("a renewal");
    println!("{} bytes for a renewal of {LEASES} leases, {} of them used", message.len(), renewal.active.len());
    assert_eq!((renewal.active.len(), renewal.ended.len()), (tokens.len(), 0));
}
