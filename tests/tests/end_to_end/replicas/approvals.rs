//! Access that is asked for, approved and taken back at one replica, and holds at the others.

use super::{REPLICAS, start_with};
use crate::approvals::{BEN, RITA, needs_approval, ruled};
use portcullis_tests::{Answer, Client, FRESH, Kind, Postgres, Service, Testbed, Token, shared_store};
use serde_json::{Value, json};
use std::path::Path;

/// Replicas with one rule and the people in it.
async fn start(postgres: &Postgres, credentials: &Path) -> Testbed {
    let mut keys = shared_store(&postgres.url());
    let ruled = ruled(credentials, &json!({}));
    keys.as_object_mut().expect("keys").extend(ruled.as_object().cloned().expect("keys"));
    start_with(needs_approval(), keys).await
}

/// A request for a session, made at a replica.
async fn asked(replica: &Service, token: &Token) -> String {
    let body = json!({"session": token.session, "scopes": ["orders:read"], "reason": "4711", "duration": "1h"});
    let asked = post(replica, RITA, "/v1/requests", body).await.status(201).json();
    asked["id"].as_str().expect("an id").to_owned()
}

/// Of requests that need the scope, on connections of their own.
async fn statuses(testbed: &Testbed, token: &Token) -> [u16; FRESH] {
    let mut all = [0; FRESH];
    for status in &mut all {
        *status = testbed.get("/page").bearer(token).fresh().await.status.as_u16();
    }
    all
}

async fn post(replica: &Service, who: &str, path: &str, body: Value) -> Answer {
    Client::new(replica.admin_address()).call("POST", path).fresh().bearer(who).json(&body).await
}

async fn decided(replica: &Service, id: &str, deed: &str) -> Answer {
    post(replica, BEN, &format!("/v1/requests/{id}/{deed}"), json!({"comment": "by a test"})).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_grant_of_one_replica_holds_at_all_and_another_one_takes_it_back_from_open_streams() {
    let (postgres, credentials) = (Postgres::start().await, tempfile::tempdir().expect("a folder"));
    let testbed = start(&postgres, credentials.path()).await;
    let replicas: Vec<&Service> = testbed.replicas().collect();
    for number in 0..2 * REPLICAS {
        let [here, there, elsewhere] = [0, 1, 2].map(|offset| replicas[(number + offset) % REPLICAS]);
        let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
        assert_eq!(statuses(&testbed, &token).await, [403; FRESH], "nobody has approved it");
        let request = asked(here, &token).await;
        decided(there, &request, "approve").await.status(200);
        assert_eq!(statuses(&testbed, &token).await, [200; FRESH], "whichever replica is asked");
        // Somebody else, who has seen the same request, comes too late wherever he decides.
        decided(elsewhere, &request, "deny").await.status(409);

        let mut stream = testbed.open(Kind::QuietHttp1, &token).await;
        let shown = Client::new(elsewhere.admin_address()).get(&format!("/v1/requests/{request}")).bearer(RITA).await;
        let grant = shown.status(200).json()["grant"]["id"].as_str().expect("a grant").to_owned();
        post(elsewhere, BEN, &format!("/v1/grants/{grant}/revoke"), json!({})).await.status(200);
        assert_eq!(statuses(&testbed, &token).await, [403; FRESH]);
        stream.is_cut().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn of_two_decisions_at_two_replicas_at_once_one_holds() {
    let (postgres, credentials) = (Postgres::start().await, tempfile::tempdir().expect("a folder"));
    let testbed = start(&postgres, credentials.path()).await;
    let replicas: Vec<&Service> = testbed.replicas().collect();
    for number in 0..10 {
        let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
        assert_eq!(statuses(&testbed, &token).await, [403; FRESH]);
        let request = asked(replicas[0], &token).await;
        let (approved, denied) =
            tokio::join!(decided(replicas[1], &request, "approve"), decided(replicas[2], &request, "deny"));
        let expected = match (approved.status.as_u16(), denied.status.as_u16()) {
            (200, 409) => 200,
            (409, 200) => 403,
            other => panic!("both or neither: {other:?}"),
        };
        assert_eq!(statuses(&testbed, &token).await, [expected; FRESH]);
    }
}
