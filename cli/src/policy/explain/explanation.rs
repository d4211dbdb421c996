//! The explanation of a decision: the data of both output formats.

use super::candidates::{Candidate, Route};
use crate::policy::requirement::RequiredScopes;
use portcullis_engine::answer::{Answer, Caller};
use serde::Serialize;
use serde_json::Value;

/// How a request is decided, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    /// The decision.
    pub(crate) decision: Conclusion,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    /// The request.
    pub(crate) request: String,
    /// The name of the policy file.
    pub(crate) policy: String,
    /// Whether the policy or the rule is in shadow mode: then a request is released even if the decision is to refuse it.
    pub(crate) shadow: bool,
    /// The reasons for the decision, in addition to the rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) because: Vec<String>,
    /// What may be meant otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hints: Vec<String>,
    /// The rule that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<Route>,
    /// The scopes that it requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requires: Option<RequiredScopes>,
    /// The scopes that the token lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<RequiredScopes>,
    /// The `acr` values that it accepts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) acr: Vec<String>,
    /// The session limits of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionLimits>,
    /// The token of the session service for the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream_token: Option<UpstreamToken>,
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Token>,
    /// The response to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Reply>,
    /// Headers that only the filter may set and that are removed from the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stripped: Vec<String>,
    /// Similar rules that did not decide.
    pub(crate) others: Vec<Candidate>,
    /// The number of further ones.
    pub(crate) others_more: usize,
}

/// The decision about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Conclusion {
    /// It is released without asking the session service.
    Released,
    /// The session service is asked, and its verdict decides.
    Asks,
    /// It is refused without asking the session service.
    Refused,
}

/// The session limits of a rule.
#[derive(Debug, Serialize)]
pub(crate) struct SessionLimits {
    /// The longest time since the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_s: Option<f64>,
    /// The longest idle time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_idle_s: Option<f64>,
    /// Whether the request counts as activity.
    pub(crate) touch: bool,
    /// Whether an open request continues when its token expires.
    pub(crate) outlive_token: bool,
    /// What happens to this request without a verdict, as text.
    pub(crate) on_outage: String,
    /// For how long a worker decides further requests like this one by itself; absent: each is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_s: Option<f64>,
}

/// The token of the session service for the upstream of a request.
#[derive(Debug, Serialize)]
pub(crate) struct UpstreamToken {
    /// The header that holds it.
    pub(crate) header: String,
    /// `aud`
    pub(crate) audience: String,
    /// The longest life.
    pub(crate) ttl_s: f64,
    /// What becomes `scope`: `route` or `token`.
    pub(crate) scopes: &'static str,
    /// What `rctx` says: `route` or `address`.
    pub(crate) rctx: &'static str,
    /// Whether the request passes where no token can be minted.
    pub(crate) omit: bool,
    /// Whether the client's token is forwarded as well.
    pub(crate) forwards_client_token: bool,
}

/// The token of a request.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    /// How it was verified.
    pub(crate) vouched: Vouched,
    /// Where the keys are that were not fetched, or that verified it, if they are not in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<String>,
    /// The reason in counters and logs, if it is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
    /// What the policy expects instead, and what the token has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    /// Its claims, if it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) says: Option<Says>,
}

/// How a token was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Vouched {
    /// With a key in the policy, or with one that was fetched or read from a file.
    Verified,
    /// Everything but the signature: the keys are not in the policy.
    SignatureNotChecked,
    /// Not at all: its claims were given as arguments.
    Assumed,
    /// Not at all: only an introspection endpoint knows what it means.
    Opaque,
    /// It is invalid.
    Refused,
    /// Not at all: it makes no difference.
    NotLookedAt,
}

/// The claims of a token.
#[derive(Debug, Serialize)]
pub(crate) struct Says {
    /// `iss`
    pub(crate) issuer: String,
    /// `sub`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// The first of the issuer's `client_claims` that it has
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    /// Its scopes.
    pub(crate) scopes: Vec<String>,
    /// `acr`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
    /// The time since the login, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login_age_s: Option<u64>,
    /// Its scopes that contain a comma.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) with_comma: Vec<String>,
    /// Whether `auth_time` is no date.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_login_unreadable: bool,
    /// Whether nothing tells its logins apart: it has neither a session claim nor `auth_time`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_undated: bool,
    /// The time until it expires, in seconds.
    pub(crate) expires_in_s: u64,
    /// The public id of its session.
    pub(crate) session: String,
}

/// The response to a client.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
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
    /// Over gRPC or gRPC-Web.
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
    pub(super) fn of(answer: &Answer, caller: Caller) -> Self {
        let mut headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if caller != Caller::Http {
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
