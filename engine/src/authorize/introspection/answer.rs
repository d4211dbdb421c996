//! How an introspection endpoint's response decides a request (RFC 7662, section 2.2).
//!
//! A response decides only the request that asked, or the open requests of one token and rule. Anything but a 200 with a well-formed body counts as no verdict.

use crate::{
    answer::Code,
    authorize::{
        Refusal, local,
        principal::Principal,
        question::{Question, Verdict},
    },
    introspection as names,
    policy::{Policy, Rule},
    token::{Agreement, Facts, Introspected, IssuerId, Reason, TokenDigest},
};

/// The status of a usable response.
pub(super) const OK: u32 = 200;

/// The reasons that a session service can return from its introspection endpoint.
pub(super) const CODES: [Code; 8] = [
    Code::SessionIdleTimeout,
    Code::SessionLifetimeExceeded,
    Code::SessionRevoked,
    Code::SessionUnknown,
    Code::ScopeEscalation,
    Code::StepUpRequired,
    Code::Blocked,
    Code::InvalidToken,
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

/// The verdict for a token that was verified here, on a request that `rule` matched; `None` means no verdict.
pub(super) fn of_verified(
    answered: &Answered,
    principal: &Principal,
    rule: &Rule,
    policy: &Policy,
    now_ms: u64,
) -> Option<Verdict> {
    let answer = match answered {
        // The token was found valid here, so what the service misses in it is what tells logins apart.
        Answered::Inactive(Some(Code::InvalidToken)) => return Some(Verdict::Ended(Reason::Undated.into())),
        Answered::Inactive(code) => return Some(Verdict::Ended(code.unwrap_or(Code::SessionRevoked).into())),
        Answered::Active(answer) => answer,
    };
    let issuer = policy.issuers.get(principal.issuer.0)?;
    // A Portcullis session service was told the rule's `max_age` and has judged it.
    let is_judged = answer.text(names::SESSION).is_some();
    let login_ms = principal.facts.authenticated_at_ms.or(answer.authenticated_at_ms());
    Some(match answer.agree(&principal.facts, issuer, now_ms).ok()? {
        Agreement::Agrees(_) if !is_judged && local::is_too_old(login_ms, rule, now_ms) => {
            Verdict::Ended(Code::StepUpRequired.into())
        }
        Agreement::Agrees(left) => Verdict::Active(left.map(Into::into)),
        Agreement::Expired => Verdict::Ended(Code::TokenExpired.into()),
        Agreement::OtherToken => Verdict::Ended(Reason::Claim.into()),
        Agreement::Bound => Verdict::Ended(Reason::Bound.into()),
    })
}

/// The facts of an opaque token, or why it is refused.
pub(super) fn of_opaque(
    answered: Answered,
    digest: TokenDigest,
    policy: &Policy,
    now_ms: u64,
) -> Result<(IssuerId, Facts), Refusal> {
    match answered {
        Answered::Inactive(None | Some(Code::InvalidToken)) => Err(Reason::Issuer.into()),
        Answered::Inactive(Some(code)) => Err(code.into()),
        // A Portcullis session service has no keys: it reports on the session, but cannot vouch for a token that was
        // never verified.
        Answered::Active(answer) if answer.text(names::SESSION).is_some() => Err(Reason::Issuer.into()),
        Answered::Active(answer) => answer.facts(digest, &policy.issuers, now_ms).map_err(Refusal::from),
    }
}

/// The verdict on the token of open requests; `None` means no verdict.
pub(super) fn of_open(answered: Answered, question: &Question, policy: &Policy, now_ms: u64) -> Option<Verdict> {
    let Question { principal, rule, .. } = question;
    let rule = policy.rule(*rule)?;
    if !principal.is_opaque() {
        return of_verified(&answered, principal, rule, policy, now_ms);
    }
    Some(match of_opaque(answered, principal.facts.digest, policy, now_ms) {
        Err(refusal) => Verdict::Ended(refusal),
        Ok((issuer, facts)) => {
            let known = &principal.facts;
            let is_same =
                issuer == principal.issuer && (&facts.subject, &facts.client_id) == (&known.subject, &known.client_id);
            let now = Principal::new(issuer, facts, policy);
            match is_same {
                false => Verdict::Ended(Reason::Claim.into()),
                true if local::opaque_needs_step_up(&now, rule, now_ms) => Verdict::Ended(Code::StepUpRequired.into()),
                true => Verdict::active(Some(now.facts.scopes), principal),
            }
        }
    })
}
