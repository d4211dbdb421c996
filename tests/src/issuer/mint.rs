//! Tokens on demand, for people who try the demo. It asks nobody for a password, as an authorization server must.

use super::Shared;
use crate::TokenBuilder;
use axum::{Form, Json, extract::State};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// `POST /token`: a form whose fields are claims of the token (`sub`, `client_id`, `scope`, `sid`, `acr`); each has a default.
pub(super) async fn mint(
    State(shared): State<Arc<Shared>>,
    Form(claims): Form<BTreeMap<String, String>>,
) -> Json<Value> {
    let key = shared.signing.lock().expect("not poisoned").clone();
    let token = TokenBuilder::new(&shared.name, key).subject("you");
    let token = claims.into_iter().fold(token, |token, (name, value)| token.claim(&name, json!(value))).sign();
    Json(json!({"access_token": token.text, "token_type": "Bearer", "expires_in": 3600, "session": token.session}))
}
