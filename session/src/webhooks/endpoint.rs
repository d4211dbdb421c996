//! One webhook that messages are posted to.

use super::checkpoints::Stuck;
use super::settings::{WebhookSettings, subscribers};
use super::signature::{Key, signatures};
use crate::notices::Subscribers;
use crate::signals::{Outbound, Url, on_a_thread, trusted};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long an attempt may take. Much less than a notice is claimed for.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// A webhook.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    url: Url,
    keys: Vec<Key>,
    caller: Outbound,
}

/// A message, as it is posted.
pub(super) struct Message {
    /// The same for every attempt.
    pub(super) id: String,
    /// The time of this attempt, in seconds since the epoch: receivers refuse old ones.
    pub(super) timestamp: u64,
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    fn new(settings: WebhookSettings) -> Result<Self, String> {
        let tls = trusted(settings.ca.as_ref(), &settings.url)?;
        let WebhookSettings { name, url, keys, .. } = settings;
        Ok(Self { name, url, keys, caller: Outbound::new(Some(tls)) })
    }

    /// Posts a message. The error does not name the URL, which can be a secret.
    pub(super) async fn deliver(self: &Arc<Self>, message: Message) -> Result<(), String> {
        let endpoint = Arc::clone(self);
        on_a_thread(move || {
            let Message { id, timestamp, body } = message;
            let (signature, timestamp) = (signatures(&endpoint.keys, &id, timestamp, &body), timestamp.to_string());
            let headers =
                [("webhook-id", &*id), ("webhook-timestamp", &*timestamp), ("webhook-signature", &*signature)];
            match endpoint.caller.post_as(&endpoint.url, &headers, &body, ATTEMPT_MAX)?.status {
                200..=299 => Ok(()),
                status => Err(format!("it answered {status}")),
            }
        })
        .await
    }
}

/// All webhooks.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    subscribers: Subscribers,
    /// Where people reach requests.
    pub(super) external_url: Option<String>,
    /// The webhook that checkpoints go to.
    pub(super) checkpoints_to: Option<String>,
    /// The checkpoint that could not be delivered so far.
    stuck: Mutex<Option<Stuck>>,
}

impl Webhooks {
    /// The webhooks of the configuration. The error says what is missing.
    pub(crate) fn new(
        all: Vec<WebhookSettings>,
        external_url: Option<String>,
        checkpoints_to: Option<String>,
    ) -> Result<Self, String> {
        let subscribers = subscribers(&all);
        let endpoint = |settings: WebhookSettings| {
            let name = settings.name.clone();
            Endpoint::new(settings).map(Arc::new).map_err(|fault| format!("`{name}`: {fault}"))
        };
        let endpoints = all.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { endpoints, subscribers, external_url, checkpoints_to, stuck: Mutex::default() })
    }

    /// Who is told what.
    pub(crate) const fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The names of the webhooks.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| &*endpoint.name)
    }

    /// The checkpoint that could not be delivered so far, if there is one.
    pub(crate) fn stuck(&self) -> Option<Stuck> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_stuck(&self, stuck: Option<Stuck>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = stuck;
    }
}
