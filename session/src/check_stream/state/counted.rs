//! The tokens of a stream, and the counts of what is asked with them.

use super::{StreamState, route};
use crate::anomalies::Memo;
use crate::bound_token::BoundToken;
use crate::check_stream::answers::Broken;
use crate::conditions::Request;
use crate::registry::Registry;
use crate::usage::{Effect, StreamUsage, TokenUses};
use portcullis_contract::wire;

/// A token of the stream, and what was asked with it since that was last added to the counts of the service.
pub(super) struct Counted {
    pub(super) bound: BoundToken,
    pub(super) uses: TokenUses,
    /// Where it came from last.
    memo: Memo,
}

impl Counted {
    pub(super) fn new(bound: BoundToken) -> Self {
        Self { bound, uses: TokenUses::default(), memo: Memo::default() }
    }

    /// Notes where a question about it comes from, if that is watched.
    pub(super) fn note(&mut self, registry: &Registry, request: Request<'_>, now_ms: u64) {
        let whereabouts = registry.whereabouts();
        if whereabouts.is_watching()
            && let Some(session) = self.bound.live_session()
        {
            whereabouts.note(registry, session, &mut self.memo, request, now_ms);
        }
    }

    pub(super) fn collect(&mut self, usage: &mut StreamUsage, now_ms: u64) {
        if !self.uses.is_empty() {
            usage.collect(&self.bound.token().client, &mut self.uses, now_ms);
        }
    }
}

impl StreamState {
    /// Takes note of requests that the filter has decided by itself.
    pub(super) fn reported(&mut self, used: &wire::Use, now_ms: u64) -> Result<(), Broken> {
        let effect = match used.route {
            Some(index) => {
                let scopes = &route(self.routes.as_deref(), index)?.scopes;
                match used.granted.is_empty() {
                    true => scopes.refused(&used.missing),
                    // They were released by leases.
                    false => scopes.effect(|scope| used.granted.iter().any(|granted| granted == scope)),
                }
            }
            None => Effect::Barred,
        };
        let client = self.registry.names().name(&used.client_id);
        self.usage.reported(&client, used.route, effect, used.count, now_ms);
        Ok(())
    }

    /// Adds the counts of this stream to those of the service, if it is time.
    pub(super) fn add_usage(&mut self, now_ms: u64) {
        if self.usage.is_due(now_ms) {
            self.add_all_usage(now_ms);
        }
    }

    fn add_all_usage(&mut self, now_ms: u64) {
        for handle in self.usage.take_counted() {
            // One that was forgotten was collected then.
            if let Some(token) = self.tokens.get_mut(&handle) {
                token.collect(&mut self.usage, now_ms);
            }
        }
        let routes = self.routes.as_deref();
        let scopes = |index| Some(&routes?.route(index).ok()?.scopes);
        self.usage.add(self.registry.usage(), &self.metrics, scopes);
    }
}

impl Drop for StreamState {
    fn drop(&mut self) {
        self.add_all_usage(0);
    }
}
