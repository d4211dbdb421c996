//! What the policy expects in place of what a refused token has, and what may be meant by a scope or a claim that it does not
//! find.

use crate::policy::{claim_pointer::meant_by, name_list::NameList};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_engine::{
    policy::{Issuer, Policy, nearest},
    token::{Reason, ScopeClaim},
};
use serde_json::{Map, Value};

/// How much of a token's own value is shown, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// What a token must have where it was refused, and what it has instead; `None` if there is no such value.
pub(super) fn instead(reason: Reason, token: &str, policy: &Policy) -> Option<String> {
    let [header, claims] = parts(token)?;
    let named = claims.get("iss").and_then(Value::as_str);
    let issuers = || policy.issuers.iter().map(|issuer| &*issuer.issuer);
    if reason == Reason::Issuer {
        let known: Vec<&str> = issuers().collect();
        let meant = named.and_then(|named| nearest(named, &known));
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        return Some(format!("`iss` {}{meant}", compared(&known, claims.get("iss"))));
    }
    let issuer = policy.issuers.iter().find(|issuer| Some(&*issuer.issuer) == named)?;
    match reason {
        Reason::Audience => Some(format!("`aud` {}", compared(&issuer.audiences, claims.get("aud")))),
        Reason::Client => {
            let name = issuer.claim_names.client.iter().find(|name| claims.contains_key(*name));
            let name = name.or(issuer.claim_names.client.first())?;
            Some(format!("`{name}` {}", compared(&issuer.clients, claims.get(name))))
        }
        Reason::Claim => claim(issuer, &claims),
        Reason::Type => Some(format!("`typ` {}", compared(&issuer.token_types, header.get("typ")))),
        Reason::Algorithm => {
            let known = issuer.algorithms.iter().map(|algorithm| format!("{algorithm:?}"));
            Some(format!("`alg` {}", compared(&known.collect::<Vec<_>>(), header.get("alg"))))
        }
        _ => None,
    }
}

/// The first claim without one of its values.
fn claim(issuer: &Issuer, claims: &Map<String, Value>) -> Option<String> {
    let wrong = issuer.claims.iter().find(|required| {
        let has = claims.get(&required.claim).map(Value::to_string);
        !required.values.iter().any(|value| Some(value.to_string()) == has)
    })?;
    let values: Vec<_> = wrong.values.iter().map(ToString::to_string).collect();
    Some(format!("`{}` {}", wrong.claim, compared(&values, claims.get(&wrong.claim))))
}

/// `must be `a` or `b`, and is `c``
fn compared<T: std::fmt::Display>(expected: &[T], has: Option<&Value>) -> String {
    let has = match has {
        None => "and is missing".to_owned(),
        Some(value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let text: String = text.chars().take(VALUE_CHARS_MAX).collect();
            format!("and is `{}`", text.escape_debug().to_string().replace("\\\"", "\""))
        }
    };
    format!("must be {}, {has}", NameList::or(expected))
}

/// The header and the claims of a token that nobody has verified.
fn parts(token: &str) -> Option<[Map<String, Value>; 2]> {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Map<String, Value>>(&json).ok()
    });
    Some([parts.next()??, parts.next()??])
}

/// The scopes that the policy does not know. `all`: all of them are meant for it; otherwise, only those that look as if they were.
pub(super) fn unregistered(scopes: &[String], all: bool, policy: &Policy) -> Vec<String> {
    let known: Vec<&str> = policy.register.entries().map(|entry| &*entry.name).collect();
    let unknown = scopes.iter().filter(|scope| policy.register.id(scope).is_none());
    let hints = unknown.filter_map(|scope| {
        let meant = nearest(scope, &known);
        let hint = format!("scope `{}` is not in `scopes`, so no route can require it", scope.escape_debug());
        match meant {
            Some(meant) => Some(format!("{hint}; did you mean `{meant}`?")),
            None => all.then_some(hint),
        }
    });
    hints.collect()
}

/// The names in `scope_claims` that a token does not have, and that are likely meant as pointers into its claims.
pub(super) fn dotted(token: &str, issuer: &Issuer) -> Vec<String> {
    let claims = parts(token).map(|[_, claims]| claims).unwrap_or_default();
    let names = issuer.claim_names.scopes.iter().map(ScopeClaim::as_str).filter(|name| !claims.contains_key(*name));
    let hints = names.filter_map(|name| {
        let pointer = meant_by(name)?;
        Some(format!("`{name}` in `scope_claims` is the name of a claim that the token does not have; to reach inside a claim, write `{pointer}`"))
    });
    hints.collect()
}
