//! What is used, over HTTP.

use super::*;
use crate::client::{Filter, PLAIN, hello};
use portcullis_contract::wire::{FilterMessage, Question, Route, Use};
use tonic::transport::Endpoint;

/// A filter whose first route is the one with scopes, and the second one a public one.
async fn filter(fixture: &Fixture) -> Filter {
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    let mut filter = Filter::silent(channel, FILTER).await.unwrap();
    let mut greeting = hello();
    let read = Route { name: "read".to_owned(), all_of: vec!["orders:read".to_owned()], ..Route::default() };
    let open = Route { name: "open".to_owned(), ..Route::default() };
    greeting.hello.as_mut().unwrap().routes = vec![read, open];
    filter.send(greeting).await;
    let welcome = filter.answer().await.unwrap().unwrap().welcome.unwrap();
    assert!(welcome.capabilities.iter().any(|capability| capability == "usage"), "{welcome:?}");
    filter
}

#[tokio::test]
async fn what_was_asked_granted_and_refused_is_listed_and_survives_a_restart() {
    let fixture = Fixture::open().await;
    let mut filter = filter(&fixture).await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    let missing = vec!["orders:read".to_owned()];
    let refused = Use { route: Some(PLAIN), client_id: "app".to_owned(), missing, count: 3, ..Use::default() };
    let public = Use { route: Some(1), count: 4, ..Use::default() };
    let question = Question { id: 77, token: 1, route: PLAIN, ..Question::default() };
    let message = FilterMessage { questions: vec![question], uses: vec![refused, public], ..FilterMessage::default() };
    // It is added at once a second after the first one.
    fixture.at(1_500);
    filter.send(message).await;
    assert_eq!(filter.verdicts(1).await.len(), 1);

    let listed = fixture.call("GET", "/v1/usage?since=90d", "").await;
    let last_used = "2023-11-14T22:13:21.5Z";
    let scope = |client: &str, asked: u64, granted: u64, refused: u64| json!({"scope": "orders:read", "client": client, "asked": asked, "granted": granted, "refused": refused, "last_used": last_used});
    let route = |route: &str, client: &str, count: u64| json!({"route": route, "client": client, "count": count, "last_used": last_used});
    let expected = json!({
        // Nothing was counted before.
        "since": "2023-11-14T00:00:00Z",
        "scopes": [scope("app", 3, 0, 3), scope("web", 3, 3, 0)],
        "routes": [route("open", "", 4), route("read", "app", 3), route("read", "web", 3)],
        "held_unused": [{"scope": "openid", "client": "web"}],
    });
    assert_eq!((listed.status, listed.json()), (200, expected.clone()), "{listed:?}");
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_scope_used_total{scope=\"orders:read\"} 3"), "{metrics}");
    drop(filter);
    let fixture = Fixture::in_folder(fixture.stop().await, "").await;
    assert_eq!(fixture.call("GET", "/v1/usage?since=1d", "").await.json(), expected);
    let later = fixture.call("GET", "/v1/usage?since=2023-11-15T00:00:00Z", "").await.json();
    assert_eq!((&later["scopes"], &later["routes"]), (&json!([]), &json!([])));
    let all = json!([{"scope": "openid", "client": "web"}, {"scope": "orders:read", "client": "web"}]);
    assert_eq!(later["held_unused"], all);
    assert_eq!(fixture.call("GET", "/v1/usage", "").await.status, 200);
    for since in ["soon", "-1d", "90"] {
        let refused = fixture.call("GET", &format!("/v1/usage?since={since}"), "").await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request".to_owned()), "{since}");
    }
}

#[tokio::test]
async fn a_use_of_a_route_that_is_not_there_ends_the_stream() {
    let fixture = Fixture::open().await;
    let mut filter = filter(&fixture).await;
    let uses = vec![Use { route: Some(2), count: 1, ..Use::default() }];
    filter.send(FilterMessage { uses, ..FilterMessage::default() }).await;
    assert_eq!(filter.answer().await.unwrap_err().code(), tonic::Code::InvalidArgument);
}
