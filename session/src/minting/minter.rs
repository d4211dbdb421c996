//! Mints tokens for questions, and keeps them.

use super::cache::{Cache, Entry, Slot};
use super::claims::{Claims, Context, Life};
use super::keys::SigningKeys;
use super::metrics::{MintingMetrics, Refused};
use super::request::Request;
use crate::config::Reloadable;
use crate::log::Sampler;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::signing::Jwt;
use portcullis_contract::wire::{self, MintedToken, UPSTREAM_TOKEN_TYP};
use sha2::{Digest, Sha256};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use tracing::warn;

/// The shortest and the longest life of a token, in milliseconds, whatever a filter asks for.
const TTL_MS_MIN: u64 = 1_000;
const TTL_MS_MAX: u64 = 3_600_000;

/// Names the proxy in tokens if its filter does not.
const WORKLOAD: &str = "portcullis";

/// What a route wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    audience: Box<str>,
    ttl_ms: u64,
    held_scopes: bool,
    typ: Box<str>,
    address: bool,
}

impl From<wire::UpstreamToken> for Wanted {
    fn from(wanted: wire::UpstreamToken) -> Self {
        let wire::UpstreamToken { audience, ttl_ms, held_scopes, typ, address } = wanted;
        let typ = if typ.is_empty() { UPSTREAM_TOKEN_TYP.into() } else { typ.into() };
        Self { audience: audience.into(), ttl_ms: ttl_ms.clamp(TTL_MS_MIN, TTL_MS_MAX), held_scopes, typ, address }
    }
}

/// A route that wants tokens, and the proxy that enforces it.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) name: &'a str,
    /// Every scope that it can require.
    pub(crate) scopes: &'a [Arc<str>],
    /// The proxy's own name; may be empty.
    pub(crate) workload: &'a str,
}

/// What a token is about: a session, as one of its client's tokens shows it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) session: &'a Session,
    /// How often what it holds has changed.
    pub(crate) generation: u32,
    pub(crate) token: &'a Token,
    /// The scopes that are left of the token's, if they are fewer.
    pub(crate) left: Option<&'a [String]>,
    /// When the session, or what is left of it, ends at the latest.
    pub(crate) ends_ms: Option<u64>,
    /// It rests on grants for this one request.
    pub(crate) is_once: bool,
}

impl Subject<'_> {
    fn holds(&self, scope: &str) -> bool {
        match self.left {
            Some(left) => left.iter().any(|held| held == scope),
            None => self.token.scopes.holds(scope),
        }
    }

    /// The principal. A machine client may have no subject, and is then its own.
    fn name(&self) -> &str {
        if self.token.subject.is_empty() { &self.token.client } else { &self.token.subject }
    }
}

/// Mints tokens.
pub struct Minter {
    keys: Reloadable<Option<Arc<SigningKeys>>>,
    cache: Cache,
    metrics: Arc<MintingMetrics>,
}

impl Minter {
    /// A minter, if there are keys.
    pub(crate) fn new(keys: Reloadable<Option<Arc<SigningKeys>>>, metrics: Arc<MintingMetrics>) -> Option<Self> {
        let is_there = keys.read().is_some();
        is_there.then(|| Self { keys, cache: Cache::default(), metrics })
    }

    /// The keys in force.
    pub(super) fn keys(&self) -> Option<Arc<SigningKeys>> {
        self.keys.read().clone()
    }

    /// The token for a question that is released, as a verdict has it: without the text, if its filter has it already.
    pub(crate) fn answer(
        &self,
        route: Route<'_>,
        subject: Subject<'_>,
        request: Request<'_>,
        now_ms: u64,
    ) -> Option<MintedToken> {
        let Entry { id, text, exp_s, .. } = match self.mint(route, subject, request, now_ms) {
            Ok(entry) => entry,
            Err(why) => {
                self.refused(why, route.name);
                return None;
            }
        };
        let token = if request.held == Some(id) { String::new() } else { text.as_ref().to_owned() };
        Some(MintedToken { id, token, expires_at_ms: exp_s.saturating_mul(1_000) })
    }

    fn mint(
        &self,
        route: Route<'_>,
        subject: Subject<'_>,
        request: Request<'_>,
        now_ms: u64,
    ) -> Result<Entry, Refused> {
        let keys = self.keys().ok_or(Refused::NoKey)?;
        let signer = keys.signer(now_ms).ok_or(Refused::NoKey)?;
        let ends_ms = [Some(subject.token.expires_at_ms), subject.ends_ms, signer.until_ms];
        let life = Life::of(now_ms, route.wanted.ttl_ms, ends_ms.into_iter().flatten()).ok_or(Refused::NoLife)?;
        let slot = slot(&keys, route, subject, request, life);
        let make = || {
            let header = signer.key.header(&route.wanted.typ);
            let claims = claims(&keys, route, subject, request, life)?;
            let Jwt { text, id } = signer.key.sign(&header, &claims)?;
            self.metrics.minted();
            Some(Entry { id, text: text.into(), exp_s: life.exp_s, renew_at_ms: life.renew_at_ms(now_ms) })
        };
        self.cache.get_or_make(slot, |entry| entry.is_good(now_ms, life.exp_s), make).ok_or(Refused::NoKey)
    }

    fn refused(&self, why: Refused, route: &str) {
        static REFUSED: Sampler = Sampler::new();
        self.metrics.refused(why);
        if why == Refused::NoKey
            && let Some(not_logged) = REFUSED.admit()
        {
            warn!(route, not_logged, "no token for an upstream could be minted: no key of `signing` signs now");
        }
    }
}

/// What a token is kept by: all that it says, except for what each minting makes new.
fn slot(keys: &SigningKeys, route: Route<'_>, subject: Subject<'_>, request: Request<'_>, life: Life) -> Slot {
    let Route { wanted, name, scopes, workload } = route;
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    part(keys.digest());
    part(&subject.session.id.0);
    // The same session can come back after an end, and what it holds can change.
    part(&subject.session.opened_at_ms.to_le_bytes());
    part(&subject.generation.to_le_bytes());
    for text in [name, &wanted.audience, &wanted.typ, workload, subject.name()] {
        part(text.as_bytes());
    }
    part(&wanted.ttl_ms.to_le_bytes());
    part(if wanted.address { request.address.as_bytes() } else { &[] });
    // What ends before its time is only for those for whom it ends then.
    part(&if life.is_cut { life.exp_s } else { 0 }.to_le_bytes());
    part(if subject.is_once { request.id.as_bytes() } else { &[] });
    held(wanted, scopes, subject).for_each(|scope| part(scope.as_bytes()));
    hash.finalize().into()
}

/// The scopes of a token.
fn held<'a>(wanted: &Wanted, required: &'a [Arc<str>], subject: Subject<'a>) -> impl Iterator<Item = &'a str> {
    let all = wanted.held_scopes.then(|| subject.token.scopes.iter()).into_iter().flatten();
    let required = (!wanted.held_scopes).then(|| required.iter().map(|scope| &**scope)).into_iter().flatten();
    all.chain(required).filter(move |scope| subject.holds(scope))
}

fn claims(
    keys: &SigningKeys,
    route: Route<'_>,
    subject: Subject<'_>,
    request: Request<'_>,
    life: Life,
) -> Option<Vec<u8>> {
    let Route { wanted, name, scopes, workload } = route;
    let unknown = if request.id.is_empty() { random() } else { String::new() };
    let claims = Claims {
        iss: &keys.issuer,
        aud: &wanted.audience,
        iat: life.iat_s,
        exp: life.exp_s,
        txn: if request.id.is_empty() { &unknown } else { request.id },
        sub: subject.name(),
        scope: held(wanted, scopes, subject).collect::<Vec<_>>().join(" "),
        req_wl: if workload.is_empty() { WORKLOAD } else { workload },
        rctx: Context { route: name, req_ip: wanted.address.then_some(request.address).filter(|ip| !ip.is_empty()) },
    };
    serde_json::to_vec(&claims).ok()
}

/// An id of its own for a request that has none. The standard library seeds its hashers at random.
fn random() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
