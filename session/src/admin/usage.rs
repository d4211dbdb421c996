//! `/v1/usage`: which scopes and routes are used, by whom and how often.

use super::body::{Moment, query};
use super::page::given;
use super::problem::Problem;
use super::sessions::blocking;
use crate::clock::rfc3339;
use crate::config::duration_ms;
use crate::service::Service;
use crate::store::StoreError;
use crate::usage::{DAY_MS, Kind, Summary, day_of};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far back a list goes by default.
const SINCE_DEFAULT: &str = "90d";

/// Scopes of clients that are listed as held and not used, at most.
const HELD_MAX: usize = 200_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    since: Option<String>,
}

/// What was used since the start of a day.
#[derive(Serialize)]
pub(super) struct UsageView {
    since: String,
    scopes: Vec<ScopeView>,
    routes: Vec<RouteView>,
    held_unused: Vec<HeldView>,
}

#[derive(Serialize)]
struct ScopeView {
    scope: String,
    client: String,
    asked: u64,
    granted: u64,
    refused: u64,
    last_used: String,
}

#[derive(Serialize)]
struct RouteView {
    route: String,
    client: String,
    count: u64,
    last_used: String,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct HeldView {
    scope: String,
    client: String,
}

pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<UsageView>, Problem> {
    let Parameters { since } = query(&uri)?;
    let now_ms = service.clock.now_ms();
    let since_ms = since_ms(given(since).as_deref().unwrap_or(SINCE_DEFAULT), now_ms)?;
    let view = blocking(move || view(&service, day_of(since_ms), now_ms)).await??;
    Ok(Json(view))
}

/// The instant that a list begins with: a time before now, or an instant.
fn since_ms(text: &str, now_ms: u64) -> Result<u64, Problem> {
    let before = duration_ms(text).map(|ms| now_ms.saturating_sub(ms));
    before.or_else(|| Moment::read(text).map(|moment| moment.ms)).ok_or_else(|| {
        Problem::invalid("query: `since` must be a duration such as `90d`, or an instant as RFC 3339 text")
    })
}

fn view(service: &Service, since: u32, now_ms: u64) -> Result<UsageView, StoreError> {
    let (mut summary, mut first) = (Summary::default(), day_of(now_ms));
    service.registry.usage().read(&*service.store, 0, &mut |used| {
        first = first.min(used.day);
        if used.day >= since {
            summary.add(used);
        }
    })?;
    let scopes = summary.of(Kind::Scope).map(|(scope, client, count)| ScopeView {
        scope: scope.to_owned(),
        client: client.to_owned(),
        asked: count.asked,
        granted: count.granted,
        refused: count.refused,
        last_used: rfc3339(count.last_ms),
    });
    let routes = summary.of(Kind::Route).map(|(route, client, count)| RouteView {
        route: route.to_owned(),
        client: client.to_owned(),
        count: count.asked,
        last_used: rfc3339(count.last_ms),
    });
    Ok(UsageView {
        // Before the first day that is kept, nobody knows what was used.
        since: rfc3339(u64::from(since.max(first)).saturating_mul(DAY_MS)),
        scopes: scopes.collect(),
        routes: routes.collect(),
        held_unused: held_unused(service, &summary, now_ms),
    })
}

/// Scopes that live sessions of a client were granted, and that no request of that client needed.
fn held_unused(service: &Service, summary: &Summary, now_ms: u64) -> Vec<HeldView> {
    let mut unused = BTreeSet::new();
    for (client, granted) in service.registry.grants(now_ms) {
        for scope in granted.iter().filter(|scope| !summary.may_be_granted(scope, &client)) {
            if unused.len() >= HELD_MAX {
                return unused.into_iter().collect();
            }
            unused.insert(HeldView { scope: scope.to_owned(), client: client.as_ref().to_owned() });
        }
    }
    unused.into_iter().collect()
}
