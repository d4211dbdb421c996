//! Writes what was found: an attribute of the session, an event, and a count; and the countries of subjects.

use super::countries::COUNTRIES;
use super::kind::{Anomaly, SOURCE};
use super::settings::Settings;
use super::watch::{News, remembered};
use crate::attributes::{Attribute, Fact, Holder, Value};
use crate::log::Sampler;
use crate::place::Country;
use crate::service::Service;
use crate::session::Session;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use tracing::warn;

/// What is written at once.
const BATCH_MAX: usize = 64;

/// Writes what is found until the service stops.
pub(crate) async fn keep(service: Arc<Service>, settings: Settings, mut found: Receiver<News>) {
    let mut stop = service.stop.clone();
    loop {
        let mut news = Vec::new();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            count = found.recv_many(&mut news, BATCH_MAX) => if count == 0 {
                return;
            },
        }
        write(&service, &settings, news).await;
    }
}

/// Together, so that they are one commit. Of one subject, all countries are one attribute.
async fn write(service: &Service, settings: &Settings, news: Vec<News>) {
    let (mut findings, mut seen) = (Vec::new(), HashMap::<Holder, Vec<Country>>::new());
    for news in news {
        match news {
            News::Seen { subject, country } => seen.entry(subject).or_default().push(country),
            News::Found { session, anomaly, country, before, at_ms } => {
                service.metrics.anomalies.found(anomaly);
                service.audit.anomaly(&session, anomaly.as_str(), [country, before], at_ms);
                findings.push((session, anomaly));
            }
        }
    }
    let now_ms = service.clock.now_ms();
    let marks = findings.into_iter().map(|(session, anomaly)| mark(service, settings, &session, anomaly, now_ms));
    let memories = seen.into_iter().map(|(subject, countries)| memory(service, settings, subject, &countries, now_ms));
    let set = marks.chain(memories).map(|attribute| service.writer.attribute(attribute));
    for written in join_all(set).await {
        let why = match written {
            Ok(Ok(())) => continue,
            Ok(Err(no_room)) => format!("{no_room:?}"),
            Err(not_written) => format!("{not_written:?}"),
        };
        static LOST: Sampler = Sampler::new();
        service.metrics.anomalies.lost();
        if let Some(not_logged) = LOST.admit() {
            warn!(why, not_logged, "an anomaly could not be written: no condition sees it");
        }
    }
}

/// The attribute of a session that an anomaly becomes: until its end, or until the next login.
fn mark(service: &Service, settings: &Settings, session: &Session, anomaly: Anomaly, now_ms: u64) -> Attribute {
    let holder = Holder::Session(session.id);
    let fact = Fact {
        value: Value::Boolean(true),
        set_at_ms: now_ms,
        expires_at_ms: Some(now_ms.saturating_add(settings.lasts_ms)),
        login_until_ms: Some(service.registry.login_until_ms(&holder, now_ms)),
    };
    Attribute { holder, name: anomaly.attribute().to_owned(), source: SOURCE.to_owned(), fact: Some(fact) }
}

/// The attribute of a subject that remembers its countries.
fn memory(service: &Service, settings: &Settings, subject: Holder, seen: &[Country], now_ms: u64) -> Attribute {
    let (mut countries, _) = remembered(&service.registry, &subject, now_ms);
    seen.iter().for_each(|country| countries.add(*country));
    let memory_ms = settings.new_place_ms.unwrap_or_default();
    let fact = Fact {
        value: Value::Text(countries.text()),
        set_at_ms: now_ms,
        expires_at_ms: Some(now_ms.saturating_add(memory_ms)),
        login_until_ms: None,
    };
    Attribute { holder: subject, name: COUNTRIES.to_owned(), source: SOURCE.to_owned(), fact: Some(fact) }
}
