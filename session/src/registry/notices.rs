//! Notices to webhooks in memory. They are parts of requests; here it is known which of them this replica has made itself, and
//! so tries first.

use super::Registry;
use crate::approvals::AccessRequest;
use crate::notices::{Event, Key, Notice, REMIND_MS, Subscribers, WAITING_MAX};
use crate::webhooks::Became;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What webhooks are told.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    subscribers: OnceLock<Subscribers>,
    /// Those of this replica that are not tried yet. More are found as those of other replicas are.
    made: Mutex<VecDeque<Key>>,
    wake: Notify,
}

impl Outbox {
    fn made(&self) -> MutexGuard<'_, VecDeque<Key>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Says once who is told what. Before, nobody is.
    pub(crate) fn set_subscribers(&self, subscribers: Subscribers) {
        // The configuration is read at the start only.
        let _ = self.outbox.subscribers.set(subscribers);
    }

    /// Adds the notices of an event to a request, one for each webhook that is to be told.
    pub(crate) fn add_notices(&self, request: &mut AccessRequest, event: Event, now_ms: u64) {
        let Some(subscribers) = self.outbox.subscribers.get() else { return };
        let rules = self.approval_rules();
        let rule = rules.named(&request.rule).filter(|_| event == Event::BreakGlass);
        let named = rule.and_then(|rule| rule.break_glass.as_ref()?.notify.as_deref());
        for webhook in subscribers.of(event, named) {
            if self.notices_of(webhook, |notice| !notice.given_up) < WAITING_MAX {
                request.notices.push(Notice::new(webhook, event, now_ms));
            } else {
                self.metrics.webhooks.count(webhook, Became::Dropped);
            }
        }
    }

    /// How many notices of a webhook are like this.
    pub(crate) fn notices_of(&self, webhook: &str, is_counted: impl Fn(&Notice) -> bool) -> usize {
        let requests = self.requests();
        let all = requests.noticed().flat_map(|request| &request.notices);
        all.filter(|notice| notice.webhook == webhook && is_counted(notice)).count()
    }

    /// The notices of a request that are not published yet.
    pub(crate) fn unpublished_notices(&self, request: &AccessRequest) -> Vec<Key> {
        let requests = self.requests();
        let published = requests.get(&request.id).map(|published| &*published.notices).unwrap_or_default();
        let new = request.notices.iter().filter(|notice| !published.iter().any(|other| other.is_same_as(notice)));
        new.map(|notice| notice.key(&request.id)).collect()
    }

    /// These notices are on disk and published, and this replica has made them.
    pub(crate) fn notices_made(&self, keys: Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        let mut made = self.outbox.made();
        let room = WAITING_MAX.saturating_sub(made.len());
        made.extend(keys.into_iter().take(room));
        drop(made);
        self.outbox.wake.notify_waiters();
    }

    /// Waits until there is something new.
    pub(crate) fn notices_wake(&self) -> Notified<'_> {
        self.outbox.wake.notified()
    }

    /// Takes the oldest notice of a webhook that this replica has made and not tried.
    pub(crate) fn new_notice(&self, webhook: &str) -> Option<Key> {
        let mut made = self.outbox.made();
        let at = made.iter().position(|key| key.webhook == webhook)?;
        made.remove(at)
    }

    /// The notice of a webhook that has been due for longest, and how often it was tried.
    pub(crate) fn due_notice(&self, webhook: &str, now_ms: u64) -> Option<(Key, u32)> {
        let requests = self.requests();
        let notices =
            requests.noticed().flat_map(|request| request.notices.iter().map(move |notice| (request, notice)));
        let due = notices.filter(|(_, notice)| is_due(notice, webhook, now_ms));
        let first = due.min_by_key(|(_, notice)| notice.next_at_ms);
        first.map(|(request, notice)| (notice.key(&request.id), notice.attempts))
    }

    /// All that are due, the oldest first.
    pub(crate) fn due_notices(&self, webhook: &str, now_ms: u64) -> Vec<(Key, u32)> {
        let requests = self.requests();
        let notices =
            requests.noticed().flat_map(|request| request.notices.iter().map(move |notice| (request, notice)));
        let due = notices.filter(|(_, notice)| is_due(notice, webhook, now_ms));
        let mut due: Vec<_> = due.map(|(request, notice)| (notice.key(&request.id), notice.attempts)).collect();
        due.sort_by_key(|(key, _)| key.at_ms);
        due
    }

    /// All that are not delivered, each with the id of its request.
    pub(crate) fn undelivered(&self) -> Vec<(String, Notice)> {
        let requests = self.requests();
        let of = |request: &AccessRequest| {
            let id = request.id.clone();
            request.notices.iter().cloned().map(move |notice| (id.clone(), notice)).collect::<Vec<_>>()
        };
        requests.noticed().flat_map(of).collect()
    }

    /// The requests of whose open reviews somebody is to be reminded.
    pub(crate) fn reviews_due(&self, now_ms: u64) -> Vec<String> {
        let requests = self.requests();
        requests
            .noticed()
            .filter(|request| request.is_reminder_due(REMIND_MS, now_ms))
            .map(|request| request.id.clone())
            .collect()
    }
}

fn is_due(notice: &Notice, webhook: &str, now_ms: u64) -> bool {
    notice.webhook == webhook && !notice.given_up && notice.next_at_ms <= now_ms
}
