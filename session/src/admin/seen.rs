//! Whether a party has been seen. What is decided about one holds for sessions that are still to be seen, too: a caller who
//! has mistyped a name learns it only from this.

use super::sessions::blocking;
use crate::revocations::Bearer;
use crate::service::Service;
use serde::Serialize;
use std::sync::Arc;

/// What was seen of a party; a member is absent if the store cannot be read, or has too many ended sessions to read them.
#[derive(Serialize)]
pub(super) struct Seen {
    /// Whether a session of the party was seen, live or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    party_seen: Option<bool>,
    /// If not, whether a session of its issuer was, or a filter has described that issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_seen: Option<bool>,
}

impl Seen {
    /// The party is there.
    pub(super) const YES: Self = Self { party_seen: Some(true), issuer_seen: None };

    /// Looks for sessions of a party of `issuer`. It walks over them.
    pub(super) async fn of(
        service: &Arc<Service>,
        issuer: String,
        is_theirs: impl Fn(Bearer<'_>) -> bool + Send + 'static,
    ) -> Self {
        let service = Arc::clone(service);
        let looked = blocking(move || {
            let party_seen = service.registry.has_seen(is_theirs).ok().flatten();
            let issuer_seen = match party_seen {
                Some(false) if service.registry.issuers().are_described(&issuer) => Some(true),
                Some(false) => service.registry.has_seen(|bearer| bearer.issuer == issuer).ok().flatten(),
                Some(true) | None => None,
            };
            Self { party_seen, issuer_seen }
        });
        looked.await.unwrap_or(Self { party_seen: None, issuer_seen: None })
    }
}
