//! The answers to refused clients: every reason for a refusal, with its status, challenge and body.

mod reply;

pub use reply::{Caller, Reply, WebEncoding};

use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// Why a request is refused. The list is closed: a new reason does not compile until it has an answer here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No `Authorization` header, or one with another scheme than Bearer.
    NoCredentials,
    /// Two tokens, or a broken bearer token.
    MalformedCredentials,
    /// The filter and the upstream could read this path differently.
    AmbiguousPath,
    /// The token is invalid: signature, issuer, audience, type, length, or not yet valid.
    InvalidToken,
    /// The token is past its `exp`.
    TokenExpired,
    /// The token is bound to a key, and its proof of possession is missing, not one for this request, or was used before.
    InvalidDpopProof,
    /// The proof of possession must contain a nonce that was handed out lately.
    UseDpopNonce,
    /// The session was inactive for too long.
    SessionIdleTimeout,
    /// The session is past its absolute limit.
    SessionLifetimeExceeded,
    /// The session was revoked.
    SessionRevoked,
    /// Sessions must be enrolled first, and this one is not.
    SessionUnknown,
    /// The login is too weak or too old for this route.
    StepUpRequired,
    /// The token or the session lacks a scope that the route requires.
    InsufficientScope,
    /// The token has scopes that its session was never granted.
    ScopeEscalation,
    /// The route requires a scope that somebody has to approve for the session.
    ApprovalRequired,
    /// A condition of the session service is not met.
    ConditionFailed,
    /// The subject, client or session claim of the token is blocked.
    Blocked,
    /// No rule matches this request.
    NoRoute,
    /// A page of another site may have made this request with a person's cookie.
    CrossOrigin,
    /// The issuer's keys could not be fetched.
    KeysUnavailable,
    /// The session service returned no verdict.
    SessionUnavailable,
    /// The filter has no valid policy.
    NoPolicy,
}

/// The status of a gRPC answer (the gRPC core library's status codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are gRPC's")]
pub enum GrpcStatus {
    InvalidArgument = 3,
    PermissionDenied = 7,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// The part of `WWW-Authenticate` that follows the realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Challenge {
    /// No `WWW-Authenticate` header.
    None,
    /// The realm alone: the client sent no credentials (RFC 6750, section 3.1).
    Realm,
    /// An error of RFC 6750, section 3.1.
    Error(&'static str),
    /// `insufficient_scope`, with the scopes that the route requires.
    Scope,
    /// `insufficient_user_authentication` (RFC 9470, section 3).
    StepUp,
    /// An error of RFC 9449, section 12.2, which only the scheme DPoP has.
    Proof(&'static str),
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::NoCredentials,
        Self::MalformedCredentials,
        Self::AmbiguousPath,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::InvalidDpopProof,
        Self::UseDpopNonce,
        Self::SessionIdleTimeout,
        Self::SessionLifetimeExceeded,
        Self::SessionRevoked,
        Self::SessionUnknown,
        Self::StepUpRequired,
        Self::InsufficientScope,
        Self::ScopeEscalation,
        Self::ApprovalRequired,
        Self::ConditionFailed,
        Self::Blocked,
        Self::NoRoute,
        Self::CrossOrigin,
        Self::KeysUnavailable,
        Self::SessionUnavailable,
        Self::NoPolicy,
    ];

    /// The only place where a reason becomes an answer: name, HTTP status, challenge, title.
    const fn row(self) -> (&'static str, u16, Challenge, &'static str) {
        use Challenge::{Error, None, Proof, Realm, Scope, StepUp};
        match self {
            Self::NoCredentials => ("no_credentials", 401, Realm, "An access token is required"),
            Self::MalformedCredentials => {
                ("malformed_credentials", 400, Error("invalid_request"), "One bearer token is required")
            }
            Self::AmbiguousPath => ("ambiguous_path", 400, None, "The path is ambiguous"),
            Self::InvalidToken => ("invalid_token", 401, Error("invalid_token"), "The access token is not valid"),
            Self::TokenExpired => ("token_expired", 401, Error("invalid_token"), "The access token has expired"),
            Self::InvalidDpopProof => {
                ("invalid_dpop_proof", 401, Proof("invalid_dpop_proof"), "The DPoP proof is not valid")
            }
            Self::UseDpopNonce => {
                ("use_dpop_nonce", 401, Proof("use_dpop_nonce"), "The DPoP proof needs the nonce of this answer")
            }
            Self::SessionIdleTimeout => {
                ("session_idle_timeout", 401, Error("invalid_token"), "The session was idle for too long")
            }
            Self::SessionLifetimeExceeded => {
                ("session_lifetime_exceeded", 401, Error("invalid_token"), "The session has reached its end")
            }
            Self::SessionRevoked => ("session_revoked", 401, Error("invalid_token"), "The session was revoked"),
            Self::SessionUnknown => ("session_unknown", 401, Error("invalid_token"), "The session is not known"),
            Self::StepUpRequired => {
                ("step_up_required", 401, StepUp, "A stronger or more recent authentication is required")
            }
            Self::InsufficientScope => ("insufficient_scope", 403, Scope, "A required scope is missing"),
            Self::ScopeEscalation => {
                ("scope_escalation", 403, Scope, "The token has scopes that its session was not granted")
            }
            Self::ApprovalRequired => ("approval_required", 403, None, "Somebody has to approve this access"),
            Self::ConditionFailed => ("condition_failed", 403, None, "A condition of this access is not met"),
            Self::Blocked => ("blocked", 403, None, "Access is blocked"),
            Self::NoRoute => ("no_route", 403, None, "No route allows this request"),
            Self::CrossOrigin => ("cross_origin", 403, None, "A page of another origin made this request"),
            Self::KeysUnavailable => ("keys_unavailable", 503, None, "The issuer's keys are not available"),
            Self::SessionUnavailable => ("session_unavailable", 503, None, "The session could not be checked"),
            Self::NoPolicy => ("no_policy", 503, None, "No valid policy is loaded"),
        }
    }

    /// The name in bodies, counters and logs.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// What it says to people.
    pub const fn title(self) -> &'static str {
        self.row().3
    }

    /// The code with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Whether the session is over or blocked, for every token and route.
    pub const fn refuses_session(self) -> bool {
        matches!(
            self,
            Self::SessionIdleTimeout
                | Self::SessionLifetimeExceeded
                | Self::SessionRevoked
                | Self::SessionUnknown
                | Self::Blocked
        )
    }

    /// The gRPC status.
    pub const fn grpc(self) -> GrpcStatus {
        match self.status() {
            401 => GrpcStatus::Unauthenticated,
            403 => GrpcStatus::PermissionDenied,
            400 => GrpcStatus::InvalidArgument,
            _ => GrpcStatus::Unavailable,
        }
    }
}

/// What the refused route requires of a client, for the challenge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand<'a> {
    /// The scopes that the route requires, separated by spaces.
    pub scope: &'a str,
    /// The authentication contexts, one of which is required.
    pub acr: &'a [String],
    /// The maximum age of the login.
    pub max_age: Option<Duration>,
    /// Where its user can ask for an approval.
    pub request_url: Option<&'a str>,
    /// The scope that can be asked for.
    pub requestable: Option<&'a str>,
    /// Why, in the words of the condition that refused.
    pub detail: Option<&'a str>,
    /// What proofs of possession must be like, where they are verified.
    pub dpop: Option<DpopDemand<'a>>,
    /// The cookie that a browser must forget.
    pub cleared_cookie: Option<&'a str>,
}

/// What proofs of possession must be like.
#[derive(Debug, Clone, Copy)]
pub struct DpopDemand<'a> {
    /// The names of the algorithms that may sign one, separated by spaces.
    pub algorithms: &'a str,
    /// Whether the token was presented under the scheme DPoP.
    pub is_presented: bool,
    /// The nonce that the next proof must contain.
    pub nonce: Option<&'a str>,
}

/// A refusal, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The gRPC status, for gRPC callers.
    pub grpc: GrpcStatus,
    /// Response headers, `content-type` aside.
    pub headers: Vec<(&'static str, String)>,
    /// The problem document (RFC 9457), for HTTP callers.
    pub body: Vec<u8>,
    /// The same in one line, for gRPC callers.
    pub message: String,
}

/// Media type of [`Answer::body`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a client can retry when the filter could not decide.
const RETRY_AFTER_S: &str = "1";

impl Answer {
    /// The answer for `code`. The strings of realm and demand contain neither `"` nor `\`: the policy guarantees it.
    pub fn new(code: Code, realm: &str, demand: Demand<'_>) -> Self {
        let (name, status, challenge, title) = code.row();
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        let challenges = challenges(code, challenge, realm, demand);
        headers.extend(challenges.into_iter().map(|challenge| ("www-authenticate", challenge)));
        if let Some(nonce) = demand.dpop.and_then(|dpop| dpop.nonce) {
            headers.push(("dpop-nonce", nonce.to_owned()));
        }
        if let Some(name) = demand.cleared_cookie {
            headers.push(("set-cookie", format!("{name}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")));
        }
        if status == 503 {
            headers.push(("retry-after", RETRY_AFTER_S.to_owned()));
        }
        let Demand { request_url, requestable, detail, .. } = demand;
        let r#type = format!("urn:portcullis:{name}");
        let problem = Problem { r#type, title, status, code: name, detail, request_url, requestable };
        Self {
            status,
            grpc: code.grpc(),
            headers,
            body: serde_json::to_vec(&problem).unwrap_or_default(),
            message: match detail {
                Some(detail) => format!("{name}: {title}: {}", percent_encoded(detail)),
                None => format!("{name}: {title}"),
            },
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestable: Option<&'a str>,
}

/// A text in `grpc-message` (gRPC over HTTP/2, "Responses"): what is not printable ASCII, and `%`, is percent-encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The challenges of an answer: under the scheme of the token. A client that may know no other scheme learns of DPoP where that
/// may be what is missing (RFC 9449, section 7.2).
fn challenges(code: Code, challenge: Challenge, realm: &str, demand: Demand<'_>) -> Vec<String> {
    let Some(dpop) = demand.dpop else {
        return www_authenticate("Bearer", challenge, realm, demand).into_iter().collect();
    };
    let under_dpop = |challenge| {
        let mut value = www_authenticate("DPoP", challenge, realm, demand)?;
        parameter(&mut value, "algs", dpop.algorithms);
        Some(value)
    };
    if dpop.is_presented || matches!(challenge, Challenge::Proof(_)) {
        return under_dpop(challenge).into_iter().collect();
    }
    let may_help = matches!(code, Code::NoCredentials | Code::InvalidToken);
    let other = if may_help { under_dpop(Challenge::Realm) } else { None };
    www_authenticate("Bearer", challenge, realm, demand).into_iter().chain(other).collect()
}

fn www_authenticate(scheme: &str, challenge: Challenge, realm: &str, demand: Demand<'_>) -> Option<String> {
    let mut value = format!("{scheme} realm=\"{realm}\"");
    match challenge {
        Challenge::None => return None,
        Challenge::Proof(error) => return Some(format!("DPoP error=\"{error}\"")),
        Challenge::Realm => {}
        Challenge::Error(error) => parameter(&mut value, "error", error),
        Challenge::Scope => {
            parameter(&mut value, "error", "insufficient_scope");
            if !demand.scope.is_empty() {
                parameter(&mut value, "scope", demand.scope);
            }
        }
        Challenge::StepUp => {
            parameter(&mut value, "error", "insufficient_user_authentication");
            if !demand.acr.is_empty() {
                parameter(&mut value, "acr_values", &demand.acr.join(" "));
            }
            if let Some(max_age) = demand.max_age {
                parameter(&mut value, "max_age", &max_age.as_secs().to_string());
            }
        }
    }
    Some(value)
}

fn parameter(value: &mut String, name: &str, content: &str) {
    // Writing to a String cannot fail.
    let _ = write!(value, ", {name}=\"{content}\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    fn challenge(code: Code, demand: Demand<'_>) -> Option<String> {
        header(&Answer::new(code, "orders", demand), "www-authenticate").map(str::to_owned)
    }

    #[test]
    fn every_code_has_the_answer_of_the_table() {
        let invalid_token = Some("Bearer realm=\"orders\", error=\"invalid_token\"");
        let table = [
            (Code::NoCredentials, 401, Some("Bearer realm=\"orders\"")),
            (Code::MalformedCredentials, 400, Some("Bearer realm=\"orders\", error=\"invalid_request\"")),
            (Code::AmbiguousPath, 400, None),
            (Code::InvalidToken, 401, invalid_token),
            (Code::TokenExpired, 401, invalid_token),
            (Code::InvalidDpopProof, 401, Some("DPoP error=\"invalid_dpop_proof\"")),
            (Code::UseDpopNonce, 401, Some("DPoP error=\"use_dpop_nonce\"")),
            (Code::SessionIdleTimeout, 401, invalid_token),
            (Code::SessionLifetimeExceeded, 401, invalid_token),
            (Code::SessionRevoked, 401, invalid_token),
            (Code::SessionUnknown, 401, invalid_token),
            (Code::StepUpRequired, 401, Some("Bearer realm=\"orders\", error=\"insufficient_user_authentication\"")),
            (Code::InsufficientScope, 403, Some("Bearer realm=\"orders\", error=\"insufficient_scope\"")),
            (Code::ScopeEscalation, 403, Some("Bearer realm=\"orders\", error=\"insufficient_scope\"")),
            (Code::ApprovalRequired, 403, None),
            (Code::ConditionFailed, 403, None),
            (Code::Blocked, 403, None),
            (Code::NoRoute, 403, None),
            (Code::CrossOrigin, 403, None),
            (Code::KeysUnavailable, 503, None),
            (Code::SessionUnavailable, 503, None),
            (Code::NoPolicy, 503, None),
        ];
        assert_eq!(table.map(|(code, ..)| code), Code::ALL);
        for (code, status, www_authenticate) in table {
            let answer = Answer::new(code, "orders", Demand::default());
            assert_eq!(answer.status, status, "{code:?}");
            assert_eq!(header(&answer, "www-authenticate"), www_authenticate, "{code:?}");
            assert_eq!(header(&answer, "retry-after").is_some(), status == 503, "{code:?}");
            assert_eq!(header(&answer, "cache-control"), Some("no-store"), "{code:?}");
        }
    }

    #[test]
    fn a_missing_scope_is_answered_with_all_that_the_route_requires() {
        let demand = Demand { scope: "orders:read orders:write", ..Demand::default() };
        let expected = "Bearer realm=\"orders\", error=\"insufficient_scope\", scope=\"orders:read orders:write\"";
        assert_eq!(challenge(Code::InsufficientScope, demand).as_deref(), Some(expected));
    }

    #[test]
    fn step_up_names_the_contexts_and_the_age() {
        let acr = ["aal2".to_owned(), "aal3".to_owned()];
        let demand = Demand { acr: &acr, max_age: Some(Duration::from_secs(900)), ..Demand::default() };
        let expected = "Bearer realm=\"orders\", error=\"insufficient_user_authentication\", \
                        acr_values=\"aal2 aal3\", max_age=\"900\"";
        assert_eq!(challenge(Code::StepUpRequired, demand).as_deref(), Some(expected));
    }

    fn challenges_of(code: Code, is_presented: bool, nonce: Option<&str>) -> Vec<(&'static str, String)> {
        let dpop = DpopDemand { algorithms: "ES256 EdDSA", is_presented, nonce };
        let headers = Answer::new(code, "orders", Demand { dpop: Some(dpop), ..Demand::default() }).headers;
        headers.into_iter().filter(|(name, _)| matches!(*name, "www-authenticate" | "dpop-nonce")).collect()
    }

    #[test]
    fn a_proof_is_asked_for_with_the_algorithms_that_may_sign_it() {
        let challenge = |text: &str| ("www-authenticate", text.to_owned());
        let invalid_proof = challenge("DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\"");
        assert_eq!(challenges_of(Code::InvalidDpopProof, true, None), [invalid_proof]);
        let other = challenge("DPoP error=\"use_dpop_nonce\", algs=\"ES256 EdDSA\"");
        assert_eq!(challenges_of(Code::UseDpopNonce, true, Some("n")), [other, ("dpop-nonce", "n".to_owned())]);
    }

    #[test]
    fn the_challenge_is_under_the_scheme_of_the_token_and_names_the_other_where_that_may_help() {
        let challenge = |text: &str| ("www-authenticate", text.to_owned());
        let dpop = challenge("DPoP realm=\"orders\", algs=\"ES256 EdDSA\"");
        let bearer = challenge("Bearer realm=\"orders\"");
        assert_eq!(challenges_of(Code::NoCredentials, false, None), [bearer, dpop.clone()]);
        let bearer = challenge("Bearer realm=\"orders\", error=\"invalid_token\"");
        assert_eq!(challenges_of(Code::InvalidToken, false, None), [bearer.clone(), dpop]);
        assert_eq!(challenges_of(Code::SessionRevoked, false, None), [bearer]);
        let expired = challenge("DPoP realm=\"orders\", error=\"invalid_token\", algs=\"ES256 EdDSA\"");
        assert_eq!(challenges_of(Code::TokenExpired, true, None), [expired]);
        assert_eq!(challenges_of(Code::Blocked, true, None), []);
    }

    #[test]
    fn the_body_is_a_problem_document_with_the_code() {
        let answer = Answer::new(Code::NoRoute, "orders", Demand::default());
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:portcullis:no_route", "title": "No route allows this request", "status": 403, "code": "no_route"
            })
        );
    }

    #[test]
    fn a_client_without_an_approval_learns_where_to_ask_for_one() {
        let url = "https://portcullis.example.com/requests/new?session=1";
        let demand = Demand { request_url: Some(url), ..Demand::default() };
        let answer = Answer::new(Code::ApprovalRequired, "orders", demand);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("json");
        assert_eq!((body["code"].as_str(), body["request_url"].as_str()), (Some("approval_required"), Some(url)));
    }

    #[test]
    fn a_condition_tells_why_and_what_can_be_asked_for() {
        let demand =
            Demand { detail: Some("nur für Büro-Geräte"), requestable: Some("prod-admin"), ..Demand::default() };
        let answer = Answer::new(Code::ConditionFailed, "orders", demand);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("json");
        assert_eq!((&body["detail"], &body["requestable"]), (&"nur für Büro-Geräte".into(), &"prod-admin".into()));
        let expected = "condition_failed: A condition of this access is not met: nur f%C3%BCr B%C3%BCro-Ger%C3%A4te";
        assert_eq!(answer.message, expected);
    }

    /// The cells of each row of docs/answers.md: code, status, gRPC status, challenge.
    fn documented() -> Vec<[&'static str; 4]> {
        let rows = include_str!("../../docs/answers.md").lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`')).collect::<Vec<_>>());
        cells.map(|cells| [cells[0], cells[1], cells[2], cells[3]]).collect()
    }

    #[test]
    fn every_code_is_documented_as_it_is_answered() {
        let acr = ["…".to_owned()];
        let of_any = Demand { scope: "…", acr: &acr, max_age: Some(Duration::from_secs(900)), ..Demand::default() };
        let dpop = DpopDemand { algorithms: "…", is_presented: true, nonce: None };
        let answered = Code::ALL.map(|code| {
            let is_proof = matches!(code, Code::InvalidDpopProof | Code::UseDpopNonce);
            let demand = Demand { dpop: is_proof.then_some(dpop), ..of_any };
            let challenge = match challenge(code, demand).as_deref().map(|value| value.split_once(", ")) {
                Option::None => "none".to_owned(),
                Some(Option::None) => "the realm only".to_owned(),
                Some(Some(_)) if is_proof => challenge(code, demand).unwrap_or_default(),
                Some(Some((_, rest))) => rest.replace("900", "…"),
            };
            (code.name().to_owned(), code.status().to_string(), format!("{:?}", code.grpc()).to_lowercase(), challenge)
        });
        let documented: Vec<_> = documented()
            .into_iter()
            .map(|[code, status, grpc, challenge]| {
                (code.to_owned(), status.to_owned(), grpc.replace('_', "").to_lowercase(), challenge.to_owned())
            })
            .collect();
        assert_eq!(documented, answered);
    }
}
