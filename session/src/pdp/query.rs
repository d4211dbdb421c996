//! What a decision point is asked: the information model of the standard, with what conditions would know as properties.

use crate::clock::rfc3339;
use serde_json::{Map, Value, json};

/// A question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// The session, by its public id, with its parties.
    pub(crate) session: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) client: String,
    /// The scopes that it has.
    pub(crate) scopes: Vec<String>,
    /// The authentication context of its login; empty: unknown.
    pub(crate) acr: String,
    pub(crate) method: String,
    /// The route, with its class (may be empty) and tags.
    pub(crate) route: String,
    pub(crate) class: String,
    pub(crate) tags: Vec<String>,
    /// What is known of the request; empty where it is not.
    pub(crate) host: String,
    pub(crate) address: String,
    pub(crate) country: String,
    pub(crate) now_ms: u64,
}

impl Query {
    /// The body of an Access Evaluation request.
    pub(super) fn body(&self) -> Value {
        let subject = properties([
            ("issuer", self.issuer.as_str().into()),
            ("subject", self.subject.as_str().into()),
            ("client_id", self.client.as_str().into()),
            ("scopes", self.scopes.clone().into()),
            ("acr", self.acr.as_str().into()),
        ]);
        let resource = properties([("class", self.class.as_str().into()), ("tags", self.tags.clone().into())]);
        let context = properties([
            ("time", rfc3339(self.now_ms).into()),
            ("host", self.host.as_str().into()),
            ("ip", self.address.as_str().into()),
            ("country", self.country.as_str().into()),
        ]);
        json!({
            "subject": {"type": "session", "id": self.session, "properties": subject},
            "action": {"name": self.method},
            "resource": {"type": "route", "id": self.route, "properties": resource},
            "context": context,
        })
    }

    /// The body of an Access Evaluations request.
    pub(super) fn bodies(all: &[&Self]) -> Value {
        json!({"evaluations": all.iter().map(|query| query.body()).collect::<Vec<_>>()})
    }
}

/// Those that are known.
fn properties<const N: usize>(all: [(&str, Value); N]) -> Map<String, Value> {
    let is_known = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    all.into_iter().filter(|(_, value)| is_known(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_members_of_the_standard_and_only_what_is_known() {
        let text = str::to_owned;
        let query = Query {
            session: text("5d41"),
            issuer: text("https://id"),
            subject: text("alice"),
            scopes: vec![text("orders:read")],
            method: text("GET"),
            route: text("orders"),
            tags: vec![text("pii")],
            address: text("192.0.2.1"),
            ..Query::default()
        };
        let wanted = json!({
            "subject": {
                "type": "session", "id": "5d41",
                "properties": {"issuer": "https://id", "subject": "alice", "scopes": ["orders:read"]},
            },
            "action": {"name": "GET"},
            "resource": {"type": "route", "id": "orders", "properties": {"tags": ["pii"]}},
            "context": {"time": "1970-01-01T00:00:00Z", "ip": "192.0.2.1"},
        });
        assert_eq!(query.body(), wanted);
        assert_eq!(Query::bodies(&[&query, &query]), json!({"evaluations": [wanted, wanted]}));
    }
}
