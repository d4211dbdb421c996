//! Which tokens are accepted, and which keys verify them.

use portcullis_tests::{Algorithm, IssuerBehaviour, Testbed, TokenBuilder, base64url, holds_for, now_s, policy, until};
use serde_json::{Value, json};
use std::time::Duration;

fn with_issuer(edit: impl FnOnce(&mut Value)) -> Value {
    let mut policy = policy::patient();
    edit(&mut policy["issuers"][0]);
    policy
}

/// Sends requests on several connections, so that every worker judges the token.
async fn refused(testbed: &Testbed, name: &str, token: impl AsRef<str>, code: &str) {
    let answer = testbed.get("/orders").bearer(token).fresh().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, code.to_owned()), "{name}: {answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_of_the_allow_list_verifies() {
    let names: Vec<String> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let testbed = Testbed::builder()
        .policy(with_issuer(|issuer| issuer["algorithms"] = json!(names)))
        .keys(IssuerBehaviour::Status(503))
        .start()
        .await;
    let keys = Algorithm::ALL.map(|algorithm| testbed.issuer.publish(algorithm));
    testbed.issuer.behave(IssuerBehaviour::Serve);
    testbed.ready().await;
    for key in &keys {
        let token = testbed.issuer.token().key(key).sign();
        let answer = testbed.get("/orders").bearer(&token).await;
        assert_eq!(answer.status, 200, "{:?}: {answer:?}", key.algorithm);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_outside_the_allow_list_is_refused() {
    let testbed = Testbed::builder()
        .policy(with_issuer(|issuer| issuer["algorithms"] = json!(["ES256"])))
        .keys(IssuerBehaviour::Status(503))
        .start()
        .await;
    let other = testbed.issuer.publish(Algorithm::EdDSA);
    testbed.issuer.behave(IssuerBehaviour::Serve);
    testbed.ready().await;
    refused(&testbed, "EdDSA", testbed.issuer.token().key(&other).sign(), "invalid_token").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_tokens_are_refused() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let good = || testbed.issuer.token();
    let now = now_s();
    let stranger = testbed.partner.token();
    let edited = |edit: fn(TokenBuilder) -> TokenBuilder| edit(good()).sign().text;
    let text = good().sign().text;
    let (message, signature) = text.rsplit_once('.').expect("three parts");
    let (header, payload) = message.split_once('.').expect("three parts");
    let none = base64url(r#"{"alg":"none","typ":"at+jwt"}"#);
    let cases: Vec<(&str, String)> = vec![
        ("other issuer", edited(|token| token.claim("iss", json!("https://evil.example.com")))),
        ("issuer with a slash more", edited(|token| token.claim("iss", json!("http://127.0.0.1:9000/")))),
        ("no issuer", edited(|token| token.without("iss"))),
        ("other audience", edited(|token| token.claim("aud", json!("billing-api")))),
        ("other audiences", edited(|token| token.claim("aud", json!(["billing-api", "orders-api-2"])))),
        ("no audience", edited(|token| token.without("aud"))),
        ("no expiry", edited(|token| token.without("exp"))),
        ("expiry is text", edited(|token| token.claim("exp", json!("9999999999")))),
        ("not yet valid", good().claim("nbf", json!(now + 600)).sign().text),
        ("issued in the future", good().claim("iat", json!(now + 600)).sign().text),
        ("type JWT", edited(|token| token.header("typ", json!("JWT")))),
        ("no type", edited(|token| token.without_header("typ"))),
        ("unknown critical header", edited(|token| token.header("crit", json!(["b64"])).header("b64", json!(false)))),
        ("algorithm in lower case", edited(|token| token.header("alg", json!("es256")))),
        ("algorithm HS256", edited(|token| token.header("alg", json!("HS256")))),
        ("algorithm of another key type", edited(|token| token.header("alg", json!("RS256")))),
        (
            "signed by a stranger under our kid",
            good().signed_by(&testbed.partner.publish(Algorithm::ES256)).sign().text,
        ),
        ("a stranger's token", stranger.claim("iss", json!(testbed.issuer.name)).sign().text),
        ("algorithm none", format!("{none}.{payload}.")),
        ("no signature", format!("{message}.")),
        ("five parts", format!("{text}.x.y")),
        ("two parts", message.to_owned()),
        ("padding", format!("{text}=")),
        ("a changed signature", format!("{message}.{}{}", other_than(&signature[..1]), &signature[1..])),
        ("a changed payload", format!("{header}.{}A.{signature}", payload)),
        ("header is no JSON", good().sign_raw("{", &good().claims().to_string())),
        ("claims are no JSON", good().sign_raw(r#"{"alg":"ES256","typ":"at+jwt"}"#, "[]")),
        ("duplicate claim", duplicate(&good())),
        ("over-long", edited(|token| token.claim("padding", json!("x".repeat(20_000))))),
        ("random", "x.y.z".to_owned()),
    ];
    for (name, token) in cases {
        refused(&testbed, name, token, "invalid_token").await;
    }
    good_still_passes(&testbed).await;
}

/// A signed token whose claims contain `aud` twice.
fn duplicate(token: &TokenBuilder) -> String {
    let whole = token.sign().text;
    let header = whole.split('.').next().expect("a header");
    let header = {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url")
    };
    let claims = token.claims().to_string().replacen('{', r#"{"aud":"billing-api","#, 1);
    token.sign_raw(&String::from_utf8_lossy(&header), &claims)
}

async fn good_still_passes(testbed: &Testbed) {
    testbed.get("/orders").bearer(testbed.issuer.token().sign()).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_judged_with_the_configured_skew() {
    let testbed = Testbed::builder().policy(with_issuer(|issuer| issuer["clock_skew"] = json!("10s"))).start().await;
    testbed.ready().await;
    let token = |seconds| testbed.issuer.token().issued_ago(120).expires_in(seconds).sign();
    testbed.get("/orders").bearer(token(-5)).await.passes();
    testbed.get("/orders").bearer(token(-15)).await.refused(401, "token_expired");
    let cached = token(-8);
    testbed.get("/orders").bearer(&cached).await.passes();
    let answer =
        testbed.get("/orders").bearer(&cached).until("the cached token expires", |answer| answer.status == 401);
    answer.await.refused(401, "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn audiences_scopes_and_types_are_read_in_every_usual_shape() {
    let testbed =
        Testbed::builder().policy(with_issuer(|issuer| issuer["token_types"] = json!(["at+jwt", "JWT"]))).start().await;
    testbed.ready().await;
    let good = || testbed.issuer.token();
    let cases = [
        ("audience in an array", good().claim("aud", json!(["other", "orders-api"]))),
        ("type JWT, allowed", good().header("typ", json!("JWT"))),
        ("full media type", good().header("typ", json!("application/at+jwt"))),
        ("type in capitals", good().header("typ", json!("AT+JWT"))),
        ("scp array", good().without("scope").claim("scp", json!(["orders:write", "orders:read"]))),
        ("scp string", good().without("scope").claim("scp", json!("orders:write orders:read"))),
        ("scope array", good().claim("scope", json!(["orders:read"]))),
        ("fractional dates", good().claim("exp", json!(now_s() as f64 + 60.5))),
    ];
    for (name, token) in cases {
        let answer = testbed.get("/orders").bearer(token.sign()).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_issuers_each_have_their_own_keys_and_terms() {
    let mut policy = policy::patient();
    let issuers = policy["issuers"].as_array_mut().expect("a list");
    issuers.push(json!({
        "issuer": "https://partner.example.com", "audiences": ["partner-api"], "algorithms": ["ES256"],
        "keys": {"jwks_url": "https://partner.example.com/jwks", "cluster": "partner"},
    }));
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let partner = || testbed.partner.token().claim("aud", json!("partner-api"));
    let answer = testbed.get("/orders").bearer(partner().sign());
    answer.until("the partner's keys are there", |answer| answer.status == 200).await;
    good_still_passes(&testbed).await;
    refused(&testbed, "ours at theirs", partner().claim("aud", json!("orders-api")).sign(), "invalid_token").await;
    let crossed = partner().claim("iss", json!(testbed.issuer.name)).claim("aud", json!("orders-api"));
    refused(&testbed, "their key, our name", crossed.sign(), "invalid_token").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_sid_of_two_issuers_is_two_sessions() {
    let mut policy = policy::patient();
    let issuers = policy["issuers"].as_array_mut().expect("a list");
    issuers.push(json!({
        "issuer": "https://partner.example.com", "audiences": ["orders-api"], "algorithms": ["ES256"],
        "keys": {"jwks_url": "https://partner.example.com/jwks", "cluster": "partner"},
    }));
    let testbed = Testbed::with_policy(policy).await;
    let ours = testbed.issuer.token().session("same").sign();
    let theirs = testbed.partner.token().session("same").sign();
    for token in [&ours, &theirs] {
        testbed.get("/orders").bearer(token).until("it passes", |answer| answer.status == 200).await;
    }
    testbed.service.admin().revoke(&ours.session).await;
    testbed.get("/orders").bearer(&ours).await.refused(401, "session_revoked");
    testbed.get("/orders").bearer(&theirs).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_keys_need_no_issuer() {
    let first = Testbed::start().await;
    let policy = with_issuer(|issuer| issuer["keys"] = json!({"inline": first.issuer.key_set()}));
    let testbed = Testbed::builder().policy(policy).keys(IssuerBehaviour::Status(500)).start().await;
    let token = first.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    assert_eq!(testbed.issuer.fetches(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    testbed.issuer.rotate();
    let token = testbed.issuer.token().sign();
    let answer = testbed.get("/orders").bearer(&token);
    answer.until("the new key is used", |answer| answer.status == 200).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn bogus_key_ids_do_not_hammer_the_issuer() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let before = testbed.issuer.fetches();
    for number in 0..200 {
        let token = testbed.issuer.token().header("kid", json!(format!("bogus-{number}"))).sign();
        let answer = testbed.get("/orders").bearer(&token).await;
        assert!([401, 503].contains(&answer.status.as_u16()), "{answer:?}");
    }
    let fetches = testbed.issuer.fetches() - before;
    assert!(fetches <= 10, "200 bogus key ids made {fetches} fetches");
    good_still_passes(&testbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_are_kept_while_the_issuer_is_down() {
    let policy = with_issuer(|issuer| issuer["keys"]["refresh"] = json!("1s"));
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    for behaviour in [
        IssuerBehaviour::Status(500),
        IssuerBehaviour::Body("{".to_owned()),
        IssuerBehaviour::Body("x".repeat(8 << 20)),
    ] {
        testbed.issuer.behave(behaviour);
        let before = testbed.issuer.fetches();
        until("a fetch fails", async || (testbed.issuer.fetches() > before + 1).then_some(())).await;
        holds_for(Duration::from_secs(1), "tokens pass with the old keys", async || {
            let token = testbed.issuer.token().sign();
            testbed.get("/orders").bearer(&token).await.status == 200
        })
        .await;
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_the_answer_is_503_and_never_401() {
    let mut policy = policy::patient();
    policy["session"]["timeout"] = json!("300ms");
    let testbed = Testbed::builder().policy(policy).keys(IssuerBehaviour::Status(500)).start().await;
    let token = testbed.issuer.token().sign();
    let answer = testbed.get("/orders").bearer(&token).await;
    answer.refused(503, "keys_unavailable");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    testbed.get("/healthz").await.passes();
    testbed.issuer.behave(IssuerBehaviour::Serve);
    let call = testbed.get("/orders").bearer(&token);
    call.until("the keys arrive", |answer| answer.status == 200).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_before_the_first_key_set_wait_for_it() {
    let testbed = Testbed::builder().keys(IssuerBehaviour::Late(Duration::from_millis(1500))).start().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
}

/// A base64url character other than this one.
fn other_than(character: &str) -> &'static str {
    if character == "A" { "B" } else { "A" }
}
