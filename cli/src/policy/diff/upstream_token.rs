//! How the tokens for the upstream of two routes differ.

use super::{
    change::{Change, Direction},
    words,
};
use portcullis_engine::policy::{RequestContext, TokenScopes, UpstreamToken, WithoutToken};
use serde_json::{Value, json};

/// The complete meaning of one.
pub(super) fn canonical(token: &UpstreamToken) -> Value {
    let UpstreamToken { audience, ttl, scopes, header, typ, rctx, without } = token;
    json!({
        "audience": audience,
        "ttl": words::duration(*ttl),
        "scopes": match scopes {
            TokenScopes::Route => "route",
            TokenScopes::Token => "token",
        },
        "header": header,
        "typ": typ,
        "rctx": match rctx {
            RequestContext::Route => "route",
            RequestContext::Address => "address",
        },
        "on_outage": match without {
            WithoutToken::Refuse => "refuse",
            WithoutToken::Omit => "omit",
        },
    })
}

/// A token that lives longer, has more scopes, or is not needed makes the policy more permissive; what else differs lets the same
/// requests pass.
pub(super) fn change(before: Option<&UpstreamToken>, after: Option<&UpstreamToken>) -> Option<Change> {
    if before == after {
        return None;
    }
    let [old, new] = [before, after].map(|token| token.map(canonical));
    let (direction, text) = match (before, after) {
        (None, None) => return None,
        (None, Some(new)) => (
            Direction::Changed,
            format!("the upstream receives a token for `{}` in `{}` (`upstream_token`)", new.audience, new.header),
        ),
        (Some(old), None) => (
            Direction::MorePermissive,
            format!(
                "the upstream no longer receives a token in `{}`: a revocation no longer reaches behind the proxy",
                old.header
            ),
        ),
        (Some(before), Some(after)) => {
            let parts = parts(old.as_ref(), new.as_ref());
            let direction = if is_wider(before, after) { Direction::MorePermissive } else { Direction::Changed };
            (direction, format!("`upstream_token`: {parts}"))
        }
    };
    Some(Change::new(direction, "upstream_token", text, json!(old), json!(new)))
}

fn is_wider(before: &UpstreamToken, after: &UpstreamToken) -> bool {
    let scopes = (before.scopes, after.scopes) == (TokenScopes::Route, TokenScopes::Token);
    let address = (before.rctx, after.rctx) == (RequestContext::Address, RequestContext::Route);
    let omitted = (before.without, after.without) == (WithoutToken::Refuse, WithoutToken::Omit);
    scopes || address || omitted || after.ttl > before.ttl
}

/// The members that differ.
fn parts(old: Option<&Value>, new: Option<&Value>) -> String {
    let member = |value: Option<&Value>, key: &str| {
        value.and_then(|value| value.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let keys = ["audience", "ttl", "scopes", "header", "typ", "rctx", "on_outage"];
    let differing = keys.into_iter().filter(|key| member(old, key) != member(new, key));
    let parts: Vec<_> =
        differing.map(|key| format!("`{key}` is `{}`, was `{}`", member(new, key), member(old, key))).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn token() -> UpstreamToken {
        UpstreamToken {
            audience: "orders".to_owned(),
            ttl: Duration::from_secs(30),
            scopes: TokenScopes::Route,
            header: "txn-token".to_owned(),
            typ: "txntoken+jwt".to_owned(),
            rctx: RequestContext::Route,
            without: WithoutToken::Refuse,
        }
    }

    #[test]
    fn what_reaches_further_is_more_permissive() {
        let old = token();
        assert!(change(Some(&old), Some(&token())).is_none() && change(None, None).is_none());
        for (new, direction, text) in [
            (
                UpstreamToken { ttl: Duration::from_secs(60), ..token() },
                Direction::MorePermissive,
                "`upstream_token`: `ttl` is `1m`, was `30s`",
            ),
            (
                UpstreamToken { ttl: Duration::from_secs(5), ..token() },
                Direction::Changed,
                "`upstream_token`: `ttl` is `5s`, was `30s`",
            ),
            (
                UpstreamToken { scopes: TokenScopes::Token, ..token() },
                Direction::MorePermissive,
                "`upstream_token`: `scopes` is `token`, was `route`",
            ),
            (
                UpstreamToken { without: WithoutToken::Omit, ..token() },
                Direction::MorePermissive,
                "`upstream_token`: `on_outage` is `omit`, was `refuse`",
            ),
            (
                UpstreamToken { audience: "all".to_owned(), ..token() },
                Direction::Changed,
                "`upstream_token`: `audience` is `all`, was `orders`",
            ),
        ] {
            let change = change(Some(&old), Some(&new)).unwrap();
            assert_eq!((change.direction, change.text.as_str()), (direction, text));
        }
        assert_eq!(change(None, Some(&old)).unwrap().direction, Direction::Changed);
        assert_eq!(change(Some(&old), None).unwrap().direction, Direction::MorePermissive);
    }
}
