//! Who asks. What a client authenticates with is passed on: whether it is right is for the issuer to say.

use super::fault::Fault;
use super::form::Form;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use portcullis_contract::token::{Claimed, TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The parameters that authenticate a client (RFC 6749, section 2.3; RFC 7521, section 4.2).
const PARAMETERS: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// What a client authenticates with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Authentication {
    pub(super) authorization: Option<String>,
    /// As a form.
    pub(super) parameters: String,
    /// It is a statement that is made anew for each request.
    is_assertion: bool,
}

/// Written by hand because it has secrets.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authentication")
    }
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) authentication: Authentication,
    /// The key that it has shown to have.
    pub(super) key: Option<[u8; 32]>,
    /// The certificate of its connection.
    pub(super) certificate: Option<[u8; 32]>,
    /// A proof for the issuer, which is passed on.
    pub(super) proof: Option<String>,
}

impl Client {
    /// Reads what a request authenticates with.
    pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, Fault> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let authorization = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(value.to_str().map_err(|_| Fault::InvalidClient)?),
            (Some(_), Some(_)) => return Err(Fault::InvalidClient),
        };
        let by_header = authorization.map(basic).transpose()?;
        let assertion = form.get("client_assertion");
        let ways = [authorization.is_some(), form.get("client_secret").is_some(), assertion.is_some()];
        if ways.into_iter().filter(|is_used| *is_used).count() > 1 {
            return Err(Fault::InvalidRequest("the client authenticates in more than one way"));
        }
        // Its `iss` and `sub` are the client's id (RFC 7523, section 3). Whether they are is for the issuer to see.
        let by_assertion = assertion.and_then(|text| Claimed::read(text).issuer);
        let named = [form.get("client_id").map(str::to_owned), by_header, by_assertion];
        let mut named = named.into_iter().flatten();
        let id = named.next().ok_or(Fault::InvalidRequest("`client_id` is missing"))?;
        if named.any(|other| other != id) {
            return Err(Fault::InvalidRequest("the request names two clients"));
        }
        if id.len() > TEXT_BYTES_MAX {
            return Err(Fault::InvalidRequest("`client_id` is too long"));
        }
        let authentication = Authentication {
            authorization: authorization.map(str::to_owned),
            parameters: form.only(&PARAMETERS).text(),
            is_assertion: assertion.is_some(),
        };
        Ok(Self { id, authentication, key: None, certificate: None, proof: None })
    }

    /// A public client, which has nothing to authenticate with.
    pub(super) fn public(id: &str) -> Self {
        let parameters = Form::default().with("client_id", Some(id)).text();
        let authentication = Authentication { authorization: None, parameters, is_assertion: false };
        Self { id: id.to_owned(), authentication, key: None, certificate: None, proof: None }
    }

    /// What it authenticates with, as a digest: two requests that have the same one are by the same client, if the issuer has
    /// taken one of them. `None`: that cannot be told.
    pub(super) fn by(&self) -> Option<[u8; 32]> {
        let Authentication { authorization, parameters, is_assertion } = &self.authentication;
        let text = [authorization.as_deref().unwrap_or_default(), parameters].join("\n");
        (!is_assertion).then(|| Sha256::digest(text).into())
    }
}

/// The client's id of `Basic …`: its name is encoded as in a form (RFC 6749, section 2.3.1).
fn basic(value: &str) -> Result<String, Fault> {
    let read = || {
        let (scheme, encoded) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Basic").then_some(())?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, _) = decoded.split_once(':')?;
        let (id, _) = form_urlencoded::parse(name.as_bytes()).next()?;
        let is_clean = !id.is_empty() && !id.contains(|letter: char| letter.is_control());
        is_clean.then(|| id.into_owned())
    };
    read().ok_or(Fault::InvalidClient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    fn read(authorization: &[&str], form: &str) -> Result<Client, Fault> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Client::read(&headers, &Form::read(form.as_bytes()).unwrap())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn a_client_is_named_by_its_authentication_or_its_id() {
        let id = |authorization: &[&str], form: &str| read(authorization, form).map(|client| client.id);
        let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
        let assertion = format!("client_assertion={}.{}.AA", part("{}"), part(r#"{"iss":"web","sub":"web"}"#));
        assert_eq!(id(&[], "client_id=web").unwrap(), "web");
        assert_eq!(id(&[], "client_id=web&client_secret=s").unwrap(), "web");
        assert_eq!(id(&[&basic("web:s")], "").unwrap(), "web");
        assert_eq!(id(&[&basic("a%3Ab+c:s")], "client_id=a:b+c").unwrap(), "a:b c");
        assert_eq!(id(&[], &assertion).unwrap(), "web");
        assert_eq!(id(&[], ""), Err(Fault::InvalidRequest("`client_id` is missing")));
        for two in [id(&[&basic("web:s")], "client_id=cli"), id(&[], &format!("client_id=cli&{assertion}"))] {
            assert_eq!(two, Err(Fault::InvalidRequest("the request names two clients")));
        }
        for ways in [id(&[&basic("web:s")], "client_secret=s"), id(&[], &format!("client_secret=s&{assertion}"))] {
            assert_eq!(ways, Err(Fault::InvalidRequest("the client authenticates in more than one way")));
        }
        for broken in ["Bearer x", "Basic", "Basic ???", &basic("nocolon"), &basic(":s"), &basic("a%00b:s")] {
            assert_eq!(id(&[broken], "client_id=web"), Err(Fault::InvalidClient), "{broken}");
        }
        assert_eq!(id(&[&basic("web:s"), &basic("web:s")], ""), Err(Fault::InvalidClient));
    }

    #[test]
    fn two_requests_of_a_client_are_compared_by_its_secret() {
        let by = |form: &str| read(&[], form).unwrap().by();
        assert_eq!(by("client_id=web&client_secret=s&x=1"), by("x=2&client_id=web&client_secret=s"));
        assert_ne!(by("client_id=web&client_secret=s"), by("client_id=web&client_secret=t"));
        assert_ne!(by("client_id=web"), by("client_id=web&client_secret=t"));
        assert_eq!(by("client_id=web&client_assertion=x"), None);
        assert!(!format!("{:?}", read(&[], "client_id=web&client_secret=hidden")).contains("hidden"));
    }
}
