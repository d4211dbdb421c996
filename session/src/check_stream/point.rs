//! Questions to another decision point, for the routes that it decides about. It is asked once nothing else refuses a request;
//! until it has decided, the request is no activity.

use crate::audit::Condition;
use crate::bound_token::{Answer, BoundToken, refusal};
use crate::conditions::{Mode, Refused, Request, RouteFacts};
use crate::pdp::{Pdp, Query, Ruling};
use crate::registry::Registry;
use portcullis_contract::wire::{Outcome, Verdict};
use std::sync::Arc;

/// How long its decision about a request that goes on holds, in milliseconds, at most: then it is asked again.
pub(super) const AGAIN_MS: u64 = 30_000;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is released.
    Released,
    /// It is refused.
    Denied,
    /// There is no verdict.
    Undecided,
}

/// What becomes of a request of this method.
pub(super) fn fate(point: &Pdp, ruling: Ruling, method: &str) -> Fate {
    match ruling {
        Ruling::Permit => Fate::Released,
        Ruling::Deny => Fate::Denied,
        Ruling::None if point.settings().on_outage.releases(method) => Fate::Released,
        Ruling::None => Fate::Undecided,
    }
}

/// What it is asked.
pub(super) fn query(
    bound: &BoundToken,
    route: &RouteFacts,
    request: Request<'_>,
    registry: &Registry,
    now_ms: u64,
) -> Query {
    let token = bound.token();
    let place = registry.whereabouts().place(request);
    Query {
        session: token.id.to_string(),
        issuer: token.issuer.to_string(),
        subject: token.subject.to_string(),
        client: token.client.to_string(),
        scopes: token.scopes.iter().filter(|scope| bound.holds(scope)).map(str::to_owned).collect(),
        acr: token.acr.to_string(),
        method: request.method().to_owned(),
        route: route.name.to_string(),
        class: route.class.to_string(),
        tags: route.tags.iter().map(|tag| tag.to_string()).collect(),
        host: request.host().to_owned(),
        address: request.address().map(|address| address.to_string()).unwrap_or_default(),
        country: place.and_then(|place| place.country).map(|country| country.to_string()).unwrap_or_default(),
        now_ms,
    }
}

/// The answer to a request that it denies.
pub(super) fn denied() -> Answer {
    let refused = Arc::new(Refused::by_default("authzen", "the decision point denies the request"));
    let condition = Some(refused.to_wire());
    Answer {
        verdict: Verdict { condition, ..refusal(Outcome::ConditionFailed) },
        awaits: None,
        again_in_ms: None,
        grant_until_ms: None,
        once: Vec::new(),
        condition: Some(Condition { refused, mode: Mode::Enforce }),
    }
}
