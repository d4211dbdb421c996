//! How an introspection endpoint's response decides a request (RFC 7662, section 2.2).
//!
//! A response decides only the request that asked. Anything but a 200 with a well-formed body counts as no verdict.

use crate::{
    answer::Code,
    authorize::{principal::Principal, question::Verdict},
    introspection as names,
    policy::Policy,
    token::{Agreement, Facts, Introspected, IssuerId, Rejection, TokenDigest},
};

/// The status of a usable response.
pub(super) const OK: u32 = 200;

/// The reasons that a session service can return from its introspection endpoint.
pub(super) const CODES: [Code; 6] = [
    Code::SessionIdleTimeout,
    Code::SessionLifetimeExceeded,
    Code::SessionRevoked,
    Code::SessionUnknown,
    Code::ScopeEscalation,
    Code::StepUpRequired,
];

/// What an endpoint reports about a token.
#[derive(Debug)]
pub(super) enum Answered {
    /// It is inactive, with the reason if the endpoint returned one.
    Inactive(Option<Code>),
    /// It is active.
    Active(Introspected),
}

/// Reads a response; `None` means no verdict. A reason to refuse is respected whatever the value of `active`.
pub(super) fn read(status: u32, body: &[u8]) -> Option<Answered> {
    if status != OK {
        return None;
    }
    let answer = Introspected::parse(body)?;
    let code = answer.text(names::CODE).and_then(|name| CODES.into_iter().find(|code| code.name() == name));
    match (code, answer.is_active()) {
        (None, true) => Some(Answered::Active(answer)),
        (code, _) => Some(Answered::Inactive(code)),
    }
}

/// The verdict for a token that was verified here; `None` means no verdict.
pub(super) fn of_verified(answered: &Answered, principal: &Principal, policy: &Policy, now_ms: u64) -> Option<Verdict> {
    let answer = match answered {
        Answered::Inactive(code) => return Some(Verdict::Ended(code.unwrap_or(Code::SessionRevoked))),
        Answered::Active(answer) => answer,
    };
    let issuer = policy.issuers.get(principal.issuer.0)?;
    Some(match answer.agree(&principal.facts, issuer, now_ms).ok()? {
        Agreement::Agrees(left) => Verdict::Active(left.map(Into::into)),
        Agreement::Expired => Verdict::Ended(Code::TokenExpired),
        Agreement::OtherToken => Verdict::Ended(Code::InvalidToken),
    })
}

/// The facts of an opaque token, or why it is refused.
pub(super) fn of_opaque(
    answered: Answered,
    digest: TokenDigest,
    policy: &Policy,
    now_ms: u64,
) -> Result<(IssuerId, Facts), Code> {
    match answered {
        Answered::Inactive(code) => Err(code.unwrap_or(Code::InvalidToken)),
        // A Portcullis session service has no keys: it reports on the session, but cannot vouch for a token that was
        // never verified.
        Answered::Active(answer) if answer.text(names::SESSION).is_some() => Err(Code::InvalidToken),
        Answered::Active(answer) => {
            answer.facts(digest, &policy.issuers, now_ms).map_err(|rejection| match rejection {
                Rejection::Expired => Code::TokenExpired,
                Rejection::Invalid(_) | Rejection::UnknownKey { .. } | Rejection::NoKeys { .. } => Code::InvalidToken,
            })
        }
    }
}
