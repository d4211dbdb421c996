//! The follows of one stream: open requests whose verdict is sent again when it changes.
//!
//! Limits are reached without a question, too: each follow has one instant at which it is reviewed, the nearest of its
//! limits when it was judged last. Activity only moves the idle limit later, so a review that comes too early finds
//! nothing and is put off; a follow costs nothing in between.

use super::answers::{Answers, Broken, Destination};
use super::routes::Route;
use crate::bound_token::{Answer, BoundToken, Once, Required, refusal};
use crate::followers::{Line, Notifier};
use crate::judge::Asked;
use crate::metrics::Metrics;
use crate::registry::{LookUp, LookedUp, Registry};
use portcullis_contract::Requirement;
use portcullis_contract::bounds::FOLLOWS_MAX;
use portcullis_contract::wire::{Outcome, Scopes, Verdict};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One open request, or several of one token and route.
struct Follow {
    /// Its own, so that the filter may forget the token's handle.
    bound: BoundToken,
    asked: Asked,
    requirement: Arc<Requirement<String>>,
    acr: Arc<[String]>,
    /// The name of its route.
    route: Arc<str>,
    /// It may rest on grants for one request that were used on its route: it was never released by anything else.
    may_rest_on_used: bool,
    /// The scopes that were sent last.
    narrowed: Option<Scopes>,
    review_at_ms: Option<u64>,
    /// Its requests saw bytes while it waited for a look-up.
    was_active: bool,
}

/// Why a follow is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It was just entered: the verdict is sent whatever it is.
    Entered,
    /// Its open requests saw bytes.
    Active,
    /// Its session changed, or a limit is due.
    Changed,
}

/// The follows of one stream.
pub(super) struct Follows {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    line: Line,
    open: HashMap<u32, Follow>,
    /// The instant at which each is reviewed, where it has a limit.
    due: BTreeSet<(u64, u32)>,
}

impl Follows {
    pub(super) fn new(registry: &Arc<Registry>, metrics: &Arc<Metrics>) -> Self {
        Self {
            line: registry.followers().line(),
            registry: Arc::clone(registry),
            metrics: Arc::clone(metrics),
            open: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    pub(super) fn notifier(&self) -> &Arc<Notifier> {
        self.line.notifier()
    }

    pub(super) fn review_at_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Enters a follow. It is to be judged next: see the followers for why in this order.
    pub(super) fn enter(&mut self, id: u32, bound: BoundToken, route: &Route) -> Result<(), Broken> {
        if self.open.len() >= FOLLOWS_MAX {
            return Err(Broken::new(format!("more than {FOLLOWS_MAX} follows")));
        }
        if self.open.contains_key(&id) {
            return Err(Broken::new(format!("follow {id} is open already")));
        }
        self.line.follow(bound.token().id, id);
        let follow = Follow {
            bound,
            asked: route.asked,
            requirement: Arc::clone(&route.requirement),
            acr: Arc::clone(&route.acr),
            route: Arc::clone(&route.scopes.name),
            may_rest_on_used: true,
            narrowed: None,
            review_at_ms: None,
            was_active: false,
        };
        self.open.insert(id, follow);
        self.metrics.follows.inc();
        self.metrics.follows_open.inc();
        Ok(())
    }

    /// Closes a follow. One that is not open has ended meanwhile.
    pub(super) fn close(&mut self, id: u32) {
        if let Some(follow) = self.open.remove(&id) {
            self.line.unfollow(follow.bound.token().id, id);
            if let Some(at_ms) = follow.review_at_ms {
                self.due.remove(&(at_ms, id));
            }
            self.metrics.follows_open.dec();
        }
    }

    /// Judges the follows that are marked or due.
    pub(super) fn review(&mut self, now_ms: u64, answers: &mut Answers) {
        let marked = self.line.notifier().take();
        let mut wanted: Vec<u32> = match marked.all {
            true => self.open.keys().copied().collect(),
            false => marked.follows.into_iter().collect(),
        };
        // One that is due stays due until it is judged: judging moves it on, or ends it.
        wanted.extend(self.due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).map(|(_, id)| *id));
        for id in wanted {
            self.judge(id, Occasion::Changed, None, now_ms, answers);
        }
    }

    /// Judges a follow. One that was just entered may need a look-up first, which is returned; until its answer comes,
    /// a change of its session changes nothing: it is judged then.
    pub(super) fn judge(
        &mut self,
        id: u32,
        occasion: Occasion,
        looked_up: Option<&LookedUp>,
        now_ms: u64,
        answers: &mut Answers,
    ) -> Option<LookUp> {
        let follow = self.open.get_mut(&id)?;
        if !follow.bound.is_bound() {
            if occasion != Occasion::Entered {
                follow.was_active |= occasion == Occasion::Active;
                return None;
            }
            // A follow that opens its session anew, such as at another replica, belongs to a request that was let in:
            // the idle time starts with it.
            if let Err(look_up) = follow.bound.bind(&self.registry, !follow.asked.background, looked_up, now_ms) {
                return Some(look_up);
            }
        } else if looked_up.is_some() {
            return None;
        }
        let is_active = occasion == Occasion::Active || std::mem::take(&mut follow.was_active);
        let asked = Asked { background: follow.asked.background || !is_active, ..follow.asked };
        let once = if follow.may_rest_on_used { Once::Opened(&follow.route) } else { Once::Ignored };
        let required = Required { scopes: Some(&follow.requirement), acr: &follow.acr, once };
        // It is never bound again: it follows this session to its end, and none that may come in its place.
        let answer = follow.bound.answer(&self.registry, asked, required, now_ms);
        // One that another grant has released ends with that one.
        follow.may_rest_on_used &= !answer.once.is_empty();
        self.send(id, occasion, answer, now_ms, answers);
        None
    }

    fn send(&mut self, id: u32, occasion: Occasion, mut answer: Answer, now_ms: u64, answers: &mut Answers) {
        answer.verdict.id = id;
        let verdict = &answer.verdict;
        if verdict.outcome() != Outcome::Active {
            self.metrics.cut(verdict.outcome());
            self.close(id);
            answers.put(Destination::Follow, answer);
            return;
        }
        // A grant ends to the millisecond. The filter is not told when: its own clock would only be a second judge.
        let left_ms = [verdict.remaining_ms, verdict.idle_ms, answer.grant_left_ms].into_iter().flatten().min();
        self.put_off(id, left_ms.map(|left_ms| now_ms.saturating_add(left_ms)));
        let Some(follow) = self.open.get_mut(&id) else {
            return;
        };
        if occasion == Occasion::Entered || verdict.narrowed != follow.narrowed {
            follow.narrowed.clone_from(&verdict.narrowed);
            answers.put(Destination::Follow, answer);
        }
    }

    /// Closes a follow whose session could not be looked up. Its filter decides whether the open requests continue, and
    /// announces it again if they do.
    pub(super) fn give_up(&mut self, id: u32, answers: &mut Answers) {
        if self.open.contains_key(&id) {
            self.metrics.cut(Outcome::Unavailable);
            self.close(id);
            answers.put_verdict(Destination::Follow, Verdict { id, ..refusal(Outcome::Unavailable) });
        }
    }

    /// Moves the next review of a follow.
    fn put_off(&mut self, id: u32, at_ms: Option<u64>) {
        let Some(follow) = self.open.get_mut(&id).filter(|follow| follow.review_at_ms != at_ms) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut follow.review_at_ms, at_ms) {
            self.due.remove(&(before, id));
        }
        self.due.extend(at_ms.map(|at_ms| (at_ms, id)));
    }
}

impl Drop for Follows {
    fn drop(&mut self) {
        for (id, follow) in self.open.drain() {
            self.line.unfollow(follow.bound.token().id, id);
            self.metrics.follows_open.dec();
        }
    }
}

#[cfg(test)]
mod tests;
