//! Everything whose answer promises that requests are refused from then on.

use portcullis_tests::{Call, Client, Refusal, Service, Testbed, Token, Transmitter, policy, scenario::rfc3339};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

const RITA: &str = "rita-rita-rita-rita-rita";

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Session,
    Subject,
    Client,
    /// Of all sessions that began before an instant to come.
    NotBefore,
    Block,
    Narrowing,
    OAuth,
    Acr,
    Logout,
    Signal,
    EndOfGrant,
    Attribute,
    Conditions,
}

/// Those that any replica answers. The others are about what one of them has been told.
pub(super) const OF_REPLICAS: [Change; 8] = [
    Change::Session,
    Change::Subject,
    Change::Narrowing,
    Change::OAuth,
    Change::Block,
    Change::Client,
    Change::Acr,
    Change::NotBefore,
];

pub(super) const ALL: [Change; 13] = [
    Change::Session,
    Change::EndOfGrant,
    Change::Subject,
    Change::Logout,
    Change::Narrowing,
    Change::Attribute,
    Change::Client,
    Change::OAuth,
    Change::Conditions,
    Change::Block,
    Change::Signal,
    Change::Acr,
    Change::NotBefore,
];

impl Change {
    /// What is refused.
    pub(super) fn refusal(self) -> Refusal {
        let refusal = |path, status, code| Refusal { path, status, code };
        match self {
            Self::Block => refusal("/me", 403, "blocked"),
            Self::Narrowing => refusal("/orders", 403, "insufficient_scope"),
            Self::Acr => refusal("/strong", 401, "step_up_required"),
            Self::EndOfGrant => refusal("/granted", 403, "approval_required"),
            Self::Attribute => refusal("/risky", 403, "condition_failed"),
            Self::Conditions => refusal("/closed", 403, "condition_failed"),
            Self::Session
            | Self::Subject
            | Self::Client
            | Self::NotBefore
            | Self::OAuth
            | Self::Logout
            | Self::Signal => Refusal::REVOKED,
        }
    }
}

/// What all of them need.
pub(super) struct Changes {
    transmitter: Transmitter,
    folder: TempDir,
}

impl Changes {
    pub(super) fn new() -> Self {
        let changes = Self { transmitter: Transmitter::default(), folder: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(changes.conditions()).expect("a folder can be made");
        changes.write_conditions(0);
        changes
    }

    /// The policy, with a route for each refusal.
    pub(super) fn policy(lease: Duration) -> Value {
        let policy = policy::with_routes(json!([
            {"name": "me", "match": {"path": "/me"}, "authenticated": true},
            {"name": "orders", "match": {"path": "/orders"}, "require": {"all_of": ["orders:read"]}},
            {"name": "granted", "match": {"path": "/granted"}, "require": {"all_of": ["orders:write"]}},
            {"name": "strong", "match": {"path": "/strong"}, "authenticated": true, "acr": ["aal2"]},
            {"name": "risky", "match": {"path": "/risky"}, "authenticated": true},
            {"name": "closed", "match": {"path": "/closed"}, "authenticated": true},
        ]));
        let mut policy = policy::leased(policy, &format!("{}ms", lease.as_millis()));
        policy["session"]["timeout"] = json!("1s");
        policy
    }

    /// The same, with an approval for what one of the routes needs.
    pub(super) fn policy_with_approvals(lease: Duration) -> Value {
        let mut policy = Self::policy(lease);
        policy["scopes"]["orders:write"]["approval"] = json!("required");
        policy
    }

    /// What the session service is configured with.
    pub(super) fn configure(&self) -> impl FnOnce(&mut Value) + Send + 'static {
        let credential = self.folder.path().join("rita");
        std::fs::write(&credential, RITA).expect("a credential can be written");
        let (transmitter, conditions) = (self.transmitter.configure(), self.conditions());
        move |config| {
            transmitter(config);
            let subject = json!({"issuer": "https://staff.example.com", "sub": "rita"});
            let scopes = ["portcullis:view", "portcullis:approve"];
            let credential = json!({"file": credential});
            config["admins"] =
                json!([{"name": "rita", "credential": credential, "scopes": scopes, "subject": subject}]);
            let rita = json!({"admins": ["rita"]});
            config["approvals"] = json!([{
                "name": "write", "scopes": ["orders:write"], "ask": rita, "decide": [rita], "max_duration": "1h",
                "break_glass": {"who": rita, "max_duration": "15m"},
            }]);
            config["conditions"] = json!({"cedar": conditions, "attributes": {"ticket": "String"}});
        }
    }

    /// A token of the session that a change is about.
    pub(super) fn token(testbed: &Testbed, number: usize) -> Token {
        let token = testbed.issuer.token().subject(&person(number)).client(&client(number)).session(&sid(number));
        token.scopes("orders:read orders:write").claim("acr", json!("aal2")).sign()
    }

    /// What has to be there before.
    pub(super) async fn prepare(&self, change: Change, testbed: &Testbed, token: &Token, number: usize) -> Prepared {
        let call = testbed.get(change.refusal().path).bearer(token);
        let mut prepared = Prepared { change, number, grant: String::new(), session: token.session.clone() };
        match change {
            Change::EndOfGrant => {
                call.until("the session is known", |answer| answer.code() == "approval_required").await;
                let body = json!({
                    "session": token.session, "scopes": ["orders:write"], "reason": "4711", "duration": "10m",
                    "emergency": true,
                });
                let client = Client::new(testbed.service.admin_address());
                let granted = client.call("POST", "/v1/requests").fresh().bearer(RITA).json(&body).await;
                let granted = granted.status(201).json();
                prepared.grant = granted["grant"]["id"].as_str().expect("a grant").to_owned();
            }
            Change::Conditions => {
                call.until("the session is known", |answer| answer.status == 200).await;
                let holder = format!("session/{}", token.session);
                testbed.service.admin().attribute(&holder, "", "ticket", &json!(ticket(number))).await;
            }
            _ => {}
        }
        prepared
    }

    /// The call at a service that makes it.
    pub(super) fn call(&self, prepared: &Prepared, testbed: &Testbed, service: &Service, token: &Token) -> Call {
        let Prepared { change, number, grant, session } = prepared;
        let (number, issuer) = (*number, &testbed.issuer.name);
        let admin = |method: &str, path: &str, body: Value| service.admin().call(method, path).json(&body);
        let of_session = |rest: &str| format!("/v1/sessions/{session}{rest}");
        let attribute = |name: &str, value: &str| {
            admin("PUT", &format!("/v1/attributes/session/{session}/{name}"), json!({"value": value}))
        };
        match change {
            Change::Session => admin("POST", &of_session("/revoke"), json!({})),
            Change::Subject => admin("POST", "/v1/revocations", json!({"issuer": issuer, "subject": person(number)})),
            Change::Client => admin("POST", "/v1/revocations", json!({"issuer": issuer, "client_id": client(number)})),
            Change::NotBefore => {
                let before = rfc3339(SystemTime::now() + Duration::from_secs(20));
                let body = json!({"issuer": issuer, "sid": sid(number), "before": before});
                admin("POST", "/v1/revocations", body)
            }
            Change::Block => admin("POST", "/v1/blocks", json!({"issuer": issuer, "subject": person(number)})),
            Change::Narrowing => admin("PATCH", &of_session(""), json!({"scopes": ["orders:write"]})),
            Change::OAuth => {
                let call = service.client().call("POST", "/oauth2/revoke").fresh().bearer(testbed.filter_credential());
                let call = call.header("content-type", "application/x-www-form-urlencoded");
                call.body(format!("token={}", token.text))
            }
            Change::Acr => attribute("acr", "aal1"),
            Change::Attribute => attribute("risk", "high"),
            Change::Logout => self.transmitter.logout(&sid(number)),
            Change::Signal => self.transmitter.session_revoked(&sid(number)),
            Change::EndOfGrant => admin("POST", &format!("/v1/grants/{grant}/revoke"), json!({})),
            Change::Conditions => {
                self.write_conditions(number);
                admin("POST", "/v1/conditions", json!({}))
            }
        }
    }

    fn conditions(&self) -> PathBuf {
        self.folder.path().join("conditions")
    }

    /// Conditions that refuse the sessions with a ticket of up to that number.
    fn write_conditions(&self, number: usize) {
        let closed: Vec<String> = (0..=number).map(|number| format!("{:?}", ticket(number))).collect();
        let text = format!(
            r#"@id("risk") @reason("the risk is high")
forbid (principal, action, resource == Portcullis::Route::"risky") when {{ context.risk == "high" }};
@id("closed") @reason("closed")
forbid (principal, action, resource == Portcullis::Route::"closed")
when {{ context.session has ticket && [{}].contains(context.session.ticket) }};
"#,
            closed.join(", ")
        );
        replace(&self.conditions().join("all.cedar"), &text);
    }
}

/// A change whose session is there.
pub(super) struct Prepared {
    pub(super) change: Change,
    number: usize,
    grant: String,
    session: String,
}

impl Prepared {
    /// What has ended already, and is told so, is not promised again: its session is revoked instead.
    pub(super) fn fall_back(&mut self) {
        self.change = Change::Session;
    }
}

fn person(number: usize) -> String {
    format!("person-{number}")
}

fn client(number: usize) -> String {
    format!("client-{number}")
}

fn sid(number: usize) -> String {
    format!("sid-{number}")
}

fn ticket(number: usize) -> String {
    format!("ticket-{number}")
}

/// Replaces a file at once: it may be read meanwhile.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("a file can be written");
    std::fs::rename(next, path).expect("a file can be moved");
}
