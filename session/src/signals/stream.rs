//! The stream of a transmitter (Shared Signals Framework 1.0, section 8.1): what ours has to be like, and which one it is.
//! [`Managed`] looks after it.

mod api;
mod command;
mod deletion;
mod look;
mod managed;
mod round;

pub(crate) use command::{Command, NotDone, command};
pub(super) use managed::Managed;
pub(crate) use round::manage;

use super::client_credentials::ClientCredentials;
use super::outbound::Url;
use super::poll::POLL;
use super::transmitter::TransmitterSettings;
use crate::store::postgres::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The method of a stream that is pushed (RFC 8935; section 6.1.1).
const PUSH: &str = "urn:ietf:rfc:8935";

/// How a stream is managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manage {
    /// Who we are for the transmitter.
    pub(crate) client: ClientCredentials,
    /// How it delivers.
    pub(crate) delivery: Delivery,
}

/// How a stream delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The transmitter calls us.
    Push {
        /// Where it reaches us.
        endpoint: Url,
        /// What it presents.
        authorization: Option<Secret>,
    },
    /// We call the transmitter.
    Poll,
}

impl Delivery {
    fn method(&self) -> &'static str {
        match self {
            Self::Push { .. } => PUSH,
            Self::Poll => POLL,
        }
    }

    /// As it is asked for (section 6.1). Where to poll is the transmitter's to say.
    fn configuration(&self) -> Value {
        match self {
            Self::Push { endpoint: Url(endpoint), authorization: None } => {
                json!({"method": PUSH, "endpoint_url": endpoint})
            }
            Self::Push { endpoint: Url(endpoint), authorization: Some(Secret(authorization)) } => {
                json!({"method": PUSH, "endpoint_url": endpoint, "authorization_header": authorization})
            }
            Self::Poll => json!({"method": POLL}),
        }
    }
}

/// A stream, as its transmitter describes it (section 8.1.1).
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Stream {
    stream_id: String,
    iss: Option<String>,
    #[serde(default)]
    aud: Value,
    delivery: Option<Delivered>,
    events_requested: Option<Vec<String>>,
    events_delivered: Option<Vec<String>>,
    description: Option<String>,
    min_verification_interval: Option<Value>,
}

/// How a stream delivers, as its transmitter describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Delivered {
    method: Option<String>,
    endpoint_url: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    authorization_header: Option<Secret>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Secret))
}

impl Stream {
    /// The audiences of its tokens: one, or a list.
    fn audiences(&self) -> Vec<String> {
        match &self.aud {
            Value::String(one) => vec![one.clone()],
            Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// How often a verification event may be asked for at most.
    fn verification_every_min(&self) -> Duration {
        let seconds = self.min_verification_interval.as_ref().and_then(Value::as_f64).unwrap_or_default();
        Duration::try_from_secs_f64(seconds.ceil()).unwrap_or_default()
    }

    /// Whether it would be changed alike.
    fn is_like(&self, other: &Self) -> bool {
        let changed = |stream: &Self| {
            let presented = stream.delivery.as_ref().and_then(|delivery| delivery.authorization_header.clone());
            (stream.stream_id.clone(), stream.events_requested.clone(), presented)
        };
        changed(self) == changed(other)
    }

    fn endpoint(&self) -> Option<&str> {
        self.delivery.as_ref()?.endpoint_url.as_deref()
    }
}

/// Whether a stream delivers (section 8.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Status {
    /// It does.
    Enabled,
    /// What happens meanwhile is delivered later.
    Paused { reason: Option<String> },
    /// What happens meanwhile is not delivered.
    Disabled { reason: Option<String> },
    /// What the standard does not name.
    #[serde(other)]
    Other,
}

/// The streams of an answer: a list, or one, as older transmitters answer that have one at most.
fn streams(body: &[u8]) -> Result<Vec<Stream>, ()> {
    match serde_json::from_slice(body).map_err(drop)? {
        Value::Array(all) => all.into_iter().map(|one| serde_json::from_value(one).map_err(drop)).collect(),
        one => Ok(vec![serde_json::from_value(one).map_err(drop)?]),
    }
}

/// What our stream has to be like.
#[derive(Debug)]
struct Wanted {
    issuer: String,
    audiences: Vec<String>,
    delivery: Delivery,
    events: BTreeSet<String>,
    /// How it can be told from others where neither audience nor endpoint do.
    description: String,
}

impl Wanted {
    /// That of a transmitter; none where its stream is not managed.
    fn of(settings: &TransmitterSettings) -> Option<Self> {
        let (manage, signed) = (settings.stream.as_ref()?, settings.signed.as_ref()?);
        Some(Self {
            issuer: signed.demands.issuer.clone(),
            audiences: signed.audiences.clone(),
            delivery: manage.delivery.clone(),
            events: settings.actions.wanted(),
            description: format!("Portcullis: {}", settings.name),
        })
    }

    /// Why a stream is not ours; none if it is.
    fn differs(&self, stream: &Stream) -> Option<String> {
        if stream.iss.as_ref().is_some_and(|iss| *iss != self.issuer) {
            return Some("its `iss` is not `issuer`".to_owned());
        }
        let method = stream.delivery.as_ref().and_then(|delivery| delivery.method.as_deref());
        if method != Some(self.delivery.method()) {
            return Some(format!("its delivery method is not `{}`", self.delivery.method()));
        }
        match &self.delivery {
            Delivery::Push { endpoint: Url(endpoint), .. } if stream.endpoint() != Some(endpoint) => {
                Some(format!("its `endpoint_url` is not `{endpoint}`"))
            }
            Delivery::Push { .. } => None,
            Delivery::Poll => {
                let is_for_us = stream.audiences().iter().any(|aud| self.audiences.contains(aud))
                    || stream.description.as_ref() == Some(&self.description);
                (!is_for_us).then(|| {
                    format!(
                        "its `aud` is none of `audiences`, and its `description` is not `{}`: it would not be found again",
                        self.description
                    )
                })
            }
        }
    }

    /// Those that are ours, the one to keep first: every replica decides alike.
    fn ours(&self, streams: Vec<Stream>) -> Vec<Stream> {
        let mut ours: Vec<_> = streams.into_iter().filter(|stream| self.differs(stream).is_none()).collect();
        ours.sort_by(|one, other| one.stream_id.cmp(&other.stream_id));
        ours.dedup_by(|one, other| one.stream_id == other.stream_id);
        ours
    }

    /// As it is asked for (section 8.1.1.1).
    fn creation(&self) -> Value {
        json!({
            "delivery": self.delivery.configuration(), "events_requested": self.events, "description": self.description,
        })
    }

    /// What has to be changed about our stream (section 8.1.1.3); none where it is as it has to be.
    fn changes(&self, stream: &Stream) -> Option<Value> {
        let mut changes = Map::new();
        let requested: BTreeSet<_> = stream.events_requested.iter().flatten().cloned().collect();
        if requested != self.events {
            changes.insert("events_requested".to_owned(), json!(self.events));
        }
        // Most transmitters do not show it.
        let presented = stream.delivery.as_ref().and_then(|delivery| delivery.authorization_header.as_ref());
        if let (Delivery::Push { authorization, .. }, Some(presented)) = (&self.delivery, presented)
            && authorization.as_ref() != Some(presented)
        {
            changes.insert("delivery".to_owned(), self.delivery.configuration());
        }
        (!changes.is_empty()).then(|| with_id(&stream.stream_id, changes))
    }

    /// What makes a transmitter present the configured `authorization`, if there is one.
    fn presentation(&self, stream_id: &str) -> Option<Value> {
        let Delivery::Push { authorization: Some(_), .. } = &self.delivery else { return None };
        Some(with_id(stream_id, Map::from_iter([("delivery".to_owned(), self.delivery.configuration())])))
    }
}

fn with_id(stream_id: &str, mut members: Map<String, Value>) -> Value {
    members.insert("stream_id".to_owned(), json!(stream_id));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(delivery: Delivery) -> Wanted {
        Wanted {
            issuer: "https://idp".to_owned(),
            audiences: vec!["us".to_owned(), "them".to_owned()],
            delivery,
            events: ["urn:a", "urn:b"].map(str::to_owned).into(),
            description: "Portcullis: idp".to_owned(),
        }
    }

    fn push() -> Delivery {
        Delivery::Push {
            endpoint: Url::read("https://us/signals/idp").unwrap(),
            authorization: Some(Secret("Bearer s".to_owned())),
        }
    }

    fn stream(json: Value) -> Stream {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_stream_is_ours_by_what_it_delivers_and_where() {
        let pushed = |json: Value| wanted(push()).differs(&stream(json)).is_none();
        let to = |url: &str| json!({"method": PUSH, "endpoint_url": url});
        assert!(pushed(json!({"stream_id": "1", "delivery": to("https://us/signals/idp"), "aud": "anybody"})));
        assert!(pushed(json!({"stream_id": "1", "iss": "https://idp", "delivery": to("https://us/signals/idp")})));
        assert!(!pushed(json!({"stream_id": "1", "iss": "https://other", "delivery": to("https://us/signals/idp")})));
        assert!(!pushed(json!({"stream_id": "1", "delivery": to("https://us/signals/other")})));
        assert!(!pushed(json!({"stream_id": "1", "delivery": {"method": POLL}, "aud": "us"})));
        assert!(!pushed(json!({"stream_id": "1", "delivery": {"method": PUSH}, "aud": "us"})));
        assert!(!pushed(json!({"stream_id": "1"})));

        let polled = |json: Value| wanted(Delivery::Poll).differs(&stream(json)).is_none();
        let from = json!({"method": POLL, "endpoint_url": "https://idp/poll"});
        assert!(polled(json!({"stream_id": "1", "delivery": from, "aud": "us"})));
        assert!(polled(json!({"stream_id": "1", "delivery": from, "aud": ["x", "them"]})));
        assert!(polled(json!({"stream_id": "1", "delivery": from, "aud": "x/1", "description": "Portcullis: idp"})));
        assert!(!polled(json!({"stream_id": "1", "delivery": from, "aud": ["x"], "description": "Portcullis: other"})));
        assert!(!polled(json!({"stream_id": "1", "delivery": from})));
        assert!(!polled(json!({"stream_id": "1", "delivery": {"method": PUSH}, "aud": "us"})));
    }

    #[test]
    fn of_several_the_same_one_is_kept_whatever_their_order_is() {
        let one = |id: &str, aud: &str| json!({"stream_id": id, "delivery": {"method": POLL}, "aud": aud});
        let ids = |all: Value| {
            let all = streams(all.to_string().as_bytes()).unwrap();
            wanted(Delivery::Poll).ours(all).into_iter().map(|stream| stream.stream_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(json!([one("c", "us"), one("a", "x"), one("b", "us"), one("b", "us")])), ["b", "c"]);
        assert_eq!(ids(json!([one("b", "us"), one("c", "them"), one("a", "x")])), ["b", "c"]);
        assert_eq!(ids(one("c", "us")), ["c"], "as an object");
        assert_eq!(ids(json!([])), [""; 0]);
        for unreadable in [json!([{"delivery": {}}]), json!("s"), json!([1]), json!({})] {
            assert_eq!(streams(unreadable.to_string().as_bytes()), Err(()), "{unreadable}");
        }
        assert_eq!(streams(b"<html>"), Err(()));
    }

    #[test]
    fn a_stream_is_asked_for_with_the_wanted_events_and_what_is_to_be_presented() {
        assert_eq!(
            wanted(push()).creation(),
            json!({
                "delivery": {"method": PUSH, "endpoint_url": "https://us/signals/idp", "authorization_header": "Bearer s"},
                "events_requested": ["urn:a", "urn:b"], "description": "Portcullis: idp",
            })
        );
        assert_eq!(wanted(Delivery::Poll).creation()["delivery"], json!({"method": POLL}));
        assert_eq!(wanted(Delivery::Poll).presentation("1"), None);
        assert_eq!(wanted(push()).presentation("1").unwrap()["delivery"]["authorization_header"], "Bearer s");
    }

    #[test]
    fn only_what_differs_is_changed() {
        let of = |delivery: Value, events: Value| {
            let stream = stream(json!({"stream_id": "1", "delivery": delivery, "events_requested": events}));
            wanted(push()).changes(&stream)
        };
        assert_eq!(of(json!({}), json!(["urn:b", "urn:a", "urn:a"])), None);
        for events in [json!(["urn:a"]), json!(["urn:a", "urn:b", "urn:c"]), json!([]), json!(null)] {
            assert_eq!(of(json!({}), events), Some(json!({"stream_id": "1", "events_requested": ["urn:a", "urn:b"]})));
        }
        assert_eq!(of(json!({"authorization_header": "Bearer s"}), json!(["urn:a", "urn:b"])), None);
        let changes = of(json!({"authorization_header": "Bearer old"}), json!(["urn:a", "urn:b"])).unwrap();
        assert_eq!(
            (&changes["delivery"]["authorization_header"], changes.get("events_requested")),
            (&json!("Bearer s"), None)
        );
    }

    #[test]
    fn the_shortest_time_between_verifications_is_in_seconds() {
        for (value, seconds) in
            [(json!(60), 60), (json!(0.5), 1), (json!(-1), 0), (json!("60"), 0), (json!(1e300), 0), (json!(null), 0)]
        {
            let stream = stream(json!({"stream_id": "1", "min_verification_interval": value}));
            assert_eq!(stream.verification_every_min().as_secs(), seconds, "{value}");
        }
    }
}
