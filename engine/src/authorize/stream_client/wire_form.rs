//! Questions, follows and verdicts in the form of the check stream.

use crate::{
    answer::Code,
    authorize::{
        Condition, Principal, Refusal, RequestAttributes, UsedProof, Verdict,
        follows::FollowId,
        redemptions::{Redeemed, TokenText},
    },
    route::RuleId,
    token::Reason,
    wire,
};
use std::rc::Rc;

/// A question about the session of a token. For a service that decides by conditions, `principal` is whose it is; for one that
/// mints tokens for upstreams, `minting` is there. It asks for no lease.
pub(super) fn question(
    id: u32,
    token: u32,
    rule: RuleId,
    attributes: &RequestAttributes,
    principal: Option<&Principal>,
    proof: Option<UsedProof>,
    minting: Option<Minting>,
) -> wire::Question {
    let request_id = attributes.request_id.as_deref().filter(|_| minting.is_some()).unwrap_or_default().to_owned();
    wire::Question {
        id,
        token,
        route: index(rule),
        method: attributes.method.clone(),
        client_address: attributes.client_address.clone(),
        user_agent_digest: attributes.user_agent_digest,
        circumstances: principal.and_then(|principal| attributes.circumstances_of(principal)),
        proof: proof.map(|UsedProof { proven, asker }| wire::Proof {
            id: proven.id.0.to_vec(),
            asker,
            lasts_ms: proven.lasts_ms,
        }),
        request_id,
        held_token: minting.and_then(|Minting { held }| held),
        lease: None,
    }
}

/// What a service that mints tokens for upstreams is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minting {
    /// The id of the token that is kept for the question.
    pub(super) held: Option<u64>,
}

/// Open requests to follow. `about` is what a service that decides by conditions has to know of them.
pub(super) fn follow(
    id: FollowId,
    token: u32,
    rule: RuleId,
    about: Option<&RequestAttributes>,
    principal: &Principal,
) -> wire::Follow {
    let follow = wire::Follow { id: id.0, token, route: index(rule), ..wire::Follow::default() };
    let Some(about) = about else { return follow };
    wire::Follow {
        method: about.method.clone(),
        client_address: about.client_address.clone(),
        user_agent_digest: about.user_agent_digest,
        circumstances: about.circumstances_of(principal),
        ..follow
    }
}

fn index(rule: RuleId) -> u32 {
    u32::try_from(rule.0).unwrap_or(u32::MAX)
}

/// The filter's form of a verdict on the session of `principal`; `None` if the service cannot tell.
pub(super) fn read(verdict: wire::Verdict, principal: &Principal) -> Option<Verdict> {
    let mut refusal = match said(verdict.outcome) {
        Said::Active => return Some(Verdict::active(verdict.narrowed.map(|left| left.scopes), principal)),
        Said::Nothing => return None,
        Said::Refused(refusal) => refusal,
    };
    let has_condition = matches!(refusal.code, Code::ConditionFailed | Code::ApprovalRequired | Code::StepUpRequired);
    refusal.condition = verdict.condition.filter(|_| has_condition).map(Condition::of_wire).map(Rc::new);
    Some(Verdict::Ended(refusal))
}

/// The filter's form of an answer about a handle. One without a token says nothing.
pub(super) fn redeemed(outcome: i32, token: String) -> Redeemed {
    match said(outcome) {
        Said::Active if !token.is_empty() => Redeemed::Token(TokenText(token.into())),
        Said::Active | Said::Nothing => Redeemed::Unavailable,
        Said::Refused(_) if outcome == wire::Outcome::UnknownSession as i32 => Redeemed::Refused(Reason::Handle.into()),
        Said::Refused(refusal) => Redeemed::Refused(refusal),
    }
}

enum Said {
    Active,
    /// The service cannot tell.
    Nothing,
    Refused(Refusal),
}

/// What an outcome says. An unknown one is a refusal: a newer service has a reason that this filter does not know.
fn said(outcome: i32) -> Said {
    let code = match wire::Outcome::try_from(outcome) {
        Ok(wire::Outcome::Active) => return Said::Active,
        Ok(wire::Outcome::Unavailable) => return Said::Nothing,
        Ok(wire::Outcome::IdleTimeout) => Code::SessionIdleTimeout,
        Ok(wire::Outcome::LifetimeExceeded) => Code::SessionLifetimeExceeded,
        Ok(wire::Outcome::Revoked) => Code::SessionRevoked,
        Ok(wire::Outcome::ScopeEscalation) => Code::ScopeEscalation,
        Ok(wire::Outcome::StepUpRequired) => Code::StepUpRequired,
        Ok(wire::Outcome::Blocked) => Code::Blocked,
        Ok(wire::Outcome::ApprovalRequired) => Code::ApprovalRequired,
        Ok(wire::Outcome::ConditionFailed) => Code::ConditionFailed,
        Ok(wire::Outcome::ProofUsed) => Code::InvalidDpopProof,
        Ok(wire::Outcome::Undated) => return Said::Refused(Reason::Undated.into()),
        Ok(wire::Outcome::UnknownSession | wire::Outcome::Unspecified) | Err(_) => Code::SessionUnknown,
    };
    Said::Refused(code.into())
}
