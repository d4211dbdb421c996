//! Access tokens for the endpoints of a transmitter, by client credentials (RFC 6749, section 4.4).

use super::outbound::{Call, Caller, Url};
use crate::store::postgres::Secret;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::Method;

/// How long a token endpoint may take.
const TOKEN_MAX: Duration = Duration::from_secs(5);

/// How long a token is used that says nothing about its end. One that has ended before is refused, and another is obtained.
const LIFE_DEFAULT: Duration = Duration::from_mins(5);

/// The longest time for which a token is used.
const LIFE_MAX: Duration = Duration::from_hours(24);

/// How long before its end a token is no longer used, so that no call arrives after it; at most half of its life.
const MARGIN: Duration = Duration::from_secs(10);

/// The largest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A client of a transmitter's authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCredentials {
    /// Where tokens are issued.
    pub(crate) token_endpoint: Url,
    /// The client's id.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Secret,
    /// What is asked for; none: what the server gives by itself.
    pub(crate) scopes: Vec<String>,
}

/// A successful answer (section 5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    token_type: String,
    /// Seconds; some servers write them as text.
    expires_in: Option<Value>,
}

/// A token that is held.
#[derive(Debug)]
struct Held {
    /// The value of `authorization` that presents it.
    authorization: Secret,
    until: Instant,
}

/// The access token of a client, obtained when it is needed.
#[derive(Debug)]
pub(super) struct AccessToken {
    client: ClientCredentials,
    caller: Caller,
    held: Mutex<Option<Held>>,
}

impl AccessToken {
    pub(super) fn new(client: ClientCredentials, caller: Caller) -> Self {
        Self { client, caller, held: Mutex::default() }
    }

    /// The value of `authorization` that presents it. Blocks, also while another thread obtains it: one does for all.
    pub(super) fn authorization(&self) -> Result<Secret, String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
            return Ok(held.authorization.clone());
        }
        *held = None;
        let fresh = held.insert(self.obtain()?);
        Ok(fresh.authorization.clone())
    }

    /// It was refused: another one is obtained, unless that was done already.
    pub(super) fn refused(&self, authorization: &Secret) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.take_if(|held| held.authorization == *authorization);
    }

    fn obtain(&self) -> Result<Held, String> {
        let url = &self.client.token_endpoint;
        let (client, form) = (self.client.basic(), self.client.form());
        let answer = self.caller.exchange(&Call {
            method: Method::POST,
            url,
            authorization: Some(&client),
            body: Some(("application/x-www-form-urlencoded", form.as_bytes())),
            at_most: TOKEN_MAX,
        })?;
        if answer.status != 200 {
            return Err(answer.refusal(url));
        }
        let Url(at) = url;
        let issued = serde_json::from_slice::<Issued>(&answer.body).map_err(|_| format!("{at}: it issued no token"))?;
        issued.held(Instant::now()).map_err(|fault| format!("{at}: {fault}"))
    }
}

impl ClientCredentials {
    /// The client's authentication (section 2.3.1): both parts are form-encoded first.
    fn basic(&self) -> Secret {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&self.client_id), encoded(&self.client_secret.0));
        Secret(format!("Basic {}", BASE64_STANDARD.encode(pair)))
    }

    fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        form.finish()
    }
}

impl Issued {
    fn held(self, now: Instant) -> Result<Held, &'static str> {
        if !self.token_type.eq_ignore_ascii_case("bearer") {
            return Err("it issued a token that is not a bearer token");
        }
        let token = self.access_token;
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it issued a token that cannot be presented");
        }
        let seconds = match self.expires_in {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let life = seconds.map_or(LIFE_DEFAULT, Duration::from_secs).min(LIFE_MAX);
        let life = life.saturating_sub(MARGIN.min(life / 2));
        Ok(Held { authorization: Secret(format!("Bearer {token}")), until: now + life })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn client(id: &str, secret: &str, scopes: &[&str]) -> ClientCredentials {
        ClientCredentials {
            token_endpoint: Url::read("https://id/token").unwrap(),
            client_id: id.to_owned(),
            client_secret: Secret(secret.to_owned()),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        }
    }

    #[test]
    fn a_client_presents_itself_as_the_standard_says() {
        let decoded = |client: &ClientCredentials| {
            let value = client.basic().0;
            String::from_utf8(BASE64_STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap()).unwrap()
        };
        assert_eq!(decoded(&client("us", "secret", &[])), "us:secret");
        assert_eq!(decoded(&client("a:b", "p%w d", &[])), "a%3Ab:p%25w+d");
        assert_eq!(client("a", "b", &[]).form(), "grant_type=client_credentials");
        assert_eq!(
            client("a", "b", &["ssf.manage", "ssf.read"]).form(),
            "grant_type=client_credentials&scope=ssf.manage+ssf.read"
        );
        assert!(!format!("{:?}", client("a", "hidden", &[])).contains("hidden"));
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let now = Instant::now();
        let life = |expires_in: Value| {
            let issued = json!({"access_token": "t", "token_type": "bearer", "expires_in": expires_in});
            let held = serde_json::from_value::<Issued>(issued).unwrap().held(now).unwrap();
            assert_eq!(held.authorization, Secret("Bearer t".to_owned()));
            (held.until - now).as_secs()
        };
        let rows = [
            (json!(300), 290),
            (json!("300"), 290),
            (json!(8), 4),
            (json!(0), 0),
            (json!(null), 290),
            (json!("soon"), 290),
            (json!(-1), 290),
            (json!(u64::MAX), 86_390),
        ];
        for (expires_in, seconds) in rows {
            assert_eq!(life(expires_in.clone()), seconds, "{expires_in}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_not_presented() {
        let held = |token: &str, kind: &str| {
            let issued = json!({"access_token": token, "token_type": kind});
            serde_json::from_value::<Issued>(issued).unwrap().held(Instant::now()).is_ok()
        };
        assert!(held("t", "Bearer"));
        assert!(!held("t", "DPoP") && !held("", "Bearer") && !held("a\r\nb: c", "Bearer") && !held("ü", "Bearer"));
        assert!(!held(&"t".repeat(TOKEN_BYTES_MAX + 1), "Bearer"));
    }
}
