//! Tokens that the session service mints for upstreams: what a worker keeps of them, and what it takes away from clients.
//!
//! A token arrives with a verdict, and only when it is another than before. The worker keeps it by session, route and, where it
//! is about one, the client's address. It is only ever used with a verdict that names it, or in an outage, while what was last
//! known of the session still holds.

use super::{
    bounded_cache::{BoundedCache, Bounds, Weigh},
    head::{folds_to, names},
    principal::{Principal, allocated},
    question::Question,
    request::Permit,
    session_memory::Known,
};
use crate::{
    policy::Policy,
    route::RuleId,
    token::{SessionId, TokenDigest},
    wire::{Hello, MintedToken},
};
use std::{fmt, rc::Rc};

/// The sessions whose tokens are kept.
const SESSIONS: Bounds = Bounds { bytes: 16 << 20, entries: 65_536 };

/// The tokens that are kept of one session. Those of further routes and addresses take the place of the oldest, and are sent
/// again.
const TOKENS_MAX: usize = 32;

/// The longest token that is accepted, in bytes: Envoy's own limit for all headers of a request is 60 KiB.
const TOKEN_BYTES_MAX: usize = 32 << 10;

/// A token for the upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamToken {
    id: u64,
    text: Rc<str>,
}

/// Written by hand because the token is a secret.
impl fmt::Debug for UpstreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl UpstreamToken {
    /// Tells it apart from others.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The token, for the upstream's header.
    pub fn text(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub(super) fn for_test(id: u64, text: &str) -> Self {
        Self { id, text: text.into() }
    }
}

/// The header with the token of a released request, if there is one.
pub fn header<'a>(permit: &'a Permit, policy: &'a Policy) -> Option<(&'a str, &'a str)> {
    let wanted = policy.rule(permit.rule?)?.upstream_token.as_deref()?;
    Some((&wanted.header, permit.upstream_token.as_ref()?.text()))
}

/// The names of inbound headers or trailers that could be taken for tokens of the session service, in every spelling that an
/// upstream could fold into one.
pub fn forged<'h>(headers: &'h [(String, Vec<u8>)], policy: &Policy) -> impl Iterator<Item = &'h str> {
    // Most policies have none.
    let headers = if policy.upstream_headers.is_empty() { &[] } else { headers };
    let is_ours = |name: &&str| policy.upstream_headers.iter().any(|own| folds_to(name.as_bytes(), own.as_bytes()));
    headers.iter().map(|(name, _)| name.as_str()).filter(is_ours)
}

/// Whether `Connection` lists one of these headers: the next hop would then drop the token (RFC 9110, section 7.6.1).
pub(super) fn are_dropped(headers: &[(String, Vec<u8>)], policy: &Policy) -> bool {
    let is_ours = |name: &[u8]| policy.upstream_headers.iter().any(|own| folds_to(name, own.as_bytes()));
    let mut lists = headers.iter().filter(|(name, _)| name == "connection");
    !policy.upstream_headers.is_empty() && lists.any(|(_, list)| names(list).any(is_ours))
}

/// The tokens of a worker.
pub(super) struct UpstreamTokens(BoundedCache<SessionId, Kept>);

impl Default for UpstreamTokens {
    fn default() -> Self {
        Self(BoundedCache::new(SESSIONS))
    }
}

impl fmt::Debug for UpstreamTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTokens(…)")
    }
}

/// The tokens of a session, oldest first.
#[derive(Default)]
struct Kept(Vec<Entry>);

struct Entry {
    slot: Slot,
    token: UpstreamToken,
    expires_at_ms: u64,
    /// For which of the client's tokens it was sent last, and what that had lost then.
    sent_for: TokenDigest,
    narrowed: Option<Rc<[String]>>,
}

/// What a session's tokens are told apart by.
#[derive(Debug, PartialEq, Eq)]
struct Slot {
    rule: RuleId,
    /// The client's address, where the token is about it.
    address: Option<Box<str>>,
}

impl Slot {
    /// `None` if no token is wanted for the route.
    fn of(question: &Question, hello: &Hello) -> Option<Self> {
        let wanted = hello.routes.get(question.rule.0)?.upstream_token.as_ref()?;
        let address = wanted.address.then(|| question.attributes.client_address.as_str().into());
        Some(Self { rule: question.rule, address })
    }
}

impl UpstreamTokens {
    /// The token that is kept for a question. The question has to remember it: by the time of its answer, that of another token
    /// of the client may have taken its place.
    pub(super) fn held(&mut self, question: &Question, hello: &Hello) -> Option<UpstreamToken> {
        self.entry(question, hello).map(|entry| entry.token.clone())
    }

    /// The token that a verdict brings or names; `held` is the one that its question had. `None` where the verdict names another
    /// one that is not here.
    pub(super) fn receive(
        &mut self,
        minted: MintedToken,
        (question, held): (&Question, Option<UpstreamToken>),
        narrowed: Option<&Rc<[String]>>,
        hello: &Hello,
    ) -> Option<UpstreamToken> {
        let slot = Slot::of(question, hello)?;
        let (session, sent_for) = (question.principal.facts.session_id, question.principal.facts.digest);
        let MintedToken { id, token: text, expires_at_ms } = minted;
        let token = match text.is_empty() {
            true => held.filter(|held| held.id == id)?,
            false if !is_header_value(&text) => return None,
            false => UpstreamToken { id, text: text.into() },
        };
        let entry = Entry { slot, token: token.clone(), expires_at_ms, sent_for, narrowed: narrowed.cloned() };
        self.0.change(session, |kept| kept.put(entry));
        Some(token)
    }

    /// The token with which a request can be released without a verdict: one that was sent for the same token of the client,
    /// and for a session that has lost nothing since.
    pub(super) fn recall(
        &mut self,
        question: &Question,
        known: &Known,
        hello: &Hello,
        wall_ms: Option<u64>,
    ) -> Option<UpstreamToken> {
        let entry = self.entry(question, hello)?;
        let is_current = entry.sent_for == question.principal.facts.digest && entry.narrowed == known.narrowed;
        let is_alive = wall_ms.is_some_and(|wall_ms| wall_ms < entry.expires_at_ms);
        (is_current && is_alive && !known.is_refused).then(|| entry.token.clone())
    }

    /// Whether the route of a question wants a token.
    pub(super) fn is_wanted(&self, question: &Question, hello: &Hello) -> bool {
        hello.routes.get(question.rule.0).is_some_and(|route| route.upstream_token.is_some())
    }

    /// The token with which a lease can release a request: one that the service would still not replace. That is one with half
    /// of its life left, or one that ends with the client's own.
    pub(super) fn lasting(
        &mut self,
        question: &Question,
        narrowed: Option<&Rc<[String]>>,
        hello: &Hello,
        wall_ms: u64,
    ) -> Option<UpstreamToken> {
        let wanted = hello.routes.get(question.rule.0)?.upstream_token.as_ref()?;
        let entry = self.entry(question, hello)?;
        let facts = &question.principal.facts;
        let is_current = entry.sent_for == facts.digest && entry.narrowed.as_ref() == narrowed;
        let lasts = wall_ms.saturating_add(wanted.ttl_ms / 2) < entry.expires_at_ms;
        let ends_with_token = wall_ms < entry.expires_at_ms && facts.expires_at_ms <= entry.expires_at_ms;
        (is_current && (lasts || ends_with_token)).then(|| entry.token.clone())
    }

    /// A session has ended, or nobody may use it.
    pub(super) fn forget(&mut self, principal: &Principal) {
        self.0.remove(&principal.facts.session_id);
    }

    fn entry(&mut self, question: &Question, hello: &Hello) -> Option<&Entry> {
        let slot = Slot::of(question, hello)?;
        let kept = self.0.get(&question.principal.facts.session_id)?;
        kept.0.iter().find(|entry| entry.slot == slot)
    }
}

impl Kept {
    fn put(&mut self, entry: Entry) {
        self.0.retain(|kept| kept.slot != entry.slot);
        if self.0.len() >= TOKENS_MAX {
            self.0.remove(0);
        }
        self.0.push(entry);
    }
}

impl Weigh for Kept {
    fn bytes(&self) -> usize {
        let of = |entry: &Entry| {
            let address = entry.slot.address.as_ref().map_or(0, |address| allocated(address.len()));
            size_of::<Entry>() + allocated(entry.token.text.len() + 2 * size_of::<usize>()) + address
        };
        size_of::<Self>() + self.0.iter().map(of).sum::<usize>()
    }
}

/// Whether a text of the service can be the value of a header.
fn is_header_value(text: &str) -> bool {
    text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
pub(in crate::authorize) mod tests;
