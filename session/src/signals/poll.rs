//! Security event tokens that are fetched (RFC 8936). A token is acknowledged with the next request, and so only once it has
//! its effect; one that could not be kept is neither acknowledged nor refused, and comes again.

use super::answer::{Code, Refusal};
use super::outbound::{Caller, Url, on_a_thread};
use super::push;
use super::transmitter::{Polling, Transmitter};
use crate::log::Sampler;
use crate::service::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::{info, warn};

/// Tokens of one answer: as many as fit into the largest one, each as large as it may be.
const EVENTS_MAX: usize = 16;

/// How long a transmitter may hold a request while it has nothing.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// How long a transmitter is left alone before what it has sent is acknowledged, and more is asked for.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a failing transmitter is left alone at most. The time doubles with each failure.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long its configuration may take.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// What an answer is that is none.
const UNREADABLE: &str = "the answer to a poll cannot be read";

/// The method of a stream that is polled (RFC 8936; Shared Signals Framework 1.0, section 6.1.2).
pub(super) const POLL: &str = "urn:ietf:rfc:8936";

/// A request (section 2.2).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    ack: Vec<String>,
    set_errs: BTreeMap<String, SetError>,
    max_events: usize,
    return_immediately: bool,
}

/// Why a token is refused (section 2.6).
#[derive(Debug, Serialize)]
struct SetError {
    err: &'static str,
    description: String,
}

/// An answer (section 2.3).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default)]
    sets: BTreeMap<String, String>,
}

/// A stream's configuration (Shared Signals Framework 1.0, section 8.1.1).
#[derive(Debug, Deserialize)]
struct StreamConfiguration {
    delivery: Delivery,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    method: String,
    endpoint_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Streams {
    All(Vec<StreamConfiguration>),
    One(StreamConfiguration),
}

/// Polls a transmitter until the service stops.
pub(crate) async fn poll(service: Arc<Service>, number: usize) {
    let mut stop = service.stop.clone();
    let polling = async {
        let transmitter = service.signals.get(number);
        if let Some((transmitter, polling)) = transmitter.and_then(|of| Some((of, of.settings.polling.as_ref()?))) {
            forever(&service, transmitter, polling).await;
        }
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = polling => {}
    }
}

async fn forever(service: &Arc<Service>, transmitter: &Transmitter, polling: &Polling) {
    let mut asked = Asked { max_events: EVENTS_MAX, ..Asked::default() };
    let mut wait = polling.every;
    let mut endpoint = polling.url.clone();
    loop {
        if let Some(managed) = &transmitter.managed
            && !managed.has_endpoint()
        {
            transmitter.status.polled(Some("there is no stream".to_owned()));
            managed.endpoint().await;
        }
        // What cannot be kept is not fetched: another replica may fetch it.
        if !service.is_loaded.load(Ordering::SeqCst) || !service.registry.lease().holds() {
            tokio::time::sleep(polling.every).await;
            continue;
        }
        let answered = match ask(transmitter, polling, &mut endpoint, &asked).await {
            Ok(answered) => answered,
            Err(error) => {
                failed(transmitter, &error);
                // Perhaps it takes what was acknowledged for wrong. What it sends again is acknowledged again.
                asked.ack.clear();
                asked.set_errs.clear();
                // The stream may have moved.
                endpoint.clone_from(&polling.url);
                transmitter.look_at_stream();
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
                continue;
            }
        };
        if transmitter.status.polled(None) {
            info!(transmitter = transmitter.name(), "polling works");
        }
        wait = polling.every;
        asked.ack.clear();
        asked.set_errs.clear();
        for (jti, token) in answered.sets {
            match push::receive(service, transmitter, token.as_bytes()).await {
                Ok(_) => asked.ack.push(jti),
                // It comes again.
                Err(Refusal { code: Code::Busy | Code::Unavailable, .. }) => {}
                Err(Refusal { code, description }) => {
                    asked.set_errs.insert(jti, SetError { err: code.as_str(), description });
                }
            }
        }
        // What was received is acknowledged soon; what could not be kept is not asked for in a circle.
        let is_due = !(asked.ack.is_empty() && asked.set_errs.is_empty());
        tokio::time::sleep(if is_due { PAUSE } else { polling.every }).await;
    }
}

/// Asks for tokens, and acknowledges earlier ones.
async fn ask(
    transmitter: &Transmitter,
    polling: &Polling,
    endpoint: &mut Option<Url>,
    asked: &Asked,
) -> Result<Answered, String> {
    let body = serde_json::to_vec(asked).map_err(|e| e.to_string())?;
    if let Some(managed) = &transmitter.managed {
        let bytes = managed.poll(polling.authorization.clone(), body, ANSWER_MAX).await?;
        return serde_json::from_slice(&bytes).map_err(|_| UNREADABLE.to_owned());
    }
    let (caller, authorization) = (transmitter.caller.clone(), polling.authorization.clone());
    let url = match endpoint {
        Some(url) => url.clone(),
        None => {
            let configuration = transmitter.keys.as_ref().and_then(|keys| keys.configuration_endpoint());
            let configuration = configuration.ok_or("the transmitter's configuration has not been fetched yet")?;
            let (caller, authorization) = (caller.clone(), authorization.clone());
            let found = on_a_thread(move || find(&caller, &configuration, authorization.as_ref())).await?;
            endpoint.insert(found).clone()
        }
    };
    let bytes = on_a_thread(move || caller.post(&url, authorization.as_ref(), &body, ANSWER_MAX)).await?;
    serde_json::from_slice(&bytes).map_err(|_| UNREADABLE.to_owned())
}

/// Where the tokens of our stream are.
fn find(
    caller: &Caller,
    configuration: &Url,
    authorization: Option<&crate::store::postgres::Secret>,
) -> Result<Url, String> {
    let bytes = caller.get(configuration, authorization, FETCH_MAX)?;
    let Url(at) = configuration;
    let streams = match serde_json::from_slice(&bytes).map_err(|_| format!("{at}: is no stream's configuration"))? {
        Streams::All(all) => all,
        Streams::One(one) => vec![one],
    };
    let polled = streams.into_iter().map(|stream| stream.delivery).find(|delivery| delivery.method == POLL);
    let endpoint = polled.and_then(|delivery| delivery.endpoint_url);
    let endpoint =
        endpoint.ok_or_else(|| format!("{at}: has no stream that is polled: make one, or name its `url`"))?;
    configuration.names(&endpoint).ok_or_else(|| format!("{at}: the stream's `endpoint_url` is not an `https` URL"))
}

fn failed(transmitter: &Transmitter, error: &str) {
    static FAILED: Sampler = Sampler::new();
    transmitter.status.polled(Some(error.to_owned()));
    if let Some(not_logged) = FAILED.admit() {
        warn!(transmitter = transmitter.name(), error, not_logged, "cannot poll a transmitter");
    }
}
