//! Reads who may call an operation.

use super::{Value, refs::resolved};

/// An entry of `securitySchemes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Scheme {
    /// Its key.
    pub(in crate::policy) name: String,
    /// Its kind.
    pub(in crate::policy) kind: SchemeKind,
}

/// The kind of a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum SchemeKind {
    /// Access tokens with scopes (OAuth 2.0 or OpenID Connect).
    Tokens {
        /// The scopes with their descriptions, in the order of the flows.
        scopes: Vec<(String, String)>,
        /// URLs that identify the issuer.
        servers: Vec<String>,
    },
    /// Another kind, as text.
    Other(String),
}

/// Who may call an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Security {
    /// Not specified by the operation or the document.
    Unsaid,
    /// One of these alternatives suffices. Each lists schemes that are required together, with scopes.
    AnyOf(Vec<Vec<Need>>),
    /// The `security` is invalid.
    Unreadable(String),
}

/// A required scheme with its required scopes.
pub(in crate::policy) type Need = (String, Vec<String>);

pub(super) fn schemes(root: &Value) -> Vec<Scheme> {
    let schemes = root.get("components").and_then(|components| components.get("securitySchemes"));
    let entries = schemes.map(Value::entries).unwrap_or_default().iter();
    entries.map(|(name, value)| Scheme { name: name.clone(), kind: kind(root, value) }).collect()
}

fn kind(root: &Value, value: &Value) -> SchemeKind {
    let scheme = match resolved(root, value) {
        Ok(scheme) => scheme,
        Err(error) => return SchemeKind::Other(error),
    };
    match scheme.text("type") {
        Some("oauth2") => flows(scheme),
        Some("openIdConnect") => {
            let servers = scheme.text("openIdConnectUrl").map(|url| format!("openIdConnectUrl {url}"));
            SchemeKind::Tokens { scopes: Vec::new(), servers: servers.into_iter().collect() }
        }
        Some("apiKey") => SchemeKind::Other(format!("an API key in the {}", scheme.text("in").unwrap_or("request"))),
        Some("http") => SchemeKind::Other(format!("HTTP {}", scheme.text("scheme").unwrap_or("authentication"))),
        Some("mutualTLS") => SchemeKind::Other("mutual TLS".to_owned()),
        Some(kind) => SchemeKind::Other(format!("the unknown type `{kind}`")),
        None => SchemeKind::Other("a scheme without a type".to_owned()),
    }
}

fn flows(scheme: &Value) -> SchemeKind {
    let (mut scopes, mut servers): (Vec<(String, String)>, Vec<String>) = (Vec::new(), Vec::new());
    for (_, flow) in scheme.get("flows").map(Value::entries).unwrap_or_default() {
        for (scope, description) in flow.get("scopes").map(Value::entries).unwrap_or_default() {
            if !scopes.iter().any(|(known, _)| known == scope) {
                scopes.push((scope.clone(), description.as_text().unwrap_or_default().to_owned()));
            }
        }
        let server = flow.text("tokenUrl").map(|url| format!("tokenUrl {url}"));
        let server = server.or_else(|| flow.text("authorizationUrl").map(|url| format!("authorizationUrl {url}")));
        servers.extend(server.filter(|server| !servers.contains(server)));
    }
    SchemeKind::Tokens { scopes, servers }
}

/// Reads the `security` of an operation or, if it has none, of the document.
pub(super) fn security(operation: &Value, root: &Value) -> Security {
    let Some(given) = operation.get("security").or_else(|| root.get("security")) else {
        return Security::Unsaid;
    };
    let Value::List(alternatives) = given else {
        return Security::Unreadable(format!("`security` is {}, not a list", given.kind()));
    };
    let read: Result<Vec<_>, String> = alternatives.iter().map(alternative).collect();
    read.map_or_else(Security::Unreadable, Security::AnyOf)
}

fn alternative(value: &Value) -> Result<Vec<Need>, String> {
    let Value::Object(needs) = value else {
        return Err(format!("an entry of `security` is {}, not an object", value.kind()));
    };
    let need = |(scheme, scopes): &(String, Value)| {
        let unreadable = || format!("the scopes of `{scheme}` in `security` are not a list of texts");
        let Value::List(scopes) = scopes else { return Err(unreadable()) };
        let scopes: Option<Vec<_>> = scopes.iter().map(|scope| scope.as_text().map(str::to_owned)).collect();
        Ok((scheme.clone(), scopes.ok_or_else(unreadable)?))
    };
    needs.iter().map(need).collect()
}
