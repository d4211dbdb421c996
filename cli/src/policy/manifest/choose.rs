//! Chooses the policy among the documents of a file.

use super::find::{NAME, Plugin, digest_of, fails_open, head, looks_like_policy, plugins};
use crate::document::{Fault, Node};

/// The most policies that are listed for a choice, and how many digits of a digest are enough to choose one.
const LISTED_MAX: usize = 10;
const DIGITS: usize = 12;

/// The only policy of a file; of several, the one whose digest begins with `digest`.
pub(in crate::policy) fn policy(text: &str, roots: &[Node], digest: Option<&str>) -> Result<Node, Fault> {
    if let [root] = roots
        && is_session_service(root)
    {
        return Err(Fault {
            message: "this is the configuration of the session service, not a policy: check it with `portcullis-session --config FILE --check`".to_owned(),
            span: head(root),
        });
    }
    let found = found(text, roots, digest.unwrap_or_default())?;
    match (found.as_slice(), digest) {
        ([], None) => Err(Fault {
            message: format!(
                "this file contains no policy, neither at the top level nor in the configuration of a wasm filter named `{NAME}`"
            ),
            span: roots.first().map(head).unwrap_or_default(),
        }),
        ([], Some(digest)) => Err(Fault {
            message: format!("this file contains no policy whose digest begins with `{}`", digest.escape_debug()),
            span: roots.first().map(head).unwrap_or_default(),
        }),
        ([(_, policy)], _) => Ok(policy.clone()),
        ([_, (_, second), ..], _) => Err(Fault {
            message: format!(
                "expected one policy, but this file contains {}: {}; move the others to files of their own, or choose one with `policy check --digest`",
                found.len(),
                listed(&found, text)
            ),
            span: head(second),
        }),
    }
}

/// Every policy of a file, once.
pub(in crate::policy) fn every(text: &str, roots: &[Node]) -> Result<Vec<Node>, Fault> {
    match found(text, roots, "")?.as_slice() {
        [] => policy(text, roots, None).map(|policy| vec![policy]),
        found => Ok(found.iter().map(|(_, policy)| policy.clone()).collect()),
    }
}

/// The policies whose digests begin so, with their digests. A dump of Envoy's configuration has a listener of its bootstrap
/// twice, and other listeners may have the same policy.
fn found(text: &str, roots: &[Node], digest: &str) -> Result<Vec<(String, Node)>, Fault> {
    let mut found: Vec<(String, Node)> = Vec::new();
    for place in places(roots) {
        let policy = match &place {
            Place::Plugin(plugin) => plugin.policy(text)?,
            Place::Document(root) => (*root).clone(),
        };
        let own = digest_of(&policy);
        if !own.starts_with(digest) {
            continue;
        }
        if let Place::Plugin(plugin) = &place
            && let Some(fault) = fails_open(plugin)
        {
            return Err(fault);
        }
        if !found.iter().any(|(known, _)| *known == own) {
            found.push((own, policy));
        }
    }
    Ok(found)
}

/// Where a policy is.
enum Place<'n> {
    Plugin(Plugin<'n>),
    Document(&'n Node),
}

fn places(roots: &[Node]) -> Vec<Place<'_>> {
    if let [root] = roots
        && looks_like_policy(root)
    {
        return vec![Place::Document(root)];
    }
    let (mut named, mut others): (Vec<_>, Vec<_>) = roots.iter().flat_map(plugins).partition(Plugin::is_named);
    let bare: Vec<_> = roots.iter().filter(|root| looks_like_policy(root)).collect();
    // Also beside a named one: Envoy runs both, and one that nobody looked at could have any fault.
    others.retain(Plugin::looks_like_ours);
    named.extend(others);
    named.sort_by_key(|plugin| plugin.configuration.span.start);
    let found: Vec<_> = named.into_iter().map(Place::Plugin).chain(bare.into_iter().map(Place::Document)).collect();
    match (found.as_slice(), roots) {
        ([], [root]) if !is_manifest(root) => vec![Place::Document(root)],
        _ => found,
    }
}

/// Whether it is a `session.yaml`, which has keys of its own besides those that it shares with no policy.
fn is_session_service(node: &Node) -> bool {
    let has = |key: &&str| node.get(key).is_some();
    let own = ["listen", "admin", "store", "access", "admin_credential", "enrolment"];
    own.iter().filter(|key| has(key)).count() >= 2 && !looks_like_policy(node)
}

/// Whether it is a manifest rather than a policy with a mistake in it.
fn is_manifest(node: &Node) -> bool {
    ["apiVersion", "kind", "static_resources", "staticResources", "dynamic_resources", "resources", "configs", "@type"]
        .iter()
        .any(|key| node.get(key).is_some())
}

/// The digests of policies, and where they are.
fn listed(found: &[(String, Node)], text: &str) -> String {
    let line = |policy: &Node| 1 + text.get(..head(policy).start).unwrap_or_default().matches('\n').count();
    let one = |(digest, policy): &(String, Node)| {
        format!("`{}` on line {}", digest.get(..DIGITS).unwrap_or(digest), line(policy))
    };
    let shown: Vec<_> = found.iter().take(LISTED_MAX).map(one).collect();
    match found.len() {
        count if count > LISTED_MAX => format!("{}, and {} more", shown.join(", "), count - LISTED_MAX),
        _ => shown.join(", "),
    }
}
