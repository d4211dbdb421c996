//! The desk: questions to the session service, on one stream, in groups, with their deadlines.
//!
//! While a message is on its way, new questions wait and leave together when its answer arrives (group commit). When
//! the stream is lost, what is unanswered is asked once more on the next one while its deadline allows. On the same stream,
//! the service follows the sessions of open requests.

mod connection;
mod follows;

use super::{
    principal::{Handle, Principal},
    request::{Question, Verdict},
};
use crate::{answer::Code, map::HashMap, route::RuleId, wire};
pub use connection::Act;
use connection::Connection;
pub(super) use follows::FollowId;
use follows::Follows;
use prost::Message;
use std::{collections::VecDeque, rc::Rc};

/// Questions without a verdict that one worker holds at most; beyond, there is none.
const QUESTIONS_MAX: usize = 65_536;

/// Questions in one message at most, which also bounds the answer to it.
const GROUP_QUESTIONS_MAX: usize = 4_096;

/// Bytes of tokens that one message describes, at most and one token more: a service bounds what it reads.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// A message of the service that is larger than this is no answer.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Times that one question is put on a stream at most.
const TRIES_MAX: u8 = 2;

/// A question that left the desk, answered or not.
#[derive(Debug)]
pub struct Settled {
    /// The request that waits for it.
    pub context: u32,
    /// The session service's word, or none.
    pub verdict: Option<Verdict>,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// What a message of the service comes to.
#[derive(Debug, Default)]
pub struct Heard {
    /// Questions that left the desk.
    pub settled: Vec<Settled>,
    /// News of followed sessions.
    pub followed: Vec<(FollowId, Verdict)>,
}

/// The desk of one worker.
#[derive(Debug)]
pub struct StreamClient {
    hello: wire::Hello,
    timeout_ms: u64,
    link: Connection,
    follows: Follows,
    next_handle: u32,
    next_id: u32,
    /// Questions that are yet to be sent, oldest first. A withdrawn one stays here until its turn.
    waiting: VecDeque<u32>,
    /// Every question without a verdict.
    open: HashMap<u32, Open>,
    /// Ids by deadline, oldest first: all questions may take equally long.
    deadlines: VecDeque<(u64, u32)>,
    forgotten: Vec<u32>,
}

#[derive(Debug)]
struct Open {
    context: u32,
    asked_at_ms: u64,
    question: Question,
    /// How often it was sent, and the stream that it was last sent on.
    tries: u8,
    stream: Option<u32>,
}

impl Open {
    fn settle(self, verdict: Option<Verdict>, now_ms: u64) -> Settled {
        Settled { context: self.context, verdict, waited_ms: now_ms.saturating_sub(self.asked_at_ms) }
    }
}

impl StreamClient {
    /// A desk without a stream. `seed` tells workers apart, so that they do not reconnect in step.
    pub fn new(hello: wire::Hello, timeout_ms: u64, seed: u64) -> Self {
        Self {
            hello,
            timeout_ms,
            link: Connection::new(timeout_ms, seed),
            follows: Follows::default(),
            next_handle: 0,
            next_id: 0,
            waiting: VecDeque::new(),
            open: HashMap::default(),
            deadlines: VecDeque::new(),
            forgotten: Vec::new(),
        }
    }

    /// Takes a question; false when it is already known that there will be no verdict.
    pub fn ask(&mut self, context: u32, question: Question, now_ms: u64) -> bool {
        if self.link.is_out() || self.open.len() >= QUESTIONS_MAX {
            return false;
        }
        // Ids wrap after four billion questions; one that is still open is passed over.
        while self.open.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.open.insert(id, Open { context, asked_at_ms: now_ms, question, tries: 0, stream: None });
        self.waiting.push_back(id);
        self.deadlines.push_back((now_ms.saturating_add(self.timeout_ms), id));
        true
    }

    /// The request has gone: nobody waits for its answer.
    pub fn withdraw(&mut self, context: u32) {
        self.open.retain(|_, open| open.context != context);
    }

    /// The token has left the cache: its handle is forgotten after the last question that needs it.
    pub fn retire(&mut self, principal: &Principal) {
        principal.retired.set(true);
        let waits =
            self.open.values().any(|open| open.tries == 0 && std::ptr::eq(&*open.question.principal, principal));
        let handle = principal.handle.get().filter(|handle| Some(handle.stream) == self.link.current());
        if !waits && let Some(handle) = handle {
            principal.handle.set(None);
            self.forgotten.push(handle.number);
        }
    }

    /// Whether a question or the stream waits for a deadline.
    pub fn is_busy(&self) -> bool {
        !self.open.is_empty() || !self.link.is_settled()
    }

    /// Whether the session service listens.
    pub fn is_connected(&self) -> bool {
        self.link.is_ready()
    }

    /// What is to be done about the stream now, if anything. Ask until there is nothing.
    pub fn act(&mut self, now_ms: u64) -> Option<Act> {
        self.link.act(now_ms, &self.hello).or_else(|| self.send(now_ms))
    }

    /// What is to be told to the service now: what of [`StreamClient::act`] can be done in the course of a request.
    pub fn send(&mut self, now_ms: u64) -> Option<Act> {
        let stream = self.link.current()?;
        let mut message = wire::FilterMessage::default();
        if self.link.is_free() {
            self.put_questions(stream, &mut message);
        }
        if !message.questions.is_empty() {
            self.link.sent(now_ms);
        }
        self.put_follows(stream, &mut message, now_ms);
        let is_empty = message == wire::FilterMessage::default();
        message.forgotten.append(&mut self.forgotten);
        (!is_empty).then(|| Act::Send { stream, message: message.encode_to_vec() })
    }

    /// What came of [`Act::Open`]: a stream, or none.
    pub fn opened(&mut self, stream: Option<u32>, now_ms: u64) {
        self.link.opened(stream, now_ms);
    }

    /// A message of the service. Bytes that are no such message end the stream.
    pub fn message(&mut self, stream: u32, bytes: &[u8], now_ms: u64) -> Heard {
        let mut heard = Heard::default();
        if !self.link.knows(stream) {
            return heard;
        }
        let message = if bytes.len() <= MESSAGE_BYTES_MAX { wire::ServiceMessage::decode(bytes).ok() } else { None };
        let Some(message) = message else {
            self.link.broken(stream, now_ms);
            heard.settled = self.reask(stream, now_ms);
            return heard;
        };
        if self.link.heard(stream, &message, now_ms) {
            self.start_over();
        }
        for verdict in message.verdicts {
            // An unknown id is a question that ran out of time, or whose request has gone.
            if let Some(open) = self.open.remove(&verdict.id) {
                heard.settled.push(open.settle(read(verdict).map(|(verdict, _)| verdict), now_ms));
            }
        }
        // A stream that is being left may still tell of follows that the current one has been told of as well.
        for verdict in message.followed {
            let id = FollowId(verdict.id);
            if let Some((verdict, remaining_ms)) = read(verdict) {
                self.follows.note_end(id, remaining_ms.map(|remaining_ms| now_ms.saturating_add(remaining_ms)));
                heard.followed.push((id, verdict));
            }
        }
        heard
    }

    /// Another stream is the current one: the service there knows no token and follows nothing.
    fn start_over(&mut self) {
        self.next_handle = 0;
        self.forgotten.clear();
        self.follows.tell_all();
    }

    /// The stream was closed by the peer or by Envoy. Returns the questions that have been tried often enough.
    pub fn closed(&mut self, stream: u32, now_ms: u64) -> Vec<Settled> {
        if !self.link.knows(stream) {
            return Vec::new();
        }
        self.link.lost(stream, now_ms);
        self.reask(stream, now_ms)
    }

    /// Has the service follow a session for an open request of `principal` on `rule`.
    pub fn follow(&mut self, context: u32, principal: &Rc<Principal>, rule: RuleId, outlives_token: bool) -> FollowId {
        self.follows.join(context, principal, rule, outlives_token)
    }

    /// The follows whose limits have passed. To be called on each tick.
    pub fn overdue(&mut self, now_ms: u64) -> Vec<(FollowId, Code)> {
        self.follows.overdue(now_ms)
    }

    /// An open request has ended.
    pub fn unfollow(&mut self, id: FollowId, context: u32) {
        self.follows.leave(id, context);
    }

    /// Bytes have passed in an open request.
    pub fn note_activity(&mut self, id: FollowId) {
        self.follows.note_activity(id);
    }

    /// The open requests of a follow.
    pub fn followers(&self, id: FollowId) -> Vec<u32> {
        self.follows.contexts(id)
    }

    /// Ends a follow; its requests are returned.
    pub fn end_follow(&mut self, id: FollowId) -> Vec<u32> {
        self.follows.end(id)
    }

    /// Takes out the questions whose time is up. To be called on each tick.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some((deadline_ms, id)) = self.deadlines.front().copied()
            && (deadline_ms <= now_ms || !self.open.contains_key(&id))
        {
            self.deadlines.pop_front();
            // The id may have been given again since: then another deadline stands for it.
            if self.open.get(&id).is_some_and(|open| open.asked_at_ms.saturating_add(self.timeout_ms) <= now_ms)
                && let Some(open) = self.open.remove(&id)
            {
                settled.push(open.settle(None, now_ms));
            }
        }
        if let Some(stream) = self.link.stalled(now_ms) {
            self.link.broken(stream, now_ms);
            settled.extend(self.reask(stream, now_ms));
        }
        settled
    }

    /// What was sent on a lost stream and not answered goes back to the front of the queue, if it has a try left.
    fn reask(&mut self, stream: u32, now_ms: u64) -> Vec<Settled> {
        let sent = self.open.iter_mut().filter(|(_, open)| open.stream == Some(stream));
        let mut sent: Vec<u32> = sent
            .map(|(id, open)| {
                open.stream = None;
                *id
            })
            .collect();
        sent.sort_unstable_by_key(|id| self.open.get(id).map(|open| open.asked_at_ms));
        let (again, spent): (Vec<u32>, Vec<u32>) =
            sent.into_iter().partition(|id| self.open.get(id).is_some_and(|open| open.tries < TRIES_MAX));
        for id in again.into_iter().rev() {
            self.waiting.push_front(id);
        }
        spent.iter().filter_map(|id| self.open.remove(id)).map(|open| open.settle(None, now_ms)).collect()
    }

    /// The next group of questions, with the tokens that they are the first to name.
    fn put_questions(&mut self, stream: u32, message: &mut wire::FilterMessage) {
        let mut retired = Vec::new();
        let mut bytes = 0;
        while message.questions.len() < GROUP_QUESTIONS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some(id) = self.waiting.pop_front()
        {
            let Some(open) = self.open.get_mut(&id) else { continue };
            open.tries = open.tries.saturating_add(1);
            open.stream = Some(stream);
            let Question { rule, principal, attributes } = open.question.clone();
            let described = message.tokens.len();
            let token = self.handle(&principal, stream, message);
            bytes += message.tokens.iter().skip(described).map(Message::encoded_len).sum::<usize>();
            if principal.retired.get() {
                retired.push(principal);
            }
            message.questions.push(wire::Question {
                id,
                token,
                route: wire_route(rule),
                method: attributes.method.clone(),
                client_address: attributes.client_address.clone(),
                user_agent_digest: attributes.user_agent_digest,
            });
        }
        // What left the cache while its question waited: a service forgets after it has read the questions.
        retired.iter().for_each(|principal| self.retire(principal));
    }

    /// What has changed about open requests.
    fn put_follows(&mut self, stream: u32, message: &mut wire::FilterMessage, now_ms: u64) {
        let mut bytes = message.tokens.iter().map(Message::encoded_len).sum::<usize>();
        while message.follows.len() < GROUP_QUESTIONS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some((id, principal, rule)) = self.follows.next_untold()
        {
            let described = message.tokens.len();
            let token = self.handle(&principal, stream, message);
            bytes += message.tokens.iter().skip(described).map(Message::encoded_len).sum::<usize>();
            message.follows.push(wire::Follow { id: id.0, token, route: wire_route(rule) });
            if principal.retired.get() {
                self.retire(&principal);
            }
        }
        self.follows.put_changes(message, now_ms);
    }

    /// The token's handle on this stream; a token that has none gets one and is described in `message`.
    fn handle(&mut self, principal: &Principal, stream: u32, message: &mut wire::FilterMessage) -> u32 {
        if let Some(handle) = principal.handle.get().filter(|handle| handle.stream == stream) {
            return handle.number;
        }
        let number = self.next_handle;
        self.next_handle = number.wrapping_add(1);
        message.tokens.push(principal.facts.to_wire(number));
        principal.handle.set(Some(Handle { stream, number }));
        number
    }
}

fn wire_route(rule: RuleId) -> u32 {
    u32::try_from(rule.0).unwrap_or(u32::MAX)
}

/// The verdict in the filter's words, and how long the session has left; an outcome that is not known is none.
fn read(verdict: wire::Verdict) -> Option<(Verdict, Option<u64>)> {
    let remaining_ms = verdict.remaining_ms;
    let verdict = match wire::Outcome::try_from(verdict.outcome).ok()? {
        wire::Outcome::Unspecified => return None,
        wire::Outcome::Active => Verdict::Active(verdict.narrowed.map(|left| left.scopes.into())),
        wire::Outcome::IdleTimeout => Verdict::Ended(Code::SessionIdleTimeout),
        wire::Outcome::LifetimeExceeded => Verdict::Ended(Code::SessionLifetimeExceeded),
        wire::Outcome::Revoked => Verdict::Ended(Code::SessionRevoked),
        wire::Outcome::UnknownSession => Verdict::Ended(Code::SessionUnknown),
        wire::Outcome::ScopeEscalation => Verdict::Ended(Code::ScopeEscalation),
        wire::Outcome::StepUpRequired => Verdict::Ended(Code::StepUpRequired),
    };
    Some((verdict, remaining_ms))
}

#[cfg(test)]
mod tests;
