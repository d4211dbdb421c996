//! The shape of `session.yaml`. A key that is not here is a fault.

use super::admins::RawAdmin;
use super::approvals::RawRule;
use super::audit::RawAudit;
use super::conditions::RawConditions;
use super::places::{RawAnomalies, RawGeoIp};
use super::signals::RawTransmitter;
use super::signing::RawSigning;
use super::tokens::RawTokens;
use super::webhooks::RawWebhook;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of `session.yaml`")]
pub(super) struct Raw {
    pub(super) listen: String,
    pub(super) admin: String,
    pub(super) filter_credential: Option<RawCredentials>,
    pub(super) admin_credential: Option<RawCredentials>,
    #[serde(default)]
    pub(super) admins: Vec<RawAdmin>,
    pub(super) metrics: Option<RawMetrics>,
    pub(super) store: RawStore,
    pub(super) serve_lease: Option<String>,
    pub(super) activity_interval: Option<String>,
    #[serde(default)]
    pub(super) enrolment: RawEnrolment,
    #[serde(default, with = "serde_norway::with::singleton_map")]
    pub(super) undated_logins: RawUndatedLogins,
    #[serde(default)]
    pub(super) retention: RawRetention,
    #[serde(default)]
    pub(super) usage: RawUsage,
    pub(super) access: Option<Vec<RawAccess>>,
    pub(super) tls: Option<RawTls>,
    pub(super) admin_tls: Option<RawTls>,
    pub(super) signals_listen: Option<String>,
    pub(super) signals_tls: Option<RawTls>,
    #[serde(default)]
    pub(super) signals: Vec<RawTransmitter>,
    #[serde(default)]
    pub(super) approvals: Vec<RawRule>,
    pub(super) external_url: Option<String>,
    #[serde(default)]
    pub(super) webhooks: Vec<RawWebhook>,
    pub(super) audit: Option<RawAudit>,
    pub(super) geoip: Option<RawGeoIp>,
    pub(super) anomalies: Option<RawAnomalies>,
    pub(super) conditions: Option<RawConditions>,
    pub(super) signing: Option<RawSigning>,
    pub(super) tokens: Option<RawTokens>,
    pub(super) tokens_listen: Option<String>,
    pub(super) tokens_tls: Option<RawTls>,
}

/// A credential, or a list of them.
pub(super) enum RawCredentials {
    One(RawCredential),
    Several(Vec<RawCredential>),
}

/// By hand: a derived choice of shapes would answer every fault with the same words, and forget where it is.
impl<'de> Deserialize<'de> for RawCredentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = RawCredentials;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{env: …}`, `{file: …}` or a list of these")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawCredentials, A::Error> {
                RawCredential::deserialize(MapAccessDeserializer::new(map)).map(RawCredentials::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawCredentials, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawCredentials::Several)
            }
        }

        deserializer.deserialize_any(Shape)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{env: …}` or `{file: …}`")]
pub(super) struct RawCredential {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{credential: …}` or `{open: true}`")]
pub(super) struct RawMetrics {
    pub(super) credential: Option<RawCredentials>,
    #[serde(default)]
    pub(super) open: bool,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object: `{embedded: {path: …}}`, `{postgres: {url: …}}` or `{redis: {…}}`"
)]
pub(super) struct RawStore {
    pub(super) embedded: Option<RawEmbedded>,
    pub(super) postgres: Option<RawPostgres>,
    pub(super) redis: Option<RawRedis>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with `url`, `sentinel` or `cluster`, with `journal` and `replicas`, and with `prefix`, `ca` or `password`"
)]
pub(super) struct RawRedis {
    pub(super) url: Option<String>,
    pub(super) sentinel: Option<RawSentinel>,
    pub(super) cluster: Option<Vec<String>>,
    pub(super) journal: String,
    pub(super) replicas: u32,
    pub(super) prefix: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) password: Option<RawCredential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `nodes` and `primary`")]
pub(super) struct RawSentinel {
    pub(super) nodes: Vec<String>,
    pub(super) primary: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `url`, `schema`, `ca` or `password`")]
pub(super) struct RawPostgres {
    pub(super) url: String,
    pub(super) schema: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) password: Option<RawCredential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{path: …}`")]
pub(super) struct RawEmbedded {
    pub(super) path: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawEnrolment {
    #[default]
    FirstUse,
    Explicit,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawUndatedLogins {
    #[default]
    Refuse,
    Reopen {
        revoked_for: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{ended: …}`")]
pub(super) struct RawRetention {
    pub(super) ended: String,
}

impl Default for RawRetention {
    fn default() -> Self {
        Self { ended: "30d".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{retain: …}`")]
pub(super) struct RawUsage {
    pub(super) retain: String,
}

impl Default for RawUsage {
    fn default() -> Self {
        Self { retain: "180d".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of an access type")]
pub(super) struct RawAccess {
    pub(super) name: String,
    pub(super) when: Option<RawWhen>,
    pub(super) absolute: Option<String>,
    pub(super) idle: Option<String>,
    pub(super) growth: Option<RawGrowth>,
    #[serde(default)]
    pub(super) unlimited: bool,
}

/// A word, or a list of scopes.
pub(super) enum RawGrowth {
    Refuse,
    Allow,
    Listed(Vec<String>),
}

impl<'de> Deserialize<'de> for RawGrowth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GrowthVisitor)
    }
}

struct GrowthVisitor;

impl<'de> Visitor<'de> for GrowthVisitor {
    type Value = RawGrowth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`refuse`, `allow` or a list of scopes")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawGrowth, E> {
        match word {
            "refuse" => Ok(RawGrowth::Refuse),
            "allow" => Ok(RawGrowth::Allow),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawGrowth, A::Error> {
        let mut scopes = Vec::new();
        while let Some(scope) = list.next_element()? {
            scopes.push(scope);
        }
        Ok(RawGrowth::Listed(scopes))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with `scope`, `client` or `grant`")]
pub(super) struct RawWhen {
    pub(super) scope: Option<Vec<String>>,
    pub(super) client: Option<Vec<String>>,
    pub(super) grant: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `cert` and `key`")]
pub(super) struct RawTls {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) client_ca: Option<String>,
}
