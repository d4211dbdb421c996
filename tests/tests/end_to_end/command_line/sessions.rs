//! `sessions` and `revoke`, against the real session service, and what Envoy makes of it.

use super::{portcullis, run, stderr};
use portcullis_tests::Testbed;
use serde_json::{Value, json};
use std::process::Command;

/// The program, configured for this session service.
fn asked(testbed: &Testbed, line: &[&str]) -> Command {
    let mut command = portcullis();
    command.env("PORTCULLIS_ADMIN_URL", format!("http://{}/", testbed.service.admin_address()));
    command.env("PORTCULLIS_ADMIN_CREDENTIAL", &testbed.admin_credential).args(line);
    command
}

fn json_of(testbed: &Testbed, line: &[&str]) -> Value {
    let text = run(asked(testbed, line).args(["--output", "json"]));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_shown_and_revoked_and_envoy_refuses_them_from_then_on() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().issued_ago(5).sign();
    let bert = testbed.issuer.token().subject("bert & söhne").client("kasse").sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    testbed.get("/orders").bearer(&bert).await.passes();

    let list = run(&mut asked(&testbed, &["sessions", "list", "--state", "active"]));
    let line = |id: &str| list.lines().find(|line| line.starts_with(&id[..12])).map(str::to_owned);
    assert!(list.starts_with("ID "), "{list}");
    assert!(line(&anna.session).is_some_and(|line| line.contains("anna") && line.contains(" active ")), "{list}");
    assert!(line(&bert.session).is_some_and(|line| line.contains("bert & söhne")), "{list}");
    let found = json_of(&testbed, &["sessions", "list", "--subject", "bert & söhne", "--client", "kasse"]);
    assert_eq!(found, json!({"sessions": [testbed.session(&bert).await]}));

    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    // The newest is first, and the first digits of an id are enough.
    let place = |id: &str| list.lines().position(|line| line.starts_with(&id[..12]));
    assert!(place(&bert.session) < place(&anna.session), "{list}");
    let details = run(&mut asked(&testbed, &["sessions", "show", &anna.session[..8]]));
    assert!(details.contains("scopes      orders:read") && details.contains("state       active"), "{details}");
    let mut shown = json_of(&testbed, &["sessions", "show", &anna.session]);
    let history = shown.as_object_mut().and_then(|shown| shown.remove("held_since").and(shown.remove("events")));
    assert_eq!(history.expect("a history")[0]["event"], json!("opened"));
    assert_eq!(shown, testbed.session(&anna).await);

    let revoked = run(&mut asked(&testbed, &["sessions", "revoke", &anna.session, "--reason", "lost \"laptop\""]));
    assert!(revoked.contains("was revoked at") && revoked.contains("`anna`"), "{revoked}");
    testbed.get("/orders").bearer(&anna).await.refused(401, "session_revoked");
    testbed.get("/orders").bearer(&bert).await.passes();
    assert!(testbed.service.audit().iter().any(|line| line["stated_reason"] == "lost \"laptop\""));
    let again = json_of(&testbed, &["sessions", "revoke", &anna.session]);
    assert_eq!((&again["state"], &again["reason"]), (&json!("ended"), &json!("revoked")));
    let ended = json_of(&testbed, &["sessions", "list", "--state", "ended"]);
    assert_eq!(ended["sessions"][0]["id"], json!(anna.session));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_what_it_names_and_reports_it() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = |subject: &str| testbed.issuer.token().subject(subject).issued_ago(60).sign();
    let (anna, bert, carl) = (token("anna"), token("bert"), token("carl"));
    for token in [&anna, &bert, &carl] {
        testbed.get("/orders").bearer(token).await.passes();
    }
    let issuer = testbed.issuer.name.clone();
    let earlier = ["revoke", "--issuer", &issuer, "--subject", "carl", "--before", "2001-09-09T03:46:40+02:00"];
    let text = run(&mut asked(&testbed, &earlier));
    assert!(text.contains("2001-09-09 01:46:40Z") && text.contains("0 live sessions"), "{text}");
    let text = run(&mut asked(&testbed, &["revoke", "--issuer", &issuer, "--subject", "anna"]));
    assert!(text.contains("subject `anna`") && text.contains("1 live session ended"), "{text}");
    testbed.get("/orders").bearer(&anna).await.refused(401, "session_revoked");
    testbed.get("/orders").bearer(&bert).await.passes();
    testbed.get("/orders").bearer(&carl).await.passes();
    // The revocation also covers sessions that were never seen.
    testbed.get("/orders").bearer(token("anna")).await.refused(401, "session_revoked");

    let client = bert_client(&testbed.session(&bert).await);
    let answer = json_of(&testbed, &["revoke", "--issuer", &issuer, "--client", &client]);
    assert!(answer["revoked"].as_u64() >= Some(2) && answer["before"].is_string(), "{answer}");
    for token in [&bert, &carl] {
        testbed.get("/orders").bearer(token).await.refused(401, "session_revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_made_listed_replaced_and_taken_back_and_envoy_answers_by_it() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().subject("anna").sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let issuer = testbed.issuer.name.clone();
    let block = |more: &[&str]| {
        let line = [&["block", "--issuer", &issuer, "--subject", "anna", "--reason", "ticket 1"], more].concat();
        run(&mut asked(&testbed, &line))
    };
    let text = block(&["--until", "2h"]);
    assert!(text.contains("blocked subject `anna`") && text.contains("Z (in "), "{text}");
    testbed.get("/orders").bearer(&anna).await.refused(403, "blocked");
    let text = block(&[]);
    assert!(text.contains("until it is lifted") && text.contains("this replaces the block"), "{text}");
    let blocks = json_of(&testbed, &["blocks", "list"]);
    let [block] = &blocks["blocks"].as_array().expect("a list")[..] else { panic!("not one block: {blocks}") };
    assert_eq!((&block["subject"], &block["reason"], block.get("until")), (&json!("anna"), &json!("ticket 1"), None));
    let table = run(&mut asked(&testbed, &["blocks", "list"]));
    assert!(table.contains("subject anna") && table.contains("ticket 1"), "{table}");
    let id = block["id"].as_str().expect("an id");
    let lifted = run(&mut asked(&testbed, &["blocks", "delete", &id[..8]]));
    assert!(lifted.contains("the block of subject `anna`"), "{lifted}");
    testbed.get("/orders").bearer(&anna).await.passes();
    let none = asked(&testbed, &["blocks", "list"]).output().expect("the program runs");
    assert!(stderr(&none).contains("there are no blocks"), "{none:?}");
}

fn bert_client(session: &Value) -> String {
    session["client_id"].as_str().expect("a client").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_taken_and_given_back_and_envoy_answers_by_what_is_left() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let narrowed = run(&mut asked(&testbed, &["sessions", "narrow", &anna.session[..10], "--scope", "orders:read"]));
    assert!(
        narrowed.contains("`orders:read` taken from subject `anna`") && narrowed.contains("has no scopes"),
        "{narrowed}"
    );
    testbed.get("/orders").bearer(&anna).await.refused(403, "insufficient_scope");
    let restored = run(&mut asked(&testbed, &["sessions", "restore", &anna.session, "--scope", "orders:read"]));
    assert!(restored.contains("has `orders:read`"), "{restored}");
    testbed.get("/orders").bearer(&anna).await.passes();

    // Of a subject, with every client, also for sessions that are still to come.
    let issuer = testbed.issuer.name.clone();
    let party = ["--issuer", &issuer, "--subject", "anna", "--scope", "orders:read"];
    run(&mut asked(&testbed, &[&["sessions", "narrow"], &party[..]].concat()));
    let other = testbed.issuer.token().client("kasse").sign();
    for token in [&anna, &other] {
        testbed.get("/orders").bearer(token).await.refused(403, "insufficient_scope");
    }
    let shown = run(&mut asked(&testbed, &["sessions", "show", &anna.session]));
    assert!(shown.contains("narrowed    without orders:read, with every client, 20"), "{shown}");
    assert!(shown.contains("  scopes_narrowed  taken: orders:read\n") && shown.contains("  opened "), "{shown}");
    let listed = run(&mut asked(&testbed, &["sessions", "narrowings"]));
    assert!(listed.contains("anna") && listed.contains("every") && listed.contains("without orders:read"), "{listed}");
    let one =
        asked(&testbed, &["sessions", "restore", &other.session, "--scope", "orders:read"]).output().expect("it runs");
    assert!(one.status.code() == Some(1) && stderr(&one).contains("narrowed_for_every_client"), "{}", stderr(&one));
    run(&mut asked(&testbed, &[&["sessions", "restore"], &party[..]].concat()));
    for token in [&anna, &other] {
        testbed.get("/orders").bearer(token).await.passes();
    }
    let wrong =
        asked(&testbed, &["sessions", "narrow", &anna.session, "--scope", "orders:raed"]).output().expect("it runs");
    assert!(stderr(&wrong).contains("scopes_beyond_grant"), "{}", stderr(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_what_was_never_seen_warns_is_listed_and_taken_back() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let issuer = testbed.issuer.name.clone();
    let revoke = |issuer: &str, subject: &str| {
        let line = ["revoke", "--issuer", issuer, "--subject", subject, "--reason", "left"];
        let output = asked(&testbed, &line).output().expect("the program runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(revoke(&issuer, "amna").contains("subject `amna` has never been seen"));
    assert!(revoke(&format!("{issuer}/"), "anna").contains("has never been seen: it is compared exactly"));
    assert_eq!(revoke(&issuer, "anna"), "");
    testbed.get("/orders").bearer(&anna).await.refused(401, "session_revoked");

    let listed = run(&mut asked(&testbed, &["revocations", "list"]));
    assert!(listed.lines().count() == 4 && listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    let all = json_of(&testbed, &["revocations", "list"]);
    let newest = &all["revocations"][0];
    assert_eq!((&newest["subject"], &newest["reason"]), (&json!("anna"), &json!("left")));
    let id = newest["id"].as_str().expect("an id");
    let lifted = run(&mut asked(&testbed, &["revocations", "delete", &id[..12]]));
    assert!(lifted.contains("the revocation of subject `anna`") && lifted.contains("taken back"), "{lifted}");
    assert_eq!(json_of(&testbed, &["revocations", "list"])["revocations"].as_array().map(Vec::len), Some(2));
    let again = asked(&testbed, &["revocations", "delete", id]).output().expect("the program runs");
    assert_eq!(again.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_several_sessions_is_refused_with_the_sessions() {
    let testbed = Testbed::start().await;
    let admin = testbed.service.admin();
    let (mut seen, mut twice) = (std::collections::HashMap::new(), None);
    // Sessions whose ids have the same first four digits: a few hundred are enough.
    for number in 0.. {
        let session =
            json!({"issuer": "i", "key": format!("k{number}"), "subject": format!("s{number}"), "client_id": "web"});
        let opened = admin.open(&session).await;
        let id = opened.json()["id"].as_str().expect("an id").to_owned();
        if let Some(other) = seen.insert(id[..4].to_owned(), id.clone()) {
            twice = Some((other, id));
            break;
        }
    }
    let (one, other) = twice.expect("two ids");
    let revoked = asked(&testbed, &["sessions", "revoke", &one[..4]]).output().expect("the program runs");
    let said = stderr(&revoked);
    assert!(revoked.status.code() == Some(2) && said.contains(&one) && said.contains(&other), "{said}");
    for id in [&one, &other] {
        assert_eq!(json_of(&testbed, &["sessions", "show", id])["state"], "active");
    }
    let short = asked(&testbed, &["sessions", "show", &one[..3]]).output().expect("the program runs");
    assert!(short.status.code() == Some(2) && stderr(&short).contains("at least 4"), "{}", stderr(&short));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_as_long_as_requested() {
    const COUNT: usize = 520;
    let testbed = Testbed::start().await;
    let admin = testbed.service.admin();
    for number in 0..COUNT {
        let session = json!({"issuer": "i", "key": format!("k{number}"), "subject": "many", "client_id": "web"});
        admin.open(&session).await.status(200);
    }
    let ids = |value: &Value| -> Vec<String> {
        let sessions = value["sessions"].as_array().expect("sessions");
        let mut ids: Vec<_> = sessions.iter().map(|session| session["id"].to_string()).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let of = ["sessions", "list", "--subject", "many"];
    let all = json_of(&testbed, &[&of[..], &["--all"]].concat());
    assert_eq!((ids(&all).len(), &all["next"]), (COUNT, &Value::Null));
    for (limit, expected) in
        [(None, 100), (Some("3"), 3), (Some("510"), 510), (Some("520"), COUNT), (Some("9999"), COUNT)]
    {
        let limit = limit.map(|limit| vec!["--limit", limit]).unwrap_or_default();
        let some = json_of(&testbed, &[&of[..], &limit].concat());
        assert_eq!((ids(&some).len(), some["next"].is_string()), (expected, expected < COUNT), "{limit:?}");
    }
    let output = asked(&testbed, &[&of[..], &["--limit", "2"]].concat()).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert!(stderr(&output).contains("there are more sessions"), "{}", stderr(&output));
    let none = asked(&testbed, &["sessions", "list", "--subject", "nobody"]).output().expect("the program runs");
    assert!(none.status.success() && none.stdout.is_empty() && stderr(&none).contains("no matching sessions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_reported_with_their_exit_codes() {
    let testbed = Testbed::start().await;
    let mut wrong = asked(&testbed, &["sessions", "list"]);
    wrong.env("PORTCULLIS_ADMIN_CREDENTIAL", "not-the-right-one");
    let mut none = asked(&testbed, &["sessions", "list"]);
    none.env_remove("PORTCULLIS_ADMIN_CREDENTIAL");
    let mut elsewhere = asked(&testbed, &["events"]);
    elsewhere.env("PORTCULLIS_ADMIN_URL", format!("http://127.0.0.1:{}", portcullis_tests::free_port()));
    let mut checks = asked(&testbed, &["sessions", "list"]);
    checks.env("PORTCULLIS_ADMIN_URL", format!("http://{}", testbed.service.address()));
    let mut user = asked(&testbed, &["sessions", "list", "--url", "http://me:hunter2@127.0.0.1"]);
    let mut unknown = asked(&testbed, &["sessions", "show", "00000000000000000000000000000000"]);
    let mut strange = asked(&testbed, &["sessions", "revoke", "../../v1/revocations"]);
    for (command, code, words) in [
        (&mut wrong, 1, "rejected the credential from `PORTCULLIS_ADMIN_CREDENTIAL`"),
        (&mut none, 2, "`--credential-file`"),
        (&mut elsewhere, 1, "is the session service running"),
        (&mut checks, 1, "unexpected response from"),
        (&mut user, 2, "the URL must not contain a user"),
        (&mut unknown, 1, "there is no session with that id (`not_found`)"),
        (&mut strange, 1, "there is no session with that id (`not_found`)"),
    ] {
        let output = command.output().expect("the program runs");
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
        assert!(stderr.contains(words) && !stderr.contains("hunter2"), "{command:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_can_be_in_a_file() {
    let testbed = Testbed::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("credential");
    std::fs::write(&file, format!("{}\n", testbed.admin_credential)).expect("a temporary file can be written");
    let from_file = |line: &[&str]| {
        let mut command = asked(&testbed, line);
        command.env("PORTCULLIS_ADMIN_CREDENTIAL", "wrong").arg("--credential-file").arg(&file);
        command
    };
    run(&mut from_file(&["sessions", "list"]));
    for (text, code, words) in
        [("two words\n", 2, "is not a credential"), ("", 2, "is not a credential"), ("wrong", 1, "rejected")]
    {
        std::fs::write(&file, text).expect("a temporary file can be written");
        let output = from_file(&["sessions", "list"]).output().expect("the program runs");
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words) && !stderr.contains("two words"), "{stderr}");
    }
}
