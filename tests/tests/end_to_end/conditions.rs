//! Conditions with the real Envoy, in the middle of a session: a signal or a call of the admin API changes the answer to the
//! next request, and cuts an open stream. `examples.rs` plays the example's cases.

use portcullis_tests::{
    Answer, Call, Kind, Stream, Testbed, Token, TokenBuilder, Transmitter, cases::Example, now_s, until,
};
use serde_json::json;

const ISSUER: &str = "https://id.example.com";
const HOST: &str = "customers.example.com";

/// The example's policy, conditions and session service, with a transmitter of signals.
async fn testbed(transmitter: &Transmitter) -> Testbed {
    Example::read("conditions").testbed_with("first_use", transmitter.configure()).await
}

fn transmitter() -> Transmitter {
    Transmitter::about(ISSUER)
}

/// A token of the example's issuer, with a login of a minute ago.
fn token(testbed: &Testbed, subject: &str, scope: &str) -> TokenBuilder {
    let token = testbed.issuer.token().claim("iss", json!(ISSUER)).claim("aud", json!("customers"));
    let token = token.subject(subject).scopes(scope).session(&format!("of-{subject}"));
    token.claim("acr", json!("aal2")).claim("auth_time", json!(now_s() - 60))
}

/// A request from Switzerland.
fn call(testbed: &Testbed, method: &str, path: &str, token: &Token) -> Call {
    testbed.call(method, path).host(HOST).header("x-geo-country", "CH").bearer(token)
}

/// Opens a websocket from Switzerland, and demands that it is released.
async fn open(testbed: &Testbed, path: &str, token: &Token) -> Stream {
    let text = |value: &str| value.as_bytes().to_vec();
    let headers = vec![
        ("authorization".to_owned(), text(&format!("Bearer {}", token.text))),
        ("x-geo-country".to_owned(), text("CH")),
    ];
    let mut stream = testbed.try_open_with(Kind::WebSocket, HOST, path, headers).await.expect("it is released");
    stream.flows().await;
    stream
}

fn demands_a_stronger_login(answer: &Answer) {
    answer.refused(401, "step_up_required");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.ends_with("acr_values=\"aal3\", max_age=\"300\""), "{challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_of_a_high_risk_changes_the_answer_and_cuts_open_streams_of_the_session_alone() {
    let transmitter = transmitter();
    let testbed = testbed(&transmitter).await;
    let (anna, ben) = (token(&testbed, "anna", "admin").sign(), token(&testbed, "ben", "admin").sign());
    let mut cut = open(&testbed, "/admin/events", &anna).await;
    let mut stays = open(&testbed, "/admin/events", &ben).await;
    let high = json!({"principal": "SESSION", "current_level": "HIGH", "previous_level": "LOW"});
    transmitter.about_session("of-anna", "risk-level-change", high).await.status(202);
    demands_a_stronger_login(&call(&testbed, "GET", "/admin/users", &anna).await);
    cut.is_cut().await;
    stays.flows().await;
    call(&testbed, "GET", "/admin/users", &ben).await.passes();
    // The login that the challenge asks for helps.
    let strong = token(&testbed, "anna", "admin").claim("acr", json!("aal3")).claim("auth_time", json!(now_s()));
    call(&testbed, "GET", "/admin/users", &strong.sign()).await.passes();
    let refused = testbed.service.audit().into_iter().find(|line| line["condition"] == "admin-risk");
    let refused = refused.expect("the refusal is audited");
    assert_eq!((&refused["event"], &refused["stated_reason"]), (&json!("refused"), &json!("the risk is high")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_set_by_the_admin_api_changes_the_answer_and_cuts_an_open_stream_and_another_takes_it_back() {
    let testbed = testbed(&transmitter()).await;
    let anna = token(&testbed, "anna", "admin").sign();
    let mut stream = open(&testbed, "/admin/events", &anna).await;
    let admin = testbed.service.admin();
    let risk = async |level: &str| admin.attribute("subject/anna", ISSUER, "risk", &json!(level)).await;
    risk("medium").await;
    call(&testbed, "GET", "/admin/users", &anna).await.passes();
    stream.flows().await;
    risk("high").await;
    demands_a_stronger_login(&call(&testbed, "GET", "/admin/users", &anna).await);
    stream.is_cut().await;
    until("the cut is counted", async || {
        (testbed.envoy.stat("portcullis.cuts.code.step_up_required.").await > 0).then_some(())
    })
    .await;
    risk("low").await;
    call(&testbed, "GET", "/admin/users", &anna).await.passes();
    let session = testbed.session(&anna).await;
    assert_eq!(session["state"], "active", "a condition ends no session: {session}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_a_device_complies_no_longer_changes_what_its_sessions_may_write() {
    let transmitter = transmitter();
    let testbed = testbed(&transmitter).await;
    let on = |device: &str| {
        let token = token(&testbed, "carol", "customers:read customers:write").session(device);
        token.claim("deviceid", json!(device)).sign()
    };
    let (laptop, phone) = (on("laptop"), on("phone"));
    let status = async |device: &str, status: &str| {
        let event = json!({"current_status": status});
        transmitter.about_device(device, "device-compliance-change", event).await.status(202);
    };
    call(&testbed, "PUT", "/customers/7", &laptop).await.refused(403, "condition_failed");
    status("laptop", "compliant").await;
    status("phone", "compliant").await;
    call(&testbed, "PUT", "/customers/7", &laptop).await.passes();
    status("laptop", "not-compliant").await;
    let answer = call(&testbed, "PUT", "/customers/7", &laptop).await;
    let body = answer.refused(403, "condition_failed").json();
    assert_eq!(body["detail"], "personal data is only changed on a compliant device");
    call(&testbed, "GET", "/customers/7", &laptop).await.passes();
    call(&testbed, "PUT", "/customers/7", &phone).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_enforcement_point_learns_what_conditions_decide_and_its_denials_are_audited() {
    let testbed = testbed(&transmitter()).await;
    let anna = token(&testbed, "anna", "admin").sign();
    call(&testbed, "GET", "/admin/users", &anna).await.passes();
    let asks = async |country: &str| {
        let body = json!({
            "subject": {"type": "session", "id": anna.session},
            "action": {"name": "GET"},
            "resource": {"type": "route", "id": "admin"},
            "context": {"place": {"country": country}},
        });
        let service = portcullis_tests::Client::new(testbed.service.address());
        let call = service.call("POST", "/access/v1/evaluation").bearer(testbed.filter_credential());
        call.json(&body).await.status(200).json()
    };
    assert_eq!(asks("CH").await, json!({"decision": true}));
    for _ in 0..3 {
        let denied = asks("US").await;
        assert_eq!((&denied["decision"], &denied["context"]["condition"]), (&json!(false), &json!("admin-place")));
    }
    let audit = testbed.service.audit();
    let denials: Vec<_> = audit.iter().filter(|line| line["event"] == "evaluation_denied").collect();
    assert_eq!(denials.len(), 1, "{denials:?}");
    let wanted = [
        ("session", anna.session.as_str()),
        ("subject", "anna"),
        ("route", "admin"),
        ("action", "GET"),
        ("outcome", "condition_failed"),
        ("condition", "admin-place"),
    ];
    for (name, value) in wanted {
        assert_eq!(denials[0][name], value, "{name}: {}", denials[0]);
    }
}
