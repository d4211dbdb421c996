//! The main scenario, which `make demo` plays. `make test` also runs it on the oldest supported Envoy.

use portcullis_tests::{
    Testbed, exchange, root,
    scenario::{Event, play},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_demo_is_as_announced() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let mut transcript = String::new();
    let mut wrong = Vec::new();
    play(&testbed, &mut |event| {
        transcript += &format!("{event}\n");
        if let Event::Step(step) = event
            && !step.holds()
        {
            wrong.push(step);
        }
    })
    .await;
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", testbed.envoy.log());
    let too_wide: Vec<_> = transcript.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(too_wide.is_empty(), "{too_wide:#?}");
    let document = std::fs::read_to_string(root().join("docs/demo.md")).expect("docs/demo.md can be read");
    assert!(document.contains(&transcript), "docs/demo.md does not have this transcript:\n{transcript}");
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_learns_who_calls_and_nobody_can_pretend() {
    let testbed = Testbed::start().await;
    let token = testbed.issuer.token().scopes("orders:read customers:read").sign();
    let answer = testbed
        .get("/orders?page=2")
        .bearer(&token)
        .header("x-portcullis-subject", "root")
        .header("X-Portcullis-Scopes", "admin")
        .header("x.portcullis.subject", "root")
        .header("x~portcullis~subject", "root")
        .await;
    answer.passes();
    let headers = answer.json()["headers"].to_string();
    assert!(!headers.contains("root") && !headers.contains("x.portcullis") && !headers.contains("x~p"), "{headers}");
    assert_eq!(answer.json()["path"], "/orders?page=2");
    assert_eq!(answer.echoed("x-portcullis-subject"), ["anna"]);
    assert_eq!(answer.echoed("x-portcullis-client"), ["web"]);
    assert_eq!(answer.echoed("x-portcullis-session"), [token.session.as_str()]);
    let mut scopes: Vec<String> =
        answer.echoed("x-portcullis-scopes").join(" ").split(' ').map(str::to_owned).collect();
    scopes.sort();
    assert_eq!(scopes, ["customers:read", "orders:read"]);
    assert_eq!(answer.echoed("authorization"), [format!("Bearer {}", token.text)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inbound_identity_is_stripped_on_public_routes_too() {
    let testbed = Testbed::start().await;
    let answer = testbed
        .get("/healthz")
        .header("x-portcullis-subject", "root")
        .header("x-portcullis-client", "root")
        .header("x-portcullis-scopes", "admin")
        .header("x-portcullis-session", "0")
        .header("x-portcullis-shadow", "no_route")
        .header("x_portcullis_subject", "root")
        .header("x.portcullis.subject", "root")
        .header("x~portcullis~subject", "root")
        .await;
    answer.passes();
    let headers = answer.json()["headers"].to_string();
    assert!(!headers.contains("portcullis"), "{headers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_in_trailers_is_stripped() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    for call in [testbed.call("POST", "/healthz"), testbed.get("/orders").bearer(&token)] {
        let forged = ["x-portcullis-subject", "x.portcullis.client", "x~portcullis~scopes"];
        let call = forged.iter().fold(call.http2().body("hello"), |call, name| call.trailer(name, "root"));
        let answer = call.trailer("x-checksum", "1").await;
        let trailers = &answer.passes().json()["trailers"];
        assert_eq!(*trailers, serde_json::json!({"x-checksum": ["1"]}), "{answer:?}");
    }
}

/// A proxy removes the headers that `connection` names; on an upgrade, Envoy passes `connection` on, and the upstream could be
/// the one that removes ours.
#[tokio::test(flavor = "multi_thread")]
async fn no_upgrade_makes_the_upstream_drop_identity_headers() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let upgrade = async |connection: &str| {
        let request = format!(
            "GET /orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nupgrade: websocket\r\nconnection: {connection}\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token.text
        );
        exchange(testbed.envoy.address, request.as_bytes()).await
    };
    for connection in ["upgrade, x-portcullis-subject", "X-Portcullis-Scopes,upgrade", "upgrade, x_portcullis_session"]
    {
        let answer = upgrade(connection).await;
        assert_eq!(answer.status, Some(400), "{connection}: {answer:?}");
    }
    assert_eq!(testbed.upstream.streams(), 0);
    assert_eq!(upgrade("upgrade").await.status, Some(101));
}
