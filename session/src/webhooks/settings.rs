//! A webhook as `session.yaml` describes it.

use super::signature::Key;
use crate::notices::{Event, Subscribers};
use crate::signals::Url;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookSettings {
    /// Its name.
    pub name: String,
    /// Where its messages are posted. Whoever knows the URL of some receivers can post to them: it is in no log and no answer.
    pub(crate) url: Url,
    /// What they are signed with: with each of them.
    pub(crate) keys: Vec<Key>,
    /// Certificates of authorities, if not those of the system.
    pub ca: Option<PathBuf>,
    /// What it is told; `None`: everything.
    pub events: Option<BTreeSet<Event>>,
}

/// Who is told what.
pub(super) fn subscribers(all: &[WebhookSettings]) -> Subscribers {
    Subscribers(all.iter().map(|webhook| (webhook.name.clone(), webhook.events.clone())).collect())
}
