//! Facts for the conditions of the session service: what a client can and cannot make the filter believe, and what the upstream
//! sees of it.

use portcullis_contract::wire::{Condition, Outcome, Question};
use portcullis_tests::{FakeService, ServiceBehaviour, Testbed, Token, policy, until};
use serde_json::{Value, json};

const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

fn facts() -> Value {
    let mut policy = policy::with_routes(json!([
        {"name": "public", "match": {"path": "/public"}, "public": true},
        {"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true, "class": "read", "tags": ["pii"]},
    ]));
    policy["session"]["attributes"] = json!({"headers": ["x-device-posture", "x-network"], "client_certificate": true});
    policy["session"]["place"] = json!({"country": "x-geo-country"});
    policy
}

/// A filter of Envoy's own.
fn filter(name: &str, kind: &str, config: Value) -> Value {
    let mut config = config;
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{kind}"));
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
}

/// The filters that docs/envoy.md puts in front of ours, with a fixed country in place of a database's.
fn in_front() -> [Value; 3] {
    let country =
        json!({"header": {"key": "x-geo-country", "value": "CH"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let mutations = json!({"request_mutations": [{"remove": "x-geo-country"}, {"append": country}]});
    let vouch = json!({"metadata_namespace": "portcullis", "key": "x-geo-country", "type": "STRING"});
    // The namespace is there already.
    let posture =
        json!({"metadata_namespace": "portcullis", "value": {"x-device-posture": true}, "allow_overwrite": true});
    [
        filter("header_mutation", "HeaderMutation", json!({"mutations": mutations})),
        filter(
            "header_to_metadata",
            "Config",
            json!({"request_rules": [{"header": "x-geo-country", "on_header_present": vouch}]}),
        ),
        filter("set_metadata", "Config", json!({"metadata": [posture]})),
    ]
}

async fn testbed(fake: &FakeService) -> Testbed {
    let front = |bootstrap: &mut Value| {
        let filters = bootstrap.pointer_mut(FILTERS).and_then(Value::as_array_mut).expect("a list of filters");
        drop(filters.splice(0..0, in_front()));
    };
    let builder = Testbed::builder().policy(facts()).cluster("session", fake.address.port());
    let testbed = builder.bootstrap(front).start().await;
    testbed.ready().await;
    testbed
}

/// Sends a request with every header that the policy names, demands that none reaches the upstream, and returns its question.
async fn asked(testbed: &Testbed, fake: &FakeService, token: &Token) -> Question {
    let call = testbed.get("/me").bearer(token).host("WWW.example.com:8443");
    let call = call.header("x-device-posture", "managed").header("x-network", "office").header("x-geo-country", "RU");
    let answer = call.await;
    for name in ["x-device-posture", "x-network", "x-geo-country"] {
        assert_eq!(answer.passes().echoed(name), [""; 0], "{name}");
    }
    fake.last_asked().expect("a question")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_an_earlier_filter_vouches_for_reaches_the_service_and_nothing_of_it_the_upstream() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake).await;
    let token = testbed.issuer.token().sign();
    assert_eq!(
        asked(&testbed, &fake, &token).await.circumstances,
        None,
        "a service without conditions is told nothing"
    );
    fake.claim_conditions();
    testbed.ready().await;
    let told = until("the service is told", async || asked(&testbed, &fake, &token).await.circumstances).await;
    let attributes: Vec<_> = told.attributes.iter().map(|of| (of.name.as_str(), of.value.as_str())).collect();
    assert_eq!((told.host.as_str(), attributes), ("www.example.com", vec![("x-device-posture", "managed")]));
    assert_eq!(told.place.map(|place| place.country).as_deref(), Some("CH"), "not the client's word");
    assert_eq!(told.device, "", "there is no client certificate");

    let call = testbed.get("/me").bearer(&token);
    call.header("x-device-posture", "a").header("x-device-posture", "b").await.passes();
    let told = fake.last_asked().and_then(|question| question.circumstances).expect("circumstances");
    assert!(told.attributes.is_empty(), "{told:?}");
    let answer = testbed.get("/public").header("x-device-posture", "managed").header("x-network", b"\xff").await;
    for name in ["x-device-posture", "x-network"] {
        assert_eq!(answer.passes().echoed(name), [""; 0], "{name}");
    }
    testbed.get("/me").bearer(&token).header("x-device-posture", b"\xff\xfe").await.passes();
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_refuses_is_named_in_the_access_log_and_told_where_it_may_be() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake).await;
    let token = testbed.issuer.token().sign();
    fake.name_condition(Condition {
        id: "managed-only".to_owned(),
        reason: "only managed devices".to_owned(),
        tell: true,
        acr: vec!["aal3".to_owned()],
        max_age_ms: Some(300_000),
        requestable: "prod-admin".to_owned(),
    });
    for (outcome, status, code) in [
        (Outcome::ConditionFailed, 403, "condition_failed"),
        (Outcome::ApprovalRequired, 403, "approval_required"),
        (Outcome::StepUpRequired, 401, "step_up_required"),
    ] {
        fake.behave(ServiceBehaviour::Outcome(outcome.into()));
        let answer = testbed.get("/me").bearer(&token).await;
        let body = answer.refused(status, code).json();
        assert_eq!(body["detail"], "only managed devices");
        assert_eq!(body["requestable"].as_str(), (code == "approval_required").then_some("prod-admin"));
        if status == 401 {
            let challenge = answer.header("www-authenticate");
            assert!(challenge.ends_with("acr_values=\"aal3\", max_age=\"300\""), "{challenge}");
        }
        until("the access log names the condition", async || {
            let log = testbed.envoy.access_log();
            let field = |entry: &Value| entry["portcullis"].as_str().unwrap_or_default().to_owned();
            let is_meant = |field: &String| {
                field.starts_with(&format!("code={code} route=all "))
                    && field.ends_with(" condition=managed-only why=only%20managed%20devices")
            };
            log.iter().map(field).find(is_meant)
        })
        .await;
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}
