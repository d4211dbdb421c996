//! Sends questions to the session service on one stream, in groups, each with a deadline.
//!
//! While a message is in flight, new questions wait and are sent together when its answer arrives (group commit). When
//! the stream is lost, unanswered questions are asked once more on the next one if their deadline allows. On the same
//! stream, the service follows the sessions of open requests.

mod connection;
mod leasing;
mod peer;
mod wire_form;

use super::{
    follows::{Announcement, FollowId, Follows},
    handle::HandleDigest,
    leases::{Farewell, Leases},
    principal::{Handle, Principal},
    question::{Question, Verdict},
    redemptions::{Redeemed, Redemptions},
    session_memory::Known,
    upstream_token::{UpstreamToken, UpstreamTokens},
    usage::Usage,
};
use crate::{map::HashMap, time::Monotonic, token::dpop::NonceKey, wire};
pub use connection::Act;
use connection::Connection;
use leasing::Wanted;
use peer::Peers;
pub use peer::{Lack, PeerNews};
use prost::Message;
use std::collections::VecDeque;
use wire_form::Minting;

/// The maximum number of unanswered questions per worker; further questions get no verdict.
const QUESTIONS_MAX: usize = 65_536;

/// The maximum number of questions in one message, which also bounds the size of its answer.
const GROUP_QUESTIONS_MAX: usize = 4_096;

/// The maximum size of a message in bytes, exceeded by at most one question with its token: a service limits what it
/// reads.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// The maximum size of a service's message in bytes; a larger one is invalid.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The longest URL that a service can have clients shown, in bytes.
const REQUESTS_URL_BYTES_MAX: usize = 2_048;

/// How often one question is sent at most.
const TRIES_MAX: u8 = 2;

/// A question that is settled, with or without a verdict.
#[derive(Debug)]
pub(super) struct Settled {
    /// The request that waits for it.
    pub context: u32,
    /// The session service's verdict, if any.
    pub verdict: Option<Verdict>,
    /// The token for the upstream that came with it.
    pub token: Option<UpstreamToken>,
    /// How long the request has waited.
    pub waited_ms: u64,
}

/// The result of a message from the service.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Questions that are settled.
    pub settled: Vec<Settled>,
    /// New verdicts on followed sessions; `None` where the service cannot tell.
    pub followed: Vec<(FollowId, Option<Verdict>)>,
    /// What has become of handles.
    pub redeemed: Vec<(HandleDigest, Redeemed)>,
}

/// The stream client of one worker.
#[derive(Debug)]
pub(super) struct StreamClient {
    hello: wire::Hello,
    /// Whether a service that sends no beats is of no use.
    needs_beats: bool,
    /// Where people ask for approvals, as the service of the current stream says.
    requests_url: Option<String>,
    /// What nonces are made with, as the service of the current stream says.
    nonces: Option<NonceKey>,
    timeout_ms: u64,
    connection: Connection,
    next_handle: u32,
    next_id: u32,
    /// Questions that are yet to be sent, oldest first. A withdrawn one stays in the queue until its turn.
    waiting: VecDeque<u32>,
    /// Every question without a verdict.
    open: HashMap<u32, Open>,
    /// Ids by deadline, oldest first: all questions have the same timeout.
    deadlines: VecDeque<(Monotonic, u32)>,
    forgotten: Vec<u32>,
    /// When the last message of the service arrived, if there was one.
    heard_at: Option<Monotonic>,
    /// Whether the service of the current stream decides by conditions; `None` before the first one has said so.
    conditions: Option<bool>,
    /// Whether the service of the current stream sends beats when it has nothing else to send.
    beats: bool,
    peers: Peers,
    /// Whether some rule cannot do without a token for its upstream.
    needs_tokens: bool,
    /// Whether the service of the current stream mints tokens for upstreams.
    mints: bool,
    tokens: UpstreamTokens,
    /// What is yet to be reported; `None` if the service of the current stream does not count it.
    usage: Option<Box<Usage>>,
    /// Whether the service of the current stream gives leases.
    gives_leases: bool,
    /// How often leases are renewed; 0 if no rule has any.
    period_ms: u64,
    leases: Leases,
    /// Take-backs that are carried out, each with its stream, and that the service does not know of yet.
    taken_back: Vec<(u32, u32)>,
    /// The handles of browsers; `None` where the policy does not read any.
    redemptions: Option<Box<Redemptions>>,
    /// What the service of the stream that is being replaced is yet to be told about its leases.
    farewell: Option<Farewell>,
}

#[derive(Debug)]
struct Open {
    context: u32,
    asked_at: Monotonic,
    question: Question,
    /// How often it was sent, and the stream that it was last sent on.
    tries: u8,
    stream: Option<u32>,
    /// The token for the upstream that it said it holds when it was sent.
    held: Option<UpstreamToken>,
    /// The lease that it asked for when it was sent.
    lease: Option<Wanted>,
}

impl Open {
    fn settle(self, verdict: Option<Verdict>, token: Option<UpstreamToken>, now: Monotonic) -> Settled {
        Settled { context: self.context, verdict, token, waited_ms: now.since(self.asked_at) }
    }
}

impl StreamClient {
    /// A client without a stream. `seed` distinguishes workers, so that they do not reconnect in step.
    pub(super) fn new(hello: wire::Hello, needs_beats: bool, timeout_ms: u64, seed: u64) -> Self {
        Self {
            period_ms: leasing::period_ms(&hello),
            hello,
            needs_beats,
            requests_url: None,
            nonces: None,
            timeout_ms,
            connection: Connection::new(timeout_ms, seed),
            next_handle: 0,
            next_id: 0,
            waiting: VecDeque::new(),
            open: HashMap::default(),
            deadlines: VecDeque::new(),
            forgotten: Vec::new(),
            heard_at: None,
            conditions: None,
            beats: false,
            peers: Peers::default(),
            needs_tokens: false,
            mints: false,
            tokens: UpstreamTokens::default(),
            usage: Some(Box::default()),
            gives_leases: false,
            leases: Leases::default(),
            taken_back: Vec::new(),
            redemptions: None,
            farewell: None,
        }
    }

    /// The same, where a service that mints no tokens for upstreams is of no use.
    pub(super) fn needing_tokens(self, needs_tokens: bool) -> Self {
        Self { needs_tokens, ..self }
    }

    /// The same, where browsers show handles.
    pub(super) fn redeeming(self, redemptions: Option<Redemptions>) -> Self {
        Self { redemptions: redemptions.map(Box::new), ..self }
    }

    /// The handles of browsers; `None` where the policy does not read any.
    pub(super) fn redemptions(&mut self) -> Option<&mut Redemptions> {
        self.redemptions.as_deref_mut()
    }

    /// Whether it would be futile to ask anything.
    pub(super) fn is_out(&self) -> bool {
        self.connection.is_out()
    }

    /// Names the proxy in tokens for upstreams, unless the policy does.
    pub(super) fn name_workload(&mut self, name: &str) {
        if self.hello.workload.is_empty() {
            self.hello.workload = name.to_owned();
        }
    }

    /// The token for the upstream with which a request can be released without a verdict.
    pub(super) fn recall_token(
        &mut self,
        question: &Question,
        known: &Known,
        wall_ms: Option<u64>,
    ) -> Option<UpstreamToken> {
        self.tokens.recall(question, known, &self.hello, wall_ms)
    }

    /// Where people ask for approvals, as the service of the current stream says.
    pub(super) fn requests_url(&self) -> Option<&str> {
        self.requests_url.as_deref()
    }

    /// What nonces are made with, as the service of the current stream says.
    pub(super) const fn nonces(&self) -> Option<&NonceKey> {
        self.nonces.as_ref()
    }

    /// Whether to collect what conditions want to know. It is for whichever service reads the question first.
    pub(super) fn wants_facts(&self) -> bool {
        self.conditions != Some(false)
    }

    /// Where requests are counted that need no question; `None` if nobody wants to know.
    pub(super) fn usage(&mut self) -> Option<&mut Usage> {
        self.usage.as_deref_mut()
    }

    /// Takes a question; returns false if it is already known that there will be no verdict.
    pub(super) fn ask(&mut self, context: u32, question: Question, now: Monotonic) -> bool {
        if self.connection.is_out() || self.open.len() >= QUESTIONS_MAX {
            return false;
        }
        // Ids wrap after four billion questions; one that is still in use is skipped.
        while self.open.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.open
            .insert(id, Open { context, asked_at: now, question, tries: 0, stream: None, held: None, lease: None });
        self.waiting.push_back(id);
        self.deadlines.push_back((now.after(self.timeout_ms), id));
        true
    }

    /// The request has gone and needs no answer.
    pub(super) fn withdraw(&mut self, context: u32) {
        let leases = &mut self.leases;
        self.open.retain(|_, open| {
            let is_needed = open.context != context;
            if let (false, Some(wanted)) = (is_needed, open.lease) {
                leases.abandon(wanted.id);
            }
            is_needed
        });
    }

    /// The token has left the cache. Its handle is released after the last question that needs it.
    pub(super) fn retire(&mut self, principal: &Principal) {
        principal.retired.set(true);
        self.drop_leases_of(principal);
        let waits =
            self.open.values().any(|open| open.tries == 0 && std::ptr::eq(&*open.question.principal, principal));
        let handle = principal.handle.get().filter(|handle| Some(handle.stream) == self.connection.current());
        if !waits && let Some(handle) = handle {
            principal.handle.set(None);
            self.forgotten.push(handle.number);
        }
    }

    /// Whether a question or the stream waits for a deadline.
    pub(super) fn is_busy(&self) -> bool {
        let waits = self.redemptions.as_ref().is_some_and(|redemptions| redemptions.is_busy());
        waits || !self.open.is_empty() || !self.connection.is_settled()
    }

    /// Whether a service is connected.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_ready()
    }

    /// The next action on the stream, if any. Call until it returns `None`.
    pub(super) fn act(&mut self, follows: &mut Follows, now: Monotonic) -> Option<Act> {
        self.connection.act(now, &self.hello).or_else(|| self.send(follows, now))
    }

    /// The next message to send, if any: the only kind of [`StreamClient::act`] that is possible inside a request's
    /// callback.
    pub(super) fn send(&mut self, follows: &mut Follows, now: Monotonic) -> Option<Act> {
        self.keep_leases_to_stream();
        if let Some(act) = self.send_what_is_owed() {
            return Some(act);
        }
        let stream = self.connection.current()?;
        let mut message = wire::FilterMessage::default();
        if self.connection.is_free() {
            self.put_questions(stream, &mut message, now);
        }
        if !message.questions.is_empty() {
            self.connection.sent(now);
        }
        self.put_follows(follows, stream, &mut message, now);
        if let Some(redemptions) = &mut self.redemptions {
            redemptions.put(stream, &mut message);
        }
        if let Some(usage) = self.usage.as_mut().filter(|usage| usage.is_due(now)) {
            message.uses = usage.take(now);
        }
        message.renewal = self.leases.renewal(self.period_ms, now);
        let is_empty = message == wire::FilterMessage::default();
        message.forgotten.append(&mut self.forgotten);
        (!is_empty).then(|| Act::Send { stream, message: message.encode_to_vec() })
    }

    /// The result of [`Act::Open`]: a stream, or `None`.
    pub(super) fn opened(&mut self, stream: Option<u32>, now: Monotonic) {
        self.connection.opened(stream, now);
    }

    /// Handles a message of the service. Bytes that cannot be decoded end the stream.
    pub(super) fn message(&mut self, stream: u32, bytes: &[u8], follows: &mut Follows, now: Monotonic) -> Received {
        let mut received = Received::default();
        if !self.connection.knows(stream) {
            return received;
        }
        let message = if bytes.len() <= MESSAGE_BYTES_MAX { wire::ServiceMessage::decode(bytes).ok() } else { None };
        let Some(message) = message else {
            self.connection.broken(stream, now);
            received.settled = self.reask(stream, now);
            return received;
        };
        let can =
            |what: &str| message.welcome.as_ref().map(|welcome| welcome.capabilities.iter().any(|name| name == what));
        let (beats, counts, conditions) = (can(wire::BEAT), can(wire::USAGE), can(wire::CONDITIONS));
        let lacks = match () {
            () if self.needs_beats && beats == Some(false) => Some(Lack::Beats),
            // It would take a token's word for what somebody has to approve.
            () if !self.hello.approvals.is_empty() && can(wire::APPROVALS) == Some(false) => Some(Lack::Approvals),
            // It would take a proof for a new one that was used before.
            () if self.hello.capabilities.iter().any(|name| name == wire::PROOFS)
                && can(wire::PROOFS) == Some(false) =>
            {
                Some(Lack::Proofs)
            }
            // It would have the routes refuse all requests.
            () if self.needs_tokens && can(wire::UPSTREAM_TOKENS) == Some(false) => Some(Lack::UpstreamTokens),
            // It would have every browser refused.
            () if self.redemptions.is_some() && can(wire::COOKIES) == Some(false) => Some(Lack::Cookies),
            () => None,
        };
        let (mints, gives_leases) = (can(wire::UPSTREAM_TOKENS), can(wire::LEASES));
        if let Some(lack) = lacks {
            self.peers.refuse(message.welcome.unwrap_or_default(), lack);
            self.connection.broken(stream, now);
            received.settled = self.reask(stream, now);
            return received;
        }
        self.heard_at = Some(now);
        if self.connection.received(stream, &message, now) {
            self.start_over(follows);
            self.beats = beats == Some(true);
            self.conditions = Some(conditions == Some(true));
            self.mints = mints == Some(true);
            self.gives_leases = gives_leases == Some(true);
            // What was counted before is for whichever service wants to know it.
            self.usage = if counts == Some(true) { Some(self.usage.take().unwrap_or_default()) } else { None };
            let welcome = message.welcome.unwrap_or_default();
            self.nonces = NonceKey::read(&welcome.nonce_key);
            self.requests_url = Some(welcome.requests_url.clone()).filter(|url| is_url(url));
            self.peers.note(welcome, self.period_ms > 0);
        }
        self.keep_leases_to_stream();
        let (renewed, take_backs) = (message.renewed, message.take_backs);
        for verdict in message.verdicts {
            // An unknown id belongs to a question that timed out or whose request has gone.
            if let Some(open) = self.open.remove(&verdict.id) {
                let minted = verdict.upstream_token.clone();
                let terms = self.lease_terms(&open, &verdict);
                let verdict = wire_form::read(verdict, &open.question.principal);
                self.settle_lease(&open, terms, verdict.as_ref(), now);
                let token = self.note(&open, verdict.as_ref(), minted);
                received.settled.push(open.settle(verdict, token, now));
            }
        }
        // A stream being replaced can still report on follows that were already announced on the current stream.
        for verdict in message.followed {
            let id = FollowId(verdict.id);
            let session_ends_at = verdict.remaining_ms.map(|remaining_ms| now.after(remaining_ms));
            // A follow that has ended meanwhile has no requests left.
            let Some(principal) = follows.principal(id) else { continue };
            let verdict = wire_form::read(verdict, principal);
            // That it cannot tell is about its own store, and the current one follows them.
            if verdict.is_none() && self.connection.current() != Some(stream) {
                continue;
            }
            match &verdict {
                Some(Verdict::Ended(refusal)) => {
                    if refusal.code.refuses_session() {
                        self.tokens.forget(principal);
                    }
                    self.drop_leases_of(principal);
                    follows.note_end(id, session_ends_at);
                }
                Some(Verdict::Active(_)) => follows.note_end(id, session_ends_at),
                None => follows.announce_later(id, now),
            }
            received.followed.push((id, verdict));
        }
        for wire::Redeemed { id, outcome, token, renew_ms } in message.redeemed {
            let redeemed = wire_form::redeemed(outcome, token);
            let redemptions = self.redemptions.as_mut();
            let handle = redemptions.and_then(|all| all.redeemed(stream, id, &redeemed, renew_ms, now));
            received.redeemed.extend(handle.map(|handle| (handle, redeemed)));
        }
        self.renew_and_take_back(stream, renewed, &take_backs, now);
        self.part_unless_owed();
        received
    }

    /// What a verdict says about tokens for the upstream. Returns the one that it brings or names.
    fn note(
        &mut self,
        open: &Open,
        verdict: Option<&Verdict>,
        minted: Option<wire::MintedToken>,
    ) -> Option<UpstreamToken> {
        match verdict? {
            Verdict::Active(narrowed) => {
                let asked = (&open.question, open.held.clone());
                self.tokens.receive(minted?, asked, narrowed.as_ref(), &self.hello)
            }
            Verdict::Ended(refusal) => {
                if refusal.code.refuses_session() {
                    self.tokens.forget(&open.question.principal);
                }
                None
            }
        }
    }

    /// Closes the stream being replaced once no question or handle waits for an answer on it, and its service knows about its
    /// leases.
    fn part_unless_owed(&mut self) {
        if let Some(leaving) = self.connection.leaving()
            && self.farewell.as_ref().is_none_or(|farewell| farewell.stream != leaving)
            && !self.open.values().any(|open| open.stream == Some(leaving))
            && !self.redemptions.as_ref().is_some_and(|redemptions| redemptions.are_owed(leaving))
        {
            self.connection.part();
        }
    }

    /// Another stream becomes the current one: the service there knows no token, follows nothing and has given no lease.
    fn start_over(&mut self, follows: &mut Follows) {
        self.leave_leases();
        self.next_handle = 0;
        self.forgotten.clear();
        follows.announce_all();
    }

    /// The peer or Envoy closed the stream. Returns the questions that have no attempts left.
    pub(super) fn closed(&mut self, stream: u32, now: Monotonic) -> Vec<Settled> {
        if !self.connection.knows(stream) {
            return Vec::new();
        }
        self.connection.lost(stream, now);
        self.reask(stream, now)
    }

    /// What the services of this worker have said about themselves since the last call.
    pub(super) fn take_news(&mut self) -> Vec<PeerNews> {
        self.peers.take_news()
    }

    /// Whether the service has been silent for longer than open requests can continue without it. An open stream that
    /// has been silent for that long is abandoned: a peer can disappear without closing its connection.
    pub(super) fn is_lease_over(&mut self, now: Monotonic) -> bool {
        let lease_ms = self.hello.stream_lease_ms;
        let is_over = self.heard_at.is_some_and(|heard_at| now.since(heard_at) >= lease_ms);
        match self.connection.current() {
            Some(_) if !self.beats || !is_over => false,
            Some(stream) => {
                self.leave_silent(stream, now);
                true
            }
            None => is_over,
        }
    }

    /// Removes the questions whose deadline has passed. Must be called on each tick.
    pub(super) fn expire(&mut self, now: Monotonic) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some((deadline, id)) = self.deadlines.front().copied()
            && (deadline <= now || !self.open.contains_key(&id))
        {
            self.deadlines.pop_front();
            // The id can have been reused since then; its new question has a deadline entry of its own.
            if self.open.get(&id).is_some_and(|open| open.asked_at.after(self.timeout_ms) <= now)
                && let Some(open) = self.open.remove(&id)
            {
                open.lease.inspect(|wanted| self.leases.abandon(wanted.id));
                settled.push(open.settle(None, None, now));
            }
        }
        if let Some(stream) = self.connection.stalled(now) {
            self.leave_silent(stream, now);
            settled.extend(self.reask(stream, now));
        }
        self.end_lingering(now);
        self.part_unless_owed();
        settled
    }

    /// Puts unanswered questions of a lost stream back at the front of the queue, if they have an attempt left. Handles are asked
    /// about again as well.
    fn reask(&mut self, stream: u32, now: Monotonic) -> Vec<Settled> {
        if let Some(redemptions) = &mut self.redemptions {
            redemptions.lost(stream);
        }
        let sent = self.open.iter_mut().filter(|(_, open)| open.stream == Some(stream));
        let mut sent: Vec<u32> = sent
            .map(|(id, open)| {
                open.stream = None;
                open.lease.take().inspect(|wanted| self.leases.abandon(wanted.id));
                *id
            })
            .collect();
        sent.sort_unstable_by_key(|id| self.open.get(id).map(|open| open.asked_at));
        let (again, spent): (Vec<u32>, Vec<u32>) =
            sent.into_iter().partition(|id| self.open.get(id).is_some_and(|open| open.tries < TRIES_MAX));
        for id in again.into_iter().rev() {
            self.waiting.push_front(id);
        }
        spent.iter().filter_map(|id| self.open.remove(id)).map(|open| open.settle(None, None, now)).collect()
    }

    /// Adds the next group of questions, and the tokens that they are the first to refer to.
    fn put_questions(&mut self, stream: u32, message: &mut wire::FilterMessage, now: Monotonic) {
        let mut retired = Vec::new();
        let mut bytes = 0;
        let asks_facts = self.conditions == Some(true);
        while message.questions.len() < GROUP_QUESTIONS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some(id) = self.waiting.pop_front()
        {
            let Some(open) = self.open.get_mut(&id) else { continue };
            open.tries = open.tries.saturating_add(1);
            open.stream = Some(stream);
            open.held = if self.mints { self.tokens.held(&open.question, &self.hello) } else { None };
            let minting = self.mints.then(|| Minting { held: open.held.as_ref().map(UpstreamToken::id) });
            let Question { rule, principal, attributes, proof, .. } = open.question.clone();
            let described = message.tokens.len();
            let token = self.handle(&principal, stream, message);
            let facts_of = asks_facts.then_some(&*principal);
            let lease = if proof.is_none() { self.want_lease(&principal, (token, rule), now) } else { None };
            let question = wire_form::question(id, token, rule, &attributes, facts_of, proof, minting);
            let question = wire::Question { lease: lease.map(Wanted::number), ..question };
            if let (Some(_), Some(open)) = (lease, self.open.get_mut(&id)) {
                open.lease = lease;
            }
            bytes += message.tokens.iter().skip(described).map(Message::encoded_len).sum::<usize>();
            bytes += question.encoded_len();
            message.questions.push(question);
            if principal.retired.get() {
                retired.push(principal);
            }
        }
        // Tokens that left the cache while their question waited. The service forgets a token only after it has read
        // the questions.
        retired.iter().for_each(|principal| self.retire(principal));
    }

    /// Adds what has changed about open requests.
    fn put_follows(&mut self, follows: &mut Follows, stream: u32, message: &mut wire::FilterMessage, now: Monotonic) {
        follows.announce_the_postponed(now);
        let mut bytes = message.tokens.iter().map(Message::encoded_len).sum::<usize>();
        while message.follows.len() < GROUP_QUESTIONS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some(Announcement { id, principal, rule, about }) = follows.next_unannounced()
        {
            let described = message.tokens.len();
            let token = self.handle(&principal, stream, message);
            bytes += message.tokens.iter().skip(described).map(Message::encoded_len).sum::<usize>();
            let about = about.as_deref().filter(|_| self.conditions == Some(true));
            let follow = wire_form::follow(id, token, rule, about, &principal);
            bytes += follow.encoded_len();
            message.follows.push(follow);
            if principal.retired.get() {
                self.retire(&principal);
            }
        }
        follows.put_changes(message, now);
    }

    /// The token's handle on this stream. A token without one is assigned one and described in `message`.
    fn handle(&mut self, principal: &Principal, stream: u32, message: &mut wire::FilterMessage) -> u32 {
        if let Some(handle) = principal.handle.get().filter(|handle| handle.stream == stream) {
            return handle.number;
        }
        let number = self.next_handle;
        self.next_handle = number.wrapping_add(1);
        let mut token = principal.facts.to_wire(number);
        if let (Some(true), Some(facts)) = (self.conditions, &principal.facts.conditions) {
            facts.put(&mut token);
        }
        message.tokens.push(token);
        principal.handle.set(Some(Handle { stream, number }));
        number
    }
}

/// Whether a text of the service can be shown to clients as the beginning of a URL.
fn is_url(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web && text.len() <= REQUESTS_URL_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
