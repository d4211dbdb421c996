//! The scopes of a token: in a string, an array or the names of an object, in the claims that the issuer uses.
//!
//! A value that no rule could require is left out, whatever it is: people are in groups with spaces and umlauts in their
//! names, and in hundreds of them. The length of the token limits their number.

use super::{ScopeClaim, json::Object};
use serde_json::Value;

/// The maximum length of a scope in bytes; a policy cannot declare a longer one.
pub const SCOPE_BYTES_MAX: usize = 256;

/// The union of all scope claims in the token, sorted and without duplicates.
pub(super) fn read<'n>(claims: &Object, scope_claims: impl IntoIterator<Item = &'n ScopeClaim>) -> Vec<String> {
    let mut scopes = Vec::new();
    for value in scope_claims.into_iter().filter_map(|claim| claim.find(claims)) {
        match value {
            Value::String(list) => scopes.extend(list.split(' ')),
            Value::Array(items) => scopes.extend(items.iter().filter_map(Value::as_str)),
            // `{"admin": false}` names a role that is not held.
            Value::Object(members) => {
                let held = members.iter().filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)));
                scopes.extend(held.map(|(name, _)| name.as_str()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    scopes.retain(|scope| is_scope_token(scope));
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().map(str::to_owned).collect()
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

    fn of(json: &str) -> Vec<String> {
        let claims = Object::parse(json.as_bytes()).unwrap();
        let names = ["scope", "scp", "/realm_access/roles", "/resource_access/orders~1api/roles"];
        read(&claims, &names.map(|name| ScopeClaim::parse(name).unwrap()))
    }

    #[test]
    fn scopes_are_read_from_strings_arrays_and_the_names_of_objects_in_all_claims() {
        for (json, scopes) in [
            (r#"{}"#, vec![]),
            (r#"{"scope":""}"#, vec![]),
            (r#"{"scope":[]}"#, vec![]),
            (r#"{"scope":"b a"}"#, vec!["a", "b"]),
            (r#"{"scope":"  b   a  "}"#, vec!["a", "b"]),
            (r#"{"scp":["b","a","b"]}"#, vec!["a", "b"]),
            (r#"{"scope":"a c","scp":["b","a"]}"#, vec!["a", "b", "c"]),
            (r#"{"scope":"a A"}"#, vec!["A", "a"]),
            (r#"{"scope":{"admin":{"2011":"zitadel.example"},"a":{}}}"#, vec!["a", "admin"]),
            (r#"{"scope":{"a":true,"b":1,"c":"","d":[]}}"#, vec!["a", "b", "c", "d"]),
            (r#"{"roles":"x"}"#, vec![]),
            (r#"{"realm_access":{"roles":["admin","a"]}}"#, vec!["a", "admin"]),
            (r#"{"resource_access":{"orders/api":{"roles":"a b"}},"scp":"c"}"#, vec!["a", "b", "c"]),
            (r#"{"resource_access":{"orders":{"roles":["a"]}},"realm_access":["roles"]}"#, vec![]),
        ] {
            assert_eq!(of(json), scopes, "{json}");
        }
    }

    #[test]
    fn what_is_no_scope_is_left_out_and_never_split() {
        let long = "x".repeat(SCOPE_BYTES_MAX + 1);
        for entry in ["Domain Users", " a", "a ", "", "ä", r"a\tb", r"a\nb", r#"a\"b"#, r"a\\b", r"a\u0000", &long] {
            for json in [
                format!(r#"{{"scp":["ok","{entry}"]}}"#),
                format!(r#"{{"scp":{{"ok":1,"{entry}":1}}}}"#),
                format!(r#"{{"scope":"ok","scp":["{entry}","ok"]}}"#),
            ] {
                assert_eq!(of(&json), ["ok"], "{json}");
            }
        }
        for entry in ["1", "null", "true", r#"{"a":1}"#, r#"["a"]"#, r#"{"name":"a"}"#] {
            assert_eq!(of(&format!(r#"{{"scp":["ok",{entry}]}}"#)), ["ok"], "{entry}");
        }
        for json in [r#"{"scope":"ok a\tb"}"#, r#"{"scope":"ok ä"}"#, r#"{"scope":"\"a ok"}"#] {
            assert_eq!(of(json), ["ok"], "{json}");
        }
    }

    #[test]
    fn a_scope_claim_of_another_type_holds_no_scope() {
        for value in ["null", "1", "true", "false"] {
            assert_eq!(of(&format!(r#"{{"scope":{value},"scp":"ok"}}"#)), ["ok"], "{value}");
        }
        assert_eq!(of(r#"{"scope":{"a":false,"b":null}}"#), [""; 0], "names of roles that are not held");
    }

    #[test]
    fn thousands_of_groups_are_all_read() {
        let list: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
        assert_eq!(of(&format!(r#"{{"scope":"{}"}}"#, list.join(" "))).len(), list.len());
        assert_eq!(of(&format!(r#"{{"scope":"{}"}}"#, "a".repeat(SCOPE_BYTES_MAX))).len(), 1);
    }
}
