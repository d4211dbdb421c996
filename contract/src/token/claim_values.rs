//! A condition on a claim: it is equal to one of some values.

use super::json::Object;
use crate::wire;
use serde_json::{Number, Value};
use std::fmt;

/// A claim and the values of which it must have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimValues {
    /// The claim's name.
    pub claim: String,
    /// The values; never empty.
    pub values: Vec<Scalar>,
}

/// A value that a claim can be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A text, compared byte for byte.
    Text(String),
    /// A number, compared by its value: `1` is `1.0`.
    Number(Number),
    /// `true` or `false`
    Bool(bool),
}

impl ClaimValues {
    /// The form of the check stream.
    pub fn to_wire(&self) -> wire::ClaimValues {
        wire::ClaimValues { claim: self.claim.clone(), values: self.values.iter().map(Scalar::to_string).collect() }
    }

    /// Reads the form of the check stream; `None` if there is no value, or one that is none.
    pub fn of_wire(values: wire::ClaimValues) -> Option<Self> {
        let wire::ClaimValues { claim, values } = values;
        let values: Vec<Scalar> = values.iter().map(|json| Scalar::parse(json)).collect::<Option<_>>()?;
        (!values.is_empty()).then_some(Self { claim, values })
    }

    /// Whether the claim is equal to one of the values. A list that contains the value is not equal to it.
    pub(super) fn are_met(&self, claims: &Object) -> bool {
        claims.get(&self.claim).is_some_and(|claim| self.values.iter().any(|value| value.is(claim)))
    }
}

impl Scalar {
    /// Reads a JSON value; `None` for `null`, a list and an object.
    pub fn of(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text)),
            Value::Number(number) => Some(Self::Number(number)),
            Value::Bool(value) => Some(Self::Bool(value)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Reads JSON text, the form in which it is displayed.
    pub fn parse(json: &str) -> Option<Self> {
        Self::of(serde_json::from_str(json).ok()?)
    }

    fn is(&self, claim: &Value) -> bool {
        match (self, claim) {
            (Self::Text(text), Value::String(claim)) => text == claim,
            (Self::Bool(value), Value::Bool(claim)) => value == claim,
            // Only a fraction is compared as one: large whole numbers would lose digits.
            (Self::Number(number), Value::Number(claim)) if number.is_f64() || claim.is_f64() => {
                number.as_f64() == claim.as_f64()
            }
            (Self::Number(number), Value::Number(claim)) => number == claim,
            _ => false,
        }
    }
}

/// As JSON.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", Value::from(text.as_str())),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_equal_to_a_value_of_its_own_type_only() {
        for (value, equal, others) in [
            (json!("access"), vec![json!("access")], vec![json!("Access"), json!("access "), json!(["access"])]),
            (json!("1"), vec![json!("1")], vec![json!(1), json!("1.0"), json!(true)]),
            (json!(1), vec![json!(1), json!(1.0)], vec![json!("1"), json!(1.5), json!(-1), json!(true)]),
            (json!(2.5), vec![json!(2.5)], vec![json!(2), json!("2.5")]),
            (json!(u64::MAX), vec![json!(u64::MAX)], vec![json!(u64::MAX - 1)]),
            (json!(true), vec![json!(true)], vec![json!("true"), json!(1), json!(false)]),
        ] {
            let values = ClaimValues { claim: "c".to_owned(), values: vec![Scalar::of(value.clone()).unwrap()] };
            let is_met = |claim: &Value| values.are_met(&Object::from_value(json!({"c": claim})).unwrap());
            for claim in &equal {
                assert!(is_met(claim), "{value} {claim}");
            }
            for claim in others.iter().chain([&json!(null), &json!({}), &json!([])]) {
                assert!(!is_met(claim), "{value} {claim}");
            }
            assert!(!values.are_met(&Object::parse(b"{}").unwrap()), "{value}");
        }
    }

    #[test]
    fn values_survive_the_wire_as_json() {
        for value in [json!("a\"b"), json!(""), json!(7), json!(-1), json!(2.5), json!(true)] {
            let scalar = Scalar::of(value.clone()).unwrap();
            assert_eq!(Scalar::parse(&scalar.to_string()), Some(scalar.clone()), "{value}");
            let values = ClaimValues { claim: "c".to_owned(), values: vec![scalar] };
            assert_eq!(ClaimValues::of_wire(values.to_wire()), Some(values), "{value}");
        }
        for values in [vec![], vec!["1".to_owned(), "x".to_owned()]] {
            assert_eq!(ClaimValues::of_wire(wire::ClaimValues { claim: "c".to_owned(), values }), None);
        }
        for json in ["", "access", "null", "[1]", "{}", "1 2"] {
            assert_eq!(Scalar::parse(json), None, "{json}");
        }
    }
}
