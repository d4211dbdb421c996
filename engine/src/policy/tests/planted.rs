//! Property tests with generated policies: a valid one parses, each planted fault is found in its place, and nothing
//! panics.

use super::*;
use proptest::{prelude::*, sample::Index};

const SCOPES: [&str; 4] = ["a", "orders:read", "orders:write", "https://x/y"];

fn route(number: usize) -> impl Strategy<Value = Value> {
    let scopes = prop::sample::subsequence(&SCOPES[..], 1..4);
    let access = prop_oneof![
        Just(json!({"public": true})),
        Just(json!({"authenticated": true, "acr": ["aal2"]})),
        scopes.clone().prop_map(|all| json!({"require": {"all_of": all}, "session": {"max_age": "5m"}})),
        scopes.prop_map(|any| json!({"require": {"all_of": ["@set"], "any_of": any}})),
    ];
    let path = prop::sample::select(vec!["", "/{id}", "/x/{*rest}", "/"]);
    let matched = (path, prop::sample::subsequence(vec!["GET", "PUT"], 1..=2), any::<bool>());
    (access, matched).prop_map(move |(mut route, (path, methods, hosts))| {
        route["name"] = json!(format!("route {number}"));
        route["match"] = json!({"path": format!("/r{number}{path}"), "methods": methods});
        if hosts {
            route["match"]["hosts"] = json!(["*.example.com", "a.org"]);
        }
        route
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let routes = (1_usize..5).prop_flat_map(|count| (0..count).map(route).collect::<Vec<_>>());
    routes.prop_map(|routes| {
        let mut policy = design();
        policy["scopes"] = SCOPES.iter().map(|name| ((*name).to_owned(), json!({"owner": "us"}))).collect();
        policy["sets"] = json!({"set": ["a", "orders:read"]});
        policy["routes"] = json!(routes);
        policy
    })
}

/// Every object and every value of a policy, as a JSON pointer and as the path that a fault there has.
fn places(json: &Value, pointer: &str, path: &str, found: &mut Vec<(String, String)>) {
    found.push((pointer.to_owned(), path.to_owned()));
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                let step = if plain { format!(".{key}") } else { format!("['{key}']") };
                places(value, &format!("{pointer}/{}", key.replace('/', "~1")), &format!("{path}{step}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{pointer}/{index}"), &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn has_path(faults: &Faults, path: &str) -> bool {
    faults.iter().any(|fault| fault.path == path)
}

/// Whether a place is not the value of a claim, which may be a number.
fn is_no_claim((pointer, _): &(String, String)) -> bool {
    !["/issuers/0/claims/", "/issuers/0/machine/"].iter().any(|claims| pointer.starts_with(claims))
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "mode",
        "issuers",
        "routes",
        "scopes",
        "sets",
        "session",
        "match",
        "path",
        "require",
        "all_of",
        "name",
        "keys",
        "inline",
        "on_outage",
        "grace",
        "/{x}",
        "a",
        "@a",
        "5s",
        "public",
    ]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(n)),
        word.clone().prop_map(|w| json!(w))
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_valid_policy_parses(json in policy()) {
        prop_assert_eq!(lines(&json), Vec::<String>::new());
    }

    #[test]
    fn a_value_of_the_wrong_type_is_found(json in policy(), place: Index) {
        let mut found = Vec::new();
        places(&json, "", "$", &mut found);
        found.retain(is_no_claim);
        let (pointer, path) = place.get(&found);
        let mut bad = json.clone();
        // A number is right nowhere else.
        *bad.pointer_mut(pointer).unwrap() = json!(7);
        let faults = parse(&bad).unwrap_err();
        prop_assert!(has_path(&faults, path), "{} is not in:\n{}", path, faults);
    }

    #[test]
    fn an_unknown_key_is_found(json in policy(), place: Index) {
        let mut found = Vec::new();
        places(&json, "", "$", &mut found);
        // A key of one of these is a name, so any will do there.
        let named = ["/scopes", "/sets", "/issuers/0/claims", "/issuers/0/machine"];
        found.retain(|(pointer, _)| json.pointer(pointer).unwrap().is_object() && !named.contains(&pointer.as_str()));
        let (pointer, path) = place.get(&found);
        let mut bad = json.clone();
        bad.pointer_mut(pointer).unwrap()["surprise"] = json!({"x": 1});
        let faults = parse(&bad).unwrap_err();
        prop_assert_eq!(faults.iter().map(|fault| fault.path.clone()).collect::<Vec<_>>(), [format!("{path}.surprise")]);
    }

    #[test]
    fn two_planted_faults_are_both_found(json in policy(), first: Index, second: Index) {
        let mut found = Vec::new();
        places(&json, "", "$", &mut found);
        found.retain(is_no_claim);
        let ((a, a_path), (b, b_path)) = (first.get(&found).clone(), second.get(&found).clone());
        prop_assume!(!a.starts_with(&b) && !b.starts_with(&a));
        let mut bad = json.clone();
        *bad.pointer_mut(&a).unwrap() = json!(7);
        *bad.pointer_mut(&b).unwrap() = json!(null);
        let faults = parse(&bad).unwrap_err();
        prop_assert!(has_path(&faults, &a_path) && has_path(&faults, &b_path), "{} {}:\n{}", a_path, b_path, faults);
    }

    #[test]
    fn no_bytes_make_it_fall(bytes: Vec<u8>) {
        let _ = Policy::parse(&bytes);
    }

    #[test]
    fn no_json_makes_it_fall_and_each_refusal_has_a_reason(json in any_json()) {
        if let Err(faults) = parse(&json) {
            prop_assert!(faults.iter().count() > 0);
            prop_assert!(faults.iter().all(|fault| fault.message != "the policy can't be read"), "{}", faults);
        }
    }

    #[test]
    fn a_cut_policy_is_no_policy(json in policy(), cut: Index) {
        let text = json.to_string();
        let cut = cut.index(text.len());
        prop_assert!(Policy::parse(&text.as_bytes()[..cut]).is_err());
    }
}
