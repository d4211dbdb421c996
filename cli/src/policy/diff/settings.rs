//! Compares the settings of two policies: everything except routes and issuers.

use super::{
    change::{Change, Direction, Part},
    condition_facts, issuers, possession, words,
};
use crate::policy::name_list::NameList;
use portcullis_engine::{
    policy::{IdentityHeaders, Introspection, Mode, OAuth, Outage, Policy, Protocol, SessionService, Sizes},
    scope::{Entry, ScopeRegistry},
};
use serde_json::{Value, json};
use std::{cmp::Ordering, collections::BTreeSet};

/// The limits by name.
type Size = fn(&Sizes) -> usize;
const SIZES: [(&str, Size); 3] = [
    ("token_bytes", |sizes| sizes.token_bytes),
    ("token_cache_bytes", |sizes| sizes.token_cache_bytes),
    ("key_set_bytes", |sizes| sizes.key_set_bytes),
];

/// The changes of settings and issuers, in the order of the policy document.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = |subject: &str, change: Option<Change>| {
        parts.extend(change.map(|change| (subject.to_owned(), change)));
    };
    part("mode", mode(old.mode, new.mode));
    part("ignore_case", ignore_case(old.routes.ignores_case(), new.routes.ignores_case()));
    part("cors_preflight", preflight(old.cors_preflight, new.cors_preflight));
    let headers = [old, new].map(|policy| json!(identity_headers(policy.identity_headers)));
    part("identity_headers", changed("identity_headers", "the upstream receives", headers));
    let tokens = [old, new].map(|policy| json!(policy.forward_token));
    part("forward_token", changed("forward_token", "is", tokens));
    let workloads = [old, new].map(|policy| json!(policy.workload));
    part("workload", changed("workload", "the proxy's name in tokens for upstreams is", workloads));
    for change in token_from(old, new).into_iter().chain(allowed_origins(old, new)) {
        part(change.kind, Some(change));
    }
    part("oauth", oauth(old.oauth.as_ref(), new.oauth.as_ref()));
    part("realm", changed("realm", "is", [old, new].map(|policy| json!(policy.realm))));
    for (kind, size) in SIZES {
        part("limits", limit(kind, [old, new].map(|policy| size(&policy.limits))));
    }
    parts.extend(issuers::changes(&old.issuers, &new.issuers));
    parts.extend(possession::changes(old.possession.as_ref(), new.possession.as_ref()));
    session(old, new, &mut parts);
    parts.extend(condition_facts::changes(&old.facts, &new.facts));
    register(&old.register, &new.register, &mut parts);
    parts
}

fn mode(old: Mode, new: Mode) -> Option<Change> {
    let [before, after] = [old, new].map(|mode| json!(words::mode(mode)));
    let (direction, text) = match (old, new) {
        (Mode::Enforce, Mode::Shadow) => (Direction::MorePermissive, "`shadow`: no request is refused any more"),
        (Mode::Shadow, Mode::Enforce) => (Direction::LessPermissive, "`enforce`: requests are refused again"),
        _ => return None,
    };
    Some(Change::new(direction, "mode", text.to_owned(), before, after))
}

/// Another place where a token is accepted opens a way in; the order makes no difference.
fn token_from(old: &Policy, new: &Policy) -> Vec<Change> {
    let names = |policy: &Policy| policy.token_from.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let texts = ["tokens are accepted in {} too", "tokens are no longer accepted in {}"];
    added_or_removed("token_from", texts, &names(old), &names(new))
}

/// Without a token, requests reach the token endpoint, and whatever is behind another cluster may take what they say.
fn oauth(old: Option<&OAuth>, new: Option<&OAuth>) -> Option<Change> {
    let [before, after] =
        [old, new].map(|oauth| json!(oauth.map(|oauth| json!({"path": oauth.path, "cluster": oauth.cluster}))));
    let (direction, text) = match (old, new) {
        (None, Some(new)) => {
            let text = format!("requests for `{}/token` and `{0}/logout` pass to cluster `{}`", new.path, new.cluster);
            (Direction::MorePermissive, text)
        }
        (Some(old), None) => {
            (Direction::LessPermissive, format!("`{}/token` and `{0}/logout` are paths like any other", old.path))
        }
        (Some(old), Some(new)) if old != new => {
            let text = format!(
                "the token endpoint is `{}` at cluster `{}`, was `{}` at cluster `{}`",
                new.path, new.cluster, old.path, old.cluster
            );
            (Direction::MorePermissive, text)
        }
        _ => return None,
    };
    Some(Change::new(direction, "oauth", text, before, after))
}

fn allowed_origins(old: &Policy, new: &Policy) -> Vec<Change> {
    let names = |policy: &Policy| policy.allowed_origins.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let texts = ["pages of {} can use a token in a cookie", "pages of {} can no longer use a token in a cookie"];
    added_or_removed("allowed_origins", texts, &names(old), &names(new))
}

/// The findings about entries of a list that opens something, with the names in place of `{}`.
fn added_or_removed(
    kind: &'static str,
    [added, removed]: [&str; 2],
    old: &BTreeSet<String>,
    new: &BTreeSet<String>,
) -> Vec<Change> {
    let change = |direction, text: &str, names: Vec<&String>| {
        let named = text.replace("{}", &NameList::and(&names).to_string());
        (!names.is_empty()).then(|| Change::new(direction, kind, named, json!(old), json!(new)))
    };
    let added = change(Direction::MorePermissive, added, new.difference(old).collect());
    let removed = change(Direction::LessPermissive, removed, old.difference(new).collect());
    added.into_iter().chain(removed).collect()
}

/// Either way, another rule may decide a path in another case. Both count as more permissive, because the walk through the
/// routes only compares paths in the case in which they are written.
fn ignore_case(old: bool, new: bool) -> Option<Change> {
    let text = match (old, new) {
        (false, true) => "case is ignored: paths in any case match a route",
        (true, false) => {
            "case matters: a path in another case than a route's is decided by a less specific route, or by none"
        }
        _ => return None,
    };
    Some(Change::new(Direction::MorePermissive, "ignore_case", text.to_owned(), json!(old), json!(new)))
}

fn preflight(old: bool, new: bool) -> Option<Change> {
    let (direction, text) = match (old, new) {
        (false, true) => (
            Direction::MorePermissive,
            "`allow`: CORS preflights pass without a token, for every request that has a route",
        ),
        (true, false) => (Direction::LessPermissive, "CORS preflights are treated like any other request"),
        _ => return None,
    };
    Some(Change::new(direction, "cors_preflight", text.to_owned(), json!(old), json!(new)))
}

/// A higher limit accepts tokens or key sets that were refused. A cache of another size accepts the same tokens.
fn limit(kind: &'static str, [old, new]: [usize; 2]) -> Option<Change> {
    let direction = match new.cmp(&old) {
        Ordering::Equal => return None,
        _ if kind == "token_cache_bytes" => Direction::Changed,
        Ordering::Greater => Direction::MorePermissive,
        Ordering::Less => Direction::LessPermissive,
    };
    Some(Change::new(direction, kind, format!("`{kind}` is {new}, was {old}"), json!(old), json!(new)))
}

fn identity_headers(headers: IdentityHeaders) -> Vec<&'static str> {
    let IdentityHeaders { subject, client, scopes, session, issuer } = headers;
    let named =
        [("subject", subject), ("client", client), ("scopes", scopes), ("session", session), ("issuer", issuer)];
    named.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

/// A change that makes the policy neither more nor less permissive.
pub(super) fn changed(kind: &'static str, what: &str, [before, after]: [Value; 2]) -> Option<Change> {
    if before == after {
        return None;
    }
    let text = format!("{what} {}, was {}", shown(&after), shown(&before));
    Some(Change::new(Direction::Changed, kind, text, before, after))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) => NameList::and(items.iter().map(|item| item.as_str().unwrap_or_default())).to_string(),
        other => format!("`{other}`"),
    }
}

/// The session service. Another service may accept what this one rejects, so any other counts as more permissive.
fn session(old: &Policy, new: &Policy, parts: &mut Vec<Part>) {
    let (Some(before), Some(after)) = (&old.session, &new.session) else {
        let is = |policy: &Policy| json!(policy.session.as_ref().map(|session| &session.cluster));
        let change = changed("session", "the cluster is", [is(old), is(new)]);
        parts.extend(change.map(|change| ("session".to_owned(), change)));
        return;
    };
    let [old_service, new_service] = [before, after].map(identity);
    if old_service != new_service {
        let text = format!("another session service: {}, was {}", describe(after), describe(before));
        let change = Change::new(Direction::MorePermissive, "session", text, old_service, new_service);
        parts.push(("session".to_owned(), change));
    }
    parts.extend(timeout(before, after, new).map(|change| ("session".to_owned(), change)));
    parts.extend(stream_lease(before, after).map(|change| ("session".to_owned(), change)));
    let credential = |session: &SessionService| {
        let client = match &session.protocol {
            Protocol::Introspection(Introspection { client: Some(client), .. }) => Some(&client.secret_env),
            Protocol::Introspection(_) | Protocol::Stream { .. } => None,
        };
        json!(client.or(session.credential_env.as_ref()))
    };
    let change = changed("credential", "the credential comes from", [before, after].map(credential));
    parts.extend(change.map(|change| ("session".to_owned(), change)));
}

fn identity(session: &SessionService) -> Value {
    match &session.protocol {
        Protocol::Stream { .. } => json!({"cluster": session.cluster, "protocol": "stream"}),
        Protocol::Introspection(endpoint) => json!({
            "cluster": session.cluster,
            "protocol": "introspection",
            "authority": endpoint.authority,
            "path": endpoint.path,
            // A server may give each client another answer.
            "client": endpoint.client.as_ref().map(|client| &client.id),
        }),
    }
}

fn describe(session: &SessionService) -> String {
    match &session.protocol {
        Protocol::Stream { .. } => format!("the check stream at cluster `{}`", session.cluster),
        Protocol::Introspection(endpoint) => {
            let client = endpoint.client.as_ref().map(|client| format!(" as client `{}`", client.id));
            let client = client.unwrap_or_default();
            format!("`{}{}` at cluster `{}`{client}", endpoint.authority, endpoint.path, session.cluster)
        }
    }
}

/// A shorter timeout means more requests without a verdict, and some rules let those pass.
fn timeout(before: &SessionService, after: &SessionService, new: &Policy) -> Option<Change> {
    let [old_words, new_words] = [before, after].map(|session| words::duration(session.timeout));
    if after.timeout < before.timeout && new.rules.iter().any(|rule| rule.limits.on_outage != Outage::Deny) {
        let text = format!(
            "`timeout` is {new_words}, was {old_words}: more requests will have no verdict, and some routes let those pass"
        );
        return Some(Change::new(Direction::MorePermissive, "timeout", text, json!(old_words), json!(new_words)));
    }
    changed("timeout", "`timeout` is", [json!(old_words), json!(new_words)])
}

/// For a longer lease, open requests outlive a silent service, and with it a revocation, for longer.
fn stream_lease(before: &SessionService, after: &SessionService) -> Option<Change> {
    let (Protocol::Stream { lease: old }, Protocol::Stream { lease: new }) = (&before.protocol, &after.protocol) else {
        return None;
    };
    let [old_words, new_words] = [old, new].map(|lease| words::duration(*lease));
    if new > old {
        let text = format!(
            "`stream_lease` is {new_words}, was {old_words}: open requests continue for longer while the session service is silent"
        );
        return Some(Change::new(Direction::MorePermissive, "stream_lease", text, json!(old_words), json!(new_words)));
    }
    changed("stream_lease", "`stream_lease` is", [json!(old_words), json!(new_words)])
}

fn register(old: &ScopeRegistry, new: &ScopeRegistry, parts: &mut Vec<Part>) {
    let find = |register: &ScopeRegistry, name: &str| register.id(name).and_then(|id| register.entry(id)).cloned();
    for entry in new.entries() {
        let subject = format!("scopes.{}", entry.name);
        let Some(was) = find(old, &entry.name) else {
            let change = Change::new(Direction::Changed, "scope", "declared".to_owned(), Value::Null, facts(entry));
            parts.push((subject, change));
            continue;
        };
        let date = |entry: &Entry| json!(entry.review_by.map(|date| date.to_string()));
        for change in [
            changed("owner", "`owner` is", [json!(was.owner), json!(entry.owner)]),
            changed("review_by", "`review_by` is", [date(&was), date(entry)]),
            changed("description", "`description` is", [json!(was.description), json!(entry.description)]),
            approval(&was, entry),
        ] {
            parts.extend(change.map(|change| (subject.clone(), change)));
        }
    }
    for entry in old.entries().filter(|entry| find(new, &entry.name).is_none()) {
        let change =
            Change::new(Direction::Changed, "scope", "no longer declared".to_owned(), facts(entry), Value::Null);
        parts.push((format!("scopes.{}", entry.name), change));
    }
}

/// Without an approval, a token's word is enough again.
fn approval(was: &Entry, is: &Entry) -> Option<Change> {
    let (direction, text) = match (was.needs_approval, is.needs_approval) {
        (true, false) => (Direction::MorePermissive, "no approval is required: tokens with it can use it at once"),
        (false, true) => (Direction::LessPermissive, "an approval is required: tokens with it wait for a grant"),
        _ => return None,
    };
    let [before, after] = [was, is].map(|entry| json!(entry.needs_approval.then_some("required")));
    Some(Change::new(direction, "approval", text.to_owned(), before, after))
}

fn facts(entry: &Entry) -> Value {
    json!({
        "owner": entry.owner,
        "review_by": entry.review_by.map(|date| date.to_string()),
        "description": entry.description,
        "approval": entry.needs_approval.then_some("required"),
    })
}
