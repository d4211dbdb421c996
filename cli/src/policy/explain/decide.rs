//! Decides one request with the filter's own code and collects everything that explains the decision.

use super::{
    candidates::{Route, Target, candidates},
    expected,
    explanation::{Conclusion, Explanation, Reply, Says, SessionLimits, Token, UpstreamToken, Vouched},
    keys::url,
    play::{Asked, Played, play},
    text::time,
};
use crate::{
    error::Error,
    policy::{
        cases::Session,
        load::Loaded,
        requirement::RequiredScopes,
        simulator::{Decision, Outcome},
    },
};
use portcullis_engine::{
    KeyKind,
    answer::{Answer, Code},
    authorize::{Head, Mark, upstream_token::forged},
    policy::{Access, Limits, Outage, Policy, RequestContext, Rule, TokenPlace, TokenScopes, WithoutToken},
    route::{Host, Path, RuleId},
    token::{self, Facts, KeyRings, Reason, Rejection},
};
use std::time::Duration;

/// Explains how a request is decided. `keys_from` is where the keys of the token's issuer are from, if they are not in the
/// policy's document.
pub(crate) fn explain(loaded: Loaded, keys_from: Option<String>, asked: &Asked) -> Result<Explanation, Error> {
    let Loaded { policy, document } = loaded;
    let again = || Ok(Loaded::parse(document.name(), document.text())?.policy);
    let urls: Vec<_> = policy.issuers.iter().map(url).collect();
    let Played { outcome, mut worker, vouched, token, headers, assumes_possession, why } = play(policy, asked, &again)?;
    let (decision, code, answer) = decided(&outcome, vouched);
    let without = (decision == Conclusion::Asks).then(|| worker.send(&headers, &OUTAGE, None).decision);
    let head = Head::read(&headers);
    let policy = worker.policy();
    let rule = rule_of(&outcome, policy);
    let guarded = rule.filter(|rule| !matches!(rule.access, Access::Public));
    let requires = outcome.rule.and_then(|id| RequiredScopes::of(policy, id));
    let lacks = requires.as_ref().zip(outcome.facts.as_ref()).map(|(requires, facts)| requires.missing(&facts.scopes));
    let (others, found) =
        target(&head).map_or_else(Default::default, |target| candidates(&document, policy, outcome.rule, &target));
    Ok(Explanation {
        decision,
        code: code.map(Code::name),
        request: format!("{} {}{}", asked.method, asked.host.as_deref().unwrap_or_default(), asked.path),
        policy: document.name().to_owned(),
        shadow: worker.is_shadow(outcome.rule),
        because: because(&outcome, &head, policy, why.as_deref(), asked.now_ms),
        hints: assumes_possession
            .then(|| POSSESSION.to_owned())
            .into_iter()
            .chain(hints(&outcome, code, vouched, token.as_deref(), policy))
            .collect(),
        rule: outcome.rule.and_then(|id| Route::of(&document, policy, id)),
        missing: lacks.filter(|lacks| !lacks.is_empty()),
        requires,
        acr: rule.map(|rule| rule.acr.clone()).unwrap_or_default(),
        session: guarded.map(|rule| session(&rule.limits, without)),
        upstream_token: guarded.filter(|_| decision == Conclusion::Asks).and_then(upstream_token),
        token: token.map(|token| {
            let keys = keys_of(&outcome, vouched, policy, &urls, keys_from.as_deref());
            describe_token(&token, vouched, &outcome, policy, keys, asked.now_ms)
        }),
        answer: answer.map(|answer| Reply::of(&answer, head.caller)),
        stripped: head.forged.iter().copied().chain(forged(&headers, policy)).map(str::to_owned).collect(),
        others_more: found.saturating_sub(others.len()),
        others,
    })
}

/// What is assumed about a token that is bound to its client.
const POSSESSION: &str = "the token is bound to its client (`cnf`): the request passes only under the scheme `DPoP` with a new \
                          proof, which needs a verdict whatever `on_outage` says, or on a connection with the client's \
                          certificate, as the token says";

/// What the upstream receives in place of the client's token, or besides it.
fn upstream_token(rule: &Rule) -> Option<UpstreamToken> {
    let token = rule.upstream_token.as_deref()?;
    Some(UpstreamToken {
        header: token.header.clone(),
        audience: token.audience.clone(),
        ttl_s: token.ttl.as_secs_f64(),
        scopes: match token.scopes {
            TokenScopes::Route => "route",
            TokenScopes::Token => "token",
        },
        rctx: match token.rctx {
            RequestContext::Route => "route",
            RequestContext::Address => "address",
        },
        omit: token.without == WithoutToken::Omit,
        forwards_client_token: rule.forward_token,
    })
}

const OUTAGE: Session = Session::Outage { granted: false };

fn rule_of<'p>(outcome: &Outcome, policy: &'p Policy) -> Option<&'p Rule> {
    outcome.rule.and_then(|RuleId(index)| policy.rules.get(index))
}

fn target<'h>(head: &'h Head<'_>) -> Option<Target<'h>> {
    let (host, path) = (Host::parse(head.authority)?, Path::parse(head.path).ok()?);
    (!head.several_authorizations).then_some(Target { host, method: head.method, path })
}

fn decided(outcome: &Outcome, vouched: Vouched) -> (Conclusion, Option<Code>, Option<Box<Answer>>) {
    match &outcome.decision {
        // What the token means is unknown, so the outcome is unknown too.
        _ if vouched == Vouched::Opaque && outcome.asked => (Conclusion::Asks, None, None),
        Decision::Released(_) if outcome.asked => (Conclusion::Asks, None, None),
        Decision::Released(_) => (Conclusion::Released, None, None),
        Decision::Refused(code, answer) => (Conclusion::Refused, Some(*code), Some(answer.clone())),
        Decision::Waits => (Conclusion::Refused, Some(Code::KeysUnavailable), None),
    }
}

/// What may be meant by scopes that the policy does not know, and by claims that the token does not have. A real token has many
/// scopes; where it lacks none, they are no one's concern.
fn hints(outcome: &Outcome, code: Option<Code>, vouched: Vouched, token: Option<&str>, policy: &Policy) -> Vec<String> {
    let (is_assumed, lacks_scope) = (vouched == Vouched::Assumed, code == Some(Code::InsufficientScope));
    let Some(facts) = outcome.facts.as_ref().filter(|_| is_assumed || lacks_scope) else { return Vec::new() };
    let mut hints = expected::unregistered(&facts.scopes, is_assumed, policy);
    // The claims of an assumed token are invented here.
    let issuer = issuer_of(facts, policy).and_then(|index| policy.issuers.get(index)).filter(|_| !is_assumed);
    if let (Some(issuer), Some(token)) = (issuer, token) {
        hints.extend(expected::dotted(token, issuer));
    }
    hints
}

/// The reasons for the decision, in addition to the rule.
fn because(outcome: &Outcome, head: &Head<'_>, policy: &Policy, why: Option<&str>, now_ms: u64) -> Vec<String> {
    let mut because = Vec::new();
    match &outcome.decision {
        Decision::Refused(Code::MalformedCredentials, _) if head.several_authorizations => {
            because.push("there is more than one `authorization` header".to_owned());
        }
        Decision::Refused(Code::MalformedCredentials, _) => {
            because.push(match policy.token_from.as_slice() {
                [TokenPlace::Authorization] => "the `authorization` header is not a single bearer token".to_owned(),
                _ => "there is not exactly one bearer token in the places of `token_from`".to_owned(),
            });
        }
        Decision::Refused(Code::NoCredentials, _) if head.has_authorization => {
            because.push("the `authorization` header has a scheme other than `Bearer`".to_owned());
        }
        Decision::Refused(Code::InvalidDpopProof, _) => because.extend(why.map(str::to_owned)),
        // The token may be good by itself.
        Decision::Refused(Code::InvalidToken, _)
            if policy.possession.is_some() || policy.session_cookie().is_some() =>
        {
            because.extend(why.map(str::to_owned))
        }
        Decision::Refused(Code::UseDpopNonce, _) => {
            because.push("a proof must contain a nonce, which only a running filter hands out".to_owned());
        }
        Decision::Refused(Code::CrossOrigin, _) => because.push(
            "the token is in a cookie, and the `origin` header is neither of this host nor in `allowed_origins`"
                .to_owned(),
        ),
        Decision::Refused(Code::AmbiguousPath, _) => {
            because.push(match Path::parse(head.path) {
                Err(ambiguous) => ambiguous.to_string(),
                Ok(_) => "an encoded `/` is ambiguous, and no route lets it through here (`encoded_slash`)".to_owned(),
            });
        }
        Decision::Refused(Code::NoRoute, _) if Host::parse(head.authority).is_none() => {
            because.push("the host is invalid, so no route is looked up".to_owned());
        }
        Decision::Refused(Code::StepUpRequired, _) => because.extend(step_up(outcome, policy, now_ms)),
        Decision::Released(_) if outcome.rule.is_none() => {
            because.push(match head.preflight {
                Some(_) => "it is a CORS preflight and the policy has `cors_preflight: allow`".to_owned(),
                None => "it is for the token endpoint of the session service (`oauth`), which judges it".to_owned(),
            });
        }
        Decision::Released(_) if !outcome.asked => {
            because.push(match rule_of(outcome, policy).map(|rule| &rule.access) {
                Some(Access::Optional) => "the route makes the token optional, and there is none".to_owned(),
                _ => "the route is public: tokens are ignored".to_owned(),
            })
        }
        _ => {}
    }
    because
}

/// Why a login is too weak or too old (RFC 9470).
fn step_up(outcome: &Outcome, policy: &Policy, now_ms: u64) -> Vec<String> {
    let (Some(rule), Some(facts)) = (rule_of(outcome, policy), &outcome.facts) else { return Vec::new() };
    let mut why = Vec::new();
    let is_strong = facts.acr.as_ref().is_some_and(|acr| rule.acr.contains(acr));
    if !rule.acr.is_empty() && !is_strong {
        let has =
            facts.acr.as_ref().map_or("has no `acr`".to_owned(), |acr| format!("has `acr` {}", acr.escape_debug()));
        why.push(format!("the token {has}, but the route requires {}", rule.acr.join(" or ")));
    }
    if rule.limits.max_age.is_some() && facts.is_login_unreadable {
        why.push("the token's `auth_time` is not a date, so the age of the login is unknown".to_owned());
    }
    if let (Some(max_age), Some(at_ms)) = (rule.limits.max_age, facts.authenticated_at_ms) {
        let age = Duration::from_millis(now_ms.saturating_sub(at_ms));
        if age >= max_age {
            why.push(format!(
                "the login was {} ago, but the route requires one within the last {}",
                time(age),
                time(max_age)
            ));
        }
    }
    why
}

fn describe_token(
    token: &str,
    vouched: Vouched,
    outcome: &Outcome,
    policy: &Policy,
    keys: Option<String>,
    now_ms: u64,
) -> Token {
    let facts = outcome.facts.as_ref().filter(|_| vouched != Vouched::Opaque);
    let fault = (vouched == Vouched::Refused).then(|| fault(token, policy, now_ms)).flatten();
    Token {
        vouched,
        keys,
        reason: fault.and_then(Rejection::reason).map(Reason::name),
        expected: fault.and_then(Rejection::reason).and_then(|reason| expected::instead(reason, token, policy)),
        fault: fault.map(|rejection| rejection.to_string()),
        says: facts.map(|facts| claims_of(facts, now_ms)),
    }
}

/// Where the keys are that verified a token, or that were not fetched; `None` if they are in the policy.
fn keys_of(
    outcome: &Outcome,
    vouched: Vouched,
    policy: &Policy,
    urls: &[Option<String>],
    keys_from: Option<&str>,
) -> Option<String> {
    match vouched {
        Vouched::Verified => keys_from.map(str::to_owned),
        Vouched::SignatureNotChecked => urls.get(issuer_of(outcome.facts.as_ref()?, policy)?).cloned().flatten(),
        Vouched::Assumed | Vouched::Opaque | Vouched::Refused | Vouched::NotLookedAt => None,
    }
}

/// The fault of a token: for operators only, clients must not learn it.
fn fault(token: &str, policy: &Policy, now_ms: u64) -> Option<Rejection> {
    if let Err(fault) = policy.limits.admit(token) {
        return Some(fault.into());
    }
    let rings = KeyRings::new(policy.issuers.iter().map(|issuer| &issuer.keys)).ok()?;
    token::verify(token, &policy.issuers, &rings, |_| None, now_ms).err()
}

/// The index of the token's issuer in the policy.
fn issuer_of(facts: &Facts, policy: &Policy) -> Option<usize> {
    policy.issuers.iter().position(|issuer| *issuer.of_sessions() == facts.issuer)
}

fn claims_of(facts: &Facts, now_ms: u64) -> Says {
    Says {
        issuer: facts.issuer.to_string(),
        subject: facts.subject.clone(),
        client: facts.client_id.clone(),
        scopes: facts.scopes.clone(),
        with_comma: facts.scopes.iter().filter(|scope| scope.contains(',')).cloned().collect(),
        is_login_unreadable: facts.is_login_unreadable,
        acr: facts.acr.clone(),
        login_age_s: facts.authenticated_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms) / 1_000),
        is_undated: facts.session_key.kind(facts.authenticated_at_ms) == KeyKind::LoginUndated,
        expires_in_s: facts.dies_at_ms.saturating_sub(now_ms) / 1_000,
        session: facts.session_id.to_string(),
    }
}

fn session(limits: &Limits, without: Option<Decision>) -> SessionLimits {
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());
    let on_outage = match (limits.on_outage, without) {
        (Outage::Grace(grace), _) => {
            format!(
                "released if the worker received a positive verdict for the same token and route within the last {}, otherwise 503 session_unavailable",
                time(grace)
            )
        }
        (_, Some(Decision::Released(Some(Mark::OutageReadOnly)))) => "released, because it only reads".to_owned(),
        (_, Some(Decision::Refused(code, answer))) => format!("{} {}", answer.status, code.name()),
        (Outage::ReadOnly, _) => "released if it only reads, otherwise 503 session_unavailable".to_owned(),
        _ => "503 session_unavailable".to_owned(),
    };
    SessionLimits {
        max_age_s: seconds(limits.max_age),
        max_idle_s: seconds(limits.max_idle),
        touch: limits.touch,
        outlive_token: limits.outlive_token,
        on_outage,
        lease_s: seconds(limits.freshness.lease()),
    }
}
