//! Security event tokens that are pushed (RFC 8935) or fetched.

use super::answer::{Code, Refusal};
use super::carry_out::{Recognized, carry_out, cut, report, unwritten};
use super::event::Event;
use super::keys::Unverified;
use super::order::Order;
use super::parties::Without;
use super::status::Fate;
use super::subject::Subject;
use super::transmitter::{Signed, Transmitter};
use crate::service::Service;
use crate::writer::{Applied, Signal};
use portcullis_contract::token::{SignatureError, Statement, Unproven};
use serde_json::Value;
use std::sync::Arc;
use tracing::{info, warn};

/// How long after a signal is too old to be accepted its receipt is kept: clocks differ.
const KEPT_BEYOND_MS: u64 = 60 * 60 * 1_000;

/// Receives a security event token.
pub(super) async fn receive(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let received = accept(service, transmitter, body).await;
    report(service, transmitter, received)
}

async fn accept(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let now_ms = service.clock.now_ms();
    let statement = verify(transmitter, body, now_ms).await?;
    let Some(signed) = &transmitter.settings.signed else {
        return Err(Refusal::request("this transmitter does not send such tokens"));
    };
    transmitter.admits(signed, &statement.audiences)?;
    let event = Event::of(&statement.claims)?;
    if matches!(event.kind.short(), Some("verification" | "stream-updated")) {
        // One that comes again shows nothing.
        return match is_first(service, transmitter, recognized(&statement, signed)).await? {
            true => Ok(note(transmitter, &event, &statement, now_ms)),
            false => Ok(Fate::Repeated),
        };
    }
    let actions = transmitter.settings.actions.of(&event.kind);
    let recognized = recognized(&statement, signed);
    if actions.is_empty() {
        return ignored(service, transmitter, &event, recognized, "`events` has no action for the event").await;
    }
    let subject = Subject::of(&statement.claims, event.payload)?;
    let order = match Order::of(&event, actions, &subject, transmitter, &service.registry) {
        Ok(order) => Order { reason: reason(transmitter, &event), ..order },
        Err(Without::Refused(refusal)) => return Err(refusal),
        Err(without) => return ignored(service, transmitter, &event, recognized, without.why()).await,
    };
    carry_out(service, transmitter, order, Some(recognized), event.happened_at_ms()).await
}

/// What a token is recognized by when it comes again: for as long as it could be accepted.
pub(super) fn recognized<'s>(statement: &'s Statement, signed: &Signed) -> Recognized<'s> {
    let max_age_ms = u64::try_from(signed.demands.max_age.as_millis()).unwrap_or(u64::MAX);
    let until_ms = statement.issued_at_ms.saturating_add(max_age_ms).saturating_add(KEPT_BEYOND_MS);
    Recognized { jti: &statement.id, until_ms }
}

/// What a token of the transmitter says.
pub(super) async fn verify(transmitter: &Transmitter, token: &[u8], now_ms: u64) -> Result<Statement, Refusal> {
    let (Some(signed), Some(keys)) = (&transmitter.settings.signed, &transmitter.keys) else {
        return Err(Refusal::request("this transmitter does not send such tokens"));
    };
    let text = std::str::from_utf8(token).map_err(|_| Refusal::request("the token is not text"))?;
    let unproven = Unproven::read(text.trim_ascii(), &signed.demands, now_ms)?;
    let verified = keys.verified(unproven.key(), |keys| unproven.verify(keys, |_| None).cloned()).await;
    verified.map_err(unverified)
}

/// A signal must not be lost because its transmitter's keys could not be fetched.
fn unverified(why: Unverified) -> Refusal {
    match why {
        Unverified::Late => Refusal::unavailable("the transmitter's keys did not arrive in time"),
        Unverified::Failing => Refusal::unavailable("the transmitter's keys cannot be fetched"),
        Unverified::NoKeys => Refusal::unavailable("the transmitter's keys have not been fetched yet"),
        Unverified::Refused(SignatureError::UnknownKey) => {
            Refusal::new(Code::InvalidKey, "no key of the transmitter matches")
        }
        Unverified::Refused(SignatureError::KeyAlgorithm) => {
            Refusal::new(Code::InvalidKey, "the key that `kid` names cannot be used with `alg`")
        }
        Unverified::Refused(SignatureError::Signature) => Refusal::new(Code::InvalidKey, "the signature is invalid"),
    }
}

/// Notes an event about the stream itself. A verification event shows that it works (Shared Signals Framework 1.0, section
/// 8.1.4).
fn note(transmitter: &Transmitter, event: &Event<'_>, statement: &Statement, now_ms: u64) -> Fate {
    let name = &transmitter.settings.name;
    info!(
        target: "audit", event = "signal", transmitter = name, jti = cut(&statement.id), signal = cut(event.kind.name()),
        fate = Fate::Stream.as_str(),
    );
    if event.kind.short() == Some("verification") {
        transmitter.status.verified(now_ms);
    } else {
        let status = event.payload.get("status").and_then(Value::as_str).map(cut);
        let reason = event.reason().map(cut);
        warn!(transmitter = name, status, reason, "the transmitter has changed the status of its stream");
        transmitter.look_at_stream();
    }
    Fate::Stream
}

/// Keeps the receipt of a signal without effect; returns whether there was none.
async fn is_first(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    recognized: Recognized<'_>,
) -> Result<bool, Refusal> {
    let receipt = Some(recognized.receipt(transmitter));
    let transmitter = transmitter.name().to_owned();
    let made = service.writer.signal(Signal { transmitter, receipt, ..Signal::default() }).await;
    Ok(made.map_err(unwritten)? != Applied::Before)
}

/// An acknowledged signal without effect. It has none either when it comes again and is wanted by then.
async fn ignored(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    event: &Event<'_>,
    recognized: Recognized<'_>,
    why: &str,
) -> Result<Fate, Refusal> {
    if !is_first(service, transmitter, recognized).await? {
        return Ok(Fate::Repeated);
    }
    info!(
        target: "audit", event = "signal", transmitter = transmitter.name(), jti = cut(recognized.jti),
        signal = cut(event.kind.name()), fate = Fate::Ignored.as_str(), why,
    );
    Ok(Fate::Ignored)
}

fn reason(transmitter: &Transmitter, event: &Event<'_>) -> String {
    let stated = event.reason().map(|reason| format!(" ({})", cut(reason))).unwrap_or_default();
    format!("{}: {}{stated}", transmitter.settings.name, cut(event.kind.name()))
}
