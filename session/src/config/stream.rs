//! Who manages the stream of a transmitter: `signals[].stream`.

use super::credentials::secret;
use super::raw::RawCredential;
use crate::signals::{ClientCredentials, Delivery, Manage, Url};
use crate::store::postgres::Secret;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;

/// `existing`, or how it is managed.
pub(super) enum RawStream {
    Existing,
    Manage(RawManage),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{manage: {…}}`")]
struct RawManaged {
    manage: RawManage,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `token_endpoint`, `client_id` and `client_secret`")]
pub(super) struct RawManage {
    token_endpoint: String,
    client_id: String,
    client_secret: RawCredential,
    #[serde(default)]
    scopes: Vec<String>,
    endpoint_url: Option<String>,
}

impl<'de> Deserialize<'de> for RawStream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = RawStream;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`existing` or `{manage: {token_endpoint: …, client_id: …, client_secret: …}}`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<RawStream, E> {
                match word {
                    "existing" => Ok(RawStream::Existing),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawStream, A::Error> {
                RawManaged::deserialize(MapAccessDeserializer::new(map))
                    .map(|managed| RawStream::Manage(managed.manage))
            }
        }

        deserializer.deserialize_any(Shape)
    }
}

/// What else is configured about the transmitter.
pub(super) struct Around<'a> {
    /// By `keys.discovery`.
    pub(super) is_discovered: bool,
    pub(super) is_polled: bool,
    pub(super) has_poll_url: bool,
    pub(super) authorization: Option<&'a String>,
}

/// Reads how the stream is managed; none where it is not.
pub(super) fn read(
    at: &str,
    raw: Option<RawStream>,
    around: &Around<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<Manage> {
    let RawStream::Manage(raw) = raw? else { return None };
    let at_url = format!("{at}.delivery.poll.url");
    let at = format!("{at}.stream.manage");
    if !around.is_discovered {
        faults.push(format!("{at}: needs `keys.discovery`, which says where streams are managed"));
    }
    if around.has_poll_url {
        faults
            .push(format!("{at_url}: has no meaning where the stream is managed: the transmitter says where to poll"));
    }
    if raw.client_id.is_empty() {
        faults.push(format!("{at}.client_id: is empty"));
    }
    for scope in raw.scopes.iter().filter(|scope| !is_scope(scope)) {
        faults.push(format!("{at}.scopes: `{scope}` is not a scope"));
    }
    let mut url =
        |key: &str, text: &str| Url::read(text).map_err(|fault| faults.push(format!("{at}.{key}: {fault}"))).ok();
    let token_endpoint = url("token_endpoint", &raw.token_endpoint);
    let endpoint = raw.endpoint_url.as_ref().and_then(|text| url("endpoint_url", text));
    let client_secret = secret(&format!("{at}.client_secret"), &raw.client_secret, env);
    let client_secret = client_secret.map_err(|fault| faults.push(fault)).ok();
    let delivery = match (around.is_polled, raw.endpoint_url.is_some()) {
        (true, true) => {
            faults.push(format!("{at}.endpoint_url: has no meaning where the stream is polled"));
            None
        }
        (true, false) => Some(Delivery::Poll),
        (false, true) => endpoint
            .map(|endpoint| Delivery::Push { endpoint, authorization: around.authorization.cloned().map(Secret) }),
        (false, false) => {
            faults.push(format!(
                "{at}.endpoint_url: is missing: name the URL at which the transmitter reaches `signals_listen`"
            ));
            None
        }
    };
    let client = ClientCredentials {
        token_endpoint: token_endpoint?,
        client_id: raw.client_id,
        client_secret: Secret(client_secret?),
        scopes: raw.scopes,
    };
    Some(Manage { client, delivery: delivery? })
}

/// A `scope-token` of RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}
