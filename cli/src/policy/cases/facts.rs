//! What conditions are told of a case: attributes, time, address and place.

use super::raw::{RawAttributes, RawContext, RawPlaceFacts};
use portcullis_conditions::{Declared, Place};
use portcullis_engine::policy::{
    At, Faults,
    document::{Given, quoted},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::IpAddr};

/// The longest value of an attribute, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// What conditions are told of a case, besides request, token and session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaseFacts {
    /// Attributes of the session, by name.
    pub session: BTreeMap<String, String>,
    /// Attributes of the subject.
    pub subject: BTreeMap<String, String>,
    /// Attributes of the device, and its `id`.
    pub device: BTreeMap<String, String>,
    /// The time, in milliseconds since 1970; `None`: now.
    pub now_ms: Option<u64>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The client's place.
    pub place: Option<Place>,
}

impl CaseFacts {
    /// Whether the case states none, which matters where nothing judges by them.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These facts, where others replace them.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        let merged = |own: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
            own.iter().chain(others).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            session: merged(&self.session, &others.session),
            subject: merged(&self.subject, &others.subject),
            device: merged(&self.device, &others.device),
            now_ms: others.now_ms.or(self.now_ms),
            ip: others.ip.or(self.ip),
            place: others.place.clone().or_else(|| self.place.clone()),
        }
    }
}

pub(super) fn facts(
    attributes: Given<RawAttributes>,
    context: Given<RawContext>,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<CaseFacts> {
    let own = attributes.or(RawAttributes::default(), Some)?;
    let attributes_at = at.key("attributes");
    let mut of = |given: Given<Map<String, Value>>, holder| {
        given.or(BTreeMap::new(), |given| Some(named(given, &attributes_at.key(holder), faults)))
    };
    let (session, subject, device) = (of(own.session, "session"), of(own.subject, "subject"), of(own.device, "device"));
    let context = context.or(RawContext::default(), Some)?;
    let at = at.key("context");
    let now_ms = context.now.or(None, |text| faults.check(&at.key("now"), time(&text)).map(Some));
    let ip = context.ip.or(None, |text| faults.check(&at.key("ip"), address(&text)).map(Some));
    let place = context.place.or(None, |raw| place(raw, &at.key("place"), faults).map(Some));
    Some(CaseFacts { session: session?, subject: subject?, device: device?, now_ms: now_ms?, ip: ip?, place: place? })
}

fn named(given: Map<String, Value>, at: &At<'_>, faults: &mut Faults) -> BTreeMap<String, String> {
    let read = given.into_iter().filter_map(|(name, value)| {
        let at = at.key(&name);
        if !Declared::is_name(&name) {
            faults.add(&at, "expected a lower-case letter and up to 63 lower-case letters, digits, `_`, `.` and `-`");
        }
        let text = match value {
            Value::String(text) => text,
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                faults.add(&at, "expected text, a number, `true` or `false`");
                return None;
            }
        };
        if text.len() > VALUE_BYTES_MAX {
            faults.add(&at, format_args!("longer than {VALUE_BYTES_MAX} bytes"));
        }
        Some((name, text))
    });
    read.collect()
}

fn time(text: &str) -> Result<u64, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    let ms = time.ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.ok_or_else(|| format!("{}: expected a time such as `2026-11-27T22:00:00Z`", quoted(text)))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{}: expected an IP address", quoted(text)))
}

fn place(raw: RawPlaceFacts, at: &At<'_>, faults: &mut Faults) -> Option<Place> {
    let country = raw.country.or(None, |text| faults.check(&at.key("country"), country(text)).map(Some));
    let asn = raw.asn.or(None, |asn| Some(Some(asn)));
    let proxy = raw.proxy.or(None, |proxy| Some(Some(proxy)));
    Some(Place { country: country?, asn: asn?, proxy: proxy? })
}

fn country(text: String) -> Result<String, String> {
    match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(text),
        false => Err(format!("{}: expected two upper-case letters (ISO 3166-1), such as `CH`", quoted(&text))),
    }
}
