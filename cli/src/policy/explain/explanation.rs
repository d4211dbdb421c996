//! What becomes of a request, and why: what both outputs say.

use super::candidates::{Candidate, Route};
use crate::policy::needs::Needs;
use portcullis_engine::answer::Answer;
use serde::Serialize;
use serde_json::Value;

/// What becomes of a request, and why.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// What becomes of it.
    pub decision: Decision,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was asked about.
    pub request: String,
    /// The policy's file.
    pub policy: String,
    /// Whether the policy is in shadow mode: then a request that is refused here is released.
    pub shadow: bool,
    /// What the decision rests on, beside the rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// The rule that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Route>,
    /// The scopes that it requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<Needs>,
    /// What the token lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Needs>,
    /// The login's strength that it requires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// The limits of the session that apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionLimits>,
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// What the client is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Reply>,
    /// Headers that only the filter may set, and that are taken from the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stripped: Vec<String>,
    /// Other rules that are near.
    pub others: Vec<Candidate>,
    /// How many there are of them beyond those.
    pub others_more: usize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is released, and nobody is asked.
    Released,
    /// The session service is asked, and its word decides.
    Asks,
    /// It is refused, and nobody is asked.
    Refused,
}

/// What a route adds to the limits of a session.
#[derive(Debug, Serialize)]
pub struct SessionLimits {
    /// The oldest login that is good enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
    /// The longest idle time that is good enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle_s: Option<f64>,
    /// Whether the request is activity.
    pub touch: bool,
    /// Whether an open request goes on when its token expires.
    pub outlive_token: bool,
    /// What happens to this request without a verdict, in words.
    pub on_outage: String,
}

/// A token, as far as anybody vouches for it.
#[derive(Debug, Serialize)]
pub struct Token {
    /// Who vouches for it.
    pub vouched: Vouched,
    /// Where the keys are that were not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What it says, when it is in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<Says>,
}

/// Who vouches for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vouched {
    /// A key that stands in the policy.
    Verified,
    /// Nobody: its issuer's keys are elsewhere. All else was judged.
    SignatureNotChecked,
    /// Nobody: it is not a token, but what a verified one would say.
    Assumed,
    /// Nobody here: only an introspection endpoint knows what it means.
    Opaque,
    /// Nobody: it is refused.
    Refused,
    /// Nobody: it makes no difference.
    NotLookedAt,
}

/// What a token says.
#[derive(Debug, Serialize)]
pub struct Says {
    /// `iss`
    pub issuer: String,
    /// `sub`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `client_id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// `acr`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// How long ago the login was, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_age_s: Option<u64>,
    /// In how many seconds it is refused as expired.
    pub expires_in_s: u64,
    /// The public id of its session.
    pub session: String,
}

/// What a client is answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Over HTTP.
    Http {
        /// The status.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Value,
        /// The body as it is sent.
        #[serde(skip)]
        text: String,
    },
    /// Over gRPC.
    Grpc {
        /// The gRPC status.
        status: u8,
        /// Its name.
        name: String,
        /// The message.
        message: String,
        /// The headers.
        headers: Vec<(String, String)>,
    },
}

impl Reply {
    pub(super) fn of(answer: &Answer, grpc: bool) -> Self {
        let mut headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if grpc {
            let name = format!("{:?}", answer.grpc);
            return Self::Grpc { status: answer.grpc as u8, name, message: answer.message.clone(), headers };
        }
        headers.insert(0, ("content-type".to_owned(), portcullis_engine::answer::CONTENT_TYPE.to_owned()));
        Self::Http {
            status: answer.status,
            headers,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }
}
