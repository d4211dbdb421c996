//! Leases on the check stream: asked for with questions, renewed together, and taken back.

use super::{Act, Open, StreamClient};
use crate::{
    authorize::{
        leases::{Grant, Key, LeaseCounts, LeaseId, Leased, Leases, Left},
        principal::Principal,
        question::{Question, Verdict},
        usage::granted,
    },
    route::RuleId,
    time::{Monotonic, Now},
    wire,
};
use prost::Message;

/// The longest and the shortest time between two looks at what is due, in milliseconds, while there are leases.
const PACE_MS: (u64, u64) = (10, 100);

/// A lease that a question asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: LeaseId,
    /// Read before the question was sent.
    sent_at: Monotonic,
}

impl Wanted {
    /// The lease's id on the check stream.
    pub(super) const fn number(self) -> u32 {
        self.id.0
    }
}

/// How often leases are renewed: several times in the shortest one of the policy. 0 if it has none.
pub(super) fn period_ms(hello: &wire::Hello) -> u64 {
    let shortest = hello.routes.iter().map(|route| route.lease_ms).filter(|lease_ms| *lease_ms > 0).min();
    shortest.map_or(0, |lease_ms| (lease_ms / crate::authorize::leases::RENEWALS).max(1))
}

impl StreamClient {
    /// Compares the clocks, in each callback of the host.
    pub(in crate::authorize) fn observe(&mut self, now: Now) {
        if self.period_ms > 0 {
            self.keep_leases_to_stream();
            self.leases.observe(now);
        }
    }

    /// A lease belongs to one stream: those of one that is closed, or that has a successor, are gone. Comes before each look at
    /// them.
    pub(super) fn keep_leases_to_stream(&mut self) {
        if self.leases.stream() != self.connection.leased() {
            self.begin_leases();
        }
    }

    /// A stream does not answer, and questions go elsewhere. The leases that its service has given hold for their time.
    pub(super) fn leave_silent(&mut self, stream: u32, now: Monotonic) {
        if let Some(redemptions) = self.redemptions() {
            redemptions.lost(stream);
        }
        self.keep_leases_to_stream();
        self.leases.sweep(now);
        match self.leases.held() > 0 && self.leases.stream() == Some(stream) {
            true => self.connection.linger(now),
            false => self.connection.broken(stream, now),
        }
    }

    /// A stream lingers no longer than its leases.
    pub(super) fn end_lingering(&mut self, now: Monotonic) {
        if self.connection.is_lingering() {
            self.keep_leases_to_stream();
            self.leases.sweep(now);
            if self.leases.held() == 0 {
                self.connection.end_lingering();
            }
        }
    }

    /// Whether a lease says that open requests of this token on this rule may go on.
    pub(in crate::authorize) fn has_lease(&mut self, principal: &Principal, rule: RuleId, now: Monotonic) -> bool {
        self.keep_leases_to_stream();
        self.key(principal, rule).is_some_and(|key| self.leases.find(key, now).is_some())
    }

    /// Another stream is the current one. The service of the one that is being left can be told, and then waits for no lease.
    pub(super) fn leave_leases(&mut self) {
        let leaving = self.connection.leaving();
        self.farewell = self.leases.farewell().filter(|farewell| leaving == Some(farewell.stream));
        self.begin_leases();
    }

    fn begin_leases(&mut self) {
        self.leases = Leases::on(self.connection.leased(), &mut self.leases);
        // Each stream has ids of its own. What is still asked for on another one would be taken for a lease of this one.
        self.open.values_mut().for_each(|open| open.lease = None);
    }

    /// What a lease allows of a question that need not be asked then. The request has arrived before the clocks were read.
    pub(in crate::authorize) fn leased(&mut self, question: &Question, now: Now) -> Option<Leased> {
        // A proof of possession is used once, and only the service knows whether it was.
        if self.period_ms == 0 || question.proof.is_some() {
            return None;
        }
        self.observe(now);
        let key = self.key(&question.principal, question.rule)?;
        let leased = Leased::new(self.leases.find(key, now.instant)?, question);
        if !self.tokens.is_wanted(question, &self.hello) {
            return Some(leased);
        }
        let upstream_token = self.tokens.lasting(question, leased.narrowed.as_ref(), &self.hello, now.wall_ms?)?;
        Some(Leased { upstream_token: Some(upstream_token), ..leased })
    }

    /// A request was released by a lease.
    pub(in crate::authorize) fn note_leased(&mut self, id: LeaseId, now: Monotonic) {
        if let (Some(kind), Some(usage)) = (self.leases.note_use(id, now), self.usage.as_mut()) {
            usage.leased(kind);
        }
    }

    /// The lease that a question asks for as it is sent: one at a time for a token and a route.
    pub(super) fn want_lease(
        &mut self,
        principal: &Principal,
        (token, rule): (u32, RuleId),
        now: Monotonic,
    ) -> Option<Wanted> {
        let is_leased = self.gives_leases && self.hello.routes.get(rule.0).is_some_and(|route| route.lease_ms > 0);
        if !is_leased || principal.retired.get() {
            return None;
        }
        Some(Wanted { id: self.leases.ask(Key::new(token, rule)?)?, sent_at: now })
    }

    /// What a verdict offers to the question that it answers.
    pub(super) fn lease_terms(&self, open: &Open, verdict: &wire::Verdict) -> Option<Grant> {
        Grant::of(verdict, self.hello.routes.get(open.question.rule.0)?, open.lease?.sent_at)
    }

    /// The answer to a question has arrived.
    pub(super) fn settle_lease(
        &mut self,
        open: &Open,
        terms: Option<Grant>,
        verdict: Option<&Verdict>,
        now: Monotonic,
    ) {
        if let Some(Verdict::Ended(_)) = verdict {
            self.drop_leases_of(&open.question.principal);
        }
        let Some(Wanted { id, .. }) = open.lease else { return };
        match (verdict, terms) {
            (Some(Verdict::Active(narrowed)), Some(terms)) => {
                match self.grant(&open.question, terms, narrowed.as_deref()) {
                    Some(grant) => self.leases.grant(id, &grant, self.period_ms, now),
                    None => self.leases.abandon(id),
                }
            }
            (Some(Verdict::Active(_)), None) | (Some(Verdict::Ended(_)), _) => self.leases.decline(id),
            (None, _) => self.leases.abandon(id),
        }
    }

    /// A lease on these terms; `None` if it cannot be kept.
    fn grant(&mut self, question: &Question, terms: Grant, narrowed: Option<&[String]>) -> Option<Grant> {
        let Question { rule, principal, .. } = question;
        let (route, scopes) = (self.hello.routes.get(rule.0)?, &principal.facts.scopes);
        let left = Left::of(narrowed, scopes)?;
        let client = principal.facts.client_id.as_deref().unwrap_or_default();
        let granted = granted(route, |scope| narrowed.unwrap_or(scopes).contains(scope));
        let kind = self.usage.as_mut().map(|usage| usage.kind(*rule, client, granted));
        Some(Grant { left, kind: kind.unwrap_or_default(), ..terms })
    }

    /// A token is refused, or will not be asked about again.
    pub(super) fn drop_leases_of(&mut self, principal: &Principal) {
        if let Some(handle) = principal.handle.get().filter(|handle| Some(handle.stream) == self.leases.stream()) {
            self.leases.drop_token(handle.number);
        }
    }

    /// What a message says about leases. It comes after the verdicts of the message: a lease that is given and taken back at
    /// once is gone.
    pub(super) fn renew_and_take_back(
        &mut self,
        stream: u32,
        renewed: Option<wire::Renewed>,
        take_backs: &[wire::TakeBack],
        now: Monotonic,
    ) {
        let is_current = self.leases.stream() == Some(stream);
        if let Some(renewed) = renewed {
            match &mut self.farewell {
                Some(farewell) if farewell.stream == stream => farewell.waits = false,
                _ if is_current => self.leases.renewed(&renewed.refused, now),
                _ => {}
            }
        }
        for take_back in take_backs {
            // Those of any other stream are gone.
            if is_current {
                self.leases.take_back(&take_back.leases);
            }
            self.taken_back.push((stream, take_back.id));
        }
    }

    /// What a service waits for, in messages of their own: no question is to be read before them.
    pub(super) fn send_what_is_owed(&mut self) -> Option<Act> {
        self.taken_back.retain(|(stream, _)| self.connection.can_send(*stream));
        if let Some((stream, _)) = self.taken_back.first().copied() {
            let mut message = wire::FilterMessage::default();
            self.taken_back.retain(|(of, id)| {
                if *of == stream {
                    message.taken_back.push(*id);
                }
                *of != stream
            });
            return Some(Act::Send { stream, message: message.encode_to_vec() });
        }
        let connection = &self.connection;
        let farewell = self.farewell.take_if(|farewell| !farewell.waits || !connection.can_send(farewell.stream))?;
        if !self.connection.can_send(farewell.stream) {
            return None;
        }
        self.part_unless_owed();
        let message = wire::FilterMessage { renewal: Some(farewell.renewal), ..wire::FilterMessage::default() };
        Some(Act::Send { stream: farewell.stream, message: message.encode_to_vec() })
    }

    /// How many leases there are.
    pub(in crate::authorize) const fn leases_held(&self) -> usize {
        self.leases.held()
    }

    /// What has become of leases since the last call.
    pub(in crate::authorize) fn take_lease_counts(&mut self) -> LeaseCounts {
        self.leases.take_counts()
    }

    /// How soon something can be due about leases, if there are any.
    pub(in crate::authorize) fn lease_pace_ms(&self) -> Option<u64> {
        (self.leases.held() > 0).then(|| (self.period_ms / 2).clamp(PACE_MS.0, PACE_MS.1))
    }

    fn key(&self, principal: &Principal, rule: RuleId) -> Option<Key> {
        let handle = principal.handle.get().filter(|handle| Some(handle.stream) == self.leases.stream())?;
        Key::new(handle.number, rule)
    }
}
