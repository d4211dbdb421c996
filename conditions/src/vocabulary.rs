//! The names of the schema, and values of its types.

use cedar_policy_core::{
    ast::{Eid, EntityType, EntityUID, Name, PartialValue, Value},
    extensions::Extensions,
    parser::err::ParseErrors,
};
use std::net::IpAddr;

/// The last time there is, at the end of the year 9999: a later one is taken for it, so that every time has a value.
const LAST_MS: u64 = 253_402_300_799_999;

/// The names of the schema, parsed once.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) session: EntityType,
    pub(crate) user: EntityType,
    pub(crate) client: EntityType,
    pub(crate) group: EntityType,
    pub(crate) route: EntityType,
    pub(crate) route_set: EntityType,
    pub(crate) action: EntityType,
    datetime: Name,
    duration: Name,
    offset: Name,
    ip: Name,
}

impl Vocabulary {
    pub(crate) fn new() -> Result<Self, Box<ParseErrors>> {
        let entity = |name: &str| EntityType::from_normalized_str(&format!("Portcullis::{name}")).map_err(Box::new);
        let function = |name: &str| Name::parse_unqualified_name(name).map_err(Box::new);
        Ok(Self {
            session: entity("Session")?,
            user: entity("User")?,
            client: entity("Client")?,
            group: entity("Group")?,
            route: entity("Route")?,
            route_set: entity("RouteSet")?,
            action: entity("Action")?,
            datetime: function("datetime")?,
            duration: function("duration")?,
            offset: function("offset")?,
            ip: function("ip")?,
        })
    }

    /// A time.
    pub(crate) fn datetime(&self, ms: u64) -> Option<Value> {
        let epoch = call(&self.datetime, &["1970-01-01".into()])?;
        call(&self.offset, &[epoch, self.duration(signed(ms))?])
    }

    /// The time from one time to another, negative if they are in the other order.
    pub(crate) fn between(&self, from_ms: u64, to_ms: u64) -> Option<Value> {
        self.duration(signed(to_ms).saturating_sub(signed(from_ms)))
    }

    fn duration(&self, ms: i64) -> Option<Value> {
        call(&self.duration, &[format!("{ms}ms").into()])
    }

    /// An address.
    pub(crate) fn ip(&self, ip: IpAddr) -> Option<Value> {
        // An IPv4 address in IPv6's clothes is compared with ranges of IPv4.
        call(&self.ip, &[ip.to_canonical().to_string().into()])
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms.min(LAST_MS)).unwrap_or(i64::MAX)
}

fn call(function: &Name, arguments: &[Value]) -> Option<Value> {
    match Extensions::all_available().func(function).ok()?.call(arguments).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

/// An entity's id.
pub(crate) fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

/// A set of texts.
pub(crate) fn texts(texts: &[String]) -> Value {
    Value::set_of_lits(texts.iter().map(|text| text.as_str().into()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_and_address_has_a_value() {
        let vocabulary = Vocabulary::new().expect("names");
        for ms in [0, 1, 1_700_000_000_123, LAST_MS, u64::MAX] {
            assert!(vocabulary.datetime(ms).is_some(), "{ms}");
            assert!(vocabulary.between(ms, 0).is_some() && vocabulary.between(0, ms).is_some(), "{ms}");
        }
        for ip in ["1.2.3.4", "::1", "::ffff:1.2.3.4", "2001:db8::ffff:ffff:ffff:ffff"] {
            assert!(vocabulary.ip(ip.parse().expect("an address")).is_some(), "{ip}");
        }
    }
}
