//! Refused tokens: what counters, access log and Envoy's log say about them, and what a fetch of keys can change.

use super::*;
use crate::authorize::log_record;

impl Bench {
    /// A token whose header or payload is not what the key signed.
    fn edited(&self, part: usize, from: &str, to: &str) -> String {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
        let token = self.token("read write");
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let text = String::from_utf8(BASE64.decode(&parts[part]).expect("base64url")).expect("JSON");
        assert!(text.contains(from), "{text}");
        parts[part] = BASE64.encode(text.replace(from, to));
        parts.join(".")
    }

    fn refused_tokens(&mut self) -> Vec<(&'static str, u64)> {
        let counts = self.gate.tally.drain();
        counts
            .filter(|(count, _)| matches!(count, Count::RefusedToken(_)))
            .map(|(count, n)| (count.label(), n))
            .collect()
    }

    fn fetched(&mut self, status: u32, key_set: &str, now_ms: u64) -> Vec<(ContextId, &'static str)> {
        let (_, due) = self.gate.fetched(IssuerId(0), Some((status, key_set.as_bytes())), at(now_ms));
        due.iter().map(|(context, step)| (*context, code(step))).collect()
    }
}

/// What the access log says about a request.
fn record(step: &Step, gate: &Gate) -> String {
    match step {
        Step::Deny(denial) => log_record::denial(denial, gate.policy()),
        Step::Release(permit) => log_record::permit(permit, gate.policy()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_refused_token_is_counted_and_logged_with_its_reason() {
    for (mode, shadow) in [("enforce", ""), ("shadow", "shadow:")] {
        let mut bench = Bench::with_keys(mode);
        let cases = [
            (bench.edited(1, "https://id.example", "https://evil.example"), "issuer"),
            (bench.edited(1, "\"api\"", "\"other\""), "audience"),
            (bench.edited(1, "\"exp\"", "\"expires\""), "claim"),
            (bench.edited(0, "at+jwt", "JWT"), "type"),
            (bench.edited(0, "ES256", "HS256"), "algorithm"),
            (bench.edited(1, "\"iat\":1", "\"iat\":2"), "not_yet_valid"),
            ("x.y".to_owned(), "malformed"),
        ];
        for (token, reason) in cases {
            let step = bench.request(1, "/both", Some(&token), NOW_MS);
            let expected = format!("code={shadow}invalid_token reason={reason} route=both session=-");
            assert_eq!(record(&step, &bench.gate), expected);
            assert_eq!(bench.refused_tokens(), [(reason, 1)], "{mode}");
            bench.gate.gone(1);
        }
        let step = bench.request(1, "/both", None, NOW_MS);
        assert_eq!(record(&step, &bench.gate), format!("code={shadow}no_credentials route=both session=-"));
        assert_eq!(bench.refused_tokens(), []);
    }
}

#[test]
fn what_the_session_service_calls_undated_is_counted_and_logged() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    let id = bench.sent(NOW_MS).questions[0].id;
    let (_, step) = bench.verdict(id, wire::Outcome::Undated, None, NOW_MS).remove(0);
    assert!(record(&step, &bench.gate).starts_with("code=invalid_token reason=undated route=both session="));
    assert_eq!(bench.refused_tokens(), [("undated", 1)]);
    let line = bench.gate.refused_token(at(NOW_MS).instant).expect("a line").to_string();
    assert!(line.starts_with("refused a token: reason=undated issuer=\"https://id.example\" kid=-: "), "{line}");
}

#[test]
fn the_log_names_issuer_key_and_reason_of_a_refused_token_and_never_the_token() {
    let mut bench = Bench::with_keys("enforce");
    let token = bench.edited(1, "\"api\"", "\"other\"");
    for context in 0..20 {
        bench.request(context, "/both", Some(&token), NOW_MS);
    }
    let line = bench.gate.refused_token(at(NOW_MS).instant).expect("a line").to_string();
    let expected = "refused a token: reason=audience issuer=\"https://id.example\" kid=\"k1\": `aud` contains none of the \
                    issuer's `audiences`; 19 other tokens were refused since the line before";
    assert_eq!(line, expected);
    assert!(bench.gate.refused_token(at(NOW_MS + 5_000).instant).is_none());
}

#[test]
fn a_token_of_an_unknown_key_is_unavailable_while_the_key_server_fails() {
    let mut bench = Bench::with_keys("enforce");
    let keys = bench.key_set();
    bench.key = ES256KeyPair::generate().with_key_id("k2");
    let token = bench.token("read write");
    assert_eq!(code(&bench.request(1, "/both", Some(&token), NOW_MS)), "wait");
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
    assert_eq!(bench.fetched(503, "", NOW_MS), [(1, "keys_unavailable")]);
    assert_eq!(code(&bench.request(2, "/both", Some(&token), NOW_MS + 1)), "keys_unavailable", "until it answers");
    assert_eq!(bench.gate.fetches(at(NOW_MS + 1_000).instant).len(), 1);
    assert_eq!(bench.fetched(200, &keys, NOW_MS + 1_000), []);
    assert_eq!(code(&bench.request(3, "/both", Some(&token), NOW_MS + 1_000)), "invalid_token");
    assert_eq!(bench.refused_tokens(), [("key", 1)]);
}

#[test]
fn a_key_that_was_replaced_under_its_name_is_fetched() {
    let mut bench = Bench::with_keys("enforce");
    let old = bench.token("read write");
    bench.key = ES256KeyPair::generate().with_key_id("k1");
    let (token, keys) = (bench.token("read write"), bench.key_set());
    assert_eq!(code(&bench.request(1, "/both", Some(&token), NOW_MS)), "wait");
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1);
    assert_eq!(bench.fetched(200, &keys, NOW_MS), [(1, "wait")]);
    assert_eq!(bench.sent(NOW_MS).questions.len(), 1, "verified, and asked about");
    // The other way round, it is the same fetch for the same name: no more than one in five seconds.
    assert_eq!(code(&bench.request(2, "/both", Some(&old), NOW_MS)), "invalid_token");
    assert_eq!(bench.refused_tokens(), [("signature", 1)]);
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 0);
}

#[test]
fn forged_signatures_do_not_fill_the_queue_of_those_who_wait_for_keys() {
    let mut bench = Bench::with_keys("enforce");
    bench.key = ES256KeyPair::generate().with_key_id("k1");
    let forged = bench.token("read write");
    bench.key = ES256KeyPair::generate().with_key_id("k2");
    let of_unknown_key = bench.token("read write");
    for context in 0..64 {
        assert_eq!(code(&bench.request(context, "/both", Some(&forged), NOW_MS)), "wait", "{context}");
    }
    assert_eq!(code(&bench.request(64, "/both", Some(&forged), NOW_MS)), "invalid_token");
    assert_eq!(code(&bench.request(65, "/both", Some(&of_unknown_key), NOW_MS)), "wait");
}

#[test]
fn only_so_many_requests_wait_for_keys_as_can_be_decided_at_once() {
    // By number with tokens of the default length, and by their bytes with the longest.
    for (token_bytes, waiting_max) in [(16 << 10, 4_096), (60 << 10, (64 << 20) / (60 << 10))] {
        let mut policy = crate::authorize::fixtures::policy("enforce");
        policy.limits.token_bytes = token_bytes;
        let gate = Gate::new(policy, |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
        let mut bench = Bench { gate, key: ES256KeyPair::generate().with_key_id("k1") };
        let token = bench.token("read write");
        for context in 0..waiting_max {
            assert_eq!(code(&bench.request(context, "/both", Some(&token), NOW_MS)), "wait", "{context}");
        }
        assert_eq!(code(&bench.request(waiting_max, "/both", Some(&token), NOW_MS)), "keys_unavailable");
        bench.gate.gone(0);
        assert_eq!(code(&bench.request(waiting_max, "/both", Some(&token), NOW_MS)), "wait", "there is room again");
    }
}

#[test]
fn a_forged_signature_is_refused_even_while_the_key_server_fails() {
    let mut bench = Bench::with_keys("enforce");
    bench.key = ES256KeyPair::generate().with_key_id("k1");
    let forged = bench.token("read write");
    assert_eq!(code(&bench.request(1, "/both", Some(&forged), NOW_MS)), "wait");
    bench.gate.fetches(at(NOW_MS).instant);
    assert_eq!(bench.fetched(503, "", NOW_MS), [(1, "invalid_token")]);
    assert_eq!(code(&bench.request(2, "/both", Some(&forged), NOW_MS)), "invalid_token");
}
