//! A difference between two policies, as somebody reads and approves it.

use super::{
    change::{Change, Direction},
    request_set::{self, Digest, Hash},
    walk::Example,
};
use serde_json::json;

/// A difference between two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its effect on requests.
    pub direction: Direction,
    /// Its kind: a stable name for programs.
    pub kind: &'static str,
    /// The part of the policy that changed: a route or a setting.
    pub subject: String,
    /// The change as text.
    pub text: String,
    /// Digest of the whole change: the old and the new value, and the affected requests.
    pub fingerprint: String,
    /// The names of the affected routes.
    pub routes: Vec<String>,
    /// Examples of affected requests.
    pub examples: Vec<Example>,
    /// The number of affected kinds of requests.
    pub kinds: u64,
}

impl Finding {
    /// Identifies this change and no other: an approval repeats it.
    pub fn identity(&self) -> String {
        format!("{}: {} [{}]", self.subject, self.text, self.fingerprint)
    }

    pub(super) fn new(subject: String, change: &Change, requests: Option<Digest>) -> Self {
        let Change { direction, kind, text, whole, .. } = change;
        let mut hash = Hash::new(b"change");
        // Approvals repeat this: it must not depend on the order in which members were written down here.
        let mut identity = json!([kind, subject, change.before, change.after]);
        identity.sort_all_objects();
        hash.text(&identity.to_string());
        hash.digest(Some(*whole));
        hash.digest(requests);
        Self {
            direction: *direction,
            kind,
            subject,
            text: text.clone(),
            fingerprint: request_set::hex(hash.end()),
            routes: Vec::new(),
            examples: Vec::new(),
            kinds: 0,
        }
    }

    /// A route has a new name and the same meaning.
    pub(super) fn renamed(subject: String, text: String) -> Self {
        let change = Change::new(Direction::Changed, "name", text, json!(null), json!(null));
        Self::new(subject, &change, None)
    }
}
