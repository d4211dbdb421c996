//! Notices to webhooks: a change of a request makes them, in the same commit, and they change as they are delivered.

use super::approval::{Made, in_group};
use super::commit::Commit;
use super::prepare::Group;
use crate::approvals::{AccessRequest, Decision, State, Why};
use crate::notices::{Event, Key, Noticing, REMIND_MS};

impl Made {
    /// The requests that it has changed.
    fn requests(&self) -> Vec<&AccessRequest> {
        match self {
            Self::Asked(request) | Self::Decided(request, _) | Self::Noticed(request) => vec![&**request],
            Self::Nothing(_) => Vec::new(),
            Self::Swept(swept) => swept.iter().map(|(request, _)| request).collect(),
            Self::Used(used) => used.iter().collect(),
        }
    }
}

impl Commit {
    /// Adds the notices of what was made.
    pub(super) fn tell(&self, made: &mut Made, now_ms: u64) {
        let tell = |request: &mut AccessRequest, event| self.registry.add_notices(request, event, now_ms);
        match made {
            Made::Asked(request) => tell(request, asked(request)),
            Made::Decided(request, deciding) => tell(request, decided(request, &deciding.decision)),
            Made::Swept(swept) => swept.iter_mut().for_each(|(request, why)| tell(request, over(*why))),
            Made::Used(_) | Made::Noticed(_) | Made::Nothing(_) => {}
        }
    }

    /// The notices that this has made, and that are this replica's to try. To be asked before they are published.
    pub(super) fn told(&self, made: &Made) -> Vec<Key> {
        made.requests().into_iter().flat_map(|request| self.registry.unpublished_notices(request)).collect()
    }

    /// A request after something has become of one of its notices; `None`: nothing has.
    pub(super) fn noticed(&self, group: &Group, noticing: &Noticing, now_ms: u64) -> Option<Box<AccessRequest>> {
        let mut request = self.held(group, &noticing.key().request)?;
        noticing.make(&mut request.notices, now_ms).then_some(request)
    }

    /// A request after webhooks were reminded of its review, if they are due to be.
    pub(super) fn reminded(&self, group: &Group, id: &str, now_ms: u64) -> Option<Box<AccessRequest>> {
        let mut request = self.held(group, id).filter(|request| request.is_reminder_due(REMIND_MS, now_ms))?;
        request.reminded_at_ms = Some(now_ms);
        self.registry.add_notices(&mut request, Event::ReviewOpen, now_ms);
        Some(request)
    }

    fn held(&self, group: &Group, id: &str) -> Option<Box<AccessRequest>> {
        in_group(group, id).cloned().or_else(|| self.registry.request(id)).map(Box::new)
    }
}

const fn asked(request: &AccessRequest) -> Event {
    match request.review {
        Some(_) => Event::BreakGlass,
        None => Event::ApprovalRequested,
    }
}

fn decided(request: &AccessRequest, decision: &Decision) -> Event {
    match decision {
        Decision::Approve(_) if request.state == State::Pending => Event::ApprovalStep,
        Decision::Approve(_) | Decision::Deny | Decision::Cancel => Event::ApprovalDecided,
        Decision::Review => Event::ReviewClosed,
        Decision::Revoke => Event::GrantEnded,
    }
}

/// What time, sessions and rules have done: a grant has ended, or a request has expired.
const fn over(why: Option<Why>) -> Event {
    match why {
        Some(_) => Event::GrantEnded,
        None => Event::ApprovalDecided,
    }
}
