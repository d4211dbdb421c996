//! Hands checkpoints of the audit log to a webhook. Each one covers all before it, so only the newest is tried: what could not
//! be delivered is covered by the next one, and nothing has to be kept.

use super::endpoint::{Endpoint, Message};
use super::message::{body, escaped};
use super::metrics::Became;
use crate::audit_log::{Signed, signed};
use crate::log::Sampler;
use crate::notices::wait_ms;
use crate::service::Service;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// The event of a checkpoint.
pub(crate) const AUDIT_CHECKPOINT: &str = "audit_checkpoint";

/// The longest time between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A checkpoint that could not be delivered so far.
#[derive(Debug, Clone)]
pub(crate) struct Stuck {
    /// The name of the webhook.
    pub(crate) webhook: String,
    /// The id of its message.
    pub(crate) id: String,
    /// When it was signed.
    pub(crate) at_ms: u64,
    /// How many attempts have failed in a row, with the checkpoints that it covers.
    pub(crate) attempts: u32,
    /// When the next one is.
    pub(crate) next_at_ms: u64,
    /// What became of the last one.
    pub(crate) error: String,
}

#[derive(Serialize)]
struct Data<'d> {
    origin: &'d str,
    size: u64,
    checkpoint: &'d str,
}

/// For ever.
pub(super) async fn send(service: Arc<Service>, endpoint: Arc<Endpoint>) {
    let mut newest = signed();
    let mut failures: u32 = 0;
    // The first may have been signed before this began.
    newest.mark_changed();
    while newest.changed().await.is_ok() {
        loop {
            let signed = newest.borrow_and_update().clone();
            let Some(signed) = signed else { break };
            let (id, now_ms) = (id(&signed), service.clock.now_ms());
            let message = Message { id: id.clone(), timestamp: now_ms / 1_000, body: said(&signed) };
            let Err(error) = endpoint.deliver(message).await else {
                service.metrics.webhooks.count(&endpoint.name, Became::Delivered);
                service.webhooks.set_stuck(None);
                failures = 0;
                break;
            };
            service.metrics.webhooks.count(&endpoint.name, Became::Failed);
            failures = failures.saturating_add(1);
            failed(&endpoint, &error);
            let wait = Duration::from_millis(wait_ms(failures)).min(WAIT_MAX);
            let next_at_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or_default());
            let webhook = endpoint.name.clone();
            let stuck = Stuck { webhook, id, at_ms: signed.at_ms, attempts: failures, next_at_ms, error };
            service.webhooks.set_stuck(Some(stuck));
            tokio::time::sleep(wait).await;
        }
    }
}

/// The same for the same checkpoint, after a restart, too.
fn id(signed: &Signed) -> String {
    let digest = Sha256::digest(signed.note.as_bytes());
    let first: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{AUDIT_CHECKPOINT}_{}_{first}", signed.size)
}

fn said(signed: &Signed) -> Vec<u8> {
    let Signed { origin, size, note, at_ms } = signed;
    let text = format!("The audit log `{}` has {size} records:\n```\n{}```", escaped(origin), escaped_lines(note));
    body(AUDIT_CHECKPOINT, *at_ms, text, &Data { origin, size: *size, checkpoint: note })
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}

fn failed(endpoint: &Endpoint, error: &str) {
    static FAILED: Sampler = Sampler::new();
    if let Some(not_logged) = FAILED.admit() {
        let webhook = &endpoint.name;
        warn!(webhook, error, not_logged, "cannot deliver a checkpoint of the audit log to a webhook");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_handed_over_as_it_was_signed() {
        let note = "audit.example/1\n5\nq1w2=\n\n— audit.example/1 abc=\n";
        let signed = Signed { origin: "audit.example/1".to_owned(), size: 5, note: note.to_owned(), at_ms: 1_000 };
        let body: serde_json::Value = serde_json::from_slice(&said(&signed)).unwrap();
        assert_eq!((&body["type"], &body["data"]["checkpoint"]), (&"portcullis.audit_checkpoint".into(), &note.into()));
        assert!(body["text"].as_str().unwrap().contains(note), "{body}");
        assert_eq!(id(&signed), id(&signed.clone()));
        assert_ne!(id(&signed), id(&Signed { note: note.replace("q1w2", "q1w3"), ..signed }));
    }
}
