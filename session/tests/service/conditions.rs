//! Conditions: what they refuse, what changes their answer, and how they are read again.

use crate::client::{Filter, PLAIN, hello, post_form, session_id, token};
use crate::fixtures::{Fixture, PATIENCE, T0};
use crate::oauth::jwt;
use portcullis_contract::wire::{Attribute, Circumstances, FilterMessage, Outcome, Token, Verdict, Welcome};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RISK: &str = r#"
@id("no-risk") @reason("the risk is high") @tell
forbid (principal, action, resource == Portcullis::Route::"plain") when { context.risk == "high" };
"#;

const NEVER: &str = r#"@id("never") @reason("closed") forbid (principal, action, resource);"#;

/// A service with these policies, and their folder.
async fn with(policies: &str, more: &str) -> (Fixture, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), policies);
    (Fixture::ticking(&keys(&folder, more)).await, folder)
}

fn keys(folder: &TempDir, more: &str) -> String {
    let path = folder.path().display();
    format!("conditions: {{cedar: {path}, attributes: {{ticket: String, score: Long}}{more}}}")
}

fn write(folder: &Path, policies: &str) {
    std::fs::write(folder.join("a.cedar"), policies).unwrap();
}

/// Sets an attribute of the session `s`.
async fn set(fixture: &Fixture, name: &str, value: &str) {
    let path = format!("/v1/attributes/session/{}/{name}", session_id("s"));
    let answer = fixture.call("PUT", &path, &format!(r#"{{"value":{value}}}"#)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A filter that knows a token of the session `s`, which lives.
async fn filter(fixture: &Fixture) -> Filter {
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    filter
}

async fn metric(fixture: &Fixture, name: &str) -> u64 {
    let text = fixture.call("GET", "/metrics", "").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{name}: {text}"))
}

/// Waits until what `is_so` says is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_attribute_call_changes_the_answer_and_ends_an_open_stream_within_a_second() {
    let (fixture, _folder) = with(RISK, "").await;
    let mut filter = filter(&fixture).await;
    let mut other = fixture.filter().await;
    other.follow(token(1, "s", T0), PLAIN).await;
    set(&fixture, "risk", r#""medium""#).await;
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    let began = Instant::now();
    set(&fixture, "risk", r#""high""#).await;
    let cut = other.pushed().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for verdict in [cut, filter.ask(1, PLAIN).await] {
        let condition = verdict.condition.clone().unwrap();
        assert_eq!(
            (verdict.outcome(), condition.id.as_str(), condition.tell),
            (Outcome::ConditionFailed, "no-risk", true)
        );
        assert_eq!(condition.reason, "the risk is high");
    }
    let shown = fixture.call("GET", &format!("/v1/sessions/{}", session_id("s")), "").await.json();
    assert_eq!(shown["state"], "active", "{shown}");
    let events = fixture.call("GET", &format!("/v1/sessions/{}/events", session_id("s")), "").await.json();
    let is_told =
        |event: &serde_json::Value| event["condition"] == "no-risk" && event["stated_reason"] == "the risk is high";
    assert!(events["events"].as_array().unwrap().iter().any(is_told), "{events}");
    set(&fixture, "risk", r#""low""#).await;
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn only_a_service_with_conditions_has_their_capability() {
    let says = |welcome: Welcome| welcome.capabilities.iter().any(|name| name == "conditions");
    let (fixture, _folder) = with(RISK, "").await;
    assert!(says(welcomed(&fixture).await));
    let fixture = Fixture::open().await;
    assert!(!says(welcomed(&fixture).await));
    assert_eq!(fixture.call("GET", "/v1/conditions", "").await.code(), "not_found");
    assert_eq!(fixture.call("POST", "/v1/conditions", "").await.code(), "not_found");
}

async fn welcomed(fixture: &Fixture) -> Welcome {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut filter = Filter::silent(channel, crate::client::FILTER).await.unwrap();
    filter.send(hello()).await;
    filter.answer().await.unwrap().unwrap().welcome.unwrap()
}

#[tokio::test]
async fn a_change_of_the_files_is_in_force_for_open_streams_and_one_with_a_fault_never() {
    let (fixture, folder) = with(RISK, "").await;
    let mut filter = filter(&fixture).await;
    let mut other = fixture.filter().await;
    other.follow(token(1, "s", T0), PLAIN).await;
    let before = fixture.call("GET", "/v1/conditions", "").await.json();
    assert_eq!(
        (&before["policies"], &before["faults"], &before["mode"]),
        (&1.into(), &serde_json::json!([]), &"enforce".into())
    );
    write(folder.path(), "forbid (principal, action, resource) when { context.risc == 1 };");
    until("the fault is not noticed", async || metric(&fixture, "portcullis_conditions_outdated").await == 1).await;
    let faulty = fixture.call("GET", "/v1/conditions", "").await.json();
    assert_eq!(faulty["digest"], before["digest"]);
    assert!(faulty["faults"][0].as_str().unwrap().contains("a.cedar:1:"), "{faulty}");
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert!(metric(&fixture, "portcullis_conditions_reload_failures_total").await >= 1);
    let began = Instant::now();
    write(folder.path(), NEVER);
    assert_eq!(other.pushed().await.outcome(), Outcome::ConditionFailed);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!(filter.outcome(1).await, Outcome::ConditionFailed);
    let after = fixture.call("GET", "/v1/conditions", "").await.json();
    assert!(after["digest"] != before["digest"] && after["faults"] == serde_json::json!([]), "{after}");
    assert_eq!(metric(&fixture, "portcullis_conditions_outdated").await, 0);
}

#[tokio::test]
async fn the_admin_api_reads_them_again_and_says_what_is_wrong() {
    let (fixture, folder) = with(RISK, "").await;
    let mut filter = filter(&fixture).await;
    write(folder.path(), "permit (principal, action, resource);");
    let refused = fixture.call("POST", "/v1/conditions", "").await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "unprocessable"));
    assert!(refused.json()["faults"][0].as_str().unwrap().contains("a.cedar"), "{refused:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    write(folder.path(), &format!("{NEVER}\n{RISK}"));
    let taken = fixture.call("POST", "/v1/conditions", "").await;
    assert_eq!((taken.status, &taken.json()["policies"]), (200, &2.into()));
    assert_eq!(filter.outcome(1).await, Outcome::ConditionFailed, "it is in force when it is answered");
    assert_eq!(fixture.call("POST", "/v1/conditions", "").await.json(), taken.json());
}

/// Conditions about other routes, and two about this one: one that refuses `bad`, and one that refuses nobody.
fn ten_thousand(generation: usize) -> String {
    let mut text = String::new();
    for number in 0..10_000 {
        let route = format!("Portcullis::Route::\"other.{generation}.{number}\"");
        let when = "context.risk == \"high\" && context.place has country";
        text += &format!("@id(\"o{number}\") forbid (principal, action, resource == {route}) when {{ {when} }};\n");
    }
    text += "@id(\"bad\") @reason(\"bad\") forbid (principal, action, resource == Portcullis::Route::\"plain\") \
             when { context.session has ticket && context.session.ticket == \"bad\" };\n";
    text + &format!(
        "@id(\"no{generation}\") forbid (principal, action, resource) when {{ context.host == \"{generation}\" }};"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "minutes, without optimization: part of `make test-faults`"]
async fn a_reload_of_ten_thousand_policies_under_load_refuses_nobody_wrongly_and_releases_nobody() {
    const RELOADS: usize = 1;
    let (fixture, folder) = with(&ten_thousand(0), "").await;
    let (over, mut filters, mut askers) = (Arc::new(AtomicBool::new(false)), Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut filter = fixture.filter().await;
        for of in [token(1, "good", T0), token(2, "bad", T0)] {
            assert_eq!(filter.ask_new(of).await.outcome(), Outcome::Active);
        }
        filters.push(filter);
    }
    let path = format!("/v1/attributes/session/{}/ticket", session_id("bad"));
    assert_eq!(fixture.call("PUT", &path, r#"{"value":"bad"}"#).await.status, 200);
    for mut filter in filters {
        let over = Arc::clone(&over);
        askers.push(tokio::spawn(async move {
            let (mut asked, mut longest) = (0_u32, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                for (handle, wanted) in [(1, Outcome::Active), (2, Outcome::ConditionFailed)] {
                    let began = Instant::now();
                    assert_eq!(filter.outcome(handle).await, wanted, "after {asked} questions");
                    longest = longest.max(began.elapsed());
                    asked += 1;
                }
            }
            (asked, longest)
        }));
    }
    let mut reloads = Vec::new();
    for generation in 1..=RELOADS {
        write(folder.path(), &ten_thousand(generation));
        let began = Instant::now();
        let answer = fixture.call("POST", "/v1/conditions", "").await.json();
        reloads.push(began.elapsed());
        assert_eq!(answer["policies"], 10_002, "{answer}");
    }
    over.store(true, Ordering::Relaxed);
    for asker in askers {
        let (asked, longest) = asker.await.unwrap();
        assert!(asked > 100, "{asked}");
        println!("{asked} questions, none answered wrongly; the longest took {longest:?}");
    }
    println!("reloads took {reloads:?}");
}

#[tokio::test]
async fn a_reload_of_the_configuration_changes_mode_and_attributes_and_cannot_add_conditions() {
    let (fixture, folder) = with(NEVER, "").await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::ConditionFailed);
    assert_eq!(fixture.reload(&keys(&folder, ", mode: shadow")).reloaded, ["conditions"]);
    until("shadow mode is not in force", async || filter.outcome(1).await == Outcome::Active).await;
    assert_eq!(fixture.reload("").needs_restart, ["conditions"]);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn shadow_mode_releases_and_reports_once_what_would_be_refused() {
    let (fixture, _folder) = with(RISK, ", mode: shadow").await;
    let mut filter = filter(&fixture).await;
    set(&fixture, "risk", r#""high""#).await;
    for _ in 0..3 {
        let verdict = filter.ask(1, PLAIN).await;
        assert_eq!((verdict.outcome(), verdict.condition), (Outcome::Active, None));
    }
    let events = fixture.call("GET", &format!("/v1/sessions/{}/events", session_id("s")), "").await.json();
    let told = events["events"].as_array().unwrap().iter().filter(|event| event["event"] == "would_refuse");
    let told: Vec<_> = told.map(|event| (event["condition"].clone(), event["outcome"].clone())).collect();
    assert_eq!(told, [("no-risk".into(), "condition_failed".into())], "{events}");
}

#[tokio::test]
async fn hostile_attributes_change_nothing_but_what_they_state() {
    let policy = r#"@id("ticket") @reason("no ticket") forbid (principal, action, resource)
        unless { context.session has ticket && context.session.ticket == "t-1" && !(context.session has score && context.session.score > 5) };"#;
    let (fixture, _folder) = with(policy, "").await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::ConditionFailed);
    let attribute = |name: &str, value: &str| Attribute { name: name.to_owned(), value: value.to_owned() };
    let with = |attributes| Circumstances { attributes, ..Circumstances::default() };
    let big = "x".repeat(100_000);
    let many: Vec<_> = (0..1_000).map(|number| attribute(&number.to_string(), "x")).collect();
    for (attributes, expected) in [
        (vec![attribute("ticket", "t-1")], Outcome::Active),
        (
            vec![
                attribute("ticket", "t-1"),
                attribute("ticket", "t-2"),
                attribute("", ""),
                attribute("\u{0}\"}", "\n"),
            ],
            Outcome::ConditionFailed,
        ),
        (vec![attribute("ticket", &big)], Outcome::ConditionFailed),
        (
            vec![attribute("ticket", "t-1"), attribute("score", "not a number"), attribute("undeclared", &big)],
            Outcome::Active,
        ),
        (vec![attribute("ticket", "t-1"), attribute("score", "99999999999999999999999")], Outcome::Active),
        (vec![attribute("ticket", "t-1"), attribute("score", "6")], Outcome::ConditionFailed),
        (many.into_iter().chain([attribute("ticket", "t-1")]).collect(), Outcome::ConditionFailed),
    ] {
        let verdict = filter.ask_as(1, "GET", with(attributes.clone())).await;
        // Of two values of one name, either is allowed to count, and the stream goes on in each case.
        let names = attributes.iter().filter(|attribute| attribute.name == "ticket").count();
        assert!(names > 1 || verdict.outcome() == expected, "{verdict:?}: {:?}", attributes.first());
    }
    let path = format!("/v1/attributes/session/{}/ticket", session_id("s"));
    for value in ["[1]", "{}", "null", &format!("\"{big}\"")] {
        let answer = fixture.call("PUT", &path, &format!(r#"{{"value":{value}}}"#)).await;
        assert!((400..=422).contains(&answer.status), "{value}: {answer:?}");
    }
    // One of another type than declared is absent, and what is stored wins all the same.
    set(&fixture, "ticket", r#""t-1""#).await;
    assert_eq!(filter.ask_as(1, "GET", with(vec![attribute("ticket", "t-2")])).await.outcome(), Outcome::Active);
    set(&fixture, "score", "7").await;
    assert_eq!(filter.ask_as(1, "GET", with(vec![attribute("score", "1")])).await.outcome(), Outcome::ConditionFailed);
    assert_eq!(filter.ask_as(1, "BREW", with(Vec::new())).await.condition.unwrap().id, "method");
}

#[tokio::test]
async fn a_filter_that_introspects_is_refused_while_conditions_are_enforced() {
    let (fixture, _folder) = with(NEVER, "").await;
    let authorization = format!("Bearer {}", crate::client::FILTER);
    let ask = async |fixture: &Fixture, by: &str| {
        let form = format!("token={}&portcullis_verified=true{by}", jwt("s", json!({})));
        post_form(fixture.checks, &authorization, "/oauth2/introspect", &form).await.json()
    };
    let refused = json!({"active": false, "portcullis_code": "condition_failed"});
    assert_eq!(ask(&fixture, "&portcullis=1").await, refused);
    assert_eq!(ask(&fixture, "").await["active"], true, "a resource server does not ask about a request");
    let (fixture, _folder) = with(NEVER, ", mode: shadow").await;
    assert_eq!(ask(&fixture, "&portcullis=1").await["active"], true);
}

#[tokio::test]
async fn a_question_that_waits_for_the_disk_is_judged_by_its_own_request() {
    let policy =
        r#"@id("read-only") @reason("no") forbid (principal, action in [Portcullis::Action::"write"], resource);"#;
    let (fixture, _folder) = with(policy, "").await;
    let mut filter = fixture.filter().await;
    let tokens: Vec<Token> = (1..=2).map(|number| token(number, &format!("s{number}"), T0)).collect();
    filter.send(FilterMessage { tokens, ..FilterMessage::default() }).await;
    let outcome = |verdict: Verdict| verdict.outcome();
    assert_eq!(outcome(filter.ask_as(1, "POST", Circumstances::default()).await), Outcome::ConditionFailed);
    assert_eq!(outcome(filter.ask_as(2, "GET", Circumstances::default()).await), Outcome::Active);
}
