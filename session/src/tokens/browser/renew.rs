//! Renews the token of a browser: once at a time, whoever waits for it. Over replicas, the store decides who asks the issuer.

use super::ACCESS_BYTES_MAX;
use super::pause::pause_ms;
use super::renewal::Held;
use crate::service::Service;
use crate::tokens::attempt::{self, Attempt, LOOK_EVERY, Used, withdraw};
use crate::tokens::client::Client;
use crate::tokens::ending::{self, Why};
use crate::tokens::family::{Browser, FamilyId};
use crate::tokens::fault::Fault;
use crate::tokens::form::Form;
use crate::tokens::granted::{access_token, next_tokens, unusable};
use crate::tokens::keep::Written;
use crate::tokens::metrics::Renewal;
use crate::tokens::refresh::scope_to_ask;
use crate::tokens::rotation::Decision;
use crate::tokens::standing::Live;
use crate::tokens::state::Tokens;
use crate::tokens::upstream::{Reply, Upstream};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

/// How long a renewal waits for another replica that is at it.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// The renewals that are being made. Each ends when its sender is dropped.
#[derive(Default)]
pub(in crate::tokens) struct Renewals(Mutex<HashMap<FamilyId, watch::Receiver<()>>>);

/// A renewal that is being made.
pub(super) struct Renewing(watch::Receiver<()>);

impl Renewing {
    /// Waits for its end, but no longer than that.
    pub(super) async fn ends(mut self, by: Instant) {
        // Nothing is ever sent.
        drop(tokio::time::timeout_at(by, self.0.changed()).await);
    }
}

impl Renewals {
    fn remove(&self, id: FamilyId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Has a token renewed, unless somebody does already.
pub(super) fn start(service: &Arc<Service>, tokens: &Arc<Tokens>, id: FamilyId, live: &Live) -> Renewing {
    let mut all = tokens.renewals.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = all.get(&id) {
        return Renewing(running.clone());
    }
    let (ends, running) = watch::channel(());
    all.insert(id, running.clone());
    drop(all);
    let made = Making { tokens: Arc::clone(tokens), id, _ends: ends };
    let (service, live) = (Arc::clone(service), live.clone());
    tokens.runtime.spawn(async move {
        renew(&service, &made.tokens, id, &live).await;
        drop(made);
    });
    Renewing(running)
}

/// Ends a renewal, whatever becomes of its task.
struct Making {
    tokens: Arc<Tokens>,
    id: FamilyId,
    _ends: watch::Sender<()>,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.tokens.renewals.remove(self.id);
    }
}

async fn renew(service: &Arc<Service>, tokens: &Arc<Tokens>, id: FamilyId, live: &Live) {
    let _held = tokens.families.hold(id).await;
    let gives_up_at = Instant::now() + WAIT_MAX;
    while Instant::now() < gives_up_at {
        let Ok(Some((family, version))) = tokens.load(id).await else { return };
        let (Some(browser), None) = (&family.browser, &family.over) else { return };
        let Some(upstream) = tokens.issuer(&family.issuer).cloned() else { return };
        let (terms, now_ms) = (&tokens.settings.terms, service.clock.now_ms());
        let held = Held::of(&family, browser, terms, upstream.paused_ms(now_ms), now_ms);
        // Another replica may have done it.
        if !held.is_due(now_ms) {
            return;
        }
        match family.rotation.decide(family.rotation.held(), terms, tokens.process, now_ms) {
            Decision::Wait(_) => {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            Decision::Ask => {}
            _ => return,
        }
        let scope = match scope_to_ask(&family, live, None) {
            Ok(scope) => scope,
            // Our own tokens have no scope then, whatever the issuer's have, which nobody sees.
            Err(_) if tokens.settings.issue.is_some() => None,
            Err(_) => return,
        };
        if !upstream.begins(now_ms) {
            return;
        }
        let client = Client::public(&family.client_id);
        let form = Form::default().with("grant_type", Some("refresh_token"));
        let form = form.with("refresh_token", family.refresh_token.as_deref());
        let form = form.with("client_id", Some(&family.client_id)).with("scope", scope.as_deref());
        let used = Used { id, family, version };
        match attempt::ask(service, tokens, (&upstream, &client), used, &form).await {
            Attempt::Replied(used, attempt, reply) => {
                let renewal = replied(service, tokens, (&upstream, &client), *used, (attempt, reply)).await;
                tokens.metrics.renewed(renewal);
                debug!(family = %id, outcome = renewal.label(), "a browser's token was to be renewed");
                return;
            }
            Attempt::Again => {}
            Attempt::Failed => return tokens.metrics.renewed(Renewal::Unavailable),
        }
    }
}

async fn replied(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (upstream, client): (&Arc<Upstream>, &Client),
    mut used: Used,
    (attempt, reply): (u64, Reply),
) -> Renewal {
    let now_ms = service.clock.now_ms();
    upstream.ended(!matches!(reply, Reply::Out), now_ms);
    let failed = |browser: &mut Browser| {
        browser.failures = browser.failures.saturating_add(1);
        browser.retry_at_ms = now_ms.saturating_add(pause_ms(browser.failures));
    };
    match reply {
        Reply::Issued(members) => settle(service, tokens, (upstream, client), used, (attempt, &members, failed)).await,
        // The login is over at the issuer.
        Reply::Refused(passed) if passed.error() == "invalid_grant" => {
            ending::end(service, tokens, used, client, Why::Issuer).await;
            Renewal::Ended
        }
        Reply::Refused(_) => {
            used.family.browser.iter_mut().for_each(failed);
            withdraw(tokens, used, attempt).await;
            unusable(upstream.issuer(), "it refuses to renew the token of a browser");
            Renewal::Refused
        }
        Reply::Out => {
            used.family.browser.iter_mut().for_each(failed);
            withdraw(tokens, used, attempt).await;
            Renewal::Unavailable
        }
    }
}

/// Takes the issuer's answer over, on disk.
async fn settle(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (upstream, client): (&Arc<Upstream>, &Client),
    mut used: Used,
    (attempt, members, failed): (u64, &Map<String, Value>, impl Fn(&mut Browser)),
) -> Renewal {
    let now_ms = service.clock.now_ms();
    let family = &mut used.family;
    let renewal = match next_tokens(service, upstream, family, members).and_then(|access| {
        let text = access_token(members).filter(|text| text.len() <= ACCESS_BYTES_MAX);
        Ok((access, text.ok_or(Fault::Server)?))
    }) {
        Ok((access, text)) => {
            family.rotation.renew(attempt, now_ms);
            family.said.renewed_by(&access.said);
            family.browser = Some(Browser::new(text, now_ms));
            Renewal::Renewed
        }
        Err(_) => {
            family.rotation.withdraw(attempt);
            family.browser.iter_mut().for_each(failed);
            Renewal::Refused
        }
    };
    match tokens.save(used.id, &used.family, Some(used.version)).await {
        Written::As(_) => renewal,
        Written::Late | Written::Failed => {
            // The family is over, or another replica has asked as well: nobody has what came here.
            if let (Ok(now), Some(ours)) = (tokens.load(used.id).await, &used.family.refresh_token)
                && now.is_none_or(|(now, _)| now.over.is_some() || now.refresh_token.as_ref() != Some(ours))
                && members.contains_key("refresh_token")
            {
                ending::forget(tokens, upstream, ours.clone(), client);
            }
            Renewal::Unavailable
        }
    }
}
