//! The decision about one question: what a session and a route settle is found in the marks of its token, else in the cache,
//! else prepared; the rest is evaluated.

use super::cache::{Key, Piece};
use super::in_force::Slice;
use super::marks::{Held, Stamp, Target};
use super::route::{Asking, Of};
use super::{Decided, METHODS, Marks, Refused, facts};
use crate::conditions::refused::Advice;
use crate::spread::spread;
use portcullis_conditions::{Answer, Decision, Refusal, Session, Sliced};
use std::sync::Arc;

/// How long a decision that depends on the time holds for an open request, in milliseconds, at most.
const AGAIN_MS: u64 = 1_000;

impl Asking<'_> {
    /// Decides. `marks` are those of the question's token.
    pub(crate) fn decide(&self, marks: &mut Marks, of: &Of<'_>, now_ms: u64) -> Decided {
        if !self.on.are_about(self.route) {
            return Decided::default();
        }
        // Also on a route that none concerns: nobody could have written one for it.
        let Some(method) = self.request.method_number() else {
            return refused(Refused::by_default("method", "conditions have no action for this method"));
        };
        let sliced = match self.on.slice(self.index, self.route) {
            Slice::Free => return Decided::default(),
            Slice::Faulty => {
                return refused(Refused::by_default("conditions", "the conditions cannot be applied to this route"));
            }
            Slice::Some(sliced) => sliced,
        };
        let (target, stated) = (self.target(method), self.request.device());
        if let Some(held) = self.held(marks, stated, of, now_ms) {
            let until_ms = held.stamp.until_ms;
            if held.allows(target) {
                return Decided { refused: None, again_at_ms: until_ms };
            }
            if let Some(piece) = held.prepared(target) {
                return self.evaluate(&piece, of, until_ms, now_ms);
            }
        }
        let device = self.request.device_of(of.token);
        let (stamp, piece) = self.prepared(sliced, self.request.method(), target, device, of, now_ms);
        marks.keep(stamp, stated, target, &piece);
        self.evaluate(&piece, of, stamp.until_ms, now_ms)
    }

    /// Whether no condition concerns its route.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.on.slice(self.index, self.route), Slice::Free)
    }

    /// Whether every request with the token on the route is allowed, whatever else it says: of a method that conditions know,
    /// and from any device. Then, the instant at which that can change by itself.
    pub(crate) fn leasable(&self, marks: &mut Marks, of: &Of<'_>, now_ms: u64) -> Option<Option<u64>> {
        let sliced = match self.on.slice(self.index, self.route) {
            Slice::Free => return Some(None),
            Slice::Faulty => return None,
            Slice::Some(sliced) => sliced,
        };
        if sliced.looks_at_device() || of.registry.knows_devices() {
            return None;
        }
        let device = &of.token.further().device;
        let mut again_at_ms = None;
        for (number, method) in (0..).zip(METHODS) {
            let target = self.target(number);
            let known = self.held(marks, "", of, now_ms).filter(|held| held.allows(target));
            let until_ms = match known.map(|held| held.stamp.until_ms) {
                Some(until_ms) => until_ms,
                None => {
                    let (stamp, piece) = self.prepared(sliced, method, target, device, of, now_ms);
                    if !piece.is_allowed() {
                        return None;
                    }
                    marks.keep(stamp, "", target, &piece);
                    stamp.until_ms
                }
            };
            again_at_ms = [again_at_ms, until_ms].into_iter().flatten().min();
        }
        Some(again_at_ms)
    }

    const fn target(&self, method: u8) -> Target {
        Target { table: self.on.table(), route: self.index, method }
    }

    /// What is kept beside the token, of requests that name this device, if it still holds.
    fn held<'m>(&self, marks: &'m Marks, stated: &str, of: &Of<'_>, now_ms: u64) -> Option<&'m Held> {
        marks.held(self.on.table(), stated).filter(|held| self.is_current(&held.stamp, of, now_ms))
    }

    /// Whether what was found out under a stamp still holds.
    fn is_current(&self, stamp: &Stamp, of: &Of<'_>, now_ms: u64) -> bool {
        stamp.generation == of.session.generation()
            && stamp.conditions == self.on.number()
            && stamp.holds_at(now_ms)
            && stamp.facts == of.registry.fact_epochs().read(stamp.counters)
    }

    /// What is prepared, by this stream or another one, or now.
    fn prepared(
        &self,
        sliced: &Sliced,
        method: &str,
        target: Target,
        device: &str,
        of: &Of<'_>,
        now_ms: u64,
    ) -> (Stamp, Arc<Piece>) {
        let (cache, metrics) = (self.conditions.cache(), self.conditions.metrics());
        let fingerprint = facts::fingerprint(of, device, self.conditions.hasher());
        let key: Key = (of.session.id, fingerprint);
        let known = cache.session(&key, |stamp| self.is_current(stamp, of, now_ms));
        let (stamp, session) = known.unwrap_or_else(|| {
            let (stamp, session) = self.facts(device, of, now_ms);
            cache.put_session(key, stamp, &session);
            (stamp, session)
        });
        if let Some(piece) = cache.piece(&key, &stamp, target) {
            metrics.found.inc();
            return (stamp, piece);
        }
        metrics.prepared.inc();
        let session = facts::on_route(&session, of, self.route, now_ms);
        let prepared = sliced.prepare(&session, method);
        let piece = Arc::new(Piece { session, prepared });
        cache.put_piece(&key, &stamp, target, &piece);
        (stamp, piece)
    }

    /// The facts of the session now. The numbers are read first: what changes in between has newer ones.
    fn facts(&self, device: &str, of: &Of<'_>, now_ms: u64) -> (Stamp, Arc<Session>) {
        let (bearer, generation) = (of.session.bearer(), of.session.generation());
        let counters = of.registry.fact_epochs().of(bearer, device);
        let epochs = of.registry.fact_epochs().read(counters);
        let layers = of.registry.layers_of(bearer, device, now_ms);
        let session = facts::session(of, &layers, device, self.on.declared(), now_ms);
        // A grant that holds is a fact of some routes.
        let grants = of.session.live_grants(now_ms);
        let until_ms = grants.iter().filter_map(|(_, grant)| grant.until_ms).chain(layers.until_ms).min();
        let conditions = self.on.number();
        let stamp = Stamp { generation, facts: epochs, counters, conditions, from_ms: now_ms, until_ms };
        (stamp, Arc::new(session))
    }

    fn evaluate(&self, piece: &Piece, of: &Of<'_>, until_ms: Option<u64>, now_ms: u64) -> Decided {
        let decision = match piece.prepared.settled() {
            Some(settled) => settled.clone(),
            None => {
                self.conditions.metrics().evaluated.inc();
                piece.prepared.decide(&piece.session, &facts::asked(self.request, of.registry.whereabouts(), now_ms))
            }
        };
        let again_in_ms = || spread(of.session.id, self.index, now_ms, AGAIN_MS);
        let timed = piece.prepared.depends_on_time().then(|| now_ms.saturating_add(again_in_ms()));
        let again_at_ms = [until_ms, timed].into_iter().flatten().min();
        match decision {
            Decision::Allowed => Decided { refused: None, again_at_ms },
            Decision::Refused(refusal) => Decided { refused: Some(Arc::new(refusal.into())), again_at_ms },
        }
    }
}

fn refused(refused: Refused) -> Decided {
    Decided { refused: Some(Arc::new(refused)), again_at_ms: None }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { answer, id, reason, tell, .. } = refusal;
        let advice = match answer {
            Answer::ConditionFailed => Advice::None,
            Answer::ApprovalRequired { scope } => Advice::Request(scope),
            Answer::StepUpRequired { acr, max_age_ms } => Advice::StepUp { acr, max_age_ms },
        };
        Self { advice, id, reason, tell }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn requests_have_the_methods_of_the_schema() {
        assert_eq!(super::METHODS, portcullis_conditions::METHODS);
    }
}
