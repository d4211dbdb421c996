//! Just-in-time access: refused, asked for, approved by somebody else, passed at once, and cut when it ends.

use portcullis_tests::{Answer, Client, Kind, Testbed, Token, policy, until};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const RITA: &str = "rita-rita-rita-rita-rita";
pub(crate) const BEN: &str = "ben-ben-ben-ben-ben-ben";
const CARA: &str = "cara-cara-cara-cara-cara";

/// A policy whose streams and pages need `orders:read`, which somebody has to approve.
pub(crate) fn needs_approval() -> Value {
    let mut policy = policy::streams();
    policy["scopes"]["orders:read"]["approval"] = json!("required");
    policy
}

/// What session.yaml has so that Rita and Ben ask for it and decide, and Cara looks on; the rule has these keys, too.
pub(crate) fn ruled(folder: &Path, more: &Value) -> Value {
    let admin = |name: &str, secret: &str| {
        let file = folder.join(name);
        std::fs::write(&file, secret).expect("a credential");
        let subject = json!({"issuer": "https://staff.example.com", "sub": name});
        let scopes = ["portcullis:view", "portcullis:approve"];
        json!({"name": name, "credential": {"file": file}, "scopes": scopes, "subject": subject})
    };
    let mut rule = json!({
        "name": "read", "scopes": ["orders:read"], "ask": {"admins": ["rita", "ben"]},
        "decide": [{"admins": ["rita", "ben"]}], "max_duration": "1h",
    });
    rule.as_object_mut().expect("a rule").extend(more.as_object().cloned().expect("keys"));
    let admins = [admin("rita", RITA), admin("ben", BEN), admin("cara", CARA)];
    json!({"admins": admins, "external_url": "https://portcullis.example.com", "approvals": [rule]})
}

/// A testbed whose streams and pages need `orders:read`, which somebody has to approve.
pub(crate) struct Bed {
    pub(crate) testbed: Testbed,
    _credentials: TempDir,
}

impl Bed {
    async fn start() -> Self {
        Self::ruled(json!({})).await
    }

    /// With other keys in the rule.
    async fn ruled(more: Value) -> Self {
        Self::with(more, json!({})).await
    }

    /// The same, and with other keys in session.yaml.
    pub(crate) async fn with(more: Value, keys: Value) -> Self {
        let credentials = tempfile::tempdir().expect("a folder");
        let ruled = ruled(credentials.path(), &more);
        let session = move |config: &mut Value| {
            let config = config.as_object_mut().expect("a configuration");
            for keys in [ruled, keys] {
                config.extend(keys.as_object().cloned().expect("keys"));
            }
        };
        let testbed = Testbed::builder().policy(needs_approval()).session(session).start().await;
        testbed.ready().await;
        Self { testbed, _credentials: credentials }
    }

    pub(crate) async fn call(&self, who: &str, path: &str, body: Value) -> Answer {
        let client = Client::new(self.testbed.service.admin_address());
        client.call("POST", path).fresh().bearer(who).json(&body).await
    }

    /// Rita's request for a session.
    pub(crate) async fn ask(&self, token: &Token, duration: &str) -> String {
        let session = self.testbed.session(token).await["id"].clone();
        let body = json!({"session": session, "scopes": ["orders:read"], "reason": "4711", "duration": duration});
        let asked = self.call(RITA, "/v1/requests", body).await.status(201).json();
        asked["id"].as_str().expect("an id").to_owned()
    }

    /// A request as anybody with `portcullis:view` sees it.
    pub(crate) async fn shown(&self, path: &str) -> Value {
        let client = Client::new(self.testbed.service.admin_address());
        client.call("GET", path).fresh().bearer(CARA).await.status(200).json()
    }

    pub(crate) async fn decide(&self, who: &str, id: &str, deed: &str) -> Answer {
        self.call(who, &format!("/v1/requests/{id}/{deed}"), json!({"comment": "by a test"})).await
    }

    pub(crate) async fn page(&self, token: &Token) -> Answer {
        self.testbed.get("/page").bearer(token).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_refused_asked_for_approved_by_another_and_cut_when_it_ends() {
    let bed = Bed::start().await;
    let token = bed.testbed.issuer.token().subject("anna").sign();
    let refused = bed.page(&token).await;
    refused.refused(403, "approval_required");
    let id = bed.testbed.session(&token).await["id"].as_str().expect("an id").to_owned();
    let url = format!("https://portcullis.example.com/requests/new?session={id}");
    assert_eq!(refused.json()["request_url"], json!(url));
    bed.testbed.get("/me").bearer(&token).await.passes();

    let request = bed.ask(&token, "4s").await;
    bed.decide(RITA, &request, "approve").await.status(403);
    bed.page(&token).await.refused(403, "approval_required");
    let began = Instant::now();
    bed.decide(BEN, &request, "approve").await.status(200);
    bed.page(&token).await.passes();
    bed.decide(BEN, &request, "approve").await.status(409);

    let mut socket = bed.testbed.open(Kind::WebSocket, &token).await;
    socket.flows().await;
    socket.is_cut().await;
    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_millis(3_900) && lasted < Duration::from_secs(6), "{lasted:?}");
    bed.page(&token).await.refused(403, "approval_required");
    bed.testbed.get("/me").bearer(&token).await.passes();
    until("the end is in the audit", async || {
        let lines = bed.testbed.service.audit();
        lines.iter().any(|line| line["event"] == "grant_ended" && line["reason"] == "expired").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_stays_refused_and_what_is_revoked_is_cut() {
    let bed = Bed::start().await;
    let token = bed.testbed.issuer.token().subject("bert").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let denied = bed.ask(&token, "1h").await;
    bed.decide(BEN, &denied, "deny").await.status(200);
    bed.page(&token).await.refused(403, "approval_required");
    bed.decide(BEN, &denied, "approve").await.status(409);

    let request = bed.ask(&token, "1h").await;
    let approved = bed.decide(BEN, &request, "approve").await.status(200).json();
    let mut socket = bed.testbed.open(Kind::WebSocket, &token).await;
    socket.flows().await;
    bed.testbed.service.kill();
    bed.testbed.service.restart().await;
    bed.testbed
        .get("/page")
        .bearer(&token)
        .until("there are verdicts again", |answer| answer.status != 503)
        .await
        .passes();
    let mut socket = bed.testbed.open(Kind::WebSocket, &token).await;
    let grant = approved["grant"]["id"].as_str().expect("a grant");
    bed.call(BEN, &format!("/v1/grants/{grant}/revoke"), json!({})).await.status(200);
    socket.is_cut().await;
    bed.page(&token).await.refused(403, "approval_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_let_nobody_in_before_two_people_have_approved() {
    let bed = Bed::ruled(json!({"decide": [{"admins": ["ben"]}, {"admins": ["ben", "cara"]}]})).await;
    let token = bed.testbed.issuer.token().subject("emil").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let request = bed.ask(&token, "1h").await;
    bed.decide(BEN, &request, "approve").await.status(200);
    bed.page(&token).await.refused(403, "approval_required");
    bed.decide(BEN, &request, "approve").await.status(403);
    bed.page(&token).await.refused(403, "approval_required");
    bed.decide(CARA, &request, "approve").await.status(200);
    bed.page(&token).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_in_time_expires_and_stays_refused() {
    let bed = Bed::ruled(json!({"pending_for": "1s"})).await;
    let token = bed.testbed.issuer.token().subject("fine").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let request = bed.ask(&token, "1h").await;
    until("the request has expired", async || {
        (bed.shown(&format!("/v1/requests/{request}")).await["state"] == "expired").then_some(())
    })
    .await;
    bed.decide(BEN, &request, "approve").await.status(409);
    bed.page(&token).await.refused(403, "approval_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_is_let_in_at_once_and_reviewed_by_somebody_else() {
    let bed = Bed::ruled(json!({"break_glass": {"who": {"admins": ["rita"]}, "max_duration": "15m"}})).await;
    let token = bed.testbed.issuer.token().subject("gina").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let session = bed.testbed.session(&token).await["id"].clone();
    let body = json!({
        "session": session, "scopes": ["orders:read"], "reason": "it burns", "duration": "15m", "emergency": true,
    });
    let taken = bed.call(RITA, "/v1/requests", body).await.status(201).json();
    bed.page(&token).await.passes();
    assert_eq!(taken["review"], json!("open"));
    let request = taken["id"].as_str().expect("an id");
    bed.decide(RITA, request, "review").await.status(403);
    let reviewed = bed.decide(BEN, request, "review").await.status(200).json();
    assert_eq!(reviewed["review"], json!("closed"));
    bed.page(&token).await.passes();
    until("it is in the audit", async || {
        bed.testbed.service.audit().iter().any(|line| line["event"] == "break_glass").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_escalation_becomes_a_request_and_its_approval_lets_the_token_in() {
    let bed = Bed::start().await;
    let token = bed.testbed.issuer.token().subject("hugo").scopes("openid");
    let narrow = token.clone().sign();
    bed.testbed.get("/me").bearer(&narrow).await.passes();
    let more = token.scopes("openid orders:read").sign();
    bed.page(&more).await.refused(403, "scope_escalation");
    let request = until("the escalation is a request", async || {
        let listed = bed.shown("/v1/requests?state=pending").await;
        listed["requests"].as_array().expect("a list").first().cloned()
    })
    .await;
    assert_eq!((&request["escalation"], &request["scopes"]), (&json!(true), &json!(["orders:read"])));
    let approve = format!("/v1/requests/{}/approve", request["id"].as_str().expect("an id"));
    bed.call(BEN, &approve, json!({"for": "session"})).await.status(200);
    bed.page(&more).await.passes();
    bed.page(&narrow).await.refused(403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_requests_one_passes_by_an_approval_for_one_request() {
    let bed = Bed::start().await;
    let token = bed.testbed.issuer.token().subject("ines").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let request = bed.ask(&token, "1h").await;
    bed.call(BEN, &format!("/v1/requests/{request}/approve"), json!({"once": true})).await.status(200);
    let pages = (0..8).map(|_| bed.page(&token));
    let answers = futures_util::future::join_all(pages).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(403, "approval_required");
    }
    let grant = bed.shown(&format!("/v1/requests/{request}")).await["grant"].clone();
    assert_eq!((&grant["state"], &grant["once"]), (&json!("used"), &json!(true)), "{grant}");
    bed.testbed.service.kill();
    bed.testbed.service.restart().await;
    bed.testbed
        .get("/page")
        .bearer(&token)
        .until("there are verdicts again", |answer| answer.status != 503)
        .await
        .refused(403, "approval_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_an_approval_for_one_request_has_opened_goes_on_until_the_grant_is_revoked() {
    let bed = Bed::start().await;
    let token = bed.testbed.issuer.token().subject("jana").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let request = bed.ask(&token, "1h").await;
    let approve = format!("/v1/requests/{request}/approve");
    let approved = bed.call(BEN, &approve, json!({"once": true})).await.status(200).json();
    let mut socket = bed.testbed.open(Kind::WebSocket, &token).await;
    socket.flows().await;
    bed.page(&token).await.refused(403, "approval_required");
    socket.flows().await;
    let grant = approved["grant"]["id"].as_str().expect("a grant");
    bed.call(BEN, &format!("/v1/grants/{grant}/revoke"), json!({})).await.status(200);
    socket.is_cut().await;
}
