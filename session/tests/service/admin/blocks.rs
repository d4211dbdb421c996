//! Blocks of parties.

use super::*;

#[tokio::test]
async fn a_block_refuses_its_party_from_the_200_on_and_is_listed_and_taken_back() {
    let (fixture, id) = with_alice().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s2", T0)).await.outcome(), Outcome::Active);
    let body = r#"{"issuer":"https://id","subject":"alice","reason":"ticket 1"}"#;
    let made = fixture.call("POST", "/v1/blocks", body).await;
    assert_eq!((made.status, &made.json()["party_seen"]), (200, &json!(true)), "{made:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Blocked);
    assert_eq!(filter.ask_new(token(2, "unseen", T0)).await.outcome(), Outcome::Blocked);
    // It ends nothing.
    assert_eq!(fixture.call("GET", &format!("/v1/sessions/{id}"), "").await.json()["state"], "active");
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_blocks 1") && metrics.contains(r#"{outcome="blocked"} 2"#), "{metrics}");

    let listed = fixture.call("GET", "/v1/blocks", "").await.json();
    let [entry] = &listed["blocks"].as_array().unwrap()[..] else { panic!("not one: {listed}") };
    assert_eq!(
        (&entry["subject"], &entry["reason"], &entry["id"]),
        (&json!("alice"), &json!("ticket 1"), &made.json()["id"])
    );
    assert_eq!((entry.get("until"), &entry["by"]), (None, &json!("admin_credential")));
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s2", T0)).await.outcome(), Outcome::Blocked, "after a restart");
    let path = format!("/v1/blocks/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.json(), *entry);
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_session_says_that_its_party_is_blocked_and_by_which_blocks() {
    let (fixture, id) = with_alice().await;
    let path = format!("/v1/sessions/{id}");
    let shown = fixture.call("GET", &path, "").await.json();
    assert_eq!((shown.get("blocked"), shown.get("blocks")), (None, None), "{shown}");
    let body = r#"{"issuer":"https://id","subject":"alice","reason":"ticket 1"}"#;
    let made = fixture.call("POST", "/v1/blocks", body).await.json();
    fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","subject":"bob"}"#).await;
    let shown = fixture.call("GET", &path, "").await.json();
    assert_eq!((&shown["state"], &shown["blocked"]), (&json!("active"), &json!(true)), "it ends nothing");
    let [block] = &shown["blocks"].as_array().unwrap()[..] else { panic!("not one: {shown}") };
    assert_eq!((&block["id"], &block["reason"]), (&made["id"], &json!("ticket 1")));
    let listed = fixture.call("GET", "/v1/sessions?subject=alice", "").await.json();
    assert_eq!(listed["sessions"][0]["blocked"], json!(true), "{listed}");
    fixture.call("DELETE", &format!("/v1/blocks/{}", made["id"].as_str().unwrap()), "").await;
    assert_eq!(fixture.call("GET", &path, "").await.json().get("blocked"), None);
}

#[tokio::test]
async fn a_block_runs_out_and_the_latest_call_stands_and_shows_what_it_replaced() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let block = async |until: &str| {
        let body = json!({"issuer": "https://id", "client_id": "web", "until": until});
        fixture.call("POST", "/v1/blocks", &body.to_string()).await.json()
    };
    let first = block("2023-11-14T23:13:20Z").await;
    assert_eq!((first.get("replaced"), &first["party_seen"]), (None, &json!(false)));
    let second = block("2023-11-14T22:13:21Z").await;
    assert_eq!(second["until"], "2023-11-14T22:13:21Z", "the shorter one stands");
    assert_eq!((&second["replaced"]["until"], &second["id"]), (&first["until"], &first["id"]));
    fixture.at(999);
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Blocked);
    fixture.at(1000);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
    let path = format!("/v1/blocks/{}", second["id"].as_str().unwrap());
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404, "it has run out");
}

#[tokio::test]
async fn a_block_that_names_nobody_everybody_or_the_past_is_refused() {
    let fixture = Fixture::open().await;
    for (body, words) in [
        (json!({"issuer": "https://id"}), "specify one of"),
        (json!({"issuer": "https://id", "subject": "a", "sid": "b"}), "at most one of"),
        (json!({"issuer": "https://id", "subject": ""}), "must not be empty"),
        (json!({"issuer": "", "subject": "a"}), "must not be empty"),
        (json!({"subject": "a"}), "issuer"),
        (json!({"issuer": "https://id", "subject": "a", "before": "2023-11-14T22:13:20Z"}), "before"),
        (json!({"issuer": "https://id", "subject": "a", "until": "2023-11-14T22:13:20Z"}), "has passed already"),
        (json!({"issuer": "https://id", "subject": "a", "until": "soon"}), "until"),
    ] {
        let refused = fixture.call("POST", "/v1/blocks", &body.to_string()).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_request"), "{body}");
        assert!(refused.text.contains(words) || refused.text.contains("expected"), "{body}: {refused:?}");
    }
    assert_eq!(fixture.call("GET", "/v1/blocks", "").await.json(), json!({"blocks": []}));
}

#[tokio::test]
async fn blocks_are_listed_in_pages() {
    let fixture = Fixture::open().await;
    for n in 0..25 {
        let body = json!({"issuer": "https://id", "sid": format!("s{n}")}).to_string();
        assert_eq!(fixture.call("POST", "/v1/blocks", &body).await.status, 200);
    }
    let (mut sids, mut path) = (std::collections::HashSet::new(), "/v1/blocks?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = fixture.call("GET", &path, "").await.json();
        pages += 1;
        sids.extend(page["blocks"].as_array().unwrap().iter().map(|entry| entry["sid"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/blocks?limit=10&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((sids.len(), pages), (25, 3));
}
