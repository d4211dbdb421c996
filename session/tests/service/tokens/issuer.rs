//! An issuer that does as the test wants. It authenticates its clients: `web` has a secret, every other client is public.

use crate::fixtures::{Gate, T0};
use crate::oauth::jwt;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What it does with refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// One is good for ever.
    Off,
    /// Each is good once.
    On,
    /// Each is good once, and then again as long as its successor was not used.
    WithGrace,
}

#[derive(Default)]
pub(crate) struct Held {
    /// Refresh tokens, with their login and their successor.
    good: HashMap<String, (String, Option<String>)>,
    pub(crate) revoked: HashSet<String>,
    /// The forms of all requests for tokens, in order.
    pub(crate) asked: Vec<HashMap<String, String>>,
    count: u64,
}

pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) state: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) rotation: Rotation,
    pub(crate) held: Mutex<Held>,
    pub(crate) now_ms: AtomicU64,
    /// How long its access tokens live, in seconds.
    pub(crate) life_s: AtomicU64,
    /// Logins get no refresh token.
    pub(crate) is_short: AtomicBool,
    logged_in_s: u64,
    /// It answers 500.
    pub(crate) is_dead: AtomicBool,
    /// Requests for tokens have arrived, and wait.
    pub(crate) gate: Gate,
    /// The same after it has done its work.
    pub(crate) answers: Gate,
    /// The code of the error that it answers to every request for tokens.
    pub(crate) error: Mutex<Option<&'static str>>,
    /// More claims.
    pub(crate) claims: Mutex<Value>,
}

impl Issuer {
    pub(crate) async fn start(rotation: Rotation) -> Self {
        Self::start_at(rotation, T0).await
    }

    /// One whose clock shows that.
    pub(crate) async fn start_at(rotation: Rotation, now_ms: u64) -> Self {
        let state = Arc::new(Inner {
            rotation,
            held: Mutex::default(),
            now_ms: AtomicU64::new(now_ms),
            life_s: AtomicU64::new(600),
            is_short: AtomicBool::new(false),
            logged_in_s: now_ms / 1_000 - 5,
            is_dead: AtomicBool::new(false),
            gate: Gate::default(),
            answers: Gate::default(),
            error: Mutex::default(),
            claims: Mutex::new(json!({})),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/token", post(token)).route("/revoke", post(revoke));
        let router = router.with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub(crate) fn asked(&self) -> Vec<HashMap<String, String>> {
        self.state.held.lock().unwrap().asked.clone()
    }

    /// The refresh tokens that it has given out, ever.
    pub(crate) fn refresh_tokens(&self) -> Vec<String> {
        self.state.held.lock().unwrap().good.keys().cloned().collect()
    }

    pub(crate) fn revoked(&self) -> usize {
        self.state.held.lock().unwrap().revoked.len()
    }
}

fn form(body: &str) -> HashMap<String, String> {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn refused(error: &str) -> Response {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    (status, Json(json!({"error": error, "error_description": "says the issuer"}))).into_response()
}

/// The client, if it is authenticated.
fn client(headers: &HeaderMap, form: &HashMap<String, String>) -> Option<String> {
    let basic = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    match (basic, form.get("client_id")) {
        (Some(basic), _) => {
            let decoded = BASE64_STANDARD.decode(basic.strip_prefix("Basic ")?).ok()?;
            (decoded == b"web:secret").then(|| "web".to_owned())
        }
        (None, Some(id)) if id != "web" => Some(id.clone()),
        (None, Some(_)) => form.get("client_secret").is_some_and(|secret| secret == "secret").then(|| "web".to_owned()),
        (None, None) => None,
    }
}

async fn token(State(state): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let form = form(&body);
    state.held.lock().unwrap().asked.push(form.clone());
    tokio::task::spawn_blocking(move || answer(&state, &headers, &form)).await.unwrap()
}

fn answer(state: &Inner, headers: &HeaderMap, form: &HashMap<String, String>) -> Response {
    state.gate.pass();
    if state.is_dead.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if let Some(error) = *state.error.lock().unwrap() {
        return refused(error);
    }
    let Some(client) = client(headers, form) else { return refused("invalid_client") };
    let mut held = state.held.lock().unwrap();
    let (login, refreshes) = match form["grant_type"].as_str() {
        "authorization_code" => (form["code"].clone(), !state.is_short.load(Ordering::SeqCst)),
        "client_credentials" => (String::new(), false),
        "refresh_token" => match held.refresh(&form["refresh_token"], state.rotation) {
            Some(login) => (login, state.rotation != Rotation::Off),
            None => return refused("invalid_grant"),
        },
        _ => return refused("unsupported_grant_type"),
    };
    let iat = state.now_ms.load(Ordering::SeqCst) / 1_000;
    let life_s = state.life_s.load(Ordering::SeqCst);
    let scope = form.get("scope").cloned().unwrap_or_else(|| "openid orders:read orders:write".to_owned());
    held.count += 1;
    let mut claims = json!({
        "iat": iat, "exp": iat + life_s, "scope": scope, "client_id": client, "jti": held.count, "auth_time": state.logged_in_s,
        "acr": "aal2", "amr": ["pwd"],
    });
    if login.is_empty() {
        (claims["sub"], claims["sid"], claims["auth_time"]) = (json!(client), Value::Null, Value::Null);
    }
    for (name, value) in state.claims.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    let mut answer = json!({
        "access_token": jwt(&login, claims), "token_type": "Bearer", "expires_in": life_s, "scope": scope,
    });
    if refreshes {
        let next = format!("the-issuers-own-{}-{}", held.count, "x".repeat(30));
        if let Some((_, successor)) = form.get("refresh_token").and_then(|used| held.good.get_mut(used)) {
            *successor = Some(next.clone());
        }
        held.good.insert(next.clone(), (login, None));
        answer["refresh_token"] = json!(next);
    }
    drop(held);
    state.answers.pass();
    Json(answer).into_response()
}

impl Held {
    /// The login of a refresh token that is used.
    fn refresh(&mut self, used: &str, rotation: Rotation) -> Option<String> {
        if self.revoked.contains(used) {
            return None;
        }
        let (login, successor) = self.good.get(used)?.clone();
        let is_used_up = match (rotation, &successor) {
            (Rotation::Off, _) | (_, None) => false,
            (Rotation::On, Some(_)) => true,
            (Rotation::WithGrace, Some(next)) => self.good.get(next).is_some_and(|(_, after)| after.is_some()),
        };
        (!is_used_up).then_some(login)
    }
}

async fn revoke(State(state): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let form = form(&body);
    if state.is_dead.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if client(&headers, &form).is_none() {
        return refused("invalid_client");
    }
    let mut held = state.held.lock().unwrap();
    if held.good.contains_key(&form["token"]) {
        held.revoked.insert(form["token"].clone());
    }
    StatusCode::OK.into_response()
}
