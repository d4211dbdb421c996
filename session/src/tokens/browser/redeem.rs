//! What filters are answered that show a browser's handle: the access token that is held for it.
//!
//! A handle that nobody knows costs its part of one look into the store, and nothing is kept of it. What is asked is no activity:
//! the request itself is asked about with the token.

use super::cookie::family_of;
use super::find::held;
use super::renew;
use super::renewal::{Decision, Held, soon_ms};
use crate::service::Service;
use crate::tokens::attempt::Used;
use crate::tokens::client::Client;
use crate::tokens::ending::{self, Why};
use crate::tokens::family::{Browser, Family, StoredFamily};
use crate::tokens::fault::Fault;
use crate::tokens::granted::{held_access, own};
use crate::tokens::handle::HandleDigest;
use crate::tokens::standing::{self, Live, Standing};
use crate::tokens::state::Tokens;
use futures_util::future::join_all;
use portcullis_contract::wire::{self, Outcome, Redeemed};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// How long an answer waits for the next token: a filter does not wait for longer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Our own token is asked for again when one part in so many of its life is left.
const AHEAD: u64 = 3;

/// A handle that a filter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redemption {
    id: u32,
    handle: HandleDigest,
}

impl Redemption {
    /// Reads one; `None`: it breaks the contract.
    pub(crate) fn read(redemption: &wire::Redemption) -> Option<Self> {
        let handle = HandleDigest(redemption.handle.as_slice().try_into().ok()?);
        Some(Self { id: redemption.id, handle })
    }

    /// The answer where there is no token.
    pub(crate) fn refused(self, outcome: Outcome) -> Redeemed {
        Redeemed { id: self.id, outcome: outcome.into(), ..Redeemed::default() }
    }

    fn answered(self, answer: Answer) -> Redeemed {
        match answer {
            Answer::Token { text, renew_ms } => {
                Redeemed { id: self.id, outcome: Outcome::Active.into(), token: text, renew_ms }
            }
            Answer::Refused(outcome) => self.refused(outcome),
        }
    }
}

enum Answer {
    Token { text: String, renew_ms: u64 },
    Refused(Outcome),
}

impl Answer {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Token { .. } => Outcome::Active,
            Self::Refused(outcome) => *outcome,
        }
    }
}

/// Answers a filter, each redemption as soon as that can be. It goes on when the filter is gone: others will ask.
pub(crate) fn redeem(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    asked: Vec<Redemption>,
    to: UnboundedSender<Redeemed>,
) {
    let (service, tokens) = (Arc::clone(service), Arc::clone(tokens));
    let runtime = tokens.runtime.clone();
    runtime.spawn(async move {
        let ids: Vec<_> = asked.iter().map(|redemption| family_of(redemption.handle)).collect();
        let found = tokens.at_store(move |store| store.families(&ids)).await;
        let mut found = found.map(|found| found.into_iter().map(|found| (found.id, found)).collect::<HashMap<_, _>>());
        let each = asked.into_iter().map(|redemption| {
            let stored = found.as_mut().map(|found| found.get(&family_of(redemption.handle)).cloned());
            let stored = stored.map_err(|_| Fault::Unavailable);
            let (service, tokens, to) = (&service, &tokens, &to);
            async move {
                let answer = answer(service, tokens, redemption.handle, stored).await;
                tokens.metrics.redeemed(answer.outcome());
                // The filter may be gone.
                let _: Result<(), _> = to.send(redemption.answered(answer));
            }
        });
        join_all(each).await;
    });
}

async fn answer(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    handle: HandleDigest,
    stored: Result<Option<StoredFamily>, Fault>,
) -> Answer {
    const UNAVAILABLE: Answer = Answer::Refused(Outcome::Unavailable);
    // So many are in memory, however many are asked.
    let Ok(_place) = Arc::clone(&tokens.redemptions).try_acquire_owned() else { return UNAVAILABLE };
    let gives_up_at = Instant::now() + WAIT_MAX;
    let id = family_of(handle);
    let mut read = stored.and_then(|stored| stored.map(|stored| tokens.open(&stored)).transpose());
    let mut has_waited = false;
    loop {
        let (family, version) = match read {
            Ok(Some(found)) => found,
            Ok(None) => return Answer::Refused(Outcome::UnknownSession),
            Err(_) => return UNAVAILABLE,
        };
        let Some(browser) = held(&family, handle) else { return Answer::Refused(Outcome::UnknownSession) };
        if let Some(over) = &family.over {
            return Answer::Refused(over.outcome());
        }
        let live = match standing::of(service, &family.said, false).await {
            Standing::Live(live) => live,
            Standing::Over(outcome) => {
                let client = Client::public(&family.client_id);
                ending::end(service, tokens, Used { id, family, version }, &client, Why::Session(outcome)).await;
                return Answer::Refused(outcome);
            }
            Standing::Refused(outcome) => return Answer::Refused(outcome),
            Standing::Unknown => return UNAVAILABLE,
        };
        let now_ms = service.clock.now_ms();
        let paused_ms = tokens.issuer(&family.issuer).map_or(0, |upstream| upstream.paused_ms(now_ms));
        let held = Held::of(&family, browser, &tokens.settings.terms, paused_ms, now_ms);
        let given =
            |renew_ms| give(service, tokens, (&family, browser, &live), renew_ms, now_ms).unwrap_or(UNAVAILABLE);
        match held.decide(now_ms) {
            Decision::Current(renew_ms) => return given(renew_ms),
            Decision::Due(renew_ms) => {
                renew::start(service, tokens, id, &live);
                return given(renew_ms);
            }
            Decision::Wait if !has_waited => {
                renew::start(service, tokens, id, &live).ends(gives_up_at).await;
                has_waited = true;
            }
            // Nothing has come of it. What is left is given all the same.
            Decision::Wait if held.left_ms(now_ms) > 0 => return given(soon_ms(held.left_ms(now_ms))),
            // There is nothing left that a token could be asked for with.
            Decision::Wait if live.left.as_ref().is_some_and(Vec::is_empty) => {
                return Answer::Refused(Outcome::ScopeEscalation);
            }
            Decision::Wait | Decision::Paused => return UNAVAILABLE,
            Decision::Over => {
                let client = Client::public(&family.client_id);
                ending::end(service, tokens, Used { id, family, version }, &client, Why::Expired).await;
                return Answer::Refused(Outcome::UnknownSession);
            }
        }
        read = tokens.load(id).await;
    }
}

/// The current token: the issuer's or, where that is configured, our own in its place. `None`: it cannot be made.
fn give(
    service: &Service,
    tokens: &Tokens,
    (family, browser, live): (&Family, &Browser, &Live),
    renew_ms: u64,
    now_ms: u64,
) -> Option<Answer> {
    let Some(issue) = &tokens.settings.issue else {
        return Some(Answer::Token { text: browser.access.clone(), renew_ms });
    };
    let access = held_access(service, &browser.access).filter(|access| access.said.is_session_of(&family.said))?;
    let issued = own(tokens, issue, (&access, live), None, now_ms)?;
    let life_ms = issued.expires_in_s.saturating_mul(1_000);
    Some(Answer::Token { text: issued.text, renew_ms: renew_ms.min(life_ms.saturating_sub(life_ms / AHEAD)) })
}
