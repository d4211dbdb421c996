//! The follows of one stream: open requests whose verdict is sent again when it changes.
//!
//! Limits are reached without a question, too: each follow has one instant at which it is reviewed, the nearest of its
//! limits when it was judged last. Activity only moves the idle limit later, so a review that comes too early finds
//! nothing and is put off; a follow costs nothing in between.

use super::answers::{self, Answers, Broken, Destination};
use super::point::{self, AGAIN_MS, Fate};
use super::routes::{Route, RouteTable};
use crate::audit::Audit;
use crate::bound_token::{Answer, BoundToken, Once, Required, refusal};
use crate::conditions::{Mode, OnTable, OwnRequest, RouteFacts};
use crate::fact_epochs::Counters;
use crate::followers::{Line, Notifier};
use crate::judge::Asked;
use crate::metrics::Metrics;
use crate::pdp::{Pdp, Ruling};
use crate::registry::{LookUp, LookedUp, Registry};
use crate::spread::spread;
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
    /// The number and the name of its route.
    number: u32,
    route: Arc<str>,
    /// What conditions are told about it, if there are any, and where changes of its facts are counted.
    conditions: Option<(OwnRequest, Counters)>,
    /// It may rest on grants for one request that were used on its route: it was never released by anything else.
    may_rest_on_used: bool,
    /// The scopes that were sent last.
    narrowed: Option<Scopes>,
    review_at_ms: Option<u64>,
    /// Its requests saw bytes while it waited for a look-up.
    was_active: bool,
    /// Another decision point decides about it.
    point: Option<Consulted>,
}

/// A follow that another decision point decides about.
struct Consulted {
    route: RouteFacts,
    /// When it is asked next.
    next_ms: u64,
    /// It is being asked.
    is_asked: bool,
}

/// Why a follow is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It was just entered: the verdict is sent whatever it is.
    Entered,
    /// Its open requests saw bytes.
    Active,
    /// Its session changed, or what is known of it did.
    Changed,
    /// A limit is due, or something changed that can concern any follow.
    Reviewed,
}

/// The follows of one stream.
pub(super) struct Follows {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    audit: Arc<Audit>,
    line: Line,
    /// The routes, and the conditions that concern them, if there are any.
    on_table: Option<(OnTable, Arc<RouteTable>)>,
    point: Option<Arc<Pdp>>,
    open: HashMap<u32, Follow>,
    /// The instant at which each is reviewed, where it has a limit.
    due: BTreeSet<(u64, u32)>,
}

impl Follows {
    pub(super) fn new(registry: &Arc<Registry>, metrics: &Arc<Metrics>, audit: &Arc<Audit>) -> Self {
        Self {
            line: registry.followers().line(),
            on_table: None,
            point: None,
            audit: Arc::clone(audit),
            registry: Arc::clone(registry),
            metrics: Arc::clone(metrics),
            open: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Has another decision point asked about those that it decides about.
    pub(super) fn ask(&mut self, point: Option<Arc<Pdp>>) {
        self.point = point;
    }

    /// Another decision point decides about a follow that was just entered. Its request has just been let in.
    pub(super) fn ask_about(&mut self, id: u32, route: &RouteFacts, now_ms: u64) {
        if let Some(follow) = self.open.get_mut(&id) {
            let next_ms = now_ms.saturating_add(spread(follow.bound.token().id, id, now_ms, AGAIN_MS));
            follow.point = Some(Consulted { route: route.clone(), next_ms, is_asked: false });
        }
    }

    /// Goes on with what another decision point has decided about a follow.
    pub(super) fn ruled(&mut self, id: u32, ruling: Ruling, now_ms: u64, answers: &mut Answers) {
        let (Some(follow), Some(point)) = (self.open.get_mut(&id), &self.point) else { return };
        let Some(consulted) = &mut follow.point else { return };
        consulted.is_asked = false;
        let method = follow.conditions.as_ref().map_or("", |(request, _)| request.borrow().method());
        match point::fate(point, ruling, method) {
            Fate::Released => {}
            Fate::Undecided => self.give_up(id, answers),
            Fate::Denied => {
                let mut answer = point::denied();
                answer.verdict.id = id;
                if let Some(condition) = &answer.condition {
                    follow.bound.report_condition(condition, &follow.route, &self.audit, now_ms);
                }
                self.metrics.cut(answer.verdict.outcome());
                self.close(id);
                answers.put(Destination::Follow, answer);
            }
        }
    }

    /// Has another decision point asked about a follow that goes on, if it is time or something about it has changed. A change
    /// that need not concern it waits for its time: otherwise each revocation of anybody would have all of them asked at once.
    fn consult(&mut self, id: u32, occasion: Occasion, now_ms: u64, answers: &mut Answers) -> Option<u64> {
        let follow = self.open.get_mut(&id)?;
        let consulted = follow.point.as_mut()?;
        let (request, _) = follow.conditions.as_ref()?;
        let is_due = occasion == Occasion::Changed || occasion == Occasion::Reviewed && consulted.next_ms <= now_ms;
        if is_due && !consulted.is_asked {
            let query = point::query(&follow.bound, &consulted.route, request.borrow(), &self.registry, now_ms);
            answers.queries.push((answers::Asked::Follow(id), query));
            consulted.is_asked = true;
            consulted.next_ms = now_ms.saturating_add(spread(follow.bound.token().id, id, now_ms, AGAIN_MS));
        }
        Some(consulted.next_ms)
    }

    /// Has the follows judged by these conditions.
    pub(super) fn judge_on(&mut self, on_table: &OnTable, routes: &Arc<RouteTable>) {
        let is_same = self.on_table.as_ref().is_some_and(|(held, _)| held.is(on_table));
        if !is_same {
            self.on_table = Some((on_table.clone(), Arc::clone(routes)));
        }
    }

    pub(super) fn notifier(&self) -> &Arc<Notifier> {
        self.line.notifier()
    }

    pub(super) fn review_at_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Enters a follow. It is to be judged next: see the followers for why in this order.
    pub(super) fn enter(
        &mut self,
        id: u32,
        bound: BoundToken,
        (number, route): (u32, &Route),
        request: Option<OwnRequest>,
    ) -> Result<(), Broken> {
        if self.open.len() >= FOLLOWS_MAX {
            return Err(Broken::new(format!("more than {FOLLOWS_MAX} follows")));
        }
        if self.open.contains_key(&id) {
            return Err(Broken::new(format!("follow {id} is open already")));
        }
        self.line.follow(bound.token().id, id);
        let conditions = request.map(|request| {
            let token = bound.token();
            let device = request.borrow().device_of(token);
            let counters = self.registry.fact_epochs().of(token.bearer(), device);
            self.line.follow_facts(counters, id);
            (request, counters)
        });
        let follow = Follow {
            bound,
            asked: route.asked,
            requirement: Arc::clone(&route.requirement),
            acr: Arc::clone(&route.acr),
            number,
            route: Arc::clone(&route.scopes.name),
            conditions,
            may_rest_on_used: true,
            narrowed: None,
            review_at_ms: None,
            was_active: false,
            point: None,
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
            if let Some((_, counters)) = follow.conditions {
                self.line.unfollow_facts(counters, id);
            }
            if let Some(at_ms) = follow.review_at_ms {
                self.due.remove(&(at_ms, id));
            }
            self.metrics.follows_open.dec();
        }
    }

    /// Judges the follows that are marked or due.
    pub(super) fn review(&mut self, now_ms: u64, answers: &mut Answers) {
        let marked = self.line.notifier().take();
        // Before the others: what is judged again below may have moved on by then.
        for id in marked.follows {
            self.judge(id, Occasion::Changed, None, now_ms, answers);
        }
        let reviewed: Vec<u32> = match marked.all {
            true => self.open.keys().copied().collect(),
            // One that is due stays due until it is judged: judging moves it on, or ends it.
            false => self.due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).map(|(_, id)| *id).collect(),
        };
        for id in reviewed {
            self.judge(id, Occasion::Reviewed, None, now_ms, answers);
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
        let on_route = self.on_table.as_ref().and_then(|(on, routes)| Some((on, routes.route(follow.number).ok()?)));
        let conditions = on_route
            .zip(follow.conditions.as_ref())
            .map(|((on, route), (request, _))| on.asking(follow.number, &route.facts, request.borrow()));
        let required = Required { scopes: Some(&follow.requirement), acr: &follow.acr, once, conditions };
        // It is never bound again: it follows this session to its end, and none that may come in its place.
        let answer = follow.bound.answer(&self.registry, asked, required, now_ms);
        if let Some(condition) = &answer.condition {
            // What is released is judged again and again.
            if condition.mode == Mode::Enforce || occasion == Occasion::Entered {
                self.metrics.conditions.refused(&condition.refused, condition.mode);
            }
            follow.bound.report_condition(condition, &follow.route, &self.audit, now_ms);
        }
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
        let left_ms = [verdict.remaining_ms, verdict.idle_ms, answer.again_in_ms].into_iter().flatten().min();
        let asks_at_ms = self.consult(id, occasion, now_ms, answers);
        let left_at_ms = left_ms.map(|left_ms| now_ms.saturating_add(left_ms));
        self.put_off(id, [left_at_ms, asks_at_ms].into_iter().flatten().min());
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
            if let Some((_, counters)) = follow.conditions {
                self.line.unfollow_facts(counters, id);
            }
            self.metrics.follows_open.dec();
        }
    }
}

#[cfg(test)]
mod tests;
