//! The scopes of a token: a string or an array, in the claims that the issuer uses.

use super::{Fault, json::Object};
use serde_json::Value;

/// The maximum number of scopes in a token.
pub const SCOPES_MAX: usize = 256;
/// The maximum length of a scope in bytes.
pub const SCOPE_BYTES_MAX: usize = 256;

/// The name that faults use for every scope claim, because the policy chooses which claims contain scopes.
const NAME: &str = "scope";

/// The union of all scope claims in the token, sorted and without duplicates.
pub(super) fn read(claims: &Object, scope_claims: &[String]) -> Result<Vec<String>, Fault> {
    let mut scopes = Vec::new();
    for value in scope_claims.iter().filter_map(|name| claims.get(name)) {
        match value {
            Value::String(list) => {
                let held = list.split(' ').filter(|scope| !scope.is_empty());
                scopes.extend(held);
            }
            Value::Array(values) => {
                for value in values {
                    scopes.push(value.as_str().ok_or(Fault::IllTyped(NAME))?);
                }
            }
            _ => return Err(Fault::IllTyped(NAME)),
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope_token(scope)) {
        return Err(Fault::IllTyped(NAME));
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749, section 3.3). A space inside an array's entry would become
/// two scopes wherever scopes are joined, for example in a header.
fn is_scope_token(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !scope.is_empty() && scope.len() <= SCOPE_BYTES_MAX && scope.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Vec<String>, Fault> {
        let claims = Object::parse(json.as_bytes()).unwrap();
        read(&claims, &["scope".to_owned(), "scp".to_owned()])
    }

    #[test]
    fn scopes_are_read_from_strings_and_arrays_of_all_claims() {
        for (json, scopes) in [
            (r#"{}"#, vec![]),
            (r#"{"scope":""}"#, vec![]),
            (r#"{"scope":[]}"#, vec![]),
            (r#"{"scope":"b a"}"#, vec!["a", "b"]),
            (r#"{"scope":"  b   a  "}"#, vec!["a", "b"]),
            (r#"{"scp":["b","a","b"]}"#, vec!["a", "b"]),
            (r#"{"scope":"a c","scp":["b","a"]}"#, vec!["a", "b", "c"]),
            (r#"{"scope":"a A"}"#, vec!["A", "a"]),
            (r#"{"roles":"x"}"#, vec![]),
        ] {
            assert_eq!(of(json).unwrap(), scopes, "{json}");
        }
    }

    #[test]
    fn ill_formed_scopes_are_refused() {
        for json in [
            r#"{"scope":1}"#,
            r#"{"scope":null}"#,
            r#"{"scope":{"a":true}}"#,
            r#"{"scope":"a","scp":7}"#,
            r#"{"scp":["a",1]}"#,
            r#"{"scp":["a b"]}"#,
            r#"{"scp":[""]}"#,
            r#"{"scp":[["a"]]}"#,
            r#"{"scope":"a\tb"}"#,
            r#"{"scope":"a\nb"}"#,
            r#"{"scope":"a\"b"}"#,
            r#"{"scope":"a\\b"}"#,
            r#"{"scope":"ä"}"#,
            r#"{"scope":"a\u0000"}"#,
        ] {
            assert_eq!(of(json), Err(Fault::IllTyped(NAME)), "{json}");
        }
    }

    #[test]
    fn number_and_length_of_scopes_are_bounded() {
        let list = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        let json = |list: &str| format!("{{\"scope\":\"{list}\"}}");
        assert_eq!(of(&json(&list(SCOPES_MAX))).unwrap().len(), SCOPES_MAX);
        assert!(of(&json(&list(SCOPES_MAX + 1))).is_err());
        assert!(of(&json(&"a".repeat(SCOPE_BYTES_MAX))).is_ok());
        assert!(of(&json(&"a".repeat(SCOPE_BYTES_MAX + 1))).is_err());
    }
}
