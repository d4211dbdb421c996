//! Security event tokens that are pushed (RFC 8935), and what every kind of signal has in common: it is verified, made
//! durable with its effects, and only then acknowledged.

use super::action::Action;
use super::answer::Refusal;
use super::effects::{Arrival, Parties, Without};
use super::event::Event;
use super::status::Fate;
use super::subject::Subject;
use super::transmitter::{Signed, Transmitter};
use crate::log::Sampler;
use crate::service::Service;
use crate::store::{Receipt, ReceiptId};
use crate::writer::{Applied, Effect, NotWritten, Signal};
use portcullis_contract::token::{Statement, Unproven};
use serde_json::Value;
use std::sync::Arc;
use tracing::{info, warn};

/// How long after a signal is too old to be accepted its receipt is kept: clocks differ.
const KEPT_BEYOND_MS: u64 = 60 * 60 * 1_000;

/// The longest text of a transmitter that is logged or kept, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Receives a security event token.
pub(super) async fn receive(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<(), Refusal> {
    let received = accept(service, transmitter, body).await;
    report(service, transmitter, received)
}

async fn accept(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let now_ms = service.clock.now_ms();
    let statement = verify(transmitter, body, now_ms).await?;
    let Some(signed) = &transmitter.settings.signed else {
        return Err(Refusal::request("this transmitter sends no such tokens"));
    };
    transmitter.admits(signed, &statement.audiences)?;
    let event = Event::of(&statement.claims)?;
    if matches!(event.kind.short(), Some("verification" | "stream-updated")) {
        // One that comes again shows nothing.
        return match is_first(service, transmitter, &statement, kept_until_ms(&statement, signed)).await? {
            true => Ok(note(transmitter, &event, &statement, now_ms)),
            false => Ok(Fate::Repeated),
        };
    }
    let actions = transmitter.settings.actions.of(&event.kind);
    let kept_until_ms = kept_until_ms(&statement, signed);
    if actions.is_empty() {
        let why = "the event is not among events";
        return ignored(service, transmitter, &event, &statement, kept_until_ms, why).await;
    }
    let subject = Subject::of(&statement.claims, event.payload)?;
    let parties = match Parties::of(&subject, &event, transmitter) {
        Ok(parties) => parties,
        Err(Without::Refused(refusal)) => return Err(refusal),
        Err(Without::Ignored(why)) => {
            return ignored(service, transmitter, &event, &statement, kept_until_ms, why).await;
        }
    };
    if actions.contains(&Action::EndOthers) && parties.users.is_empty() {
        // Whose session it is may have been learned by another replica a moment ago.
        caught_up(service).await?;
    }
    let arrival = Arrival {
        registry: &service.registry,
        transmitter: &transmitter.settings.name,
        reason: reason(transmitter, &event),
        now_ms,
    };
    let effects = arrival.effects(actions, &parties);
    let named = Named { jti: Some(&statement.id), event: event.kind.name(), actions };
    apply(service, transmitter, named, effects, kept_until_ms, event.happened_at_ms()).await
}

/// Waits until what other replicas have changed is applied here.
pub(super) async fn caught_up(service: &Service) -> Result<(), Refusal> {
    service.writer.caught_up().await.map_err(unwritten)
}

/// Until when a receipt is kept: as long as its token could be accepted.
pub(super) fn kept_until_ms(statement: &Statement, signed: &Signed) -> u64 {
    let max_age_ms = u64::try_from(signed.demands.max_age.as_millis()).unwrap_or(u64::MAX);
    statement.issued_at_ms.saturating_add(max_age_ms).saturating_add(KEPT_BEYOND_MS)
}

/// What a token of the transmitter says.
pub(super) async fn verify(transmitter: &Transmitter, token: &[u8], now_ms: u64) -> Result<Statement, Refusal> {
    let (Some(signed), Some(keys)) = (&transmitter.settings.signed, &transmitter.keys) else {
        return Err(Refusal::request("this transmitter sends no such tokens"));
    };
    let text = std::str::from_utf8(token).map_err(|_| Refusal::request("the token is not text"))?;
    let unproven = Unproven::read(text.trim_ascii(), &signed.demands, now_ms)?;
    keys.verified(&unproven).await
}

/// What a signal is called in logs.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) jti: Option<&'a str>,
    pub(super) event: &'a str,
    pub(super) actions: &'a [Action],
}

/// Makes the effects of a signal durable, and waits until they hold at every replica.
pub(super) async fn apply(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    named: Named<'_>,
    effects: Vec<Effect>,
    kept_until_ms: u64,
    happened_at_ms: Option<u64>,
) -> Result<Fate, Refusal> {
    let name = &transmitter.settings.name;
    let is_matched = effects.iter().any(|effect| has_session(service, effect));
    let receipt = named.jti.map(|jti| Receipt { id: ReceiptId::of(name, jti), until_ms: kept_until_ms });
    let made = service.writer.signal(Signal { transmitter: name.clone(), receipt, effects }).await;
    let (fate, ended) = match made.map_err(unwritten)? {
        // Its line is there already.
        Applied::Before => return Ok(Fate::Repeated),
        Applied::Now { ended } if is_matched || ended > 0 => (Fate::Applied, ended),
        Applied::Now { ended } => (Fate::Unmatched, ended),
    };
    if let (Some(at_ms), Fate::Applied | Fate::Unmatched) = (happened_at_ms, fate) {
        service.metrics.signals.lag(service.clock.now_ms().saturating_sub(at_ms));
    }
    let actions: Vec<&str> = named.actions.iter().map(|action| action.as_str()).collect();
    info!(
        target: "audit", event = "signal", transmitter = name, jti = named.jti.map(cut), signal = cut(named.event),
        fate = fate.as_str(), actions = actions.join(" "), ended,
    );
    Ok(fate)
}

/// Whether a block that is made or lifted is about a live session. A revocation says what it has ended.
fn has_session(service: &Service, effect: &Effect) -> bool {
    match effect {
        Effect::Revoke(_) => false,
        Effect::Block(block) => service.registry.has_session(&block.issuer, &block.party.clone().into()),
        Effect::Unblock { issuer, party, .. } => service.registry.has_session(issuer, &party.clone().into()),
    }
}

fn unwritten(not_written: NotWritten) -> Refusal {
    Refusal::unavailable(match not_written {
        NotWritten::Failed(_) => "the store cannot write",
        NotWritten::Late => "the store is slow",
        NotWritten::Busy => "too many changes are waiting, or the service is stopping",
    })
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
    statement: &Statement,
    kept_until_ms: u64,
) -> Result<bool, Refusal> {
    let name = &transmitter.settings.name;
    let receipt = Some(Receipt { id: ReceiptId::of(name, &statement.id), until_ms: kept_until_ms });
    let made = service.writer.signal(Signal { transmitter: name.clone(), receipt, effects: Vec::new() }).await;
    Ok(made.map_err(unwritten)? != Applied::Before)
}

/// An acknowledged signal without effect. It has none either when it comes again and is wanted by then.
async fn ignored(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    event: &Event<'_>,
    statement: &Statement,
    kept_until_ms: u64,
    why: &'static str,
) -> Result<Fate, Refusal> {
    if !is_first(service, transmitter, statement, kept_until_ms).await? {
        return Ok(Fate::Repeated);
    }
    info!(
        target: "audit", event = "signal", transmitter = transmitter.settings.name, jti = cut(&statement.id),
        signal = cut(event.kind.name()), fate = Fate::Ignored.as_str(), why,
    );
    Ok(Fate::Ignored)
}

fn reason(transmitter: &Transmitter, event: &Event<'_>) -> String {
    let stated = event.reason().map(|reason| format!(" ({})", cut(reason))).unwrap_or_default();
    format!("{}: {}{stated}", transmitter.settings.name, cut(event.kind.name()))
}

/// The beginning of a text that a transmitter has chosen.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}

/// Counts what has become of a signal, and says why it was refused.
pub(super) fn report(
    service: &Service,
    transmitter: &Transmitter,
    received: Result<Fate, Refusal>,
) -> Result<(), Refusal> {
    let (name, now_ms) = (&*transmitter.settings.name, service.clock.now_ms());
    match received {
        Ok(fate) => {
            transmitter.status.accepted(fate, now_ms);
            service.metrics.signals.accepted(name, fate.as_str());
            Ok(())
        }
        Err(refusal) => {
            static REFUSED: Sampler = Sampler::new();
            transmitter.status.refused(&refusal.description, now_ms);
            service.metrics.signals.refused(name, refusal.code.as_str());
            if let Some(not_logged) = REFUSED.admit() {
                let (code, why) = (refusal.code.as_str(), &refusal.description);
                warn!(transmitter = name, code, why, not_logged, "refused a signal");
            }
            Err(refusal)
        }
    }
}
