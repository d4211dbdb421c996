//! The token endpoint of the session service in front of a server that this project did not write, with its own rotation of
//! refresh tokens on and off: a person works on tokens of seconds, and a stolen handle ends everything.

use super::{EVERY_WORKER, beside, trusts_jwts};
use portcullis_tests::{
    Algorithm, Answer, Client, Key, Testbed,
    oauth::{FORM, JWT, OAuthServer, client_authentication},
    policy, sign_with, until,
};
use serde_json::{Value, json};
use std::path::Path;

const SCOPE: &str = "orders:read orders:write";

/// The issuer of our own tokens.
const OWN: &str = "https://portcullis.example.com";

/// A policy that accepts our own tokens as those of the server's sessions, besides the server's.
fn trusts_ours(server: &OAuthServer) -> Value {
    let mut policy = trusts_jwts(server, policy::patient());
    let mut own = policy["issuers"][1].clone();
    own["issuer"] = json!(OWN);
    own["minted_for"] = json!(server.issuer);
    own["clock_skew"] = json!("1s");
    own["keys"] = json!({"jwks_url": "http://session/.well-known/jwks.json", "cluster": "session", "refresh": "10m"});
    policy["issuers"].as_array_mut().expect("a list of issuers").push(own);
    policy
}

async fn testbed(server: &OAuthServer, ttl: &str) -> Testbed {
    let (issuer, ttl) = (server.issuer.clone(), ttl.to_owned());
    let with_tokens = move |config: &mut Value| {
        let signing = sign_with(config, &Key::new(Algorithm::ES256));
        let key = Path::new(&signing).with_file_name("tokens.key");
        std::fs::write(&key, "A".repeat(43)).expect("the key can be written");
        config["tokens"] = json!({
            "issuers": [{"issuer": issuer, "discovery": format!("{issuer}/.well-known/openid-configuration")}],
            "encryption": {"keys": [{"file": key, "kid": "t1"}]},
            "issue": {"ttl": ttl, "audience": "orders-api"},
        });
    };
    let testbed = beside(server, trusts_ours(server)).session(with_tokens).start().await;
    testbed.ready().await;
    testbed
}

/// A client that gets its tokens at the service.
struct Person<'t> {
    testbed: &'t Testbed,
    access: String,
    handle: String,
}

async fn token(testbed: &Testbed, form: String) -> Answer {
    let call = Client::new(testbed.service.address()).call("POST", "/oauth2/token");
    let call = call.header("authorization", client_authentication("web")).header("content-type", FORM);
    call.body(form).fresh().await
}

impl<'t> Person<'t> {
    async fn log_in(testbed: &'t Testbed, server: &OAuthServer) -> Self {
        let (exchange, _) = server.authorize("anna", JWT, SCOPE).await;
        let mut person = Self { testbed, access: String::new(), handle: String::new() };
        person.take(&token(testbed, exchange).await);
        // Every worker has to fetch the keys of our own tokens.
        for _ in 0..EVERY_WORKER {
            let call = testbed.get("/orders").bearer(&person.access).fresh();
            call.until("the keys are there", |answer| answer.status != 503).await;
        }
        person
    }

    fn take(&mut self, answer: &Answer) {
        let body = answer.status(200).json();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
        (self.access, self.handle) = (text("access_token"), text("refresh_token"));
    }

    fn form(&self) -> String {
        format!("grant_type=refresh_token&refresh_token={}", self.handle)
    }

    async fn refresh(&mut self) {
        let answer = token(self.testbed, self.form()).await;
        self.take(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn a_person_works_on_tokens_of_seconds_without_a_break() {
    for rotates in ["on", "off"] {
        let server = OAuthServer::start(&["--sid", "--rotate", rotates, "--ttl", "20"]).await;
        let testbed = testbed(&server, "3s").await;
        let mut person = Person::log_in(&testbed, &server).await;
        let (first, mut sessions) = (person.access.clone(), Vec::new());
        for _ in 0..10 {
            person.refresh().await;
            let answer = testbed.get("/orders").bearer(&person.access).await;
            assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"]);
            sessions.extend(answer.echoed("x-portcullis-session"));
        }
        sessions.dedup();
        assert_eq!(sessions.len(), 1, "{rotates}: one session by all of them");
        until("the first token has expired", async || {
            let answer = testbed.get("/orders").bearer(&first).fresh().await;
            (answer.status == 401).then(|| answer.refused(401, "token_expired").code())
        })
        .await;

        person.refresh().await;
        testbed.service.admin().revoke(&sessions.concat()).await;
        testbed.get("/orders").bearer(&person.access).await.refused(401, "session_revoked");
        let refused = token(&testbed, person.form()).await;
        assert_eq!(refused.status(400).json()["error"], "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn a_stolen_handle_ends_the_session_at_every_proxy_and_the_tokens_at_the_issuer() {
    for rotates in ["on", "off"] {
        let server = OAuthServer::start(&["--sid", "--rotate", rotates]).await;
        let testbed = testbed(&server, "60s").await;
        let mut person = Person::log_in(&testbed, &server).await;
        let stolen = person.form();
        person.refresh().await;
        let again = token(&testbed, stolen.clone()).await;
        assert_eq!(again.status(200).json()["refresh_token"], json!(person.handle), "{rotates}: a retry");
        person.refresh().await;
        testbed.get("/orders").bearer(&person.access).await.passes();
        let refused = token(&testbed, stolen).await;
        assert_eq!(refused.status(400).json()["error"], "invalid_grant");
        testbed.get("/orders").bearer(&person.access).await.refused(401, "session_revoked");
        let refused = token(&testbed, person.form()).await;
        assert_eq!(refused.status(400).json()["error"], "invalid_grant");
        until("the issuer has revoked the refresh token", async || {
            let ended = testbed.service.audit().into_iter().find(|line| line["event"] == "family_ended");
            ended.filter(|line| line["reason"] == "reused")
        })
        .await;
        let output = testbed.service.output();
        assert!(!output.contains(&person.handle) && !output.contains(&person.access), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: make test-faults"]
async fn refreshing_in_the_background_keeps_no_session_alive() {
    let server = OAuthServer::start(&["--sid", "--rotate", "on"]).await;
    let testbed = testbed(&server, "60s").await;
    let mut person = Person::log_in(&testbed, &server).await;
    let answer = testbed.get("/orders").bearer(&person.access).await;
    let session = answer.passes().echoed("x-portcullis-session").concat();
    let seen = testbed.service.admin().session(&session).await["last_seen_at"].clone();
    for _ in 0..3 {
        person.refresh().await;
    }
    assert_eq!(testbed.service.admin().session(&session).await["last_seen_at"], seen);
}
