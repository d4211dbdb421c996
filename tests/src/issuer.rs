//! An issuer: signs tokens, serves its key set, and can be made to misbehave.

mod mint;

use crate::{Algorithm, Key, TokenBuilder};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// How the issuer answers a request for its key set.
#[derive(Debug, Clone)]
pub enum IssuerBehaviour {
    /// With its key set.
    Serve,
    /// With a status and nothing else.
    Status(u16),
    /// With its key set, after a delay.
    Late(Duration),
    /// With some other body.
    Body(String),
}

/// A running issuer.
pub struct Issuer {
    /// `iss` of its tokens.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    name: String,
    signing: Mutex<Arc<Key>>,
    published: Mutex<Vec<Arc<Key>>>,
    behaviour: Mutex<IssuerBehaviour>,
    fetches: AtomicUsize,
    /// The `user-agent` of each fetch.
    callers: Mutex<Vec<String>>,
}

impl Issuer {
    pub(crate) async fn start(name: &str, address: SocketAddr, behaviour: IssuerBehaviour) -> Self {
        let key = Arc::new(Key::new(Algorithm::ES256));
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            signing: Mutex::new(key.clone()),
            published: Mutex::new(vec![key]),
            behaviour: Mutex::new(behaviour),
            fetches: AtomicUsize::new(0),
            callers: Mutex::default(),
        });
        let listener = TcpListener::bind(address).await.expect("the issuer can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let router =
            Router::new().route("/jwks", get(jwks)).route("/token", post(mint::mint)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the issuer serves");
        });
        Self { name: name.to_owned(), address, shared, server }
    }

    /// A builder for a token of this issuer.
    pub fn token(&self) -> TokenBuilder {
        let key = self.shared.signing.lock().expect("not poisoned").clone();
        TokenBuilder::new(&self.name, key)
    }

    /// Adds a new key to the key set.
    pub fn publish(&self, algorithm: Algorithm) -> Arc<Key> {
        let key = Arc::new(Key::new(algorithm));
        self.shared.published.lock().expect("not poisoned").push(key.clone());
        key
    }

    /// Signs with a new key, which replaces all others in the key set.
    pub fn rotate(&self) {
        self.sign_with(Key::new(Algorithm::ES256));
    }

    /// Signs with a new key under the name of the old one.
    pub fn replace_key(&self) {
        let key = self.shared.signing.lock().expect("not poisoned").replacement();
        self.sign_with(key);
    }

    fn sign_with(&self, key: Key) {
        let key = Arc::new(key);
        *self.shared.signing.lock().expect("not poisoned") = key.clone();
        *self.shared.published.lock().expect("not poisoned") = vec![key];
    }

    /// Answers differently from now on.
    pub fn behave(&self, behaviour: IssuerBehaviour) {
        *self.shared.behaviour.lock().expect("not poisoned") = behaviour;
    }

    /// How often its key set was fetched.
    pub fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }

    /// How the callers that fetched its key set named themselves.
    pub fn callers(&self) -> Vec<String> {
        self.shared.callers.lock().expect("not poisoned").clone()
    }

    /// The key set.
    pub fn key_set(&self) -> Value {
        self.shared.key_set()
    }
}

impl Shared {
    fn key_set(&self) -> Value {
        let published = self.published.lock().expect("not poisoned");
        json!({"keys": published.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn jwks(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let caller = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    shared.callers.lock().expect("not poisoned").push(caller.to_owned());
    let behaviour = shared.behaviour.lock().expect("not poisoned").clone();
    let body = match behaviour {
        IssuerBehaviour::Serve => shared.key_set().to_string(),
        IssuerBehaviour::Late(by) => {
            tokio::time::sleep(by).await;
            shared.key_set().to_string()
        }
        IssuerBehaviour::Body(body) => body,
        IssuerBehaviour::Status(status) => {
            return StatusCode::from_u16(status).expect("a status").into_response();
        }
    };
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], body).into_response()
}
