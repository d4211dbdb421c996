use super::{Run, junit, show};
use crate::{
    document::Document,
    policy::{cases::Cases, load::Loaded},
};
use std::fmt::Write;

const POLICY: &str = r#"
issuers:
  - issuer: https://id.example
    audiences: [api]
    algorithms: [RS256]
    keys: {jwks_url: "https://id.example/jwks", cluster: id}
session: {cluster: session, timeout: 1s}
scopes: {read: {}, write: {}}
sets: {both: [read, write]}
routes:
  - {name: open, match: {path: /open}, public: true}
  - {name: read, match: {methods: [GET], path: "/x/{id}"}, require: {all_of: [read]}}
  - {name: both, match: {methods: [PUT], path: "/x/{id}"}, require: {any_of: ["@both"]}}
  - {name: slow, match: {path: /slow}, require: {all_of: [read]}, session: {max_idle: 5m, on_outage: {grace: 30s}}}
  - {name: reads, match: {path: /reads}, require: {all_of: [read]}, session: {on_outage: read_only}}
"#;

fn played(policy: &str, cases: &str) -> Run {
    let policy = Loaded::of(Document::parse("policy.yaml", policy).expect("yaml")).expect("a policy");
    let document = Document::parse("cases.yaml", format!("host: a.example\ncases:\n{cases}")).expect("yaml");
    Run::of(policy, vec![Cases::of(document).expect("cases")]).expect("a run")
}

fn text(run: &Run) -> String {
    anstream::adapter::strip_str(&show::text(run)).to_string()
}

/// Demands that a case comes to just this.
fn comes_to(case: &str, expected: &str) {
    let run = played(POLICY, &format!("  - {{{case}, expect: {expected}}}\n"));
    assert_eq!(run.failed(), 0, "{case}: {}", text(&run));
    let other = if expected == "released" { "no_route" } else { "released" };
    let run = played(POLICY, &format!("  - {{{case}, expect: {other}}}\n"));
    assert_eq!(run.failed(), 1, "{case}");
}

#[test]
fn a_case_comes_to_what_the_filter_decides() {
    for (case, expected) in [
        ("request: GET /open", "released"),
        ("request: GET /x/1", "no_credentials"),
        ("request: GET /x/1, headers: {authorization: Basic eA==}", "no_credentials"),
        ("request: GET /x/1, scopes: read, headers: {authorization: Bearer a}", "malformed_credentials"),
        ("request: GET /x/1/2", "no_route"),
        ("request: GET /x//1", "ambiguous_path"),
        ("request: GET /x/1, scopes: read", "released"),
        ("request: GET /x/1, scopes: write", "insufficient_scope"),
        ("request: PUT /x/1, scopes: write read", "released"),
        ("request: PUT /x/1, scopes: write", "insufficient_scope"),
        ("request: GET /x/1, scopes: read, token: expired", "token_expired"),
        ("request: GET /x/1, scopes: read, token: forged", "invalid_token"),
        ("request: GET /x/1, claims: {scope: read, aud: other}", "invalid_token"),
        ("request: GET /x/1, claims: {scope: read, nbf: 10m}", "invalid_token"),
        ("request: GET /x/1, scopes: read, issuer: https://other.example", "invalid_token"),
    ] {
        comes_to(case, expected);
    }
}

#[test]
fn the_state_of_the_session_decides() {
    for (request, state, expected) in [
        ("GET /x/1", "active", "released"),
        ("GET /x/1", "revoked", "session_revoked"),
        ("GET /x/1", "idle_timeout", "session_idle_timeout"),
        ("GET /x/1", "lifetime_exceeded", "session_lifetime_exceeded"),
        ("GET /x/1", "unknown", "session_unknown"),
        ("GET /x/1", "scope_escalation", "scope_escalation"),
        ("GET /x/1", "blocked", "blocked"),
        ("GET /x/1", "{scopes: [write]}", "insufficient_scope"),
        ("GET /x/1", "{scopes: [read]}", "released"),
        ("GET /x/1", "outage", "session_unavailable"),
        ("GET /x/1", "outage_after_grant", "session_unavailable"),
        ("GET /slow", "outage", "session_unavailable"),
        ("GET /slow", "outage_after_grant", "released"),
        ("GET /reads", "outage", "released"),
        ("POST /reads", "outage", "session_unavailable"),
        ("GET /slow", "{idle: 5m}", "session_idle_timeout"),
        ("GET /slow", "{idle: 4m}", "released"),
        ("GET /x/1", "{idle: 5m}", "released"),
        ("GET /open", "active", "released"),
    ] {
        comes_to(&format!("request: {request}, scopes: read write, session: {state}"), expected);
    }
}

#[test]
fn an_open_request_is_cut_or_goes_on() {
    for (state, expected) in [
        ("revoked", "session_revoked"),
        ("lifetime_exceeded", "session_lifetime_exceeded"),
        ("blocked", "blocked"),
        ("{scopes: [write]}", "insufficient_scope"),
        ("{scopes: [read]}", "open"),
        ("active", "open"),
        ("outage", "open"),
    ] {
        let case = |expect: &str| {
            format!(
                "  - {{request: GET /x/1, scopes: read write, expect: released, then: {{session: {state}, expect: {expect}}}}}\n"
            )
        };
        assert_eq!(played(POLICY, &case(expected)).failed(), 0, "{state}");
        assert_eq!(played(POLICY, &case("session_unknown")).failed(), 1, "{state}");
    }
}

#[test]
fn an_outage_leaves_nothing_behind_for_the_next_case() {
    let mut cases = String::new();
    for _ in 0..20 {
        for (state, expect) in
            [("outage", "session_unavailable"), ("active", "released"), ("revoked", "session_revoked")]
        {
            writeln!(cases, "  - {{request: GET /x/1, scopes: read, session: {state}, expect: {expect}}}")
                .expect("text");
        }
    }
    assert_eq!(played(POLICY, &cases).failed(), 0);
}

#[test]
fn a_failure_says_what_differs_and_who_decided() {
    let run = played(
        POLICY,
        "  - name: all may\n    request: PUT /x/1\n    scopes: read\n    rule: read\n    expect: released\n",
    );
    let text = text(&run);
    for words in [
        "error: all may: expected `released`, got `insufficient_scope`, rule expected `read`, got `both`",
        "cases.yaml:6:11",
        "route `both` decided; it requires `@both` (`read` and `write`), and the token lacks `@both` (`write`)",
        "4 of 5 routes are not reached by any case: `open`, `read`, `slow`, `reads`",
        "1 case, 1 failed",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn junit_tells_each_case() {
    let run = played(
        POLICY,
        "  - {request: GET /open, expect: released}\n  - {name: '<b>', request: GET /x/1, expect: released}\n",
    );
    let xml = junit::xml(&run, "policy.yaml").expect("xml");
    for words in [
        r#"<testsuite name="cases.yaml" tests="2""#,
        r#"failures="1""#,
        r#"<testcase name="GET a.example/open""#,
        r#"<testcase name="&lt;b&gt;""#,
        r#"line="4""#,
        "expected `released`, got `no_credentials`",
    ] {
        assert!(xml.contains(words), "{words}: {xml}");
    }
}

#[test]
fn a_rule_that_is_not_there_is_a_fault_of_the_cases() {
    let policy = Loaded::of(Document::parse("policy.yaml", POLICY).expect("yaml")).expect("a policy").policy;
    let text = "cases: [{request: GET a/open, expect: released, rule: opne}]";
    let cases = Cases::of(Document::parse("cases.yaml", text).expect("yaml")).expect("cases");
    let report = crate::report::text(&cases.must_fit(&policy).expect_err("it does not fit"));
    assert!(report.contains("did you mean `open`?"), "{report}");
}

#[test]
fn shadow_mode_is_said_and_changes_no_case() {
    let run = played(&format!("mode: shadow\n{POLICY}"), "  - {request: GET /x/1, expect: no_credentials}\n");
    assert_eq!(run.failed(), 0);
    assert!(text(&run).contains("the policy is in shadow mode"));
}

#[test]
fn a_public_policy_needs_no_session_service() {
    let run = played(
        "routes: [{name: a, match: {path: /a}, public: true}]",
        "  - {request: GET /a, scopes: x, expect: released}\n",
    );
    assert_eq!(run.failed(), 0, "{}", text(&run));
}
