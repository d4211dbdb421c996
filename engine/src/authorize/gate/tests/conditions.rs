//! What a session service that decides by conditions is told, and what it can answer.

use super::*;
use crate::authorize::{StepUp, fixtures, log_record};
use serde_json::{Map, Value, json};

const DIGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ME: u32 = 2;

/// A worker whose policy names facts. Its service decides by conditions, or does not.
fn bench(mode: &str, capabilities: &[&str]) -> Bench {
    Bench::of(fixtures::conditional(mode), &welcome(capabilities)).keyed()
}

/// A direct connection with a client certificate, on which an earlier filter vouches for every header.
fn vouching(what: LookUp<'_>) -> Option<Vec<u8>> {
    match what {
        LookUp::ClientAddress => address(what),
        LookUp::CertificateDigest => Some(DIGEST.as_bytes().to_vec()),
        LookUp::CertificateUri => Some(b"spiffe://laptop".to_vec()),
        LookUp::CertificateDns | LookUp::RouteCluster => None,
        LookUp::Vouched(_) => Some(b"yes".to_vec()),
    }
}

impl Bench {
    fn token_with(&self, more: &Value) -> String {
        let mut custom: Map<String, Value> = Map::new();
        custom.insert("sid".to_owned(), json!("s1"));
        custom.insert("scope".to_owned(), json!("read write"));
        custom.extend(more.as_object().unwrap().clone());
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

    fn ask(&mut self, context: ContextId, token: &str, more: &[(&str, &str)]) -> Step {
        let bearer = format!("Bearer {token}");
        let fixed =
            [(":method", "GET"), (":path", "/me"), (":authority", "Api.Example:443"), ("authorization", &bearer)];
        let headers = fixed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let headers: Vec<_> = headers.collect();
        self.gate.arrive(context, &Head::read(&headers), vouching, at(NOW_MS))
    }

    fn refuse(&mut self, id: u32, outcome: wire::Outcome, condition: wire::Condition) -> Step {
        let condition = Some(condition);
        let verdict = wire::Verdict { id, outcome: outcome.into(), condition, ..Default::default() };
        let message = wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() };
        self.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS)).remove(0).1
    }
}

fn condition() -> wire::Condition {
    wire::Condition { id: "office-only".to_owned(), reason: "only from the office".to_owned(), ..Default::default() }
}

const SENT: [(&str, &str); 3] = [("x-device-posture", "managed"), ("x-country", "ch"), ("x_country", "de")];

#[test]
fn a_service_with_conditions_is_told_what_the_policy_names() {
    let mut bench = bench("enforce", &[wire::CONDITIONS]);
    let facts = json!({"serial": "s-7", "amr": ["otp"], "department": "sales", "realm": {"roles": ["ops"]}});
    let token = bench.token_with(&facts);
    bench.ask(1, &token, &SENT);
    let sent = bench.sent(NOW_MS);
    let told = &sent.tokens[0];
    assert_eq!(
        (told.device.as_str(), &told.amr[..], &told.groups[..]),
        ("s-7", &["otp".to_owned()][..], &["ops".to_owned()][..])
    );
    let attribute = |name: &str, value: &str| wire::Attribute { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(told.claims, [attribute("department", "sales")]);
    let expected = wire::Circumstances {
        host: "api.example".to_owned(),
        attributes: vec![attribute("x-device-posture", "managed"), attribute("client_certificate", DIGEST)],
        device: DIGEST.to_owned(),
        place: Some(wire::Place { country: "CH".to_owned(), ..Default::default() }),
    };
    assert_eq!(sent.questions[0].circumstances, Some(expected));
}

#[test]
fn a_claim_before_the_certificate_names_the_device_and_one_after_it_does_not() {
    for (claims, device) in
        [(json!({"serial": "s"}), DIGEST), (json!({"deviceid": "d", "serial": "s"}), ""), (json!({}), DIGEST)]
    {
        let mut bench = bench("enforce", &[wire::CONDITIONS]);
        let token = bench.token_with(&claims);
        bench.ask(1, &token, &[]);
        let sent = bench.sent(NOW_MS);
        assert_eq!(sent.questions[0].circumstances.as_ref().map(|told| told.device.as_str()), Some(device), "{claims}");
    }
}

#[test]
fn a_service_without_conditions_is_told_nothing_of_it() {
    let mut bench = bench("enforce", &[]);
    let token = bench.token_with(&json!({"serial": "s-7", "amr": ["otp"], "department": "sales"}));
    bench.ask(1, &token, &SENT);
    let sent = bench.sent(NOW_MS);
    assert_eq!(sent.questions[0].circumstances, None);
    let told = wire::Token { device: String::new(), amr: Vec::new(), claims: Vec::new(), ..sent.tokens[0].clone() };
    assert_eq!(sent.tokens[0], told);
}

#[test]
fn a_policy_without_facts_looks_up_the_address_alone() {
    for capabilities in [&[][..], &[wire::CONDITIONS]] {
        let mut bench = Bench::of(fixtures::policy("enforce"), &welcome(capabilities)).keyed();
        let bearer = format!("Bearer {}", bench.token("read write"));
        let headers = [(":method", "GET"), (":path", "/me"), (":authority", "a"), ("authorization", bearer.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let mut looked_up = 0;
        let look_up = |what: LookUp<'_>| {
            looked_up += 1;
            address(what)
        };
        bench.gate.arrive(1, &Head::read(&headers), look_up, at(NOW_MS));
        assert_eq!(looked_up, 1);
    }
}

#[test]
fn the_named_headers_never_reach_the_upstream_not_on_public_routes_and_not_in_shadow_mode() {
    for (mode, path, outcome) in [
        ("enforce", "/me", wire::Outcome::Active),
        ("shadow", "/me", wire::Outcome::ConditionFailed),
        ("enforce", "/open", wire::Outcome::Active),
    ] {
        let mut bench = bench(mode, &[]);
        let bearer = format!("Bearer {}", bench.token_with(&json!({})));
        let fixed = [(":method", "GET"), (":path", path), (":authority", "a"), ("authorization", bearer.as_str())];
        let headers: Vec<_> =
            fixed.iter().chain(&SENT).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let mut step = bench.gate.arrive(1, &Head::read(&headers), address, at(NOW_MS));
        if path == "/me" {
            let id = bench.sent(NOW_MS).questions[0].id;
            step = bench.verdict(id, outcome, None, NOW_MS).remove(0).1;
        }
        let Step::Release(permit) = step else { panic!("{path}: {step:?}") };
        assert_eq!(permit.strip, ["x-device-posture", "x-country", "x_country"], "{mode} {path}");
    }
}

#[test]
fn a_refusal_names_its_condition_to_the_log_and_tells_the_client_why_only_if_it_may() {
    for tell in [false, true] {
        let mut bench = bench("enforce", &[wire::CONDITIONS]);
        let token = bench.token_with(&json!({"client_id": "app"}));
        bench.ask(1, &token, &[]);
        let id = bench.sent(NOW_MS).questions[0].id;
        let step = bench.refuse(id, wire::Outcome::ConditionFailed, wire::Condition { tell, ..condition() });
        let Step::Deny(denial) = step else { panic!("{step:?}") };
        let body: Value = serde_json::from_slice(&denial.answer(bench.gate.policy(), None).body).unwrap();
        assert_eq!(body["code"], "condition_failed");
        assert_eq!(body.get("detail"), tell.then(|| json!("only from the office")).as_ref());
        let line = log_record::denial(&denial, bench.gate.policy());
        assert!(line.starts_with("code=condition_failed route=me session="), "{line}");
        assert!(line.ends_with(" client=app condition=office-only why=only%20from%20the%20office"), "{line}");
    }
}

#[test]
fn shadow_mode_logs_the_condition_that_would_have_refused() {
    let mut bench = bench("shadow", &[wire::CONDITIONS]);
    let token = bench.token_with(&json!({}));
    bench.ask(1, &token, &[]);
    let id = bench.sent(NOW_MS).questions[0].id;
    let step = bench.refuse(id, wire::Outcome::ConditionFailed, condition());
    let Step::Release(permit) = step else { panic!("{step:?}") };
    let line = log_record::permit(&permit, bench.gate.policy());
    assert!(line.contains("code=shadow:condition_failed") && line.contains(" condition=office-only why="), "{line}");
}

#[test]
fn a_condition_says_which_login_and_which_approval_would_do() {
    let mut bench = bench("enforce", &[wire::CONDITIONS]);
    let token = bench.token_with(&json!({}));
    bench.ask(1, &token, &[]);
    let id = bench.sent(NOW_MS).questions[0].id;
    let login = wire::Condition { acr: vec!["aal3".to_owned()], max_age_ms: Some(300_000), ..condition() };
    let step = bench.refuse(id, wire::Outcome::StepUpRequired, login);
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    assert_eq!(denial.step_up, None::<StepUp>);
    let answer = denial.answer(bench.gate.policy(), None);
    let (_, challenge) = answer.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap();
    assert!(challenge.ends_with(", acr_values=\"aal3\", max_age=\"300\""), "{challenge}");

    bench.ask(2, &token, &[]);
    let id = bench.sent(NOW_MS).questions[0].id;
    let approval = wire::Condition { requestable: "prod-admin".to_owned(), ..condition() };
    let step = bench.refuse(id, wire::Outcome::ApprovalRequired, approval);
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    let body: Value = serde_json::from_slice(&denial.answer(bench.gate.policy(), None).body).unwrap();
    assert_eq!((&body["code"], &body["requestable"]), (&json!("approval_required"), &json!("prod-admin")));
}

#[test]
fn a_condition_of_another_outcome_is_not_believed() {
    let mut bench = bench("enforce", &[wire::CONDITIONS]);
    let token = bench.token_with(&json!({}));
    bench.ask(1, &token, &[]);
    let id = bench.sent(NOW_MS).questions[0].id;
    let step = bench.refuse(id, wire::Outcome::Revoked, wire::Condition { tell: true, ..condition() });
    let Step::Deny(denial) = step else { panic!("{step:?}") };
    assert_eq!(denial.refusal, Code::SessionRevoked.into());
}

#[test]
fn open_requests_are_followed_together_only_if_they_agree_in_what_conditions_want_to_know() {
    let mut bench = bench("enforce", &[wire::CONDITIONS]);
    let token = bench.token_with(&json!({}));
    for (context, country) in [(1, "ch"), (2, "de"), (3, "ch")] {
        bench.ask(context, &token, &[("x-country", country)]);
        let id = bench.sent(NOW_MS).questions[0].id;
        assert_eq!(code(&bench.verdict(id, wire::Outcome::Active, None, NOW_MS)[0].1), "released");
    }
    bench.gate.tick(at(NOW_MS + 30));
    let follows = bench.sent(NOW_MS + 30).follows;
    let country = |follow: &wire::Follow| follow.circumstances.as_ref().unwrap().place.clone().unwrap().country;
    let mut countries: Vec<_> = follows.iter().map(country).collect();
    countries.sort();
    assert_eq!(countries, ["CH", "DE"]);
    for follow in &follows {
        assert_eq!((follow.route, follow.method.as_str(), follow.client_address.as_str()), (ME, "GET", "192.0.2.1"));
    }
    // A change of the conditions cuts those that it is about.
    let german = follows.iter().find(|follow| country(follow) == "DE").unwrap().id;
    let outcome = wire::Outcome::ConditionFailed.into();
    let verdict = wire::Verdict { id: german, outcome, condition: Some(condition()), ..Default::default() };
    let message = wire::ServiceMessage { followed: vec![verdict], ..Default::default() };
    let due = bench.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS + 40));
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(2, "cut")]);
}

#[test]
fn a_refused_condition_is_remembered_for_its_route_in_an_outage() {
    let mut bench = bench("enforce", &[wire::CONDITIONS]);
    let token = bench.token_with(&json!({}));
    let get = |bench: &mut Bench, context, path: &str| bench.request(context, path, Some(&token), NOW_MS);
    for (context, outcome) in [(1, wire::Outcome::Active), (2, wire::Outcome::ConditionFailed)] {
        get(&mut bench, context, "/grace");
        let id = bench.sent(NOW_MS).questions[0].id;
        bench.verdict(id, outcome, None, NOW_MS);
    }
    get(&mut bench, 3, "/grace");
    get(&mut bench, 4, "/read");
    let due = bench.gate.tick(at(NOW_MS + 200));
    let mut codes: Vec<_> = due.iter().map(|(context, step)| (*context, code(step))).collect();
    codes.sort_unstable();
    assert_eq!(codes, [(3, "session_unavailable"), (4, "released")]);
}
