//! Tokens for upstreams in a second on one core: claims are written and signed, as for a question that no kept token serves.

use crate::{report::Minted, stats::Spread};
use portcullis_contract::signing::{SigningAlgorithm, SigningKey};
use serde_json::json;
use std::time::{Duration, Instant};

/// Tokens between two looks at the clock.
const BATCH: u32 = 100;

pub(crate) fn measure(rounds: usize, time: Duration) -> Vec<Minted> {
    [SigningAlgorithm::Ed25519, SigningAlgorithm::Es256].map(|algorithm| of(algorithm, rounds, time)).into()
}

fn of(algorithm: SigningAlgorithm, rounds: usize, time: Duration) -> Minted {
    let key = SigningKey::generate(algorithm, "bench");
    let rates: Vec<f64> = (0..rounds).map(|_| round(&key, time)).collect();
    Minted { algorithm: algorithm.name(), per_s: Spread::of(&rates) }
}

fn round(key: &SigningKey, time: Duration) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        (0..BATCH).for_each(|number| mint(key, count + number));
        count += BATCH;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn mint(key: &SigningKey, number: u32) {
    let claims = json!({
        "iss": "https://portcullis.example.com", "aud": "internal.example.com", "iat": 1_800_000_000, "exp": 1_800_000_030,
        "txn": format!("5b7c7c9e-0d0e-4f0c-9c39-{number:012}"), "sub": "alice", "scope": "orders:read",
        "req_wl": "edge.example.com", "rctx": {"route": "orders.list"},
    });
    let token = key.sign(&key.header("txntoken+jwt"), claims.to_string().as_bytes());
    std::hint::black_box(token.expect("a token"));
}
