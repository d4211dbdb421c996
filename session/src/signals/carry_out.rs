//! What every kind of signal has in common: it is made durable with its effects and only then acknowledged, or held, and what
//! became of it is counted.

use super::answer::Refusal;
use super::effects::Arrival;
use super::order::{Deed, Order};
use super::status::Fate;
use super::transmitter::Transmitter;
use crate::audit::Actor;
use crate::held::HeldSignal;
use crate::log::Sampler;
use crate::service::Service;
use crate::store::{Receipt, ReceiptId};
use crate::writer::{Applied, Effect, Line, NotWritten, Signal};
use std::sync::Arc;
use std::time::Instant;
use tracing::warn;

/// The longest text of a transmitter that is logged or kept, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// What a signal is recognized by when it comes again.
#[derive(Clone, Copy)]
pub(super) struct Recognized<'a> {
    pub(super) jti: &'a str,
    /// Until when that is remembered.
    pub(super) until_ms: u64,
}

impl Recognized<'_> {
    pub(super) fn receipt(self, transmitter: &Transmitter) -> Receipt {
        Receipt { id: ReceiptId::of(transmitter.name(), self.jti), until_ms: self.until_ms }
    }
}

/// Carries out what a signal that has arrived asks for, and waits until that holds at every replica. Where its transmitter has
/// sent more than it may, it is held.
pub(super) async fn carry_out(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    order: Order,
    recognized: Option<Recognized<'_>>,
    happened_at_ms: Option<u64>,
) -> Result<Fate, Refusal> {
    let receipt = recognized.map(|recognized| recognized.receipt(transmitter));
    let jti = recognized.map(|recognized| recognized.jti);
    if !transmitter.pace.admits(Instant::now()) {
        return hold(service, transmitter, order, receipt, jti).await;
    }
    let made = make(service, transmitter.name(), jti, &order, receipt, None, Actor::Nobody).await;
    let done = match made {
        Ok(Some(done)) => done,
        // Its line is there already.
        Ok(None) => {
            transmitter.pace.forget_one();
            return Ok(Fate::Repeated);
        }
        Err(not_written) => {
            // One that is late may have its effects all the same.
            if not_written != NotWritten::Late {
                transmitter.pace.forget_one();
            }
            return Err(unwritten(not_written));
        }
    };
    if let Some(at_ms) = happened_at_ms {
        service.metrics.signals.lag(service.clock.now_ms().saturating_sub(at_ms));
    }
    if done.is_void {
        transmitter.pace.forget_one();
    }
    Ok(done.fate)
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub(super) fate: Fate,
    /// Live sessions that it has ended.
    pub(crate) ended: usize,
    /// It asked for nothing: it names nobody who is known here.
    is_void: bool,
}

/// Makes the effects of an order; `None` if its signal was received before, or is no longer held.
async fn make(
    service: &Arc<Service>,
    transmitter: &str,
    jti: Option<&str>,
    order: &Order,
    receipt: Option<Receipt>,
    releases: Option<String>,
    actor: Actor,
) -> Result<Option<Done>, NotWritten> {
    let asks_whose = order.deeds.iter().any(|deed| matches!(deed, Deed::EndOthers | Deed::Narrow(_)));
    if asks_whose || !order.parties.emails.is_empty() {
        // Whose session it is may have been learned by another replica a moment ago.
        service.writer.caught_up().await?;
    }
    let now_ms = service.clock.now_ms();
    let arrival = Arrival { registry: &service.registry, transmitter, reason: &order.reason, now_ms };
    let effects = arrival.effects(order);
    let (is_matched, is_void) = (has_session(service, &effects), effects.is_empty());
    let line = Some(line(jti, order, None));
    let transmitter = transmitter.to_owned();
    let signal = Signal { transmitter, receipt, releases, is_matched, line, effects };
    Ok(match service.writer.by(actor).signal(signal).await? {
        Applied::Before => None,
        Applied::Now { fate, ended } => Some(Done { fate, ended, is_void }),
    })
}

/// Makes a signal durable without its effects.
async fn hold(
    service: &Arc<Service>,
    transmitter: &Transmitter,
    order: Order,
    receipt: Option<Receipt>,
    jti: Option<&str>,
) -> Result<Fate, Refusal> {
    static HELD: Sampler = Sampler::new();
    let name = transmitter.name();
    if !service.registry.has_room_to_hold(name) {
        return Err(Refusal::unavailable("too many signals of this transmitter are held"));
    }
    let line = line(jti, &order, Some(Fate::Held));
    let signal = HeldSignal::new(name, jti.map(cut), order, service.clock.now_ms());
    let line = Some(Line { held: Some(signal.id.clone()), ..line });
    let effects = vec![Effect::Hold(signal)];
    let signal = Signal { transmitter: name.to_owned(), receipt, line, effects, ..Signal::default() };
    if service.writer.signal(signal).await.map_err(unwritten)? == Applied::Before {
        return Ok(Fate::Repeated);
    }
    if let Some(not_logged) = HELD.admit() {
        warn!(
            transmitter = name,
            not_logged,
            "more signals than `hold_above`: they are held, and have no effect until an operator releases them"
        );
    }
    Ok(Fate::Held)
}

/// Carries out a held signal; `None` if it is no longer held.
pub(crate) async fn release(
    service: &Arc<Service>,
    held: &HeldSignal,
    actor: Actor,
) -> Result<Option<Done>, NotWritten> {
    let HeldSignal { id, transmitter, jti, order, .. } = held;
    let made = make(service, transmitter, jti.as_deref(), order, None, Some(id.clone()), actor).await?;
    if let Some(done) = made {
        service.metrics.signals.released(transmitter, done.fate());
    }
    Ok(made)
}

/// Drops a held signal; returns whether it was still held.
pub(crate) async fn drop_held(service: &Arc<Service>, held: &HeldSignal, actor: Actor) -> Result<bool, NotWritten> {
    let HeldSignal { id, transmitter, jti, order, .. } = held;
    let (transmitter, releases) = (transmitter.clone(), Some(id.clone()));
    let line = Some(line(jti.as_deref(), order, Some(Fate::Dropped)));
    let signal = Signal { transmitter, releases, line, ..Signal::default() };
    Ok(service.writer.by(actor).signal(signal).await? != Applied::Before)
}

impl Done {
    /// What became of the signal.
    pub(crate) fn fate(self) -> &'static str {
        self.fate.as_str()
    }
}

fn line(jti: Option<&str>, order: &Order, fate: Option<Fate>) -> Line {
    let (event, actions) = (cut(&order.event).to_owned(), order.actions().join(" "));
    Line { jti: jti.map(cut).map(str::to_owned), event, actions, fate, held: None }
}

/// Whether one of these effects is about a live session. A revocation says what it has ended.
fn has_session(service: &Service, effects: &[Effect]) -> bool {
    let registry = &service.registry;
    let is_met = |effect: &Effect| match effect {
        Effect::Block(block) => registry.has_session(&block.issuer, &block.party.clone().into()),
        Effect::Unblock { issuer, party, .. } => registry.has_session(issuer, &party.clone().into()),
        Effect::Narrow { party, .. } => registry.has_party(party),
        Effect::Revoke(_) | Effect::Attribute(_) | Effect::Hold(_) | Effect::Unreceived(_) => false,
    };
    let holders = effects.iter().filter_map(|effect| match effect {
        Effect::Attribute(attribute) => Some(&attribute.holder),
        _ => None,
    });
    effects.iter().any(is_met) || registry.are_held(&holders.collect())
}

/// Waits until what other replicas have changed is applied here.
pub(super) async fn caught_up(service: &Service) -> Result<(), Refusal> {
    service.writer.caught_up().await.map_err(unwritten)
}

pub(super) fn unwritten(not_written: NotWritten) -> Refusal {
    Refusal::unavailable(match not_written {
        NotWritten::Failed(_) => "the store cannot write",
        NotWritten::Late => "the store is slow",
        NotWritten::Busy => "too many changes are waiting, or the service is stopping",
    })
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
) -> Result<Fate, Refusal> {
    let (name, now_ms) = (transmitter.name(), service.clock.now_ms());
    match &received {
        Ok(fate) => {
            transmitter.status.accepted(*fate, now_ms);
            service.metrics.signals.accepted(name, fate.as_str());
        }
        Err(refusal) => {
            static REFUSED: Sampler = Sampler::new();
            transmitter.status.refused(&refusal.description, now_ms);
            service.metrics.signals.refused(name, refusal.code.as_str());
            if let Some(not_logged) = REFUSED.admit() {
                let (code, why) = (refusal.code.as_str(), &refusal.description);
                warn!(transmitter = name, code, why, not_logged, "refused a signal");
            }
        }
    }
    received
}
