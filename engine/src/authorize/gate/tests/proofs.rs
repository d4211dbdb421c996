//! Bound tokens: what a request must show, what the session service is asked, and what the client is answered.

use super::*;
use crate::{
    authorize::{Scheme, fixtures, stream_client::Lack},
    token::dpop::{NONCE_TURN_MS, NonceKey, ProofId},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Map, Value, json};

const CERTIFICATE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// `x5t#S256` of [`CERTIFICATE`].
fn x5t() -> String {
    b64([0xaa; 32])
}

/// A client with a key.
struct Client {
    key: Ed25519KeyPair,
}

impl Client {
    fn new() -> Self {
        Self { key: Ed25519KeyPair::generate() }
    }

    fn x(&self) -> String {
        b64(self.key.public_key().to_bytes())
    }

    fn jkt(&self) -> String {
        b64(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x())))
    }

    /// A proof for `GET https://api.example/me` with this token, but for `changes`.
    fn proof(&self, token: &str, changes: &Value) -> String {
        let header = json!({
            "typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": self.x()},
        });
        let mut claims = json!({
            "jti": "p-1", "htm": "GET", "htu": "https://api.example/me", "iat": NOW_MS / 1_000, "ath": b64(Sha256::digest(token)),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.key.key_pair().as_ref().sk.sign(&input, None);
        format!("{input}.{}", b64(signature.as_ref()))
    }
}

fn nonces() -> NonceKey {
    NonceKey::derive("store")
}

fn welcome_with(capabilities: &[&str]) -> Vec<u8> {
    let capabilities = [wire::BEAT].iter().chain(capabilities).map(|name| (*name).to_owned()).collect();
    let welcome = wire::Welcome { capabilities, nonce_key: nonces().to_bytes(), ..Default::default() };
    wire::ServiceMessage { welcome: Some(welcome), ..Default::default() }.encode_to_vec()
}

fn bench(dpop: Value) -> Bench {
    bench_with(dpop, json!({}))
}

fn bench_with(dpop: Value, more: Value) -> Bench {
    Bench::of(fixtures::verifying(dpop, more), &welcome_with(&[wire::PROOFS])).keyed()
}

/// A direct connection with a client certificate.
fn with_certificate(what: LookUp<'_>) -> Option<Vec<u8>> {
    match what {
        LookUp::CertificateDigest => Some(CERTIFICATE.as_bytes().to_vec()),
        LookUp::CertificateUri => Some(b"spiffe://laptop".to_vec()),
        what => address(what),
    }
}

/// The connection of a trusted hop, with its own certificate.
fn of_hop(what: LookUp<'_>) -> Option<Vec<u8>> {
    match what {
        LookUp::CertificateDigest => Some(OTHER.as_bytes().to_vec()),
        LookUp::CertificateUri => Some(b"spiffe://edge".to_vec()),
        what => address(what),
    }
}

impl Bench {
    fn bound(&self, cnf: &Value) -> String {
        let mut custom: Map<String, Value> = Map::new();
        custom.insert("sid".to_owned(), json!("s1"));
        custom.insert("scope".to_owned(), json!("read write"));
        if !cnf.is_null() {
            custom.insert("cnf".to_owned(), cnf.clone());
        }
        let mut claims = Claims::with_custom_claims(custom, Duration::from_mins(5))
            .with_issuer("https://id.example")
            .with_audience("api")
            .with_subject("alice");
        claims.issued_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 - 10));
        claims.invalid_before = None;
        claims.expires_at = Some(UnixTimeStamp::from_secs(NOW_MS / 1_000 + 300));
        let options = HeaderOptions { signature_type: Some("at+jwt".into()), ..Default::default() };
        self.key.sign_with_options(claims, &options).expect("signed")
    }

    fn send(
        &mut self,
        context: ContextId,
        headers: &[(&str, &str)],
        look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
    ) -> Step {
        let fixed = [(":method", "GET"), (":scheme", "https"), (":path", "/me"), (":authority", "api.example")];
        let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        let fixed = fixed.into_iter().filter(|(name, _)| !is_given(name));
        let headers: Vec<_> = fixed
            .chain(headers.iter().copied())
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect();
        self.gate.arrive(context, &Head::read(&headers), look_up, at(NOW_MS))
    }

    /// Sends a token under the scheme DPoP with these proofs.
    fn show(&mut self, context: ContextId, token: &str, proofs: &[&str]) -> Step {
        let authorization = format!("DPoP {token}");
        let proofs = proofs.iter().map(|proof| ("dpop", *proof));
        let headers: Vec<_> = [("authorization", authorization.as_str())].into_iter().chain(proofs).collect();
        self.send(context, &headers, address)
    }
}

fn challenge(bench: &Bench, step: &Step) -> Vec<(&'static str, String)> {
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    let headers = denial.answer(bench.gate.policy(), None).headers;
    headers.into_iter().filter(|(name, _)| matches!(*name, "www-authenticate" | "dpop-nonce")).collect()
}

fn reason(step: &Step) -> Option<&'static str> {
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    assert!(denial.principal.is_none(), "it is nobody's");
    denial.refusal.reason.map(Reason::name)
}

#[test]
fn a_proof_travels_with_the_question_and_the_upstream_does_not_see_it() {
    let (mut bench, client) = (bench(json!({})), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    assert_eq!(code(&bench.show(1, &token, &[&client.proof(&token, &json!({}))])), "wait");
    let sent = bench.sent(NOW_MS).questions.remove(0);
    let proof = sent.proof.clone().unwrap();
    assert_eq!((proof.id.len(), proof.lasts_ms), (ProofId::BYTES, 60_000));
    let due = bench.verdict(sent.id, wire::Outcome::Active, None, NOW_MS);
    let [(1, Step::Release(permit))] = &due[..] else { panic!("{due:?}") };
    assert!(permit.strip.iter().any(|name| name == "dpop"), "{:?}", permit.strip);
    assert_eq!(bench.gate.newer_nonce(1, || Some(NOW_MS)), None);
}

#[test]
fn each_question_has_an_asker_of_its_own() {
    let (mut bench, client) = (bench(json!({})), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    let proof = client.proof(&token, &json!({}));
    bench.show(1, &token, &[&proof]);
    bench.show(2, &token, &[&proof]);
    let mut proofs: Vec<wire::Proof> = Vec::new();
    while let Some(Act::Send { message, .. }) = bench.gate.act(at(NOW_MS).instant) {
        let message = wire::FilterMessage::decode(message.as_slice()).unwrap();
        proofs.extend(message.questions.into_iter().filter_map(|question| question.proof));
        let received = wire::ServiceMessage { received: true, ..Default::default() };
        bench.gate.message(STREAM, &received.encode_to_vec(), at(NOW_MS));
    }
    let [one, two] = &proofs[..] else { panic!("{proofs:?}") };
    assert!(one.id == two.id && one.asker != two.asker);
}

#[test]
fn a_proof_that_was_used_before_is_refused_and_says_nothing_of_the_session() {
    let (mut bench, client) = (bench(json!({})), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    bench.show(1, &token, &[&client.proof(&token, &json!({}))]);
    let id = bench.sent(NOW_MS).questions.remove(0).id;
    let (_, step) = bench.verdict(id, wire::Outcome::ProofUsed, None, NOW_MS).remove(0);
    let expected = "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\"";
    assert_eq!(challenge(&bench, &step), [("www-authenticate", expected.to_owned())]);
    assert_eq!((code(&step), reason(&step)), ("invalid_dpop_proof", None));
}

#[test]
fn whatever_is_wrong_with_a_proof_is_refused_without_a_question() {
    let (mut bench, client, other) = (bench(json!({})), Client::new(), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    let good = client.proof(&token, &json!({}));
    let long = "x".repeat(20_000);
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("none", vec![]),
        ("two", vec![good.clone(), client.proof(&token, &json!({"jti": "p-2"}))]),
        ("two that agree", vec![good.clone(), good.clone()]),
        ("joined", vec![format!("{good},{good}")]),
        ("another key", vec![other.proof(&token, &json!({}))]),
        ("another method", vec![client.proof(&token, &json!({"htm": "POST"}))]),
        ("another path", vec![client.proof(&token, &json!({"htu": "https://api.example/you"}))]),
        ("another scheme", vec![client.proof(&token, &json!({"htu": "http://api.example/me"}))]),
        ("another token", vec![client.proof("t", &json!({}))]),
        ("old", vec![client.proof(&token, &json!({"iat": NOW_MS / 1_000 - 61}))]),
        ("ahead", vec![client.proof(&token, &json!({"iat": NOW_MS / 1_000 + 61}))]),
        ("no id", vec![client.proof(&token, &json!({"jti": ""}))]),
        ("long", vec![long]),
        ("nonsense", vec!["x".to_owned()]),
    ];
    for (number, (what, proofs)) in cases.into_iter().enumerate() {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let step = bench.show(number as u32, &token, &proofs);
        assert_eq!((code(&step), reason(&step)), ("invalid_dpop_proof", None), "{what}");
    }
    assert!(bench.gate.act(at(NOW_MS).instant).is_none(), "nobody was asked");
    let line = bench.gate.refused_token(at(NOW_MS).instant).unwrap().to_string();
    assert!(
        line.contains("reason=bound")
            && line.ends_with("there is no proof (`DPoP`); 13 other tokens were refused since the line before"),
        "{line}"
    );
}

#[test]
fn the_scheme_must_be_that_of_the_token() {
    let (mut bench, client) = (bench(json!({})), Client::new());
    let (bound, unbound) = (bench.bound(&json!({"jkt": client.jkt()})), bench.bound(&Value::Null));
    let proof = client.proof(&bound, &json!({}));
    let bearer = format!("Bearer {bound}");
    let step = bench.send(1, &[("authorization", &bearer), ("dpop", &proof)], address);
    assert_eq!((code(&step), reason(&step)), ("invalid_token", Some("bound")));
    let dpop = ("www-authenticate", "DPoP realm=\"portcullis\", algs=\"ES256 EdDSA\"".to_owned());
    let bearer = ("www-authenticate", "Bearer realm=\"portcullis\", error=\"invalid_token\"".to_owned());
    assert_eq!(challenge(&bench, &step), [bearer, dpop]);
    let step = bench.show(2, &unbound, &[&client.proof(&unbound, &json!({}))]);
    assert_eq!((code(&step), reason(&step)), ("invalid_token", Some("bound")));
    let expected = "DPoP realm=\"portcullis\", error=\"invalid_token\", algs=\"ES256 EdDSA\"";
    assert_eq!(challenge(&bench, &step), [("www-authenticate", expected.to_owned())]);
    // An unbound bearer token needs nothing, and a proof beside it is only taken away.
    let step = bench.send(3, &[("authorization", &format!("Bearer {unbound}")), ("dpop", "x")], address);
    assert_eq!(code(&step), "wait");
    assert_eq!(bench.sent(NOW_MS).questions[0].proof, None);
}

#[test]
fn a_client_without_a_token_learns_of_both_schemes() {
    let mut bench = bench(json!({"algorithms": ["ES256"]}));
    let step = bench.send(1, &[], address);
    let challenges = challenge(&bench, &step);
    let values: Vec<&str> = challenges.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["Bearer realm=\"portcullis\"", "DPoP realm=\"portcullis\", algs=\"ES256\""]);
    let step = bench.send(2, &[("authorization", "DPoP ")], address);
    assert_eq!(code(&step), "malformed_credentials");
}

#[test]
fn where_no_proof_is_verified_the_scheme_is_no_credential_and_the_header_passes() {
    let mut bench = Bench::with_keys("enforce");
    let step = bench.show(1, "a.b.c", &["x"]);
    assert_eq!(code(&step), "no_credentials");
    let step = bench.send(2, &[(":path", "/open"), ("dpop", "x")], address);
    let Step::Release(permit) = step else { panic!("{step:?}") };
    assert!(permit.strip.is_empty());
}

#[test]
fn a_proof_is_taken_away_on_public_routes_too() {
    let mut bench = bench(json!({}));
    let step = bench.send(1, &[(":path", "/open"), ("dpop", "x")], address);
    let Step::Release(permit) = step else { panic!("{step:?}") };
    assert!(permit.strip.iter().any(|name| name == "dpop"));
}

#[test]
fn a_certificate_counts_on_its_own_connection_or_where_a_trusted_hop_reports_it() {
    let forged = format!("Hash={CERTIFICATE};URI=spiffe://laptop");
    let reported = format!("Hash={CERTIFICATE};URI=spiffe://laptop,Hash={OTHER};URI=spiffe://edge");
    let mut bench = bench(json!({}));
    let bearer = format!("Bearer {}", bench.bound(&json!({"x5t#S256": x5t()})));
    let token = [("authorization", bearer.as_str())];
    let with = |header: &'static str, value| [token[0], (header, value)];
    let xfcc = "x-forwarded-client-cert";
    assert_eq!(code(&bench.send(1, &token, with_certificate)), "wait");
    assert_eq!(code(&bench.send(2, &with(xfcc, reported.as_str()), of_hop)), "wait");
    let refused = [
        bench.send(3, &token, address),
        bench.send(4, &token, of_hop),
        bench.send(5, &with(xfcc, forged.as_str()), address),
        bench.send(6, &with(xfcc, reported.as_str()), address),
    ];
    for step in refused {
        assert_eq!((code(&step), reason(&step)), ("invalid_token", Some("bound")));
    }
    let other = |what: LookUp<'_>| match what {
        LookUp::CertificateDigest => Some(OTHER.as_bytes().to_vec()),
        what => address(what),
    };
    let step = bench.send(7, &with(xfcc, forged.as_str()), other);
    assert_eq!(reason(&step), Some("bound"), "a client's header counts for nothing beside its own certificate");
}

#[test]
fn a_token_that_is_bound_to_both_needs_both() {
    let client = Client::new();
    let mut bench = bench(json!({}));
    let token = bench.bound(&json!({"jkt": client.jkt(), "x5t#S256": x5t()}));
    let (authorization, proof) = (format!("DPoP {token}"), client.proof(&token, &json!({})));
    let both = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(code(&bench.send(1, &both, with_certificate)), "wait");
    assert_eq!(code(&bench.send(2, &both, address)), "invalid_token");
    assert_eq!(code(&bench.send(3, &both[..1], with_certificate)), "invalid_dpop_proof");
}

#[test]
fn what_is_not_known_in_cnf_is_refused() {
    let client = Client::new();
    let mut bench = bench(json!({}));
    for (number, cnf) in
        [json!({"kid": "k"}), json!({"jkt": client.jkt(), "kid": "k"}), json!({}), json!("x")].iter().enumerate()
    {
        let token = bench.bound(cnf);
        let step = bench.show(number as u32, &token, &[&client.proof(&token, &json!({}))]);
        assert_eq!((code(&step), reason(&step)), ("invalid_token", Some("bound")), "{cnf}");
    }
}

#[test]
fn the_url_is_the_one_that_the_client_sees() {
    let client = Client::new();
    for (external, look_up, header, htu, expected) in [
        (None, address as fn(LookUp<'_>) -> _, None, "https://api.example/me", "wait"),
        (None, address, Some("http"), "https://api.example/me", "wait"),
        (None, address, Some("http"), "http://api.example/me", "invalid_dpop_proof"),
        (None, of_hop, Some("http"), "http://api.example/me", "wait"),
        (None, of_hop, Some("http"), "https://api.example/me", "invalid_dpop_proof"),
        (None, of_hop, Some("https, http"), "https://api.example/me", "invalid_dpop_proof"),
        (Some("https://www.example:8443"), address, None, "https://www.example:8443/me", "wait"),
        (Some("https://www.example:8443"), address, None, "https://api.example/me", "invalid_dpop_proof"),
    ] {
        let more = external.map_or(json!({}), |url| json!({"external_url": url}));
        let mut bench = bench_with(json!({}), more);
        let token = bench.bound(&json!({"jkt": client.jkt()}));
        let (authorization, proof) = (format!("DPoP {token}"), client.proof(&token, &json!({"htu": htu})));
        let mut headers = vec![("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        headers.extend(header.map(|value| ("x-forwarded-proto", value)));
        assert_eq!(code(&bench.send(1, &headers, look_up)), expected, "{external:?} {header:?} {htu}");
    }
}

#[test]
fn without_a_verdict_no_request_with_a_proof_is_released_whatever_the_route_says() {
    let client = Client::new();
    for path in ["/read", "/grace"] {
        let mut bench = bench(json!({}));
        let token = bench.bound(&json!({"jkt": client.jkt()}));
        let proof = client.proof(&token, &json!({"htu": format!("https://api.example{path}")}));
        let headers = [("authorization", format!("DPoP {token}")), (":path", path.to_owned()), ("dpop", proof)];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        bench.send(1, &headers, address);
        let due = bench.gate.tick(at(NOW_MS + 201));
        let refused = due.iter().find(|(context, _)| *context == 1).map(|(_, step)| code(step));
        assert_eq!(refused, Some("session_unavailable"), "{path}");
    }
}

#[test]
fn a_service_that_does_not_know_used_proofs_is_not_used() {
    let mut bench = Bench::of(fixtures::verifying(json!({}), json!({})), &welcome_with(&[]));
    let news = bench.gate.take_peer_news();
    assert!(matches!(&news[..], [PeerNews::Unfit { lack: Lack::Proofs, .. }]), "{news:?}");
    assert!(!bench.gate.is_connected());
}

#[test]
fn a_nonce_is_asked_for_handed_out_and_renewed() {
    let (mut bench, client) = (bench(json!({"nonce": "required"})), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    let step = bench.show(1, &token, &[&client.proof(&token, &json!({}))]);
    let nonce = nonces().issue(NOW_MS);
    let expected = "DPoP error=\"use_dpop_nonce\", algs=\"ES256 EdDSA\"".to_owned();
    assert_eq!(challenge(&bench, &step), [("www-authenticate", expected), ("dpop-nonce", nonce.clone())]);
    assert_eq!(code(&bench.show(2, &token, &[&client.proof(&token, &json!({"nonce": "x"}))])), "use_dpop_nonce");
    assert_eq!(code(&bench.show(3, &token, &[])), "invalid_dpop_proof");
    let fading = nonces().issue(NOW_MS - NONCE_TURN_MS);
    for (context, used, newer) in [(4, &nonce, None), (5, &fading, Some(nonce.clone()))] {
        bench.show(context, &token, &[&client.proof(&token, &json!({"nonce": used}))]);
        let id = bench.sent(NOW_MS).questions.remove(0).id;
        let due = bench.verdict(id, wire::Outcome::Active, None, NOW_MS);
        assert_eq!(code(&due[0].1), "released");
        assert_eq!(bench.gate.newer_nonce(context, || Some(NOW_MS)), newer);
    }
}

#[test]
fn the_scheme_of_a_refusal_by_the_service_is_that_of_the_token() {
    let (mut bench, client) = (bench(json!({})), Client::new());
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    bench.show(1, &token, &[&client.proof(&token, &json!({}))]);
    let id = bench.sent(NOW_MS).questions.remove(0).id;
    let (_, step) = bench.verdict(id, wire::Outcome::Revoked, None, NOW_MS).remove(0);
    let Step::Deny(denial) = &step else { panic!("{step:?}") };
    assert_eq!(denial.scheme, Scheme::Dpop);
    let expected = "DPoP realm=\"portcullis\", error=\"invalid_token\", algs=\"ES256 EdDSA\"";
    assert_eq!(challenge(&bench, &step), [("www-authenticate", expected.to_owned())]);
}

#[test]
fn what_needs_a_proof_is_never_decided_by_a_lease() {
    let policy =
        fixtures::verifying(json!({}), json!({"session": {"cluster": "session", "freshness": {"lease": "300ms"}}}));
    let mut bench = Bench::of(policy, &welcome_with(&[wire::PROOFS, wire::LEASES])).keyed();
    let client = Client::new();
    let token = bench.bound(&json!({"jkt": client.jkt()}));
    for n in 1..3 {
        let proof = client.proof(&token, &json!({"jti": format!("p-{n}")}));
        assert_eq!(code(&bench.show(n, &token, &[&proof])), "wait");
        let question = bench.sent(NOW_MS).questions.remove(0);
        assert!(question.proof.is_some() && question.lease.is_none());
        let outcome = wire::Outcome::Active.into();
        let verdict = wire::Verdict { id: question.id, outcome, lease_ms: Some(300), ..Default::default() };
        let message = wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() };
        assert_eq!(code(&bench.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS))[0].1), "released");
    }
}
