//! Requests that come with a handle in place of a token: the session service has the token.

use super::{ContextId, Due, Gate};
use crate::{
    answer::Code,
    authorize::{
        circumstances::LookUp,
        handle::HandleDigest,
        principal::Principal,
        question::{Arrival, Behind},
        redemptions::{Redeemed, Redemptions},
        refused_tokens::RefusedToken,
        request::{Decision, Denial, Event, Next, Permit, Request},
        session_client::SessionClient,
        tally::{Count, RedemptionOutcome},
    },
    route::RuleId,
    time::{Monotonic, Now},
    token::{Claimed, Reason},
};
use std::rc::Rc;

impl Gate {
    /// Decides about a request whose token is a handle: with the token that is known, if there is one.
    pub(super) fn decide_handle(&mut self, arrival: Arrival, now: Now) -> Decision {
        let Some(handle) = HandleDigest::of(&arrival.token) else {
            return Err(self.refuse_handle(arrival.rule, "no handle looks like it"));
        };
        let known = self.redemptions().and_then(|redemptions| redemptions.token(handle, now.instant));
        let behind = Some(Behind { handle, is_fresh: false });
        match known {
            Some(token) => self.decide_token(Arrival { token: token.0, behind, ..arrival }, now),
            None => self.await_token(Arrival { token: "".into(), behind, ..arrival }, now.instant),
        }
    }

    /// Whether a request that came with a handle waits for another token: this one could expire while its question is asked.
    pub(super) fn is_outdated(
        &mut self,
        arrival: &Arrival,
        principal: &Principal,
        wall_ms: u64,
        now: Monotonic,
    ) -> bool {
        let lasts = principal.facts.expires_at_ms > wall_ms.saturating_add(self.timeout_ms);
        !lasts && self.ask_for_token(arrival, now)
    }

    /// A request waits for the token of its handle.
    pub(super) fn await_token(&mut self, arrival: Arrival, now: Monotonic) -> Decision {
        match self.ask_for_token(&arrival, now) {
            true => Ok(Next::AwaitToken(arrival)),
            false => Err(Denial::new(Code::SessionUnavailable, Some(arrival.rule))),
        }
    }

    /// Asks for the token of a request's handle; returns false if none can come, or no other one.
    fn ask_for_token(&mut self, arrival: &Arrival, now: Monotonic) -> bool {
        let Some(Behind { handle, is_fresh: false }) = arrival.behind else { return false };
        let is_out = matches!(&self.client, Some(SessionClient::Stream(client)) if client.is_out());
        !is_out && self.redemptions().is_some_and(|redemptions| redemptions.ask(handle, now))
    }

    /// A request has begun to wait. Returns false if there is no room for it.
    pub(super) fn begin_to_wait(&mut self, context: ContextId, arrival: &Arrival) -> bool {
        let (Some(behind), deadline) = (arrival.behind, arrival.deadline) else { return false };
        self.redemptions().is_some_and(|redemptions| redemptions.wait(context, behind.handle, deadline))
    }

    /// A request is gone.
    pub(super) fn stop_waiting(&mut self, context: ContextId, request: &Request) {
        if let (Request::Redeeming(_), Some(redemptions)) = (request, self.redemptions()) {
            redemptions.leave(context);
        }
    }

    /// The session service has said what has become of a handle. Decides the requests that waited for that.
    pub(super) fn redeemed(&mut self, handle: HandleDigest, redeemed: &Redeemed, now: Now) -> Vec<Due> {
        self.tally.add(Count::Redemption(match redeemed {
            Redeemed::Token(_) => RedemptionOutcome::Token,
            Redeemed::Refused(_) => RedemptionOutcome::Refused,
            Redeemed::Unavailable => RedemptionOutcome::Unavailable,
        }));
        let waiting = self.redemptions().map(|redemptions| redemptions.take_waiting(handle)).unwrap_or_default();
        let mut due = Vec::with_capacity(waiting.len());
        for context in waiting {
            let arrival = match self.requests.get(&context).map(|entry| &entry.request) {
                Some(Request::Redeeming(arrival)) => arrival.clone(),
                _ => continue,
            };
            let rule = Some(arrival.rule);
            let decision = match redeemed {
                Redeemed::Token(token) => {
                    let behind = Some(Behind { handle, is_fresh: true });
                    self.decide_token(Arrival { token: Rc::clone(&token.0), behind, ..arrival }, now)
                }
                Redeemed::Refused(refusal) if refusal.reason == Some(Reason::Handle) => {
                    Err(self.refuse_handle(arrival.rule, "the session service does not know it"))
                }
                Redeemed::Refused(refusal) => Err(Denial::new(refusal.clone(), rule)),
                Redeemed::Unavailable => Err(Denial::new(Code::SessionUnavailable, rule)),
            };
            due.push((context, self.advance(context, Event::Decided(decision), now)));
        }
        due
    }

    /// Refuses the requests that have waited for long enough.
    pub(super) fn end_waits(&mut self, now: Now) -> Vec<Due> {
        let Some(redemptions) = self.redemptions() else { return Vec::new() };
        let (late, silent) = redemptions.expire(now.instant);
        self.tally.add_several(Count::Redemption(RedemptionOutcome::NoAnswer), silent);
        let refuse = |context| {
            let rule = match &self.requests.get(&context)?.request {
                Request::Redeeming(arrival) => arrival.rule,
                _ => return None,
            };
            let denial = Denial::new(Code::SessionUnavailable, Some(rule));
            Some((context, self.advance(context, Event::Decided(Err(denial)), now)))
        };
        late.into_iter().filter_map(refuse).collect()
    }

    /// A request for the token endpoint passes if Envoy takes it there, and not to the upstream.
    pub(super) fn pass_to_endpoint(
        &mut self,
        permit: Permit,
        mut look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
    ) -> Decision {
        let cluster = look_up(LookUp::RouteCluster).unwrap_or_default();
        if self.policy.oauth.as_ref().is_some_and(|oauth| oauth.cluster.as_bytes() == cluster) {
            return Ok(Next::Release(permit));
        }
        self.misrouted = Some(String::from_utf8_lossy(&cluster).into_owned());
        Err(Denial::new(Code::SessionUnavailable, None))
    }

    /// The cluster to which Envoy would have taken a request for the token endpoint; empty if it is not known.
    pub fn take_misrouted(&mut self) -> Option<String> {
        self.misrouted.take()
    }

    fn refuse_handle(&mut self, rule: RuleId, words: &str) -> Denial {
        let claimed = || Claimed { issuer: None, kid: None };
        self.refused_tokens.note(|| RefusedToken::new(Reason::Handle, words, claimed()));
        Denial::new(Reason::Handle, Some(rule))
    }

    fn redemptions(&mut self) -> Option<&mut Redemptions> {
        self.client.as_mut()?.stream()?.redemptions()
    }
}
