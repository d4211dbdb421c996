//! `/v1/attributes`.

use super::*;
use crate::client::STRONG;

const SUBJECT: &str = "/v1/attributes/subject/alice";
const ISSUER: &str = "issuer=https%3A%2F%2Fid";

#[tokio::test]
async fn an_attribute_is_set_read_replaced_and_removed_and_outlives_a_restart() {
    let fixture = Fixture::open().await;
    let path = format!("{SUBJECT}/risk?{ISSUER}");
    assert_eq!(fixture.call("GET", &path, "").await.status, 404);
    let made = fixture.call("PUT", &path, r#"{"value":"high","expires_at":"2023-11-14T22:14:20Z"}"#).await;
    let expected = json!({"name": "risk", "value": "high", "source": "admin", "set_at": "2023-11-14T22:13:20Z",
                          "expires_at": "2023-11-14T22:14:20Z"});
    assert_eq!((made.status, made.json()), (200, expected.clone()));
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    assert_eq!(fixture.call("GET", &path, "").await.json(), expected);
    fixture.at(MINUTE);
    assert_eq!(fixture.call("GET", &path, "").await.status, 404, "it has run out");
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404);
    for (value, read) in [("7", json!(7)), ("1.5", json!(1.5)), ("true", json!(true)), ("\"\"", json!(""))] {
        assert_eq!(fixture.call("PUT", &path, &format!(r#"{{"value":{value}}}"#)).await.status, 200);
        assert_eq!(fixture.call("GET", &path, "").await.json()["value"], read);
    }
    let list = fixture.call("GET", &format!("{SUBJECT}?{ISSUER}"), "").await.json();
    assert_eq!(list["attributes"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(fixture.call("DELETE", &path, "").await.json()["value"], "");
    assert_eq!(fixture.call("DELETE", &path, "").await.status, 404);
    assert_eq!(fixture.call("GET", &format!("{SUBJECT}?{ISSUER}"), "").await.json(), json!({"attributes": []}));
}

#[tokio::test]
async fn what_is_wrong_with_an_attribute_is_said() {
    let fixture = Fixture::open().await;
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(257));
    let risk = format!("{SUBJECT}/risk?{ISSUER}");
    let rows = [
        (risk.clone(), "{}"),
        (risk.clone(), r#"{"value":null}"#),
        (risk.clone(), r#"{"value":["a"]}"#),
        (risk.clone(), r#"{"value":1,"until":1}"#),
        (risk.clone(), r#"{"value":1,"expires_at":"2023-11-14T22:13:20Z"}"#),
        (risk.clone(), r#"{"value":1,"expires_at":"soon"}"#),
        (risk.clone(), "value"),
        (risk, &long),
        (format!("{SUBJECT}/Risk?{ISSUER}"), r#"{"value":1}"#),
        (format!("{SUBJECT}/risk"), r#"{"value":1}"#),
        (format!("{SUBJECT}/risk?issuer="), r#"{"value":1}"#),
        (format!("{SUBJECT}/risk?{ISSUER}&x=1"), r#"{"value":1}"#),
        (format!("/v1/attributes/session/{}/risk?{ISSUER}", session_id("s")), r#"{"value":1}"#),
    ];
    for (path, body) in rows {
        let answer = fixture.call("PUT", &path, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("unprocessable")), "{path} {body}");
    }
    for path in
        [format!("/v1/attributes/session/{}/risk", session_id("s")), format!("/v1/attributes/x/y/risk?{ISSUER}")]
    {
        assert_eq!(fixture.call("PUT", &path, r#"{"value":1}"#).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_holder_has_at_most_32_attributes() {
    let fixture = Fixture::open().await;
    for number in 0..32 {
        let answer = fixture.call("PUT", &format!("{SUBJECT}/n{number}?{ISSUER}"), r#"{"value":1}"#).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(fixture.call("PUT", &format!("{SUBJECT}/n32?{ISSUER}"), r#"{"value":1}"#).await.status, 422);
    assert_eq!(fixture.call("PUT", &format!("{SUBJECT}/n0?{ISSUER}"), r#"{"value":2}"#).await.status, 200);
    assert_eq!(fixture.call("DELETE", &format!("{SUBJECT}/n0?{ISSUER}"), "").await.status, 200);
    assert_eq!(fixture.call("PUT", &format!("{SUBJECT}/n32?{ISSUER}"), r#"{"value":1}"#).await.status, 200);
}

#[tokio::test]
async fn one_that_has_run_out_makes_room() {
    let fixture = Fixture::open().await;
    for number in 0..32 {
        let body = r#"{"value":1,"expires_at":"2023-11-14T22:14:20Z"}"#;
        assert_eq!(fixture.call("PUT", &format!("{SUBJECT}/n{number}?{ISSUER}"), body).await.status, 200);
    }
    fixture.at(MINUTE);
    assert_eq!(fixture.call("PUT", &format!("{SUBJECT}/new?{ISSUER}"), r#"{"value":1}"#).await.status, 200);
}

#[tokio::test]
async fn a_session_shows_what_holds_for_it_and_an_acr_is_what_its_login_counts_as() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s", T0)).await;
    let session = format!("/v1/attributes/session/{}", session_id("s"));
    fixture.call("PUT", &format!("{SUBJECT}/risk?{ISSUER}"), r#"{"value":"low"}"#).await;
    let shown = async || {
        let session = fixture.call("GET", &format!("/v1/sessions/{}", session_id("s")), "").await.json();
        let attributes = session["attributes"].as_array().cloned().unwrap_or_default();
        attributes.into_iter().map(|held| (held["of"].clone(), held["value"].clone())).collect::<Vec<(Value, Value)>>()
    };
    assert_eq!(shown().await, [(json!("subject"), json!("low"))]);
    fixture.call("PUT", &format!("{session}/risk"), r#"{"value":"high"}"#).await;
    assert_eq!(shown().await, [(json!("session"), json!("high"))]);
    filter.follow(token(7, "s", T0), STRONG).await;
    let acr = format!("{session}/acr");
    let set = fixture.call("PUT", &acr, r#"{"value":"aal1","expires_at":"2023-11-14T22:14:20Z"}"#).await;
    assert_eq!(set.status, 200);
    assert_eq!(filter.pushed().await.outcome(), Outcome::StepUpRequired);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::StepUpRequired);
    fixture.at(MINUTE);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active, "it has run out");
    fixture.call("PUT", &format!("{session}/acr"), r#"{"value":"aal1"}"#).await;
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::StepUpRequired);
    assert_eq!(fixture.call("DELETE", &format!("{session}/acr"), "").await.status, 200);
    assert_eq!(filter.ask(1, STRONG).await.outcome(), Outcome::Active);
}
