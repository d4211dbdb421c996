//! The main scenario, which `make demo` plays. `make test` also runs it on the oldest supported Envoy.

use portcullis_tests::{
    Testbed, root,
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
        .await;
    answer.passes();
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
        .await;
    answer.passes();
    let headers = answer.json()["headers"].to_string();
    assert!(!headers.contains("portcullis"), "{headers}");
}
