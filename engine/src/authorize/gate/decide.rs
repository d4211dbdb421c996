//! From the first header to the question: edge, route, token, scopes.

use super::{Gate, digest8};
use crate::{
    answer::Code,
    authorize::{
        circumstances::{self, LookUp},
        head::Head,
        introspection::Carried,
        local::{self, Routed},
        possession::Presented,
        principal::Principal,
        question::{Arrival, Inquiry, Question, RequestAttributes},
        refused_tokens::RefusedToken,
        request::{Decision, Denial, Next},
        session_client::SessionClient,
        stream_client::StreamClient,
        tally::{CacheResult, Count},
        token_cache::Lookup,
        usage::Usage,
    },
    policy::Access,
    route::RuleId,
    time::{Monotonic, Now},
    token::{self, Claimed, Rejection},
};
use portcullis_contract::bounds::REQUEST_ID_BYTES_MAX;
use std::rc::Rc;

/// What a token turns out to be.
enum Identified {
    /// A verified token.
    Principal(Rc<Principal>),
    /// An opaque token, which only the session service can interpret.
    Opaque,
}

impl Gate {
    /// Decides everything that needs no answer from outside. `look_up` is only called for what is needed.
    pub(super) fn decide(
        &mut self,
        head: &Head<'_>,
        mut look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
        now: Now,
    ) -> Decision {
        let rule = match local::route(head, &self.policy)? {
            Routed::Public(permit) => {
                self.note_unasked(permit.rule);
                return Ok(Next::Release(permit));
            }
            Routed::OAuth(permit) => return self.pass_to_endpoint(permit, look_up),
            Routed::Guarded(rule) => rule,
        };
        let found = local::token(head, &self.policy, rule)?;
        let attributes = Rc::new(self.attributes(head, found.token, rule, &mut look_up));
        let presented =
            self.policy.possession.as_ref().map(|possession| {
                Rc::new(Presented::read(head, found.scheme, possession, &self.policy.facts, look_up))
            });
        let deadline = now.instant.after(self.timeout_ms);
        let arrival = Arrival { rule, token: found.token.into(), behind: None, attributes, presented, deadline };
        if found.is_handle { self.decide_handle(arrival, now) } else { self.decide_token(arrival, now) }
    }

    /// The second half of [`Gate::decide`], repeated when keys have arrived.
    pub(super) fn decide_token(&mut self, arrival: Arrival, now: Now) -> Decision {
        // Without a readable clock, no token can be shown to be unexpired.
        let unavailable = || Denial::new(Code::SessionUnavailable, Some(arrival.rule));
        let wall_ms = now.wall_ms.ok_or_else(unavailable)?;
        let principal = match self.identify(&arrival, wall_ms) {
            Ok(Identified::Principal(principal)) if self.is_outdated(&arrival, &principal, wall_ms, now.instant) => {
                return Ok(Next::AwaitToken(arrival));
            }
            Ok(Identified::Principal(principal)) => principal,
            Err(Rejection::Expired) if arrival.behind.is_some() => return self.await_token(arrival, now.instant),
            Ok(Identified::Opaque) => return Ok(Next::Ask(Inquiry::Token(arrival))),
            Err(rejection) => return self.reject(rejection, arrival, now.instant),
        };
        let proof = self.possession(&principal, &arrival, wall_ms)?;
        let question = local::question(&principal, &arrival, &self.policy, wall_ms);
        let question = question.inspect_err(|denial| self.note_refused(denial, &principal))?;
        Ok(Next::Ask(Inquiry::Session(Question { proof, ..question })))
    }

    /// Counts a request that is released without a question.
    fn note_unasked(&mut self, rule: Option<RuleId>) {
        if let Some((rule, usage)) = rule.zip(self.usage()) {
            usage.released(rule);
        }
    }

    /// Counts a request that is refused without a question, although its token is valid.
    fn note_refused(&mut self, denial: &Denial, principal: &Principal) {
        let Some(SessionClient::Stream(client)) = &mut self.client else { return };
        let Some((id, usage)) = denial.rule.zip(client.usage()) else { return };
        let missing = match self.policy.rule(id).map(|rule| &rule.access) {
            Some(Access::Scopes(requirement)) if denial.refusal.code == Code::InsufficientScope => {
                let missing = requirement.missing(&principal.held, &self.policy.register);
                missing.all_of.into_iter().chain(missing.any_of.into_iter().flatten()).collect()
            }
            _ => Vec::new(),
        };
        usage.refused(id, principal.facts.client_id.as_deref().unwrap_or_default(), missing);
    }

    fn usage(&mut self) -> Option<&mut Usage> {
        self.client.as_mut().and_then(SessionClient::stream).and_then(StreamClient::usage)
    }

    /// A token that cannot be accepted now: its request waits if a fetch of keys can change that.
    fn reject(&mut self, rejection: Rejection, arrival: Arrival, now: Monotonic) -> Decision {
        match rejection {
            Rejection::UnknownKey { issuer, name } | Rejection::WrongKey { issuer, name, .. } => {
                self.await_keys(rejection, issuer, Some(name), arrival, now)
            }
            Rejection::NoKeys { issuer } => self.await_keys(rejection, issuer, None, arrival, now),
            Rejection::Invalid(_) | Rejection::Expired => Err(self.refuse_token(rejection, &arrival)),
        }
    }

    /// Refuses a token for good, and notes it for the log if it is invalid.
    pub(super) fn refuse_token(&mut self, rejection: Rejection, arrival: &Arrival) -> Denial {
        if let Some(reason) = rejection.reason() {
            self.refused_tokens.note(|| RefusedToken::new(reason, rejection, Claimed::read(&arrival.token)));
        }
        Denial::new(rejection, Some(arrival.rule))
    }

    /// Identifies the token: from the cache, otherwise by verifying it.
    fn identify(&mut self, arrival: &Arrival, wall_ms: u64) -> Result<Identified, Rejection> {
        self.policy.limits.admit(&arrival.token)?;
        let tag = self.tokens.tag(&arrival.token);
        match self.tokens.get(&tag, wall_ms) {
            Lookup::Hit(principal) => {
                self.tally.add(Count::Cache(CacheResult::Hit));
                return Ok(Identified::Principal(principal));
            }
            Lookup::Dead(principal) => self.retire(&principal),
            Lookup::Miss => {}
        }
        if matches!(self.client, Some(SessionClient::Introspection(_)))
            && token::is_opaque(&arrival.token, &self.policy.issuers)
        {
            return Ok(Identified::Opaque);
        }
        self.tally.add(Count::Cache(CacheResult::Miss));
        let verified = token::verify(&arrival.token, &self.policy.issuers, &self.rings, self.host, wall_ms)?;
        let principal = Rc::new(Principal::verified(verified, &self.policy));
        for retired in self.tokens.insert(tag, Rc::clone(&principal)) {
            self.retire(&retired);
        }
        Ok(Identified::Principal(principal))
    }

    fn attributes(
        &self,
        head: &Head<'_>,
        token: &str,
        rule: RuleId,
        mut look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
    ) -> RequestAttributes {
        let (is_call, wants_facts) = match &self.client {
            Some(SessionClient::Introspection(_)) => (true, false),
            Some(SessionClient::Stream(client)) => (false, client.wants_facts()),
            None => (false, false),
        };
        let client_address = look_up(LookUp::ClientAddress).and_then(|text| String::from_utf8(text).ok());
        RequestAttributes {
            method: head.method.to_owned(),
            client_address: client_address.unwrap_or_default(),
            user_agent_digest: head.user_agent.map(digest8),
            carried: is_call.then(|| Carried::new(token, head.trace)),
            request_id: self
                .policy
                .rule(rule)
                .filter(|rule| rule.upstream_token.is_some())
                .and_then(|_| request_id(head)),
            circumstances: wants_facts.then(|| Box::new(circumstances::collect(head, &self.policy.facts, look_up))),
        }
    }
}

/// The id that Envoy has given the request, if it is one that can be passed on.
fn request_id(head: &Head<'_>) -> Option<Box<str>> {
    let [_, (_, id)] = head.trace;
    let id = std::str::from_utf8(id?).ok()?;
    let is_short = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len());
    (is_short && id.bytes().all(|byte| byte.is_ascii_graphic())).then(|| id.into())
}
