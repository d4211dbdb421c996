//! Where a session stands, as the judge says. A refresh is no activity: it touches nothing.

use super::said::Said;
use crate::bound_token::{BoundToken, Required};
use crate::judge::Asked;
use crate::service::Service;
use crate::token::Token;
use portcullis_contract::wire::Outcome;
use std::sync::Arc;

/// Where a session stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It is live.
    Live(Live),
    /// It has ended, and how.
    Over(Outcome),
    /// Its tokens are refused, and why: it is blocked, for example, or not known.
    Refused(Outcome),
    /// There is no verdict now.
    Unknown,
}

/// A live session.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) token: Arc<Token>,
    /// The scopes that are left of the token's, if they are fewer.
    pub(super) left: Option<Vec<String>>,
    /// When it ends at the latest.
    pub(super) ends_at_ms: Option<u64>,
}

impl Live {
    /// Whether the session still has a scope of its token.
    pub(super) fn holds(&self, scope: &str) -> bool {
        self.left.as_ref().is_none_or(|left| left.iter().any(|left| left == scope))
    }
}

/// Asks the judge about the session of an access token that the issuer has answered, and that is genuine therefore. A login is
/// activity, and opens the session.
pub(super) async fn of(service: &Arc<Service>, said: &Said, is_login: bool) -> Standing {
    let now_ms = service.clock.now_ms();
    let Some(token) = said.token(service.registry.names(), now_ms) else { return Standing::Unknown };
    let token = Arc::new(token);
    let mut bound = BoundToken::new(Arc::clone(&token));
    if service.bind(&mut bound, is_login, now_ms).await.is_err() || !service.registry.lease().holds() {
        return Standing::Unknown;
    }
    let now_ms = service.clock.now_ms();
    let asked = Asked { background: !is_login, ..Asked::default() };
    let answer = bound.answer(&service.registry, asked, Required::default(), now_ms);
    if let Some(session) = answer.awaits {
        service.make_durable(vec![session]).await;
    }
    let live = |left, remaining_ms: Option<u64>| {
        let ends_at_ms = remaining_ms.map(|remaining_ms| now_ms.saturating_add(remaining_ms));
        Standing::Live(Live { token: Arc::clone(&token), left, ends_at_ms })
    };
    match answer.verdict.outcome() {
        Outcome::Active => live(answer.verdict.narrowed.map(|left| left.scopes), answer.verdict.remaining_ms),
        // Its tokens may only have what was granted to it: fewer scopes are asked for.
        Outcome::ScopeEscalation => match service.registry.find(token.id) {
            Some(session) => {
                let held = session.scopes().1.now;
                live(Some(said.scopes.iter().filter(|scope| held.holds(scope)).cloned().collect()), None)
            }
            None => Standing::Refused(Outcome::ScopeEscalation),
        },
        over @ (Outcome::IdleTimeout | Outcome::LifetimeExceeded | Outcome::Revoked) => Standing::Over(over),
        Outcome::Unavailable => Standing::Unknown,
        refused => Standing::Refused(refused),
    }
}
