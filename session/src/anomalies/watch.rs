//! What questions note of their clients. It takes the lock of one shard, once a second for each token that comes from the same
//! place; what is found leaves through a bounded queue.

use super::countries::{COUNTRIES, Countries};
use super::detector::{Client, Detector, Whose};
use super::kind::{Anomaly, SOURCE};
use super::metrics::AnomalyMetrics;
use super::settings::Settings;
use crate::attributes::{Fact, Holder, Value};
use crate::conditions::Request;
use crate::place::{Country, Place};
use crate::registry::Registry;
use crate::session::Session;
use portcullis_contract::KeyKind;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// What is found and not written yet. More is lost, and counted.
const WAITING_MAX: usize = 4_096;

/// How often a token that keeps coming from the same place is noted.
const NOTED_EVERY_MS: u64 = 1_000;

/// How much of the time for which countries are remembered may pass before a login renews it: a part of this.
const RENEWED_PER_MEMORY: u64 = 8;

/// What was noted last with a token of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memo {
    client: u64,
    at_ms: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum News {
    /// Something unusual about a session.
    Found {
        /// The session.
        session: Arc<Session>,
        /// What.
        anomaly: Anomaly,
        /// The country, if it is known.
        country: Option<Country>,
        /// The country before.
        before: Option<Country>,
        /// When.
        at_ms: u64,
    },
    /// A country to be remembered of a subject.
    Seen {
        /// The subject.
        subject: Holder,
        /// The country.
        country: Country,
    },
}

/// Watches sessions.
pub(crate) struct Watch {
    detector: Detector,
    metrics: Arc<AnomalyMetrics>,
    news: Sender<News>,
}

impl Watch {
    /// What watches, and what it finds.
    pub(crate) fn new(settings: Settings, metrics: Arc<AnomalyMetrics>) -> (Self, Receiver<News>) {
        let (news, found) = channel(WAITING_MAX);
        (Self { detector: Detector::new(settings), metrics, news }, found)
    }

    /// Notes a request with a token of a live session. `place` is only asked where it is needed.
    pub(crate) fn note(
        &self,
        registry: &Registry,
        session: &Arc<Session>,
        memo: &mut Memo,
        request: Request<'_>,
        place: impl FnOnce() -> Option<Place>,
        at_ms: u64,
    ) {
        // A machine's instances share its session, wherever they run.
        if session.kind == KeyKind::Machine {
            return;
        }
        let (address, agent) = (request.address(), request.user_agent());
        let stated = request.place().map(|place| (&place.country, place.asn, place.proxy));
        let client = self.detector.hash((address, agent, stated));
        if memo.client == client && at_ms.saturating_sub(memo.at_ms) < NOTED_EVERY_MS {
            return;
        }
        *memo = Memo { client, at_ms };
        let place = place();
        let seen = Client { place, address, agent };
        let whose = Whose {
            session: session.id,
            issuer: &session.issuer,
            subject: &session.subject,
            login_ms: session.login_at_ms(),
        };
        let shown = self.detector.see(whose, seen, at_ms);
        let (country, before) = (place.and_then(|place| place.country), shown.before);
        let is_new = shown.arrives.is_some_and(|country| self.is_new_to_subject(registry, session, country, at_ms));
        let new_place = is_new && self.detector.is_new(session.id, Anomaly::NewPlace, at_ms);
        for anomaly in shown.anomalies.into_iter().chain(new_place.then_some(Anomaly::NewPlace)) {
            self.tell(News::Found { session: Arc::clone(session), anomaly, country, before, at_ms });
        }
    }

    /// Whether the subject of a session has been seen before, and never in that country. From now on, it has.
    fn is_new_to_subject(&self, registry: &Registry, session: &Session, country: Country, at_ms: u64) -> bool {
        let Some(memory_ms) = self.detector.settings.new_place_ms.filter(|_| !session.subject.is_empty()) else {
            return false;
        };
        let subject = Holder::Subject { issuer: session.issuer.to_string(), subject: session.subject.to_string() };
        let (countries, set_at_ms) = remembered(registry, &subject, at_ms);
        let is_known = countries.hold(country);
        let is_old = at_ms.saturating_sub(set_at_ms) > memory_ms / RENEWED_PER_MEMORY;
        if !is_known || is_old {
            self.tell(News::Seen { subject, country });
        }
        !is_known && !countries.are_none()
    }

    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            self.metrics.lost();
        }
    }
}

/// The countries that are remembered of a subject, and since when.
pub(super) fn remembered(registry: &Registry, subject: &Holder, now_ms: u64) -> (Countries, u64) {
    let known = registry.attributes_at(subject);
    let fact = known.get(&(COUNTRIES.to_owned(), SOURCE.to_owned())).filter(|fact| fact.holds_at(now_ms));
    match fact {
        Some(Fact { value: Value::Text(text), set_at_ms, .. }) => (Countries::read(text), *set_at_ms),
        Some(_) | None => (Countries::default(), 0),
    }
}
