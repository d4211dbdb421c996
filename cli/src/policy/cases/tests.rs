use super::*;
use crate::{document::Document, error::Error, report};
use portcullis_engine::{answer::Code, policy::Policy};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn read(text: &str) -> Result<Cases, String> {
    let document = Document::parse("cases.yaml", text).map_err(|diagnosed| told(diagnosed.into()))?;
    Cases::of(document).map_err(told)
}

fn told(error: Error) -> String {
    anstream::adapter::strip_str(&report::text(&error)).to_string()
}

/// The only case of a file.
fn case(text: &str) -> Case {
    read(&format!("host: a.example\ncases:\n  - {text}\n")).expect("a case").list.remove(0)
}

#[test]
fn requests_name_method_host_and_path() {
    for (line, method, host, path) in [
        ("GET /x", "GET", "a.example", "/x"),
        ("GET b.example/x?y=/z", "GET", "b.example", "/x?y=/z"),
        ("PUT https://b.example:8443/x", "PUT", "b.example:8443", "/x"),
        ("GET wss://b.example", "GET", "b.example", "/"),
        ("GET //x", "GET", "a.example", "//x"),
        ("PURGE /%2e%2e/x", "PURGE", "a.example", "/%2e%2e/x"),
    ] {
        let request = case(&format!("{{request: \"{line}\", expect: released}}")).request;
        assert_eq!((&*request.method, &*request.host, &*request.path), (method, host, path), "{line}");
    }
}

#[test]
fn a_case_without_token_scopes_and_claims_has_no_token() {
    assert_eq!(case("{request: GET /x, expect: released}").bearer, None);
    assert_eq!(case("{request: GET /x, token: none, expect: released}").bearer, None);
    for text in ["scopes: ''", "scopes: []", "claims: {}", "token: good"] {
        let bearer = case(&format!("{{request: GET /x, {text}, expect: released}}")).bearer.expect("a token");
        assert_eq!(bearer.quality, Quality::Good, "{text}");
    }
}

#[test]
fn times_of_claims_are_relative_to_now_or_as_they_are() {
    let claims = "{auth_time: -20m, nbf: 90s, exp: 1700000000, acr: 20m}";
    let bearer = case(&format!("{{request: GET /x, claims: {claims}, expect: released}}")).bearer.expect("a token");
    let claims = bearer.claims(&[], 1_800_000_000, "s");
    assert_eq!(claims["auth_time"], json!(1_799_998_800_i64));
    assert_eq!(claims["nbf"], json!(1_800_000_090_i64));
    assert_eq!(claims["exp"], json!(1_700_000_000_i64));
    assert_eq!(claims["acr"], json!("20m"));
    assert_eq!(claims["sid"], json!("s"));
}

#[test]
fn a_date_as_text_is_taken_as_it_is() {
    let claims = "{auth_time: '2026-03-14T18:52:01.180Z', nbf: '2026-03-14'}";
    let bearer = case(&format!("{{request: GET /x, claims: {claims}, expect: released}}")).bearer.expect("a token");
    let claims = bearer.claims(&[], 1_800_000_000, "s");
    assert_eq!((&claims["auth_time"], &claims["nbf"]), (&json!("2026-03-14T18:52:01.180Z"), &json!("2026-03-14")));
}

#[test]
fn a_token_is_by_default_one_that_its_issuer_accepts() {
    let policy = json!({
        "issuers": [{
            "issuer": "i", "clients": ["web"], "client_claims": ["cid"], "claims": {"ver": [2, 3]},
            "scope_claims": ["/realm/roles", "scp"], "session_claims": ["sess"],
            "algorithms": ["ES256"], "keys": {"inline": {"keys": [{}]}},
        }],
        "routes": [{"name": "x", "match": {"path": "/x"}, "public": true}],
    });
    let issuers = Policy::parse(policy.to_string().as_bytes()).expect("a policy").issuers;
    let bearer = |case_text: &str| case(case_text).bearer.expect("a token").claims(&issuers, 1_800_000_000, "s");
    let expected = json!({
        "iss": "i", "sub": "alice", "cid": "web", "ver": 2, "sess": "s", "realm": {"roles": ["a", "b"]},
        "iat": 1_800_000_000, "exp": 1_800_000_300,
    });
    assert_eq!(Value::Object(bearer("{request: GET /x, scopes: a b, expect: released}")), expected);
    let fewer = bearer("{request: GET /x, claims: {ver: 1}, without: [sess, iat], expect: released}");
    let expected = json!({"iss": "i", "sub": "alice", "cid": "web", "ver": 1, "exp": 1_800_000_300});
    assert_eq!(Value::Object(fewer), expected);
}

#[test]
fn scopes_are_text_or_a_list() {
    for text in ["'a b'", "[a, b]", "' a  b '"] {
        let bearer = case(&format!("{{request: GET /x, scopes: {text}, expect: released}}")).bearer.expect("a token");
        assert_eq!(bearer.scopes, Some(vec!["a".to_owned(), "b".to_owned()]), "{text}");
    }
}

#[test]
fn states_are_words_or_what_is_known() {
    let session =
        |text: &str| case(&format!("{{request: GET /x, scopes: a, session: {text}, expect: released}}")).session;
    assert_eq!(session("revoked"), Session::Over(Code::SessionRevoked));
    assert_eq!(session("outage_after_grant"), Session::Outage { granted: true });
    let idle = Known { idle: Duration::from_secs(360), age: Duration::from_secs(360), ..Known::default() };
    assert_eq!(session("{idle: 6m}"), Session::Known(idle), "as old as it was idle, at least");
    let left = Known { scopes: Some(Vec::new()), age: Duration::from_secs(60), ..Known::default() };
    assert_eq!(session("{scopes: [], age: 1m}"), Session::Known(left));
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let told = read(
        "cases:\n  - {request: get /orders, expect: releasd, session: gone}\n  - {request: GET a/x, scopes: 7, expct: released}\n",
    )
    .expect_err("faulty");
    for words in [
        "cases.yaml:2:15",
        "write `GET`",
        "did you mean `released`?",
        "unknown state `gone`",
        "cases.yaml:3:32",
        "expected text or a list of texts, found a number",
        "unknown key; did you mean `expect`?",
        "this key is required",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn what_contradicts_itself_is_a_fault() {
    for (text, words) in [
        ("{request: GET /x, token: none, scopes: a, expect: released}", "not possible without a token"),
        ("{request: GET /x, session: revoked, expect: released}", "a case without a token has no session"),
        (
            "{request: GET /x, expect: no_route, then: {session: revoked, expect: open}}",
            "only a released request stays open",
        ),
        ("{request: GET /x, expect: released, status: 200}", "the upstream determines the status"),
        (
            "{request: GET /x, scopes: a, expect: released, then: {session: unknown, expect: open}}",
            "cannot change to this state",
        ),
        ("{request: GET /x, headers: {':path': /y}, expect: released}", "expected a header name"),
        ("{request: GET /x, headers: {host: b}, expect: released}", "expected a header name"),
        ("{request: GET /x y, expect: released}", "expected a method and a target"),
        ("{request: GET /x, claims: {iat: soon}, expect: released}", "is not a duration"),
        ("{request: GET /x, claims: {iat: 2026-3-14}, expect: released}", "is not a duration"),
        ("{request: GET /x, without: sid, expect: no_credentials}", "not possible without a token"),
        ("{request: GET /x, expect: open}", "unknown code `open`"),
        ("{request: GET /x, client: ftp, expect: released}", "expected one of `http`, `grpc`, `websocket`"),
    ] {
        let told = read(&format!("host: a\ncases:\n  - {text}\n")).expect_err("faulty");
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[test]
fn a_file_without_cases_is_a_fault() {
    for (text, words) in [
        ("host: a\n", "this key is required"),
        ("cases: []\n", "expected 1 to"),
        ("[]\n", "expected an object"),
        ("cases: {a: b}\n", "expected a list"),
    ] {
        let told = read(text).expect_err("faulty");
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[test]
fn a_host_is_needed_only_where_a_route_names_hosts() {
    let policy = |hosts: &str| {
        let text = format!(r#"{{"routes": [{{"name": "all", "match": {{{hosts} "path": "/x"}}, "public": true}}]}}"#);
        Policy::parse(text.as_bytes()).expect("a policy")
    };
    let (open, named) = (policy(""), policy(r#""hosts": ["a.example"],"#));
    let without = read("cases: [{request: GET /x, expect: released}]\n").expect("cases");
    assert_eq!(without.list.first().map(|case| case.name.as_str()), Some("GET /x"), "the stand-in is not shown");
    assert!(without.must_fit(&open).is_ok());
    let told = told(without.must_fit(&named).expect_err("no host"));
    assert!(told.contains("$.cases[0].request: no host, and the policy has routes for certain hosts"), "{told}");
    for with in [
        "host: a.example\ncases: [{request: GET /x, expect: released}]\n",
        "cases: [{request: GET a.example/x, expect: released}]\n",
    ] {
        assert!(read(with).expect("cases").must_fit(&named).is_ok(), "{with}");
    }
}

#[test]
fn every_code_can_be_expected() {
    for code in Code::ALL {
        assert_eq!(case(&format!("{{request: GET /x, expect: {}}}", code.name())).expect, Expect::Code(code));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:{}\\[\\], \\n'/*&!-]{0,80}") {
        drop(read(&text));
        drop(read(&format!("host: a\ncases:\n  - {text}\n")));
    }

    #[test]
    fn no_request_line_makes_the_reader_panic(line in "\\PC{0,40}") {
        let text = json!({"host": "a", "cases": [{"request": line, "expect": "released"}]}).to_string();
        drop(read(&text));
    }
}
