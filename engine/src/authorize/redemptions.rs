//! The tokens of handles: those that are known, and those that the session service is being asked for.
//!
//! A handle is asked about once, however many requests wait for its token. Anybody can make handles up, so those of which no
//! token is known have a room of their own, and only an answer with a token makes one known.

mod room;

use super::{
    Refusal,
    bounded_cache::{BoundedCache, Bounds, Weigh},
    handle::HandleDigest,
    principal::allocated,
};
use crate::{time::Monotonic, wire};
use portcullis_contract::bounds::REDEMPTIONS_MAX;
use room::{Kind, Room};
use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// The maximum number of handles of which a worker knows the token.
const HANDLES_MAX: usize = 65_536;

/// How many handles of each kind are asked about at the same time.
const ASKED_MAX: usize = 2_048;

/// How many requests wait for the tokens of handles of each kind, and for that of one handle: a browser has some, and whoever
/// made one up must not take the room of others.
const WAITING_MAX: usize = 4_096;
const WAITING_OF_ONE_MAX: usize = 256;

/// How long an answer is waited for at least, in milliseconds: the service may have to ask the issuer. No request waits that
/// long, but the next one finds the token.
const ANSWER_MS_MAX: u64 = 5_000;

/// When a token that could not be renewed is asked for again, in milliseconds.
const RENEW_AGAIN_MS: u64 = 1_000;

/// How often a handle is asked about because its stream was lost.
const TRIES_MAX: u8 = 2;

/// What has become of a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redeemed {
    /// Its token.
    Token(TokenText),
    /// It is of no use any more.
    Refused(Refusal),
    /// There is no token now.
    Unavailable,
}

/// A token as the session service has given it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(pub(super) Rc<str>);

/// Written by hand because the token is a secret.
impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText")
    }
}

struct Held {
    token: TokenText,
    /// When the next one is asked for.
    renew_at: Cell<Monotonic>,
}

impl Weigh for Held {
    fn bytes(&self) -> usize {
        /// The counters of `Rc`.
        const RC_BYTES: usize = 8;
        size_of::<Self>() + allocated(self.token.0.len() + RC_BYTES)
    }
}

/// A handle that the service is asked about.
#[derive(Debug)]
struct Asked {
    id: u32,
    handle: HandleDigest,
    since: Monotonic,
    kind: Kind,
    /// How often it was sent, and the stream that it was last sent on, unless it has to be sent again.
    tries: u8,
    stream: Option<u32>,
}

/// A request that waits for the token of a handle.
#[derive(Debug)]
struct Waiting {
    context: u32,
    handle: HandleDigest,
    kind: Kind,
    deadline: Monotonic,
}

/// The handles of one worker. What is under way is little, and searched from one end to the other.
pub(super) struct Redemptions {
    held: BoundedCache<HandleDigest, Held>,
    token_bytes_max: usize,
    answer_ms: u64,
    /// By age, oldest first.
    asked: VecDeque<Asked>,
    asked_room: Room,
    next_id: u32,
    /// By the end of the wait, soonest first: all have the same timeout.
    waiting: VecDeque<Waiting>,
    waiting_room: Room,
}

/// Written by hand because tokens are secrets.
impl std::fmt::Debug for Redemptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redemptions")
            .field("asked", &self.asked)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl Redemptions {
    /// No handle is known. `bytes_max`: the memory for their tokens, of which one has at most `token_bytes_max`.
    pub(super) fn new(bytes_max: usize, token_bytes_max: usize, timeout_ms: u64) -> Self {
        Self {
            held: BoundedCache::new(Bounds { bytes: bytes_max, entries: HANDLES_MAX }),
            token_bytes_max,
            answer_ms: timeout_ms.max(ANSWER_MS_MAX),
            asked: VecDeque::new(),
            asked_room: Room::of(ASKED_MAX),
            next_id: 0,
            waiting: VecDeque::new(),
            waiting_room: Room::of(WAITING_MAX),
        }
    }

    /// The last token of a handle. If it is time for the next one, that is asked for.
    pub(super) fn token(&mut self, handle: HandleDigest, now: Monotonic) -> Option<TokenText> {
        let held = self.held.get(&handle)?;
        let (token, is_due) = (held.token.clone(), held.renew_at.get() <= now);
        if is_due {
            self.ask(handle, now);
        }
        Some(token)
    }

    /// Asks for the token of a handle, unless that is being done. Returns false if there is no room.
    pub(super) fn ask(&mut self, handle: HandleDigest, now: Monotonic) -> bool {
        if self.asked.iter().any(|asked| asked.handle == handle) {
            return true;
        }
        let kind = self.kind(handle);
        if !self.asked_room.take(kind) {
            return false;
        }
        // Ids wrap after four billion handles, none of which is still asked about then.
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.asked.push_back(Asked { id, handle, since: now, kind, tries: 0, stream: None });
        true
    }

    fn kind(&mut self, handle: HandleDigest) -> Kind {
        if self.held.get(&handle).is_some() { Kind::Known } else { Kind::Stranger }
    }

    /// A request waits for the token of a handle until its deadline. Returns false if there is no room.
    pub(super) fn wait(&mut self, context: u32, handle: HandleDigest, deadline: Monotonic) -> bool {
        let others = self.waiting.iter().filter(|waiting| waiting.handle == handle).count();
        let kind = self.kind(handle);
        if others >= WAITING_OF_ONE_MAX || !self.waiting_room.take(kind) {
            return false;
        }
        self.waiting.push_back(Waiting { context, handle, kind, deadline });
        true
    }

    /// A request waits no longer.
    pub(super) fn leave(&mut self, context: u32) {
        self.end_waits(&|waiting| waiting.context == context);
    }

    /// The requests that wait for the token of a handle. They do not wait any longer.
    pub(super) fn take_waiting(&mut self, handle: HandleDigest) -> Vec<u32> {
        self.end_waits(&|waiting| waiting.handle == handle)
    }

    /// Ends the waits that are over, and returns their requests.
    fn end_waits(&mut self, is_over: &dyn Fn(&Waiting) -> bool) -> Vec<u32> {
        let (mut ended, room) = (Vec::new(), &mut self.waiting_room);
        self.waiting.retain(|waiting| {
            let stays = !is_over(waiting);
            if !stays {
                room.give_back(waiting.kind);
                ended.push(waiting.context);
            }
            stays
        });
        ended
    }

    /// Whether a request waits.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds what is to be asked on a stream.
    pub(super) fn put(&mut self, stream: u32, message: &mut wire::FilterMessage) {
        for asked in self.asked.iter_mut().filter(|asked| asked.stream.is_none()).take(REDEMPTIONS_MAX) {
            asked.stream = Some(stream);
            asked.tries = asked.tries.saturating_add(1);
            message.redemptions.push(wire::Redemption { id: asked.id, handle: asked.handle.to_wire() });
        }
    }

    /// Whether an answer is due on a stream.
    pub(super) fn are_owed(&self, stream: u32) -> bool {
        self.asked.iter().any(|asked| asked.stream == Some(stream))
    }

    /// A stream is lost. What was asked on it is asked again on the next one, once.
    pub(super) fn lost(&mut self, stream: u32) {
        for asked in self.asked.iter_mut().filter(|asked| asked.stream == Some(stream)) {
            asked.stream = None;
        }
        self.give_up(&|asked| asked.stream.is_none() && asked.tries >= TRIES_MAX);
    }

    /// Asks no longer. Returns the handles.
    fn give_up(&mut self, is_over: &dyn Fn(&Asked) -> bool) -> Vec<HandleDigest> {
        let (mut ended, room) = (Vec::new(), &mut self.asked_room);
        self.asked.retain(|asked| {
            let stays = !is_over(asked);
            if !stays {
                room.give_back(asked.kind);
                ended.push(asked.handle);
            }
            stays
        });
        ended
    }

    /// An answer has arrived on a stream. `None` if nobody has asked there.
    pub(super) fn redeemed(
        &mut self,
        stream: u32,
        id: u32,
        redeemed: &Redeemed,
        renew_ms: u64,
        now: Monotonic,
    ) -> Option<HandleDigest> {
        let handle = self.give_up(&|asked| asked.id == id && asked.stream == Some(stream)).pop()?;
        match redeemed {
            Redeemed::Token(token) if token.0.len() <= self.token_bytes_max => {
                let held = Held { token: token.clone(), renew_at: Cell::new(now.after(renew_ms)) };
                self.held.put(handle, held);
            }
            // It is refused, and so is each further one.
            Redeemed::Token(_) | Redeemed::Refused(_) => drop(self.held.remove(&handle)),
            Redeemed::Unavailable => self.renew_later(handle, now),
        }
        Some(handle)
    }

    fn renew_later(&mut self, handle: HandleDigest, now: Monotonic) {
        if let Some(held) = self.held.get(&handle) {
            held.renew_at.set(now.after(RENEW_AGAIN_MS));
        }
    }

    /// Gives up what was not answered in time: returns the requests that must not wait any longer, and the number of handles
    /// that may be asked about again. Must be called on each tick.
    pub(super) fn expire(&mut self, now: Monotonic) -> (Vec<u32>, u64) {
        let late = self.end_waits(&|waiting| waiting.deadline <= now);
        let answer_ms = self.answer_ms;
        let silent = self.give_up(&|asked| now.since(asked.since) >= answer_ms);
        silent.iter().for_each(|handle| self.renew_later(*handle, now));
        (late, silent.len() as u64)
    }
}

#[cfg(test)]
mod tests;
