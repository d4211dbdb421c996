//! Test fixtures: a small policy and tokens for it.

use super::{
    principal::Principal,
    question::{Question, RequestAttributes},
};
use crate::{
    policy::Policy,
    route::RuleId,
    token::{Facts, IssuerId, SessionId, SessionKey, TokenDigest},
};
use std::rc::Rc;

/// Rules by index: 0 is public, 1 requires `read` and `write`, 2 only a token, 3 releases reads in an outage, 4 has a
/// grace period of 30 s, 5 takes a token or none and lets encoded slashes through. CORS preflights are allowed.
pub(super) fn policy(mode: &str) -> Policy {
    Policy::parse(document(mode).to_string().as_bytes()).expect("a valid policy")
}

/// The same rules, with facts for conditions.
pub(super) fn conditional(mode: &str) -> Policy {
    let mut policy = document(mode);
    policy["trusted_hops"] = serde_json::json!(["spiffe://edge"]);
    policy["device"] = serde_json::json!({"from": [{"claim": "deviceid"}, "client_certificate", {"claim": "serial"}]});
    policy["session"]["attributes"] = serde_json::json!({
        "headers": ["X-Device-Posture"], "client_certificate": true, "claims": ["department"], "groups": "/realm/roles"
    });
    policy["session"]["place"] = serde_json::json!({"country": "x-country"});
    policy["routes"][2]["class"] = serde_json::json!("read");
    policy["routes"][2]["tags"] = serde_json::json!(["pii"]);
    Policy::parse(policy.to_string().as_bytes()).expect("a valid policy")
}

/// The same rules, with bound tokens that are verified. `dpop` is the policy's key of that name.
pub(super) fn verifying(dpop: serde_json::Value, more: serde_json::Value) -> Policy {
    let mut policy = document("enforce");
    policy["issuers"][0]["bound_tokens"] = "verify".into();
    policy["trusted_hops"] = serde_json::json!(["spiffe://edge"]);
    policy["dpop"] = dpop;
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        policy[key] = value;
    }
    Policy::parse(policy.to_string().as_bytes()).expect("a valid policy")
}

/// The same rules, for browsers with handles in a cookie. `more` are further keys.
pub(super) fn with_handles(more: serde_json::Value) -> Policy {
    let mut policy = document("enforce");
    policy["token_from"] = serde_json::json!(["authorization", {"session_cookie": "__Host-portcullis"}]);
    policy["oauth"] = serde_json::json!({"cluster": "session"});
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        policy[key] = value;
    }
    Policy::parse(policy.to_string().as_bytes()).expect("a valid policy")
}

pub(super) fn document(mode: &str) -> serde_json::Value {
    serde_json::json!({
        "mode": mode,
        "cors_preflight": "allow",
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
            "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
        }],
        "session": {"cluster": "session", "timeout": "200ms"},
        "scopes": {"read": {}, "write": {}},
        "routes": [
            {"name": "open", "match": {"path": "/open"}, "public": true},
            {"name": "both", "match": {"path": "/both"}, "require": {"all_of": ["read", "write"]}},
            {"name": "me", "match": {"path": "/me"}, "authenticated": true},
            {"name": "read", "match": {"path": "/read"}, "require": {"all_of": ["read"]}, "session": {"on_outage": "read_only"}},
            {"name": "grace", "match": {"path": "/grace"}, "require": {"all_of": ["read"]}, "session": {"on_outage": {"grace": "30s"}}},
            {"name": "optional", "match": {"path": "/optional/{x}", "encoded_slash": "segment"}, "authenticated": "optional"}
        ]
    })
}

/// The same rules with introspection, for JWTs of the same issuer and opaque tokens of another; plus rule 5, which
/// limits the session.
pub(super) fn introspecting() -> Policy {
    let policy = serde_json::json!({
        "issuers": [
            {
                "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
                "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
            },
            {"issuer": "https://opaque.example", "audiences": ["api"], "opaque": true}
        ],
        "session": {
            "cluster": "id", "protocol": "introspection", "path": "/introspect", "authority": "id.example",
            "client": {"id": "filter", "secret": {"env": "SECRET"}}, "timeout": "200ms"
        },
        "scopes": {"read": {}, "write": {}},
        "routes": [
            {"name": "open", "match": {"path": "/open"}, "public": true},
            {"name": "both", "match": {"path": "/both"}, "require": {"all_of": ["read", "write"]}},
            {"name": "me", "match": {"path": "/me"}, "authenticated": true},
            {"name": "read", "match": {"path": "/read"}, "require": {"all_of": ["read"]}, "session": {"on_outage": "read_only"}},
            {"name": "grace", "match": {"path": "/grace"}, "require": {"all_of": ["read"]}, "session": {"on_outage": {"grace": "30s"}}},
            {
                "name": "a & b", "match": {"path": "/limited"}, "authenticated": true,
                "session": {"max_age": "15m"}
            }
        ]
    });
    Policy::parse(policy.to_string().as_bytes()).expect("a valid policy")
}

/// A verified token with these scopes.
pub(super) fn principal(policy: &Policy, scopes: &[&str]) -> Rc<Principal> {
    let facts = Facts {
        issuer: "https://id.example".into(),
        session_key: SessionKey::Claim("sid-1".into()),
        session_id: SessionId([0; 16]),
        subject: Some("alice".into()),
        client_id: Some("app".into()),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        issued_at_ms: 1_000,
        expires_at_ms: 1_000_000,
        dies_at_ms: 1_030_000,
        authenticated_at_ms: None,
        is_login_unreadable: false,
        acr: None,
        jti: None,
        email: None,
        grant: String::new(),
        binding: None,
        conditions: None,
        digest: TokenDigest([7; 32]),
    };
    Rc::new(Principal::new(IssuerId(0), facts, policy))
}

/// A question of `principal` for a rule.
pub(super) fn question(principal: &Rc<Principal>, rule: usize, method: &str) -> Question {
    let attributes = RequestAttributes { method: method.to_owned(), ..RequestAttributes::default() };
    Question {
        rule: RuleId(rule),
        principal: Rc::clone(principal),
        attributes: Rc::new(attributes),
        proof: None,
        redeemed: None,
    }
}
