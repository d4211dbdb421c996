//! The facts of a token that only the conditions of a session service need. Which claims those are, the policy says.

use super::{ScopeClaim, identity::text, json::Object};
use crate::{
    bounds::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX},
    wire,
};
use serde_json::Value;

/// The claims that conditions need, as a policy names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactClaims {
    /// The claims that name the session's device; the first one present counts.
    pub device: Vec<String>,
    /// How many of them come before the client's certificate, which can name it as well.
    pub before_certificate: usize,
    /// The claims that are passed on as attributes.
    pub attributes: Vec<String>,
    /// The claim that contains the groups of a person.
    pub groups: Option<ScopeClaim>,
}

/// The facts of a token that only conditions need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConditionFacts {
    /// The session's device, by the token's claims.
    pub device: Option<String>,
    /// Whether that claim comes before the client's certificate.
    pub outranks_certificate: bool,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// The named claims that the token has, as text.
    pub claims: Vec<(String, String)>,
    /// Sorted and without duplicates.
    pub groups: Vec<String>,
}

impl ConditionFacts {
    /// Reads what conditions need; `None` if the token says nothing of it. A claim that cannot be read counts as absent: it
    /// voids no token.
    pub(super) fn read(claims: &Object, names: &FactClaims) -> Option<Box<Self>> {
        let mut named = names.device.iter().enumerate();
        let device = named.find_map(|(index, name)| Some((index, text(claims, name).filter(|text| fits(text))?)));
        let attribute = |name: &String| Some((name.clone(), as_text(claims.get(name)?)?));
        let facts = Self {
            outranks_certificate: device.is_some_and(|(index, _)| index < names.before_certificate),
            device: device.map(|(_, device)| device.to_owned()),
            amr: claims.get("amr").map(list).unwrap_or_default().into_iter().take(ATTRIBUTES_MAX).collect(),
            claims: names.attributes.iter().filter_map(attribute).take(ATTRIBUTES_MAX).collect(),
            groups: names.groups.as_ref().and_then(|claim| claim.find(claims)).map(groups).unwrap_or_default(),
        };
        (facts != Self::default()).then(|| Box::new(facts))
    }

    /// Adds the facts to the description of their token.
    pub fn put(&self, token: &mut wire::Token) {
        let attribute = |(name, value): &(String, String)| wire::Attribute { name: name.clone(), value: value.clone() };
        token.device = self.device.clone().unwrap_or_default();
        token.amr.clone_from(&self.amr);
        token.claims = self.claims.iter().map(attribute).collect();
        token.groups.clone_from(&self.groups);
    }

    /// Every text.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter().flat_map(|(name, value)| [name, value]);
        self.device.iter().chain(&self.amr).chain(claims).chain(&self.groups).map(String::as_str)
    }
}

fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= ATTRIBUTE_BYTES_MAX
}

/// A text, a number or a boolean; anything else has no one text.
fn as_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_true) => is_true.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= ATTRIBUTE_BYTES_MAX).then_some(text)
}

/// The texts of a list; a text alone is a list of one.
fn list(value: &Value) -> Vec<String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    texts.into_iter().filter(|text| fits(text)).map(str::to_owned).collect()
}

/// A list, a text alone, or an object whose names are the groups, as in some issuers' roles. The length of the token limits
/// their number: to leave out one of many could let its members pass.
fn groups(value: &Value) -> Vec<String> {
    let mut groups = match value {
        Value::Object(members) => {
            let held =
                members.iter().filter(|(name, value)| fits(name) && !matches!(value, Value::Null | Value::Bool(false)));
            held.map(|(name, _)| name.clone()).collect()
        }
        other => list(other),
    };
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> FactClaims {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        FactClaims {
            device: owned(&["deviceid", "serial"]),
            before_certificate: 1,
            attributes: owned(&["department", "level", "intern", "address"]),
            groups: Some(ScopeClaim::parse("/realm_access/roles").unwrap()),
        }
    }

    fn read(json: &str) -> Option<Box<ConditionFacts>> {
        ConditionFacts::read(&Object::parse(json.as_bytes()).unwrap(), &names())
    }

    #[test]
    fn a_token_without_such_claims_has_none_of_these_facts() {
        for json in ["{}", r#"{"sub":"a","address":{"city":"x"},"amr":7,"deviceid":"","realm_access":{}}"#] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn named_claims_are_passed_on_as_text_if_they_have_one() {
        let facts = read(r#"{"department":"Vertrieb Süd","level":3,"intern":true,"address":{"city":"x"},"other":"y"}"#);
        let expected = [("department", "Vertrieb Süd"), ("level", "3"), ("intern", "true")];
        assert_eq!(facts.unwrap().claims, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let long = "x".repeat(ATTRIBUTE_BYTES_MAX);
        assert!(read(&format!(r#"{{"department":"{long}"}}"#)).is_some());
        assert!(read(&format!(r#"{{"department":"{long}x"}}"#)).is_none(), "what is too long is left out");
    }

    #[test]
    fn the_first_claim_that_names_a_device_counts_and_says_whether_a_certificate_could() {
        let device = |json: &str| read(json).map(|facts| (facts.device, facts.outranks_certificate));
        assert_eq!(device(r#"{"serial":"s","deviceid":"d"}"#), Some((Some("d".to_owned()), true)));
        assert_eq!(device(r#"{"serial":"s","deviceid":7}"#), Some((Some("s".to_owned()), false)));
        assert_eq!(device(r#"{"serial":" s"}"#), None);
    }

    #[test]
    fn methods_and_groups_are_lists_and_groups_can_be_the_names_of_an_object() {
        let facts = read(r#"{"amr":["pwd","otp",7],"realm_access":{"roles":["b","a","b",""]}}"#).unwrap();
        assert_eq!(
            (facts.amr, facts.groups),
            (vec!["pwd".to_owned(), "otp".to_owned()], vec!["a".to_owned(), "b".to_owned()])
        );
        let facts = read(r#"{"amr":"pwd","realm_access":{"roles":{"ops":{},"dev":false}}}"#).unwrap();
        assert_eq!((facts.amr, facts.groups), (vec!["pwd".to_owned()], vec!["ops".to_owned()]));
    }

    #[test]
    fn thousands_of_groups_are_all_read() {
        let roles: Vec<String> = (0..5_000).map(|i| format!("\"{i}\"")).collect();
        let facts = read(&format!(r#"{{"realm_access":{{"roles":[{}]}}}}"#, roles.join(",")));
        assert_eq!(facts.unwrap().groups.len(), roles.len());
    }

    #[test]
    fn the_facts_are_put_into_the_description_of_their_token() {
        let mut token = wire::Token { handle: 3, ..wire::Token::default() };
        read(r#"{"deviceid":"d","amr":["pwd"],"level":2,"realm_access":{"roles":["ops"]}}"#).unwrap().put(&mut token);
        let claims = vec![wire::Attribute { name: "level".to_owned(), value: "2".to_owned() }];
        let (amr, groups) = (vec!["pwd".to_owned()], vec!["ops".to_owned()]);
        let expected = wire::Token { handle: 3, device: "d".to_owned(), amr, claims, groups, ..wire::Token::default() };
        assert_eq!(token, expected);
    }
}
