//! The attributes that hold for a session, kept apart by what they are about: its own win over those of its device, and these
//! over those of its subject.

use crate::attributes::{Attributes, Fact, Holder, Value};
use crate::revocations::Bearer;
use std::collections::BTreeMap;

/// An attribute that holds: who says so, and what.
type Named = BTreeMap<String, (String, Fact)>;

/// The attributes that hold for a session at an instant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    session: Named,
    device: Named,
    subject: Named,
    /// The first instant at which one of them no longer holds.
    pub(crate) until_ms: Option<u64>,
}

impl Layers {
    /// Those of a session with that device; empty: without one. Of several sources, the latest one counts.
    pub(crate) fn of(all: &Attributes, bearer: Bearer<'_>, device: &str, now_ms: u64) -> Self {
        let mut layers = Self::default();
        for holder in Holder::of(bearer).chain(Holder::device(bearer.issuer, device)) {
            let layer = match &holder {
                Holder::Session(_) | Holder::Sid { .. } => &mut layers.session,
                Holder::Device { .. } => &mut layers.device,
                Holder::Subject { .. } => &mut layers.subject,
            };
            for ((name, source), fact) in all.at(&holder).into_iter().flatten() {
                if !fact.holds_for(holder.is_sid(), bearer, now_ms) {
                    continue;
                }
                layers.until_ms = [layers.until_ms, fact.expires_at_ms].into_iter().flatten().min();
                if layer.get(name).is_none_or(|(_, held)| held.set_at_ms <= fact.set_at_ms) {
                    layer.insert(name.clone(), (source.clone(), fact.clone()));
                }
            }
        }
        layers
    }

    /// An attribute of the session, of its device or of its subject, the first of them that has it; with its source.
    pub(crate) fn nearest(&self, name: &str) -> Option<(&str, &Value)> {
        [&self.session, &self.device, &self.subject].into_iter().find_map(|layer| read(layer, name))
    }

    /// An attribute of its subject.
    pub(crate) fn subject(&self, name: &str) -> Option<(&str, &Value)> {
        read(&self.subject, name)
    }
}

fn read<'l>(layer: &'l Named, name: &str) -> Option<(&'l str, &'l Value)> {
    layer.get(name).map(|(source, fact)| (source.as_str(), &fact.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attribute;
    use portcullis_contract::KeyKind;

    fn bearer(sid: &str) -> Bearer<'_> {
        Bearer {
            issuer: "https://id",
            subject: "alice",
            client: "web",
            kind: KeyKind::Claim,
            key: sid,
            start_ms: 1,
            login_ms: 1,
        }
    }

    fn all(set: &[(Holder, &str, &str, u64, Option<u64>)]) -> Attributes {
        let mut all = Attributes::default();
        for (holder, source, value, set_at_ms, expires_at_ms) in set.iter().cloned() {
            let value = Value::Text(value.to_owned());
            let fact = Fact { value, set_at_ms, expires_at_ms, login_until_ms: None };
            let (name, source) = ("risk".to_owned(), source.to_owned());
            all.set(Attribute { holder, name, source, fact: Some(fact) });
        }
        all
    }

    fn device() -> Holder {
        Holder::device("https://id", "d").unwrap()
    }

    fn subject() -> Holder {
        Holder::Subject { issuer: "https://id".to_owned(), subject: "alice".to_owned() }
    }

    #[test]
    fn the_sessions_own_attribute_wins_over_its_devices_and_that_over_its_subjects() {
        let own = (Holder::Session(bearer("s").id()), "admin", "own", 1, None);
        let (of_device, of_subject) =
            ((device(), "admin", "device", 2, None), (subject(), "admin", "subject", 3, None));
        let risk = |set: &[(Holder, &str, &str, u64, Option<u64>)], of: &str| {
            let layers = Layers::of(&all(set), bearer("s"), of, 9);
            layers.nearest("risk").map(|(_, value)| value.clone())
        };
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        assert_eq!(risk(&[own.clone(), of_device.clone(), of_subject.clone()], "d"), text("own"));
        assert_eq!(risk(&[of_device.clone(), of_subject.clone()], "d"), text("device"));
        assert_eq!(risk(&[of_device.clone(), of_subject], "other"), text("subject"));
        assert_eq!(risk(&[of_device], ""), None);
    }

    #[test]
    fn what_has_expired_is_absent_and_what_will_expire_says_when() {
        let set = [(subject(), "a", "low", 1, Some(20)), (subject(), "b", "high", 2, Some(10))];
        let at = |now_ms| Layers::of(&all(&set), bearer("s"), "", now_ms);
        let value = |layers: &Layers| layers.nearest("risk").map(|(source, _)| source.to_owned());
        assert_eq!((value(&at(9)), at(9).until_ms), (Some("b".to_owned()), Some(10)));
        assert_eq!((value(&at(10)), at(10).until_ms), (Some("a".to_owned()), Some(20)));
        assert_eq!((value(&at(20)), at(20).until_ms), (None, None));
        assert_eq!(at(9).subject("risk"), at(9).nearest("risk"));
    }
}
