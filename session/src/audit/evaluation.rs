//! The audit of evaluations that another enforcement point has asked for.

use super::Audit;
use crate::token::Token;
use portcullis_contract::wire::Condition;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::PoisonError;
use tracing::info;

/// Denials that are remembered as reported. When there are more, all are reported once again.
const REPORTED_MAX: usize = 10_000;

/// An evaluation whose decision is `false`.
#[derive(Debug)]
pub(crate) struct DeniedEvaluation<'d> {
    /// Whom it is about, if that is known.
    pub(crate) token: Option<&'d Token>,
    /// The route and the method, as the caller names them.
    pub(crate) route: &'d str,
    pub(crate) action: &'d str,
    /// Why.
    pub(crate) outcome: &'d str,
    /// The condition that denies; empty: none.
    pub(crate) condition: &'d Condition,
}

impl DeniedEvaluation<'_> {
    fn digest(&self) -> u64 {
        let whom = self.token.map(|token| (token.id, token.digest));
        let what = (self.route, self.action, self.outcome, &self.condition.id);
        BuildHasherDefault::<DefaultHasher>::default().hash_one((whom, what))
    }
}

impl Audit {
    /// An evaluation was denied. A caller that asks the same again and again is reported once.
    pub(crate) fn denied_evaluation(&self, denied: &DeniedEvaluation<'_>) {
        let mut reported = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= REPORTED_MAX {
            reported.clear();
        }
        let is_new = reported.insert(denied.digest());
        drop(reported);
        if !is_new {
            return;
        }
        let &DeniedEvaluation { token, route, action, outcome, condition } = denied;
        // What is asked about by its id has no token.
        let digest = token.filter(|token| token.digest != 0).map(|token| format!("{:016x}", token.digest));
        info!(
            target: "audit", event = "evaluation_denied", session = token.map(|token| token.id.to_string()),
            issuer = token.map(|token| &*token.issuer), subject = token.map(|token| &*token.subject),
            client_id = token.map(|token| &*token.client), route, action, outcome, condition = given(&condition.id),
            stated_reason = given(&condition.reason), token = digest,
        );
    }
}

/// A text; `None` if it is empty.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Fixture, T0, person};
    use serde_json::Value;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_denial_is_reported_once_and_another_one_too() {
        let (fixture, log) = (Fixture::new(), Log::default());
        let token = person("s", T0);
        let named = Condition { id: "place".to_owned(), reason: "not here".to_owned(), ..Condition::default() };
        let nothing = Condition::default();
        let denied = DeniedEvaluation {
            token: Some(&token),
            route: "orders",
            action: "GET",
            outcome: "condition_failed",
            condition: &named,
        };
        let unknown = DeniedEvaluation { token: None, outcome: "session_unknown", condition: &nothing, ..denied };
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            for denied in [&denied, &denied, &unknown, &denied, &unknown] {
                fixture.audit.denied_evaluation(denied);
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(
            ["target", "event", "subject", "condition", "stated_reason"].map(|name| lines[0][name].as_str().unwrap()),
            ["audit", "evaluation_denied", "alice", "place", "not here"]
        );
        assert_eq!((lines[1]["outcome"].as_str(), lines[1].get("session")), (Some("session_unknown"), None));
    }
}
