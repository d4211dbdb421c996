//! What open requests cost a worker, by the heap's own account. A 64-bit machine's figures bound those of wasm, whose pointers
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

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const NOW_MS: u64 = 1_800_000_000_000;
const NOW: Now = at(NOW_MS);
const STREAMS: u32 = 10_000;
const SESSIONS: u32 = 500;
const BYTES_PER_STREAM_MAX: usize = 1_024;

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

/// Answers every question of a message with a good verdict.
fn answer(message: &[u8]) -> Vec<u8> {
    let questions = wire::FilterMessage::decode(message).expect("a message").questions;
    let verdicts = questions.iter().map(|question| wire::Verdict { id: question.id, outcome: 1, ..Default::default() });
    wire::ServiceMessage { verdicts: verdicts.collect(), received: true, ..Default::default() }.encode_to_vec()
}

#[test]
fn ten_thousand_followed_streams_cost_less_than_a_kibibyte_each() {
    let _heap = dhat::Profiler::builder().testing().build();
    let key = ES256KeyPair::generate().with_key_id("k");
    let tokens: Vec<String> = (0..SESSIONS).map(|session| token(&key, session)).collect();
    let policy = Policy::parse(POLICY.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut gate = Gate::new(policy, |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
    assert_eq!(gate.act(NOW.instant), Some(Act::Open));
    gate.opened(Some(1), NOW.instant);
    assert!(gate.act(NOW.instant).is_some());
    let welcome = wire::Welcome { capabilities: vec![wire::BEAT.to_owned()], ..Default::default() };
    let welcome = wire::ServiceMessage { welcome: Some(welcome), ..Default::default() };
    gate.message(1, &welcome.encode_to_vec(), NOW);
    let key_set = format!(r#"{{"keys":[{}]}}"#, key.public_key().with_key_id("k").to_jwk());
    assert_eq!(gate.fetches(NOW.instant).len(), 1);
    assert!(gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), NOW).0.is_ok());

    let before = dhat::HeapStats::get().curr_bytes;
    for context in 0..STREAMS {
        let token = &tokens[usize::try_from(context % SESSIONS).expect("fits")];
        let headers = [
            (":method".to_owned(), b"GET".to_vec()),
            (":path".to_owned(), b"/live".to_vec()),
            (":authority".to_owned(), b"api".to_vec()),
            ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
        ];
        assert!(matches!(gate.arrive(context, &Head::read(&headers), |_| None, NOW), Step::Wait));
        let Some(Act::Send { message, .. }) = gate.act(NOW.instant) else { panic!("no question was sent") };
        assert_eq!(gate.message(1, &answer(&message), NOW).len(), 1);
    }
    gate.tick(at(NOW_MS + 100));
    let Some(Act::Send { message, .. }) = gate.act(at(NOW_MS + 100).instant) else { panic!("no follow was sent") };
    let follows = wire::FilterMessage::decode(message.as_slice()).expect("a message").follows.len();
    assert_eq!(u32::try_from(follows), Ok(SESSIONS));
    drop(message);
    gate.tally.drain().for_each(drop);
    gate.waits_ms = Vec::new();
    let per_stream = dhat::HeapStats::get().curr_bytes.saturating_sub(before) / usize::try_from(STREAMS).expect("fits");
    println!("{per_stream} bytes for each of {STREAMS} followed streams of {SESSIONS} sessions");
    assert!(per_stream < BYTES_PER_STREAM_MAX, "{per_stream} bytes");
}
