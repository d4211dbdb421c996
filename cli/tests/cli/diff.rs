//! `policy diff` by worked examples: one change to a policy each, and its findings.

use portcullis_cli::{
    document::Document,
    policy::diff::{Approvals, Comparison, Direction, Finding, Standing, Verdict},
};
use portcullis_engine::policy::Policy;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn base() -> Value {
    json!({
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api", "old-api"], "algorithms": ["ES256"],
            "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
        }],
        "session": {"cluster": "session"},
        "scopes": {
            "read": {"owner": "readers", "review_by": "2027-03-01"}, "write": {}, "admin": {}, "support": {}
        },
        "sets": {"staff": ["read", "support"]},
        "routes": [
            {"name": "health", "match": {"path": "/healthz"}, "public": true},
            {"name": "list", "match": {"methods": ["GET"], "path": "/orders"}, "require": {"all_of": ["read"]}},
            {
                "name": "change", "match": {"methods": ["PUT", "PATCH"], "path": "/orders/{id}"},
                "require": {"all_of": ["write"], "any_of": ["@staff", "admin"]}
            },
            {
                "name": "admin", "match": {"hosts": ["admin.example.com"], "path": "/admin/{*rest}"},
                "require": {"all_of": ["admin"]}, "acr": ["aal2", "aal3"],
                "session": {"max_age": "15m", "max_idle": "5m", "touch": false}
            },
            {"name": "me", "match": {"path": "/me"}, "authenticated": true}
        ]
    })
}

fn policy(json: &Value) -> Policy {
    Policy::parse(json.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Sets the value at a JSON pointer; `null` removes it, and `-` appends to a list.
fn put(json: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    match json.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Object(object) if value.is_null() => drop(object.remove(key)),
        Value::Object(object) => drop(object.insert(key.to_owned(), value)),
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) if value.is_null() => drop(list.remove(key.parse().expect("an index"))),
        Value::Array(list) => *list.get_mut(key.parse::<usize>().expect("an index")).expect("an item") = value,
        _ => panic!("nothing can be put at {pointer}"),
    }
}

fn told(finding: &Finding) -> String {
    let sign = match finding.direction {
        Direction::MorePermissive => '+',
        Direction::LessPermissive => '-',
        Direction::Changed => '~',
    };
    format!("{sign} {}: {}", finding.subject, finding.text)
}

fn compared(old: &Value, new: &Value) -> Vec<String> {
    Comparison::of(&policy(old), &policy(new)).findings.iter().map(told).collect()
}

/// The pointer, the value, the finding, and the finding of the reverse change.
type Case = (Vec<(&'static str, Value)>, Vec<&'static str>, Vec<&'static str>);

#[test]
fn every_kind_of_change_is_told() {
    let inline = |keys: Value| json!({"inline": {"keys": keys}});
    let key = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let cases: Vec<Case> = vec![
        (
            vec![("/routes/2/require/all_of", json!([]))],
            vec!["+ change: no longer requires `write`"],
            vec!["- change: also requires `write`"],
        ),
        (
            vec![("/routes/1/require", Value::Null), ("/routes/1/authenticated", json!(true))],
            vec!["+ list: no longer requires `read`"],
            vec!["- list: also requires `read`"],
        ),
        (
            vec![("/routes/2/require/any_of/-", json!("support"))],
            vec![
                "+ change: requires `write` and (`admin` or `support`) instead of `write` and (`admin` or (`read` and `support`))",
            ],
            vec![
                "- change: requires `write` and (`admin` or (`read` and `support`)) instead of `write` and (`admin` or `support`)",
            ],
        ),
        (
            // A change of a set is reported for the rules that use it.
            vec![("/sets/staff", json!(["support"]))],
            vec![
                "+ change: requires `write` and (`admin` or `support`) instead of `write` and (`admin` or (`read` and `support`))",
            ],
            vec![
                "- change: requires `write` and (`admin` or (`read` and `support`)) instead of `write` and (`admin` or `support`)",
            ],
        ),
        (
            // Neither policy is more permissive than the other: each releases callers whom the other refuses.
            vec![("/routes/1/require/all_of", json!(["support"]))],
            vec!["+ list: requires `support` instead of `read`"],
            vec!["+ list: requires `read` instead of `support`"],
        ),
        (
            vec![("/routes/4/authenticated", Value::Null), ("/routes/4/public", json!(true))],
            vec!["+ me: made public; previously for anyone with a valid token and an active session"],
            vec!["- me: no longer public; now for anyone with a valid token and an active session"],
        ),
        (
            vec![(
                "/routes/-",
                json!({"name": "new", "match": {"path": "/new/{x}"}, "require": {"any_of": ["read", "admin"]}}),
            )],
            vec!["+ new: opened to tokens with `admin` or `read`; previously no route"],
            vec!["- new: closed to tokens with `admin` or `read`; no route matches any more"],
        ),
        (
            vec![("/routes/1/match/methods/-", json!("PURGE"))],
            vec!["+ list: opened to tokens with `read`; previously no route"],
            vec!["- list: closed to tokens with `read`; no route matches any more"],
        ),
        (
            // Without the stricter rule, the more general one answers.
            vec![
                ("/routes/-", json!({"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true})),
                ("/routes/1", Value::Null),
            ],
            vec![
                "+ all: opened to anyone with a valid token and an active session; previously no route",
                "+ all (was list): no longer requires `read`",
            ],
            vec![
                "- list (was all): also requires `read`",
                "- all: closed to anyone with a valid token and an active session; no route matches any more",
            ],
        ),
        (
            vec![("/routes/3/acr", Value::Null)],
            vec!["+ admin: any `acr` is accepted, previously only `aal2` or `aal3`"],
            vec!["- admin: requires `acr` `aal2` or `aal3`"],
        ),
        (
            vec![("/routes/3/acr", json!(["aal1", "aal2", "aal3"]))],
            vec!["+ admin: `acr` `aal1` is accepted too, previously only `aal2` or `aal3`"],
            vec!["- admin: `acr` `aal1` is no longer accepted"],
        ),
        (
            vec![("/routes/3/session/max_age", json!("1h"))],
            vec!["+ admin: `max_age` is 1h, was 15m"],
            vec!["- admin: `max_age` is 15m, was 1h"],
        ),
        (
            vec![("/routes/3/session/max_idle", Value::Null)],
            vec!["+ admin: `max_idle` removed, was 5m"],
            vec!["- admin: `max_idle` is 5m, was unlimited"],
        ),
        (
            vec![("/routes/3/session/touch", json!(true))],
            vec!["+ admin: its requests now count as session activity (`touch: true`)"],
            vec!["- admin: its requests no longer count as session activity (`touch: false`)"],
        ),
        (
            vec![("/routes/4/session", json!({"outlive_token": true}))],
            vec!["+ me: open streams continue when the token expires (`outlive_token: true`)"],
            vec!["- me: open streams end when the token expires (`outlive_token: false`)"],
        ),
        (
            vec![("/routes/4/session", json!({"on_outage": {"grace": "30s"}}))],
            vec!["+ me: `on_outage` is `{grace: 30s}`, was `deny`"],
            vec!["- me: `on_outage` is `deny`, was `{grace: 30s}`"],
        ),
        (
            vec![("/routes/4/session", json!({"freshness": {"lease": "500ms"}}))],
            vec!["+ me: `freshness` is `{lease: 500ms}`, was `each_request`"],
            vec!["- me: `freshness` is `each_request`, was `{lease: 500ms}`"],
        ),
        (
            // Only routes with a safe method are affected.
            vec![("/session/on_outage", json!("read_only"))],
            vec![
                "+ list: `on_outage` is `read_only`, was `deny`",
                "+ admin: `on_outage` is `read_only`, was `deny`",
                "+ me: `on_outage` is `read_only`, was `deny`",
            ],
            vec![
                "- list: `on_outage` is `deny`, was `read_only`",
                "- admin: `on_outage` is `deny`, was `read_only`",
                "- me: `on_outage` is `deny`, was `read_only`",
            ],
        ),
        (vec![("/routes/2/session", json!({"on_outage": "read_only"}))], vec![], vec![]),
        (
            vec![("/mode", json!("shadow"))],
            vec!["+ mode: `shadow`: no request is refused any more"],
            vec!["- mode: `enforce`: requests are refused again"],
        ),
        (
            vec![("/routes/1/mode", json!("shadow"))],
            vec!["+ list: `mode` is `shadow`: nothing is refused any more"],
            vec!["- list: `mode` is `enforce`: requests are refused again"],
        ),
        // What the policy says and what the route says is one change.
        (
            vec![("/mode", json!("shadow")), ("/routes/1/mode", json!("enforce"))],
            vec!["+ mode: `shadow`: no request is refused any more"],
            vec!["- mode: `enforce`: requests are refused again"],
        ),
        (
            vec![("/mode", json!("shadow")), ("/routes/1/mode", json!("shadow"))],
            vec!["+ mode: `shadow`: no request is refused any more"],
            vec!["- mode: `enforce`: requests are refused again"],
        ),
        (
            vec![("/cors_preflight", json!("allow"))],
            vec!["+ cors_preflight: `allow`: CORS preflights pass without a token, for every request that has a route"],
            vec!["- cors_preflight: CORS preflights are treated like any other request"],
        ),
        (
            vec![("/routes/4/authenticated", json!("optional"))],
            vec!["+ me: requests without a token pass (`authenticated: optional`)"],
            vec!["- me: requests without a token no longer pass"],
        ),
        (
            vec![("/ignore_case", json!(true))],
            vec!["+ ignore_case: case is ignored: paths in any case match a route"],
            vec![
                "+ ignore_case: case matters: a path in another case than a route's is decided by a less specific route, or by none",
            ],
        ),
        (
            vec![
                ("/token_from", json!(["authorization", {"cookie": "s"}])),
                ("/allowed_origins", json!(["https://a.example"])),
            ],
            vec![
                "+ token_from: tokens are accepted in `{cookie: s}` too",
                "+ allowed_origins: pages of `https://a.example` can use a token in a cookie",
            ],
            vec![
                "- token_from: tokens are no longer accepted in `{cookie: s}`",
                "- allowed_origins: pages of `https://a.example` can no longer use a token in a cookie",
            ],
        ),
        (
            // Only requests with an encoded slash are affected.
            vec![("/routes/2/match/encoded_slash", json!("segment"))],
            vec![
                "+ change: opened to tokens with `write` and (`admin` or (`read` and `support`)); previously no route",
            ],
            vec![
                "- change: closed to tokens with `write` and (`admin` or (`read` and `support`)); no route matches any more",
            ],
        ),
        (
            vec![("/routes/-", json!({"name": "new", "match": {"path": "/new/{x}:go"}, "authenticated": true}))],
            vec!["+ new: opened to anyone with a valid token and an active session; previously no route"],
            vec!["- new: closed to anyone with a valid token and an active session; no route matches any more"],
        ),
        (
            vec![
                ("/identity_headers", json!(["subject"])),
                ("/realm", json!("orders")),
                ("/forward_token", json!(false)),
            ],
            vec![
                "~ identity_headers: the upstream receives `subject`, was `subject`, `client`, `scopes` and `session`",
                "~ forward_token: is `false`, was `true`",
                "~ realm: is `orders`, was `portcullis`",
            ],
            vec![
                "~ identity_headers: the upstream receives `subject`, `client`, `scopes` and `session`, was `subject`",
                "~ forward_token: is `true`, was `false`",
                "~ realm: is `portcullis`, was `orders`",
            ],
        ),
        (
            vec![
                ("/scopes/read/owner", json!("librarians")),
                ("/scopes/read/review_by", Value::Null),
                ("/scopes/more", json!({})),
            ],
            vec![
                "~ scopes.read: `owner` is `librarians`, was `readers`",
                "~ scopes.read: `review_by` is nothing, was `2027-03-01`",
                "~ scopes.more: declared",
            ],
            vec![
                "~ scopes.read: `owner` is `readers`, was `librarians`",
                "~ scopes.read: `review_by` is `2027-03-01`, was nothing",
                "~ scopes.more: no longer declared",
            ],
        ),
        (
            vec![("/routes/4/name", json!("myself"))],
            vec!["~ myself: renamed, was `me`; the meaning is the same"],
            vec!["~ me: renamed, was `myself`; the meaning is the same"],
        ),
        (
            vec![("/issuers/0/audiences", json!(["api"]))],
            vec!["- issuers.https://id.example: tokens for `old-api` are no longer accepted"],
            vec!["+ issuers.https://id.example: tokens for `old-api` are accepted too"],
        ),
        (
            vec![("/issuers/0/algorithms", json!(["PS256"]))],
            vec!["+ issuers.https://id.example: tokens signed with `PS256` are accepted instead of `ES256`"],
            vec!["+ issuers.https://id.example: tokens signed with `ES256` are accepted instead of `PS256`"],
        ),
        (
            vec![("/issuers/0/token_types", json!(["at+jwt", "JWT"]))],
            vec!["+ issuers.https://id.example: tokens of type `jwt` are accepted too"],
            vec!["- issuers.https://id.example: tokens of type `jwt` are no longer accepted"],
        ),
        (
            vec![("/issuers/0/scope_claims", json!(["scope"]))],
            vec!["- issuers.https://id.example: scopes in claim `scp` are no longer accepted"],
            vec!["+ issuers.https://id.example: scopes in claim `scp` are accepted too"],
        ),
        (
            vec![("/issuers/0/scope_claims", json!(["scope", "scp", "/realm_access/roles"]))],
            vec!["+ issuers.https://id.example: scopes in claim `/realm_access/roles` are accepted too"],
            vec!["- issuers.https://id.example: scopes in claim `/realm_access/roles` are no longer accepted"],
        ),
        (
            vec![("/issuers/0/clients", json!(["web"]))],
            vec!["- issuers.https://id.example: only tokens of client `web` are accepted"],
            vec!["+ issuers.https://id.example: tokens are accepted whatever their client"],
        ),
        (
            vec![("/issuers/0/clients", json!(["web"])), ("/issuers/0/audiences", Value::Null)],
            vec![
                "+ issuers.https://id.example: tokens are accepted whatever their audience",
                "- issuers.https://id.example: only tokens of client `web` are accepted",
            ],
            vec![
                "- issuers.https://id.example: only tokens for `api` or `old-api` are accepted",
                "+ issuers.https://id.example: tokens are accepted whatever their client",
            ],
        ),
        (
            vec![("/issuers/0/claims", json!({"token_use": "access", "ver": ["1.0", 2]}))],
            vec![
                "- issuers.https://id.example: only tokens with `token_use` `\"access\"` are accepted",
                "- issuers.https://id.example: only tokens with `ver` `\"1.0\"` or `2` are accepted",
            ],
            vec![
                "+ issuers.https://id.example: tokens are accepted whatever their `token_use`, was `\"access\"`",
                "+ issuers.https://id.example: tokens are accepted whatever their `ver`, was `\"1.0\"` or `2`",
            ],
        ),
        (
            vec![("/issuers/0/bound_tokens", json!("bearer"))],
            vec!["+ issuers.https://id.example: tokens that are bound to a key are accepted without their proof"],
            vec!["- issuers.https://id.example: tokens that are bound to a key are no longer accepted"],
        ),
        (
            vec![("/issuers/0/bound_tokens", json!("verify"))],
            vec!["+ issuers.https://id.example: tokens that are bound to a key are accepted with their proof"],
            vec!["- issuers.https://id.example: tokens that are bound to a key are no longer accepted"],
        ),
        (
            vec![("/issuers/0/minted_for", json!("https://other"))],
            vec![
                "+ issuers.https://id.example: its tokens belong to sessions of `https://other`, was `https://id.example`: an ended session may look like a new one",
            ],
            vec![
                "+ issuers.https://id.example: its tokens belong to sessions of `https://id.example`, was `https://other`: an ended session may look like a new one",
            ],
        ),
        (
            vec![("/issuers/0/client_claims", json!(["cid", "azp"]))],
            vec![
                "+ issuers.https://id.example: clients are identified by `cid` else `azp`, was `client_id` else `azp`: an ended session may look like a new one",
            ],
            vec![
                "+ issuers.https://id.example: clients are identified by `client_id` else `azp`, was `cid` else `azp`: an ended session may look like a new one",
            ],
        ),
        (
            vec![("/issuers/0/machine", json!({"idtyp": "app"}))],
            vec![
                "+ issuers.https://id.example: machine clients are marked by `idtyp` `\"app\"`, was nothing else: an ended session may look like a new one",
            ],
            vec![
                "+ issuers.https://id.example: machine clients are marked by nothing else, was `idtyp` `\"app\"`: an ended session may look like a new one",
            ],
        ),
        (
            vec![("/issuers/0/session_claims", json!(["sid", "ssn"]))],
            vec![
                "+ issuers.https://id.example: sessions are identified by `sid` else `ssn`, was `sid`: an ended session may look like a new one",
            ],
            vec![
                "+ issuers.https://id.example: sessions are identified by `sid`, was `sid` else `ssn`: an ended session may look like a new one",
            ],
        ),
        (
            vec![("/limits", json!({"token_bytes": 32_768, "key_set_bytes": 2_097_152}))],
            vec!["+ limits: `token_bytes` is 32768, was 16384", "+ limits: `key_set_bytes` is 2097152, was 1048576"],
            vec!["- limits: `token_bytes` is 16384, was 32768", "- limits: `key_set_bytes` is 1048576, was 2097152"],
        ),
        (
            vec![("/limits", json!({"token_cache_bytes": 67_108_864}))],
            vec!["~ limits: `token_cache_bytes` is 67108864, was 50331648"],
            vec!["~ limits: `token_cache_bytes` is 50331648, was 67108864"],
        ),
        (
            vec![("/issuers/0/clock_skew", json!("60s"))],
            vec!["+ issuers.https://id.example: `clock_skew` is 1m, was 30s"],
            vec!["- issuers.https://id.example: `clock_skew` is 30s, was 1m"],
        ),
        (
            vec![("/issuers/0/keys/jwks_url", json!("http://id.example/jwks"))],
            vec![
                "+ issuers.https://id.example: other keys are trusted: keys from `http://id.example/jwks` through cluster `id`, previously keys from `https://id.example/jwks` through cluster `id`",
            ],
            vec![
                "+ issuers.https://id.example: other keys are trusted: keys from `https://id.example/jwks` through cluster `id`, previously keys from `http://id.example/jwks` through cluster `id`",
            ],
        ),
        (
            vec![("/issuers/0/keys/refresh", json!("1h"))],
            vec!["+ issuers.https://id.example: keys are refreshed every 1h, was 10m"],
            vec!["- issuers.https://id.example: keys are refreshed every 10m, was 1h"],
        ),
        (
            vec![("/issuers/0/keys", inline(json!([key("a")])))],
            vec![
                "+ issuers.https://id.example: other keys are trusted: 1 key in the policy, previously keys from `https://id.example/jwks` through cluster `id`",
            ],
            vec![
                "+ issuers.https://id.example: other keys are trusted: keys from `https://id.example/jwks` through cluster `id`, previously 1 key in the policy",
            ],
        ),
        (
            vec![(
                "/issuers/-",
                json!({"issuer": "https://b.example", "audiences": ["api"], "algorithms": ["EdDSA"], "keys": inline(json!([key("a")]))}),
            )],
            vec![
                "+ issuers.https://b.example: its tokens are now accepted: tokens for `api`, signed with `EdDSA`, 1 key in the policy",
            ],
            vec!["- issuers.https://b.example: its tokens are no longer accepted"],
        ),
        (
            vec![("/session/cluster", json!("other"))],
            vec![
                "+ session: another session service: the check stream at cluster `other`, was the check stream at cluster `session`",
            ],
            vec![
                "+ session: another session service: the check stream at cluster `session`, was the check stream at cluster `other`",
            ],
        ),
        (
            vec![
                ("/session/protocol", json!("introspection")),
                ("/session/path", json!("/i")),
                ("/routes/3/session", json!({"max_age": "15m"})),
            ],
            vec![
                "+ session: another session service: `session/i` at cluster `session`, was the check stream at cluster `session`",
                "+ admin: `max_idle` removed, was 5m",
                "+ admin: its requests now count as session activity (`touch: true`)",
            ],
            vec![
                "+ session: another session service: the check stream at cluster `session`, was `session/i` at cluster `session`",
                "- admin: `max_idle` is 5m, was unlimited",
                "- admin: its requests no longer count as session activity (`touch: false`)",
            ],
        ),
        (
            vec![("/session/timeout", json!("100ms")), ("/session/credential", json!({"env": "CREDENTIAL"}))],
            vec![
                "~ session: `timeout` is `100ms`, was `200ms`",
                "~ session: the credential comes from `CREDENTIAL`, was nothing",
            ],
            vec![
                "~ session: `timeout` is `200ms`, was `100ms`",
                "~ session: the credential comes from nothing, was `CREDENTIAL`",
            ],
        ),
    ];
    for (changes, there, back) in cases {
        let (old, mut new) = (base(), base());
        for (pointer, value) in &changes {
            put(&mut new, pointer, value.clone());
        }
        assert_eq!(compared(&old, &new), there, "{changes:?}");
        assert_eq!(compared(&new, &old), back, "back: {changes:?}");
    }
}

#[test]
fn keys_of_a_policy_are_compared_one_by_one() {
    let with = |kids: &[&str]| {
        let key = |kid: &&str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let mut policy = base();
        put(&mut policy, "/issuers/0/keys", json!({"inline": {"keys": kids.iter().map(key).collect::<Vec<_>>()}}));
        policy
    };
    let subject = "issuers.https://id.example";
    for (old, new, said) in [
        (&["a", "b"][..], &["b", "a"][..], vec![]),
        (&["a", "b"], &["b"], vec![format!("- {subject}: fewer keys are trusted: 0 keys added, 1 key removed")]),
        (&["a"], &["a", "b"], vec![format!("+ {subject}: other keys are trusted: 1 key added, 0 keys removed")]),
        (&["a"], &["b"], vec![format!("+ {subject}: other keys are trusted: 1 key added, 1 key removed")]),
    ] {
        assert_eq!(compared(&with(old), &with(new)), said, "{old:?} {new:?}");
    }
}

#[test]
fn a_shorter_wait_is_easier_where_requests_pass_without_a_verdict() {
    let (mut old, mut new) = (base(), base());
    for policy in [&mut old, &mut new] {
        put(policy, "/routes/1/session", json!({"on_outage": "read_only"}));
    }
    put(&mut new, "/session/timeout", json!("1ms"));
    let said =
        "+ session: `timeout` is 1ms, was 200ms: more requests will have no verdict, and some routes let those pass";
    assert_eq!(compared(&old, &new), [said]);
    assert_eq!(compared(&new, &old), ["~ session: `timeout` is `200ms`, was `1ms`"]);
}

#[test]
fn a_longer_stream_lease_is_more_permissive() {
    let (old, mut new) = (base(), base());
    put(&mut new, "/session/stream_lease", json!("5s"));
    let said = "+ session: `stream_lease` is 5s, was 2s: open requests continue for longer while the session service is silent";
    assert_eq!(compared(&old, &new), [said]);
    assert_eq!(compared(&new, &old), ["~ session: `stream_lease` is `2s`, was `5s`"]);
}

#[test]
fn the_same_written_otherwise_is_no_change() {
    let mut new = base();
    put(
        &mut new,
        "/routes/2/require",
        json!({"all_of": ["write", "write"], "any_of": ["admin", "@helpers", "@helpers"]}),
    );
    put(&mut new, "/sets", json!({"helpers": ["support", "read"], "unused": ["admin"]}));
    put(&mut new, "/routes/2/match", json!({"methods": ["PATCH"], "path": "/orders/{number}"}));
    put(
        &mut new,
        "/routes/-",
        json!({
            "name": "put", "match": {"methods": ["PUT"], "path": "/orders/{id}"},
            "require": {"all_of": ["write"], "any_of": ["@helpers", "admin"]}
        }),
    );
    put(&mut new, "/routes/4/session", json!({"on_outage": "deny", "touch": true}));
    new["routes"].as_array_mut().expect("a list").reverse();
    assert_eq!(compared(&base(), &new), ["~ put: renamed, was `change`; the meaning is the same"]);
}

#[test]
fn examples_are_requests_that_the_change_is_about() {
    let mut new = base();
    put(&mut new, "/routes/3/match/hosts", json!(["*.example.com"]));
    let comparison = Comparison::of(&policy(&base()), &policy(&new));
    let examples: Vec<_> = comparison.findings.iter().flat_map(|finding| &finding.examples).collect();
    let [example] = examples.as_slice() else { panic!("{comparison:#?}") };
    assert_eq!((&*example.method, &*example.host, &*example.path), ("GET", "any.example.com", "/admin/x"));
}

#[test]
fn one_change_of_many_routes_is_told_once() {
    let with = |count: usize, require: Value| {
        let mut policy = base();
        for number in 0..count {
            put(
                &mut policy,
                "/routes/-",
                json!({"name": format!("r{number}"), "match": {"path": format!("/r/{number}")}, "require": require}),
            );
        }
        policy
    };
    let comparison = Comparison::of(
        &policy(&with(5, json!({"all_of": ["read", "write"]}))),
        &policy(&with(5, json!({"all_of": ["read"]}))),
    );
    assert_eq!(comparison.findings.len(), 5);
    let (old, new) = (with(20, json!({"all_of": ["read", "write"]})), with(20, json!({"all_of": ["read"]})));
    let comparison = Comparison::of(&policy(&old), &policy(&new));
    let [finding] = comparison.findings.as_slice() else { panic!("{comparison:#?}") };
    assert_eq!(told(finding), "+ 20 routes: no longer requires `write`");
    assert_eq!(finding.routes.len(), 20);
    // One more route makes it another change.
    let (old, new) = (with(21, json!({"all_of": ["read", "write"]})), with(21, json!({"all_of": ["read"]})));
    let wider = Comparison::of(&policy(&old), &policy(&new));
    assert_ne!(wider.findings.first().map(|finding| &finding.fingerprint), Some(&finding.fingerprint));
}

fn approvals(list: &Value) -> Approvals {
    let document = Document::parse("approved.json", json!({"approvals": list}).to_string()).expect("a document");
    Approvals::of(document).expect("approvals")
}

#[test]
fn an_approval_counts_until_its_day_and_for_its_change_only() {
    let mut new = base();
    put(&mut new, "/routes/2/require/all_of", json!([]));
    let comparison = Comparison::of(&policy(&base()), &policy(&new));
    let identity = comparison.findings.first().expect("a finding").identity();
    let given = approvals(&json!([
        {"change": identity, "by": "a", "reason": "b", "expires": "2027-01-31"},
        {"change": "change: no longer requires `write`", "by": "a", "reason": "b", "expires": "2027-01-31"}
    ]));
    for (day, is_approved) in [("2026-01-01", true), ("2027-01-31", true), ("2027-02-01", false)] {
        let verdict = Verdict::of(&comparison, &given, day.parse().expect("a day"));
        assert_eq!(verdict.open().count(), usize::from(!is_approved), "{day}");
        let standing = verdict.more_permissive.first().map(|(_, standing)| *standing);
        assert_eq!(matches!(standing, Some(Standing::Approved(_))), is_approved, "{day}");
        assert_eq!(matches!(standing, Some(Standing::Expired(_))), !is_approved, "{day}");
        assert_eq!(verdict.unused.len(), 1);
    }
}

#[test]
fn a_change_of_get_is_one_of_head_too_however_it_is_written() {
    let change = |methods: Value| {
        let mut old = base();
        put(&mut old, "/routes/1/match/methods", methods);
        let mut new = old.clone();
        put(&mut new, "/routes/1/require", json!({"any_of": ["read", "support"]}));
        let findings = Comparison::of(&policy(&old), &policy(&new)).findings;
        findings.iter().map(Finding::identity).collect::<Vec<_>>()
    };
    assert_eq!(change(json!(["GET"])), change(json!(["GET", "HEAD"])));
    assert_ne!(change(json!(["GET"])), change(json!(["GET", "PURGE"])));
}

/// An approved change may not grow: neither its requests, nor what it still requires, nor what it required before.
#[test]
fn a_wider_change_needs_another_approval() {
    let change = |more: &[(&str, Value)]| {
        let mut new = base();
        put(&mut new, "/routes/3/require", json!({"any_of": ["admin", "support"]}));
        for (pointer, value) in more {
            put(&mut new, pointer, value.clone());
        }
        let comparison = Comparison::of(&policy(&base()), &policy(&new));
        let about_scopes =
            comparison.findings.iter().find(|finding| finding.kind == "scopes" && finding.routes == ["admin"]);
        about_scopes.expect("a finding").identity()
    };
    let approved = change(&[]);
    // Unrelated changes do not affect the approval.
    for other in [
        vec![("/routes/4/session", json!({"max_age": "1h"}))],
        vec![("/routes/-", json!({"name": "new", "match": {"path": "/admin/{*rest}"}, "public": true}))],
        vec![(
            "/routes/-",
            json!({"name": "new", "match": {"hosts": ["a.example"], "path": "/{*rest}"}, "public": true}),
        )],
        vec![("/realm", json!("other"))],
    ] {
        assert_eq!(change(&other), approved, "{other:?}");
    }
    for wider in [
        vec![("/routes/3/require", json!({"any_of": ["admin", "support", "read"]}))],
        vec![("/routes/3/acr", Value::Null)],
        vec![("/routes/3/session/max_age", Value::Null)],
        // Fewer requests are other requests too, so the approval no longer applies.
        vec![(
            "/routes/-",
            json!({"name": "new", "match": {"hosts": ["admin.example.com"], "path": "/admin/x"}, "require": {"all_of": ["admin"]}, "acr": ["aal2", "aal3"], "session": {"max_age": "15m", "max_idle": "5m", "touch": false}}),
        )],
    ] {
        assert_ne!(change(&wider), approved, "{wider:?}");
    }
}

/// The same policy with `count` routes, a tenth of them under a wildcard or a catch-all.
fn large(count: usize, require: &Value) -> Value {
    let mut policy = base();
    let routes = (0..count).map(|number| {
        let path = match number % 10 {
            0 => format!("/{{tenant}}/s{number}/{{id}}"),
            1 => format!("/t{}/s{number}/{{*rest}}", number % 40),
            _ => format!("/t{}/s{number}/{{id}}/items", number % 40),
        };
        let mut answers = json!({"path": path});
        if number % 7 == 0 {
            answers["hosts"] = json!([format!("h{}.example.com", number % 50)]);
        } else if number % 11 == 0 {
            answers["hosts"] = json!(["*.example.com"]);
        }
        json!({"name": format!("r{number}"), "match": answers, "require": require})
    });
    put(&mut policy, "/routes", routes.collect());
    policy
}

#[test]
fn ten_thousand_routes_take_seconds() {
    let old = policy(&large(10_000, &json!({"all_of": ["read", "write"]})));
    let mut json = large(10_000, &json!({"all_of": ["read", "write"]}));
    put(&mut json, "/routes/5000/require", json!({"all_of": ["read"]}));
    let (same, one) = (policy(&large(10_000, &json!({"all_of": ["write", "read"]}))), policy(&json));
    let all = policy(&large(10_000, &json!({"all_of": ["read"]})));
    for (new, count) in [(&same, 0), (&one, 1), (&all, 1)] {
        let start = Instant::now();
        let comparison = Comparison::of(&old, new);
        let took = start.elapsed();
        assert_eq!(comparison.findings.len(), count, "{:#?}", comparison.findings.iter().map(told).collect::<Vec<_>>());
        println!("{count} findings in {took:?}");
        // About ten times what an unoptimized build takes on two busy cores.
        assert!(took < Duration::from_secs(600), "{took:?}");
    }
}
