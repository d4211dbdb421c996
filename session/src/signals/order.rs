//! What a signal asks for: all that is needed to carry it out, at once or when it is released.

use super::action::Action;
use super::carry_out::cut;
use super::event::Event;
use super::parties::{On, Parties, Without};
use super::subject::Subject;
use super::transmitter::Transmitter;
use crate::attributes::{HELD_MAX, Value, is_name};
use crate::issuers::Issuers;
use crate::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Scopes that an event can leave. What is beyond is taken.
const SCOPES_MAX: usize = 1_000;

/// What a signal asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The event, as it is called in lists and logs.
    pub event: String,
    /// What it does, in order.
    pub deeds: Vec<Deed>,
    /// Whom it is about.
    pub parties: Parties,
    /// Why, for people: kept with what is made.
    pub reason: String,
}

/// One thing that a signal does: an action, with what the event says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// See [`Action::End`].
    End,
    /// See [`Action::EndOthers`].
    EndOthers,
    /// See [`Action::Block`].
    Block,
    /// See [`Action::Unblock`].
    Unblock,
    /// Leaves these scopes, by the issuer of the tokens.
    Narrow(BTreeMap<String, Vec<String>>),
    /// Has the logins of these count as another authentication context.
    StepUp {
        /// Whose.
        on: On,
        /// The context.
        acr: String,
    },
    /// Sets attributes, or removes them.
    Attribute {
        /// Of these.
        on: On,
        /// By name.
        facts: Vec<(String, Option<Value>)>,
    },
}

impl Deed {
    /// The name of its action.
    pub(crate) fn as_str(&self) -> &'static str {
        let action = match self {
            Self::End => Action::End,
            Self::EndOthers => Action::EndOthers,
            Self::Block => Action::Block,
            Self::Unblock => Action::Unblock,
            Self::Narrow(_) => Action::Narrow,
            Self::StepUp { .. } => Action::StepUp,
            Self::Attribute { .. } => Action::Attribute,
        };
        action.as_str()
    }
}

impl Order {
    /// What an event of a transmitter asks for by these actions.
    pub(super) fn of(
        event: &Event<'_>,
        actions: &[Action],
        subject: &Subject,
        transmitter: &Transmitter,
        registry: &Registry,
    ) -> Result<Self, Without> {
        let parties = Parties::of(subject, Some(event), actions, transmitter, registry)?;
        let named = Named { event, parties: &parties, transmitter, issuers: registry.issuers() };
        let deeds: Vec<Deed> = actions.iter().flat_map(|action| named.deeds(*action)).collect();
        if deeds.is_empty() {
            return Err(Without::Ignored("the event's actions do not apply to its subject"));
        }
        Ok(Self { event: cut(event.kind.name()).to_owned(), deeds, parties, reason: String::new() })
    }

    /// The names of its actions.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.deeds.iter().map(Deed::as_str).collect();
        names.dedup();
        names
    }
}

/// An event whose parties are known.
struct Named<'a> {
    event: &'a Event<'a>,
    parties: &'a Parties,
    transmitter: &'a Transmitter,
    issuers: &'a Issuers,
}

impl Named<'_> {
    fn deeds(&self, action: Action) -> Vec<Deed> {
        let is_about_somebody = self.parties.has(On::Users) || self.parties.has(On::Sessions);
        let alone = |deed| if is_about_somebody { vec![deed] } else { Vec::new() };
        match action {
            Action::End => alone(Deed::End),
            Action::EndOthers => alone(Deed::EndOthers),
            Action::Block => alone(Deed::Block),
            Action::Unblock => alone(Deed::Unblock),
            Action::Narrow => self.claims_changed(),
            Action::StepUp => self.level_changed().into_iter().collect(),
            Action::Attribute => self.facts().into_iter().collect(),
        }
    }

    /// CAEP 1.0, section 3.2: the new values of claims.
    fn claims_changed(&self) -> Vec<Deed> {
        let (Some(on), Some(Json::Object(claims))) =
            (self.parties.most_specific(false), self.event.payload.get("claims"))
        else {
            return Vec::new();
        };
        let of = &self.transmitter.settings.tokens_of;
        let stated = |issuer: &String| {
            let mut scopes = self.issuers.scopes_stated(issuer, claims)?;
            scopes.truncate(SCOPES_MAX);
            Some((issuer.clone(), scopes))
        };
        let scopes: BTreeMap<String, Vec<String>> = of.iter().filter_map(stated).collect();
        let is_scope = |name: &str| of.iter().any(|issuer| self.issuers.is_scope_claim(issuer, name));
        let facts = self.others(claims.iter().filter(|(name, _)| !is_scope(name)));
        let narrowing = (!scopes.is_empty()).then_some(Deed::Narrow(scopes));
        let attributes = (!facts.is_empty()).then_some(Deed::Attribute { on, facts });
        narrowing.into_iter().chain(attributes).collect()
    }

    /// Claims as attributes. What an attribute cannot have removes the one that was there.
    fn others<'c>(&self, claims: impl Iterator<Item = (&'c String, &'c Json)>) -> Vec<(String, Option<Value>)> {
        let named = claims.map(|(name, value)| (format!("claim.{}", name.to_ascii_lowercase()), Value::read(value)));
        named.filter(|(name, _)| is_name(name)).take(HELD_MAX).collect()
    }

    /// CAEP 1.0, section 3.4: a login counts for less. Where the direction is not stated, it may as well count for more.
    fn level_changed(&self) -> Option<Deed> {
        let is_lowered = self.text("change_direction").is_some_and(|direction| direction == "decrease");
        let acr = self.text("current_level").filter(|level| is_lowered && !level.is_empty())?;
        let on = self.parties.most_specific(false)?;
        Some(Deed::StepUp { on, acr })
    }

    /// CAEP 1.0, sections 3.5 and 3.8: whether a device complies, and how high a risk is.
    fn facts(&self) -> Option<Deed> {
        let compliance = self.text("current_status").map(|status| {
            let is_compliant = status == "compliant";
            ("device.compliant".to_owned(), Some(Value::Boolean(is_compliant)))
        });
        let level = self.text("current_level").map(|level| level.to_ascii_lowercase());
        let level = level.filter(|level| matches!(level.as_str(), "low" | "medium" | "high"));
        let on = match self.event.principal().as_deref() {
            None => self.parties.most_specific(true)?,
            Some("SESSION") => On::Sessions,
            Some("DEVICE") => On::Devices,
            Some("USER") => On::Users,
            // Of a tenant or a group, nobody here knows who belongs to it.
            Some(_) => return None,
        };
        let risk = level.map(|level| ("risk".to_owned(), Some(Value::Text(level))));
        let facts: Vec<_> = compliance.into_iter().chain(risk).collect();
        (!facts.is_empty() && self.parties.has(on)).then_some(Deed::Attribute { on, facts })
    }

    /// A text of the event.
    fn text(&self, name: &str) -> Option<String> {
        text_of(self.event.payload, name)
    }
}

fn text_of(payload: &Map<String, Json>, name: &str) -> Option<String> {
    match Value::read(payload.get(name)?)? {
        Value::Text(text) => Some(text),
        Value::Boolean(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::TEXT_BYTES_MAX;
    use crate::fixtures::Fixture;
    use crate::signals::{Actions, Kind, Profile, TransmitterSettings};
    use portcullis_contract::wire;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

    const ISSUER: &str = "https://id";
    const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";

    fn transmitter() -> Transmitter {
        let settings = TransmitterSettings {
            name: "idp".to_owned(),
            kind: Kind::Ssf,
            tokens_of: vec![ISSUER.to_owned(), "https://other".to_owned()],
            polling: None,
            stream: None,
            authorization: None,
            signed: None,
            profile: Profile::Ssf1,
            actions: Actions::default(),
            hold_above: None,
            critical: Vec::new(),
            stale_after: None,
        };
        Transmitter::new(settings, 0).unwrap()
    }

    fn described() -> wire::Issuer {
        wire::Issuer {
            name: ISSUER.to_owned(),
            scope_claims: vec!["/realm/roles".to_owned()],
            session_claims: vec!["sid".to_owned()],
            ..wire::Issuer::default()
        }
    }

    /// What an event asks for by the default actions.
    fn order(event: &str, sub_id: &Json, payload: &Json) -> Result<Order, Without> {
        static WORLD: LazyLock<Fixture> = LazyLock::new(|| {
            let fixture = Fixture::new();
            fixture.registry.issuers().learn(vec![described()]).unwrap();
            fixture
        });
        let claims = json!({"events": {format!("{CAEP}{event}"): payload}});
        let claims = claims.as_object().unwrap();
        let event = Event::of(claims).unwrap();
        let subject = Subject::read(sub_id).map_err(Without::Refused)?;
        Order::of(&event, Actions::default().of(&event.kind), &subject, &transmitter(), &WORLD.registry)
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::Text(text.to_owned()))
    }

    #[test]
    fn claims_that_hold_scopes_narrow_and_others_are_attributes() {
        let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"});
        let claims = json!({"realm": {"roles": ["b", "a", "a b"]}, "scope": "c", "Dept": "x", "gone": null,
                            "long": "x".repeat(TEXT_BYTES_MAX + 1), "with space": 1});
        let order = order("token-claims-change", &user, &json!({"claims": claims})).unwrap();
        let of = |issuer: &str, scopes: &[&str]| (issuer.to_owned(), scopes.iter().map(|&s| s.to_owned()).collect());
        let facts = [("claim.dept", text("x")), ("claim.gone", None), ("claim.long", None)];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let narrow = Deed::Narrow(BTreeMap::from([of(ISSUER, &["a", "b"]), of("https://other", &["c"])]));
        assert_eq!(order.deeds, [narrow, Deed::Attribute { on: On::Users, facts }]);
        assert_eq!(order.actions(), ["narrow", "attribute"]);
    }

    #[test]
    fn scopes_that_are_gone_from_where_they_were_are_none() {
        let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"});
        for claims in [json!({"realm": {}}), json!({"realm": null}), json!({"realm": {"roles": []}})] {
            let order = order("token-claims-change", &user, &json!({"claims": claims})).unwrap();
            assert_eq!(order.deeds, [Deed::Narrow(BTreeMap::from([(ISSUER.to_owned(), vec![])]))], "{claims}");
        }
    }

    #[test]
    fn what_says_nothing_that_is_understood_is_ignored() {
        let user = json!({"format": "opaque", "id": "alice"});
        let device = json!({"format": "complex", "device": {"format": "opaque", "id": "d"}});
        let unread = json!({"format": "complex", "user": user, "device": {"format": "uri", "uri": "urn:uuid:1"}});
        let rows = [
            ("token-claims-change", &user, json!({})),
            ("token-claims-change", &user, json!({"claims": ["scope"]})),
            ("token-claims-change", &device, json!({"claims": {"scope": "a"}})),
            ("assurance-level-change", &user, json!({})),
            ("assurance-level-change", &user, json!({"current_level": 1})),
            ("assurance-level-change", &user, json!({"current_level": "aal3", "change_direction": "increase"})),
            ("assurance-level-change", &user, json!({"current_level": "hi-res-scan", "initiating_entity": "user"})),
            ("assurance-level-change", &device, json!({"current_level": "aal1", "change_direction": "decrease"})),
            ("device-compliance-change", &user, json!({"current_status": true})),
            ("device-compliance-change", &unread, json!({"current_status": "not-compliant"})),
            ("risk-level-change", &user, json!({"current_level": "LOW", "principal": "TENANT"})),
            ("session-revoked", &device, json!({})),
        ];
        for (event, sub_id, payload) in rows {
            assert!(matches!(order(event, sub_id, &payload), Err(Without::Ignored(_))), "{event} {payload}");
        }
    }

    /// Any JSON.
    fn anything() -> impl Strategy<Value = Json> {
        let names = prop_oneof![
            Just("format".to_owned()),
            Just("user".to_owned()),
            Just("session".to_owned()),
            Just("device".to_owned()),
            Just("claims".to_owned()),
            Just("current_level".to_owned()),
            Just("current_status".to_owned()),
            Just("principal".to_owned()),
            Just("id".to_owned()),
            "[a-zA-Z.]{0,3}",
        ];
        let texts = prop_oneof![
            Just("complex".to_owned()),
            Just("opaque".to_owned()),
            Just("high".to_owned()),
            Just("compliant".to_owned()),
            ".{0,4}",
            "x{250,260}",
        ];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i32>().prop_map(Json::from),
            texts.prop_map(Json::from)
        ];
        leaf.prop_recursive(4, 128, 48, move |inner| {
            let members = proptest::collection::btree_map(names.clone(), inner.clone(), 0..48);
            let object = members.prop_map(|members| Json::Object(members.into_iter().collect()));
            prop_oneof![proptest::collection::vec(inner, 0..3).prop_map(Json::from), object]
        })
    }

    proptest! {
        /// Whatever a transmitter says, what is kept of it is bounded and is read back as it was.
        #[test]
        fn an_order_is_bounded_and_can_be_kept(event in 0..6_usize, sub_id in anything(), payload in anything()) {
            let events = ["session-revoked", "token-claims-change", "assurance-level-change",
                          "device-compliance-change", "risk-level-change", "credential-change"];
            let (Some(event), true) = (events.get(event), payload.is_object()) else { return Ok(()) };
            let Ok(order) = order(event, &sub_id, &payload) else { return Ok(()) };
            prop_assert!(!order.deeds.is_empty());
            for deed in &order.deeds {
                let Deed::Attribute { on, facts } = deed else { continue };
                prop_assert!(order.parties.has(*on) && !facts.is_empty() && facts.len() <= HELD_MAX);
                prop_assert!(facts.iter().all(|(name, _)| is_name(name)), "{facts:?}");
                let is_short = |value: &Value| !matches!(value, Value::Text(text) if text.len() > TEXT_BYTES_MAX);
                prop_assert!(facts.iter().filter_map(|(_, value)| value.as_ref()).all(is_short));
            }
            let kept = serde_json::to_string(&order).unwrap();
            prop_assert_eq!(serde_json::from_str::<Order>(&kept).unwrap(), order);
        }
    }
}
