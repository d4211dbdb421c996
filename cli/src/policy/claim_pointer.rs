//! JSON Pointers (RFC 6901) into the claims of a token, as `scope_claims` has them.

/// A pointer to a member inside claims.
pub(super) fn pointer(names: &[&str]) -> String {
    names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The pointer that a claim's name is likely meant as: a path with dots, as other tools write it. A name such as
/// `https://example.com/roles` is none.
pub(super) fn meant_by(name: &str) -> Option<String> {
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let names: Vec<&str> = name.split('.').collect();
    (names.len() > 1 && names.iter().all(is_word)).then(|| pointer(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_dots_is_meant_as_a_pointer() {
        for (name, pointer) in [
            ("realm_access.roles", Some("/realm_access/roles")),
            ("resource_access.orders-api.roles", Some("/resource_access/orders-api/roles")),
            ("scope", None),
            ("https://example.com/roles", None),
            ("/realm.access/roles", None),
            ("a..b", None),
            (".", None),
        ] {
            assert_eq!(meant_by(name).as_deref(), pointer, "{name}");
        }
    }

    #[test]
    fn a_name_is_escaped_in_a_pointer() {
        assert_eq!(pointer(&["a", "https://b/~c", ""]), "/a/https:~1~1b~1~0c/");
    }
}
