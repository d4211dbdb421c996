//! A transmitter of signals: signs security event tokens and logout tokens, and pushes them to the session service.

use crate::process::{free_port, local};
use crate::{Algorithm, Call, Client, Key, TokenBuilder, now_s};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

const ISSUER: &str = "https://idp.example.com";
/// The issuer whose tokens it speaks about: that of the shipped policy.
const TOKENS_OF: &str = "http://127.0.0.1:9000";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A transmitter, and the port of the signals listener.
pub struct Transmitter {
    key: Arc<Key>,
    port: u16,
    sent: AtomicUsize,
    tokens_of: String,
}

impl Default for Transmitter {
    fn default() -> Self {
        Self::about(TOKENS_OF)
    }
}

impl Transmitter {
    /// One that speaks about the tokens of another issuer.
    pub fn about(tokens_of: &str) -> Self {
        let key = Arc::new(Key::new(Algorithm::ES256));
        Self { key, port: free_port(), sent: AtomicUsize::new(0), tokens_of: tokens_of.to_owned() }
    }

    /// Adds it to the configuration of a session service, as `idp` for security event tokens and `op` for logout tokens.
    pub fn configure(&self) -> impl FnOnce(&mut Value) + Send + 'static {
        let keys = json!({"inline": {"keys": [self.key.jwk()]}});
        let listen = local(self.port).to_string();
        let tokens_of = self.tokens_of.clone();
        move |config| {
            config["signals_listen"] = json!(listen);
            config["signals"] = json!([
                {"name": "idp", "kind": "ssf", "issuer": ISSUER, "tokens_of": tokens_of, "audiences": ["orders"],
                 "algorithms": ["ES256"], "keys": keys},
                {"name": "op", "kind": "backchannel_logout", "issuer": ISSUER, "tokens_of": tokens_of,
                 "audiences": ["orders"], "algorithms": ["ES256"], "keys": keys},
            ]);
        }
    }

    fn token(&self, typ: &str) -> TokenBuilder {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        TokenBuilder::new(ISSUER, self.key.clone())
            .without_claims()
            .header("typ", json!(typ))
            .claim("iss", json!(ISSUER))
            .claim("aud", json!("orders"))
            .claim("iat", json!(now_s()))
            .claim("jti", json!(format!("signal-{number}")))
    }

    /// Pushes an event about a subject.
    fn push(&self, event: &str, payload: Value, subject: &Value) -> Call {
        let token = self.token("secevent+jwt").claim("events", json!({ event: payload }));
        let token = token.claim("sub_id", subject.clone());
        let call = Client::new(local(self.port)).call("POST", "/signals/idp");
        let call = call.header("content-type", "application/secevent+jwt");
        call.body(token.sign().text).fresh()
    }

    /// Says that a session is revoked.
    pub fn session_revoked(&self, sid: &str) -> Call {
        self.push(&format!("{CAEP}session-revoked"), json!({}), &json!({"format": "opaque", "id": sid}))
    }

    /// Says something about a session, by an event of CAEP.
    pub fn about_session(&self, sid: &str, event: &str, payload: Value) -> Call {
        let session = json!({"format": "complex", "session": {"format": "opaque", "id": sid}});
        self.push(&format!("{CAEP}{event}"), payload, &session)
    }

    /// Says something about a device, by an event of CAEP.
    pub fn about_device(&self, device: &str, event: &str, payload: Value) -> Call {
        let device =
            json!({"format": "complex", "device": {"format": "iss_sub", "iss": self.tokens_of, "sub": device}});
        self.push(&format!("{CAEP}{event}"), payload, &device)
    }

    /// Says that an account is disabled (`true`) or enabled.
    pub fn account(&self, subject: &str, is_disabled: bool) -> Call {
        let event = if is_disabled { "account-disabled" } else { "account-enabled" };
        let subject = json!({"format": "iss_sub", "iss": self.tokens_of, "sub": subject});
        self.push(&format!("{RISC}{event}"), json!({}), &subject)
    }

    /// Says that a session is logged out.
    pub fn logout(&self, sid: &str) -> Call {
        let token = self.token("logout+jwt").claim("events", json!({ LOGOUT: {} }));
        let token = token.claim("sid", json!(sid)).claim("exp", json!(now_s() + 120)).sign();
        let call = Client::new(local(self.port)).call("POST", "/signals/op");
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        call.body(format!("logout_token={}", token.text)).fresh()
    }
}
