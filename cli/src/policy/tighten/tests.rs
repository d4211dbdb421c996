//! Tests of proposals: every one is only less permissive, and refuses no request that was counted.

use super::*;
use portcullis_engine::policy::Access;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HEAD: &str = "\
issuers:
  - {issuer: \"https://id.example\", audiences: [api], algorithms: [ES256], keys: {jwks_url: \"https://id.example/jwks\", cluster: id}}
session: {cluster: session}
";

fn tightened(text: &str, granted: &[&str]) -> Tightened {
    let loaded = Loaded::parse("policy.yaml", format!("{HEAD}{text}")).unwrap();
    tighten(&loaded, &granted.iter().copied().collect()).unwrap()
}

/// The part of the result after the head.
fn rest(tightened: &Tightened) -> &str {
    tightened.text.strip_prefix(HEAD).unwrap()
}

#[test]
fn what_nobody_used_goes_and_everything_else_stays_as_it_is_written() {
    let before = "\
# The registry.
scopes:
  a: {owner: team}   # the good one
  b:
    owner: team      # over two lines
    review_by: 2027-01-31
  c: {}
  # About d.
  d: {}
sets:
  both: [a, d]
  rest: [b, c]
routes:
  - name: r1   # kept
    match: {path: /r1}
    require: {any_of: [b, a, \"@rest\"]}  # a was enough
  - name: r2
    match: {path: /r2}
    require:
      any_of:
        - \"@both\"
        - c
        - a
  - {name: r3, match: {path: /r3}, require: {all_of: [d]}}
";
    let after = "\
# The registry.
scopes:
  a: {owner: team}   # the good one
  # About d.
  d: {}
routes:
  - name: r1   # kept
    match: {path: /r1}
    require: {any_of: [a]}  # a was enough
  - name: r2
    match: {path: /r2}
    require:
      any_of:
        - a
  - {name: r3, match: {path: /r3}, require: {all_of: [d]}}
";
    let result = tightened(before, &["a"]);
    assert_eq!(rest(&result), after);
    assert!(result.is_edited);
    assert_eq!(result.kept, [""; 0]);
    assert_eq!(result.removed.len(), 4 + 2 + 2, "{:?}", result.removed);
}

#[test]
fn a_route_keeps_its_protection() {
    let policy = "\
scopes: {a: {}, b: {}, c: {}}
routes:
  - {name: r1, match: {path: /r1}, require: {any_of: [a, b]}}
  - {name: r2, match: {path: /r2}, require: {all_of: [c]}}
  - {name: r3, match: {path: /r3}, require: {any_of: [b]}}
";
    let result = tightened(policy, &[]);
    assert_eq!((rest(&result), result.removed.len()), (policy, 0));
    assert_eq!(result.kept, ["r1"]);
}

#[test]
fn what_is_used_stays_in_the_registry_although_this_policy_does_not_refer_to_it() {
    let policy =
        "scopes: {a: {}, other: {}, idle: {}}\nroutes: [{name: r, match: {path: /r}, require: {all_of: [a]}}]\n";
    let result = tightened(policy, &["a", "other"]);
    assert_eq!(
        rest(&result),
        "scopes: {a: {}, other: {}}\nroutes: [{name: r, match: {path: /r}, require: {all_of: [a]}}]\n"
    );
}

#[test]
fn json_stays_json() {
    let policy = json!({
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
            "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
        }],
        "session": {"cluster": "session"},
        "scopes": {"a": {}, "b": {}},
        "routes": [{"name": "r", "match": {"path": "/r"}, "require": {"any_of": ["a", "b"]}}]
    });
    for text in [policy.to_string(), serde_json::to_string_pretty(&policy).unwrap()] {
        let loaded = Loaded::parse("policy.json", text).unwrap();
        let result = tighten(&loaded, &HashSet::from(["a"])).unwrap();
        let now: Value = serde_json::from_str(&result.text).unwrap();
        assert_eq!((&now["scopes"], &now["routes"][0]["require"]["any_of"]), (&json!({"a": {}}), &json!(["a"])));
        assert!(result.is_edited);
    }
}

#[test]
fn what_cannot_be_edited_in_place_is_written_anew() {
    let policy = "\
scopes: {a: {}, b: {}}
routes:
  - {name: r1, match: {path: /r1}, require: {any_of: &some [a, b]}}
  - {name: r2, match: {path: /r2}, require: {any_of: *some}}
";
    let result = tightened(policy, &["a"]);
    assert!(!result.is_edited);
    let now: Value = serde_json::from_str(result.policy.document.json()).unwrap();
    assert_eq!(now["scopes"], json!({"a": {}}));
    for route in now["routes"].as_array().unwrap() {
        assert_eq!(route["require"]["any_of"], json!(["a"]));
    }
}

const SCOPES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SETS: [(&str, [&str; 2]); 3] = [("one", ["a", "b"]), ("two", ["c", "d"]), ("three", ["b", "e"])];

/// A requirement: bits for scopes and sets in `all_of`, then in `any_of`.
fn requirement() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let names: Vec<String> =
        SCOPES.iter().map(|scope| (*scope).to_owned()).chain(SETS.iter().map(|(set, _)| format!("@{set}"))).collect();
    let all_of = proptest::sample::subsequence(names.clone(), 0..2);
    let any_of = proptest::sample::subsequence(names, 0..5).prop_shuffle();
    (all_of, any_of).prop_filter("something is required", |(all, any)| !all.is_empty() || !any.is_empty())
}

fn policy(requirements: &[(Vec<String>, Vec<String>)]) -> Value {
    let routes: Vec<Value> = requirements
        .iter()
        .enumerate()
        .map(|(at, (all_of, any_of))| {
            let mut require = json!({});
            for (key, entries) in [("all_of", all_of), ("any_of", any_of)] {
                if !entries.is_empty() {
                    require[key] = json!(entries);
                }
            }
            json!({"name": format!("r{at}"), "match": {"path": format!("/r{at}")}, "require": require})
        })
        .collect();
    json!({
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
            "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
        }],
        "session": {"cluster": "session"},
        "scopes": SCOPES.iter().map(|scope| (*scope, json!({}))).collect::<BTreeMap<_, _>>(),
        "sets": SETS.iter().map(|(set, scopes)| (*set, json!(scopes))).collect::<BTreeMap<_, _>>(),
        "routes": routes,
    })
}

/// The scopes that a released request needed: those of `all_of`, and of the first entry of `any_of` that was met.
fn needed(loaded: &Loaded, route: usize, token: &[&str]) -> Option<Vec<String>> {
    let policy = &loaded.policy;
    let Access::Scopes(requirement) = &policy.rules[route].access else { return None };
    if !requirement.met_by(&policy.register.held(token.iter().copied())) {
        return None;
    }
    let first = requirement.any_of(&policy.register).find(|group| group.iter().all(|scope| token.contains(scope)));
    let all = requirement.all_of(&policy.register).chain(first.into_iter().flatten());
    Some(all.map(str::to_owned).collect())
}

fn is_released(loaded: &Loaded, route: usize, token: &[&str]) -> bool {
    needed(loaded, route, token).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// `tighten` itself fails if `policy diff` finds a change that is more permissive.
    #[test]
    fn a_proposal_is_only_less_permissive_and_refuses_no_request_that_was_counted(
        requirements in proptest::collection::vec(requirement(), 1..4),
        requests in proptest::collection::vec((0..4_usize, 0..32_usize), 0..6),
        style in 0..3_u8,
    ) {
        let value = policy(&requirements);
        let text = match style {
            0 => value.to_string(),
            1 => serde_json::to_string_pretty(&value).unwrap(),
            _ => serde_saphyr::to_string(&value).unwrap(),
        };
        let loaded = Loaded::parse("policy.yaml", text).unwrap();
        let token = |bits: usize| -> Vec<&str> {
            SCOPES.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, scope)| scope).collect()
        };
        let counted: Vec<(usize, Vec<&str>)> = requests
            .iter()
            .map(|(route, bits)| (route % requirements.len(), token(*bits)))
            .filter(|(route, token)| is_released(&loaded, *route, token))
            .collect();
        let granted: HashSet<String> =
            counted.iter().flat_map(|(route, token)| needed(&loaded, *route, token).unwrap_or_default()).collect();
        let result = tighten(&loaded, &granted.iter().map(String::as_str).collect());
        let result = result.unwrap_or_else(|error| panic!("{error:?}"));
        prop_assert!(result.is_edited, "{}", result.text);
        for (route, token) in &counted {
            prop_assert!(is_released(&result.policy, *route, token), "r{route} {token:?}\n{}", result.text);
        }
        // The simple meaning of less permissive, for every route and every token.
        for (route, bits) in (0..requirements.len()).flat_map(|route| (0..32).map(move |bits| (route, bits))) {
            let is_now = is_released(&result.policy, route, &token(bits));
            prop_assert!(!is_now || is_released(&loaded, route, &token(bits)), "r{route} {bits}");
        }
    }
}
