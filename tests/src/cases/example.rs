//! An example and its testbed: the example's policy with the testbed's issuers in place of its own.

use super::facts;
use crate::{
    Algorithm, Builder, Introspection, Issuer, Key, Testbed, TokenBuilder, key::base64url, paths, policy, sign_with,
    token::now_s,
};
use portcullis_cli::policy::cases::{Bearer, Case, Cases, Quality};
use portcullis_engine::policy::{Issuer as PolicyIssuer, Policy, Protocol};
use portcullis_engine::token::Unverified;
use serde_json::{Map, Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Envoy's clusters of the testbed's issuers, which replace the example's issuers in turns.
const ISSUERS: [&str; 2] = ["id", "partner"];
/// The cluster of the introspection endpoint.
const ENDPOINT: &str = "oauth";

/// The host of the routes that are added to the policy.
pub(super) const HOST: &str = "harness.example.net";
/// A route for every caller with a token, whose requests do not count as activity.
pub(super) const BACKGROUND: &str = "/background";

/// Access types whose limits pass soon; only sessions that name them have them.
pub(super) const IDLE: &str = "harness-idle";
pub(super) const OVER: &str = "harness-over";
pub(super) const SOON: &str = "harness-soon";

/// New connections that are enough to meet every worker of Envoy.
pub(super) const EVERY_WORKER: usize = 12;

/// An example and its cases.
pub struct Example {
    /// The name of its directory.
    pub name: String,
    /// Its cases.
    pub cases: Cases,
    policy: Value,
    checked: Policy,
}

/// A case's token.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// The text after `Bearer `; `None` for a request without a token.
    pub(super) token: Option<String>,
    pub(super) claims: Map<String, Value>,
    pub(super) scopes: Vec<String>,
    /// The key of its session within the issuer, and the session's public id.
    pub(super) key: String,
    pub(super) session: String,
    pub(super) client: String,
}

impl Example {
    /// Reads an example.
    pub fn read(name: &str) -> Self {
        let cases = Cases::read(&policy::example_file(name, "cases.yaml"));
        let mut cases = cases.unwrap_or_else(|fault| panic!("{fault:?}"));
        cases.list = cases.list.into_iter().map(facts::carried).collect();
        let policy = policy::example(name);
        let checked = Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        Self { name: name.to_owned(), cases, policy, checked }
    }

    /// Where the case is written: file, line and column.
    pub(super) fn place(&self, case: &Case) -> String {
        let (line, column) = self.cases.position(&case.place);
        format!("examples/{}/cases.yaml:{line}:{column}: {}", self.name, case.name)
    }

    pub(super) fn is_introspected(&self) -> bool {
        let session = self.checked.session.as_ref();
        session.is_some_and(|session| matches!(session.protocol, Protocol::Introspection(_)))
    }

    fn issuers(&self) -> &[PolicyIssuer] {
        &self.checked.issuers
    }

    /// A testbed with this example's policy and conditions, ready on every worker.
    pub(super) async fn testbed(&self, enrolment: &'static str) -> Testbed {
        self.testbed_with(enrolment, |_| ()).await
    }

    /// The same, with a service of this configuration.
    pub async fn testbed_with(
        &self,
        enrolment: &'static str,
        edit: impl FnOnce(&mut Value) + Send + 'static,
    ) -> Testbed {
        let mut policy = self.policy.clone();
        let issuers = policy["issuers"].as_array_mut().expect("a list of issuers");
        for (issuer, cluster) in issuers.iter_mut().zip(ISSUERS.iter().cycle()) {
            issuer["algorithms"] = json!(["ES256"]);
            issuer["keys"] = json!({"jwks_url": "http://127.0.0.1:9000/jwks", "cluster": cluster, "refresh": "10m"});
        }
        policy["session"]["cluster"] = json!("session");
        policy["routes"].as_array_mut().expect("a list of routes").push(json!({
            "name": "harness.background", "match": {"hosts": [HOST], "path": BACKGROUND},
            "authenticated": true, "session": {"touch": false},
        }));
        let (access, undated_logins) = (self.access(), self.session_file()["undated_logins"].clone());
        let mints = !self.session_file()["signing"].is_null();
        let conditions = self.conditions();
        let has_conditions = !conditions.is_null();
        let session = move |config: &mut Value| {
            config["access"] = access;
            if !undated_logins.is_null() {
                config["undated_logins"] = undated_logins;
            }
            if !conditions.is_null() {
                config["conditions"] = conditions;
            }
            config["enrolment"] = json!(enrolment);
            if mints {
                sign_with(config, &Key::new(Algorithm::ES256));
            }
            edit(config);
        };
        let mut builder = Testbed::builder().policy(policy).session(session);
        if has_conditions {
            builder = builder.bootstrap(facts::edge);
        }
        let testbed = builder.start().await;
        self.warm(&testbed).await;
        testbed
    }

    /// The example's own access types, if any, after those whose limits pass soon.
    fn access(&self) -> Value {
        let nobody = json!({"client": ["harness-nobody"]});
        let mut types = vec![
            json!({"name": IDLE, "when": nobody, "idle": "1s"}),
            json!({"name": OVER, "when": nobody, "absolute": "1s"}),
            json!({"name": SOON, "when": nobody, "absolute": "4s"}),
        ];
        match self.session_file()["access"].clone() {
            Value::Array(own) => types.extend(own),
            _ => types.push(json!({"name": "all", "absolute": "8h", "idle": "30m"})),
        }
        Value::Array(types)
    }

    /// The example's own conditions, if it has some.
    fn conditions(&self) -> Value {
        let mut conditions = self.session_file()["conditions"].clone();
        if let Some(directory) = conditions["cedar"].as_str() {
            conditions["cedar"] = json!(policy::example_file(&self.name, directory));
        }
        conditions
    }

    /// The configuration of the example's session service, if it has one.
    fn session_file(&self) -> Value {
        let file = policy::example_file(&self.name, "session.yaml");
        if file.exists() { paths::yaml(&file) } else { Value::Null }
    }

    /// Waits until every worker has the keys of every issuer, and a check stream.
    async fn warm(&self, testbed: &Testbed) {
        for issuer in self.issuers() {
            let bearer = Bearer {
                issuer: Some(issuer.issuer.to_string()),
                quality: Quality::Good,
                scopes: None,
                claims: Vec::new(),
                without: Vec::new(),
            };
            for _ in 0..EVERY_WORKER {
                let sent = self.sign(testbed, &bearer);
                let call = testbed.get(BACKGROUND).host(HOST).bearer(sent.token.as_deref().unwrap_or_default());
                call.until("the filter is warm", |answer| answer.status != 503).await;
            }
        }
    }

    /// A testbed in which an introspection endpoint answers in place of the session service.
    pub(super) async fn introspected_testbed(&self) -> (Testbed, Introspection) {
        let endpoint = Introspection::start().await;
        let mut policy = self.policy.clone();
        policy["session"]["cluster"] = json!(ENDPOINT);
        policy["session"]["path"] = json!("/introspect");
        let builder: Builder = Testbed::builder().policy(policy).cluster(ENDPOINT, endpoint.address.port());
        (builder.start().await, endpoint)
    }

    /// Signs the token of a case.
    pub(super) fn token(&self, testbed: &Testbed, case: &Case) -> Sent {
        case.bearer.as_ref().map_or_else(Sent::nothing, |bearer| self.sign(testbed, bearer))
    }

    /// An opaque token, and the claims that its introspection returns.
    pub(super) fn opaque_token(&self, case: &Case) -> Sent {
        let sent = case.bearer.as_ref().map_or_else(Sent::nothing, |bearer| self.claims(bearer));
        let token = case.bearer.as_ref().map(|_| format!("opaque-{}", sent.key));
        Sent { token, ..sent }
    }

    fn sign(&self, testbed: &Testbed, bearer: &Bearer) -> Sent {
        let sent = self.claims(bearer);
        let mut token = self.unsigned(testbed, bearer, &sent);
        if bearer.quality == Quality::Forged {
            token = token.signed_by(&Arc::new(Key::new(Algorithm::ES256)));
        }
        Sent { token: Some(token.sign().text), ..sent }
    }

    /// A token of the same session that was issued `seconds` ago and does not state when the login was.
    pub(super) fn earlier(&self, testbed: &Testbed, case: &Case, sent: &Sent, seconds: u64) -> Option<String> {
        let token = self.unsigned(testbed, case.bearer.as_ref()?, sent).without("auth_time");
        let iat = now_s() - i64::try_from(seconds).unwrap_or(i64::MAX);
        Some(token.claim("iat", json!(iat)).sign().text)
    }

    fn unsigned(&self, testbed: &Testbed, bearer: &Bearer, sent: &Sent) -> TokenBuilder {
        let known = bearer.issuer(self.issuers());
        let index = self.issuers().iter().position(|issuer| Some(issuer) == known);
        let is_partner = index.is_some_and(|index| index % ISSUERS.len() == 1);
        let issuer: &Issuer = if is_partner { &testbed.partner } else { &testbed.issuer };
        let typ = known.and_then(|issuer| issuer.token_types.first()).map_or("at+jwt", String::as_str);
        let token = issuer.token().header("typ", json!(typ)).without_claims();
        sent.claims.iter().fold(token, |token, (name, value)| token.claim(name, value.clone()))
    }

    fn claims(&self, bearer: &Bearer) -> Sent {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut claims = bearer.claims(self.issuers(), now_s(), &format!("case-{number}"));
        // A person of its own: what a case takes from a party holds for all of its sessions.
        if !bearer.claims.iter().any(|(name, _)| name == "sub") && claims.contains_key("sub") {
            claims.insert("sub".to_owned(), json!(format!("person-{number}")));
        }
        let names = bearer.issuer(self.issuers()).map(|issuer| issuer.claim_names.clone()).unwrap_or_default();
        let token = format!("{}.{}.AA", base64url("{}"), base64url(json!(claims).to_string()));
        // A token that cannot be read names no session: its case expects that it is refused.
        let facts = Unverified::read(&token, |_| &names).ok().map(|read| read.facts);
        let Some(facts) = facts else { return Sent { claims, ..Sent::nothing() } };
        Sent {
            token: None,
            scopes: facts.scopes,
            key: facts.session_key.as_str().to_owned(),
            session: facts.session_id.to_string(),
            client: facts.client_id.unwrap_or_default(),
            claims,
        }
    }
}

impl Sent {
    fn nothing() -> Self {
        Self {
            token: None,
            claims: Map::new(),
            scopes: Vec::new(),
            key: String::new(),
            session: String::new(),
            client: String::new(),
        }
    }

    /// The body that opens its session at the admin API, with `more` members.
    pub(super) fn opening(&self, more: Value) -> Value {
        let text = |name: &str| self.claims.get(name).cloned().unwrap_or_else(|| json!(""));
        let mut opening = json!({
            "issuer": text("iss"), "key": self.key, "subject": text("sub"), "client_id": self.client,
            "scopes": self.scopes,
        });
        for (name, value) in more.as_object().expect("an object") {
            opening[name] = value.clone();
        }
        opening
    }
}
