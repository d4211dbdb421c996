//! Requests for access: asked, decided, ended. The writer is the one place where two people who decide at once meet.

use super::commit::Commit;
use super::op::{Reply, answer};
use super::prepare::{Group, Step};
use crate::admins::Caller;
use crate::approvals::{AccessRequest, Asked, Decision, NotDone, Why};
use crate::notices::Noticing;
use crate::store::Change;
use portcullis_contract::SessionId;

/// What is done about requests for access.
pub(crate) enum Approving {
    /// One is made, unless another one waits for the same.
    Ask(Box<Asked>),
    /// Somebody decides about one. A grant is named by its own id.
    Decide(Box<Deciding>),
    /// A request was released because of grants for one request, if all of them are still open.
    Use(Using),
    /// What time, sessions and rules have ended is noted; whether the rules have just been read.
    Sweep(bool),
    /// Something becomes of a notice to a webhook.
    Notice(Box<Noticing>),
    /// Webhooks are reminded that the request with this id is to be reviewed.
    Remind(String),
}

/// The use of grants for one request.
#[derive(Debug, Clone)]
pub(crate) struct Using {
    /// The session.
    pub(crate) session: SessionId,
    /// The ids of the grants.
    pub(crate) grants: Vec<String>,
    /// The name of the route.
    pub(crate) route: String,
}

/// A decision about a request.
pub(crate) struct Deciding {
    /// The id of the request; for [`Decision::Revoke`], of its grant.
    pub(crate) id: String,
    /// What is decided.
    pub(crate) decision: Decision,
    /// By whom.
    pub(crate) caller: Caller,
    /// Why; may be empty.
    pub(crate) comment: String,
}

/// What has become of it: the request, and whether this has changed it; none after a sweep.
pub(crate) type Approved = Result<Option<(Box<AccessRequest>, bool)>, NotDone>;

/// What a commit has made of requests.
pub(super) enum Made {
    /// Nothing, for what the commit has made of the request before.
    Nothing(Approved),
    Asked(Box<AccessRequest>),
    Decided(Box<AccessRequest>, Box<Deciding>),
    Swept(Vec<(AccessRequest, Option<Why>)>),
    /// Their grants were used.
    Used(Vec<AccessRequest>),
    /// Only its notices are others.
    Noticed(Box<AccessRequest>),
}

impl Commit {
    pub(super) fn prepare_approval(
        &self,
        group: &mut Group,
        approving: Approving,
        now_ms: u64,
        reply: Reply<Approved>,
    ) {
        let made = match approving {
            Approving::Ask(asked) => match self.same(group, &asked, now_ms) {
                Ok(Some(same)) => Ok(Made::Nothing(Ok(Some((Box::new(same), false))))),
                Ok(None) => match self.registry.approval_rules().covering(&asked.scopes) {
                    Some(rule) if *rule == asked.rule => Ok(Made::Asked(Box::new(AccessRequest::new(*asked, now_ms)))),
                    _ => Err(NotDone::Invalid("the approval rules have just been changed: ask again".to_owned())),
                },
                Err(not_done) => Err(not_done),
            },
            Approving::Decide(deciding) => self.decide(group, deciding, now_ms),
            Approving::Use(using) => self.use_grants(group, &using, now_ms).map(Made::Used),
            Approving::Sweep(rules_are_new) => {
                let due = self.registry.requests_due(rules_are_new, now_ms);
                let is_untouched = |request: &AccessRequest| in_group(group, &request.id).is_none();
                Ok(Made::Swept(due.into_iter().filter(|(request, _)| is_untouched(request)).collect()))
            }
            Approving::Notice(noticing) => match self.noticed(group, &noticing, now_ms) {
                Some(request) => Ok(Made::Noticed(request)),
                None => return answer(reply, Ok(Ok(None))),
            },
            Approving::Remind(id) => match self.reminded(group, &id, now_ms) {
                Some(request) => Ok(Made::Noticed(request)),
                None => return answer(reply, Ok(Ok(None))),
            },
        };
        let mut made = made.unwrap_or_else(|not_done| Made::Nothing(Err(not_done)));
        self.tell(&mut made, now_ms);
        match &made {
            Made::Asked(request) | Made::Decided(request, _) | Made::Noticed(request) => {
                group.changes.push(Change::Request(request.clone()));
            }
            Made::Swept(swept) if swept.is_empty() => return answer(reply, Ok(Ok(None))),
            Made::Swept(swept) => {
                let put = |(request, _): &(AccessRequest, _)| Change::Request(Box::new(request.clone()));
                group.changes.extend(swept.iter().map(put));
            }
            Made::Used(used) => {
                let put = |request: &AccessRequest| Change::Request(Box::new(request.clone()));
                group.changes.extend(used.iter().map(put));
            }
            // What it rests on may be in this group, and on no disk yet.
            Made::Nothing(_) if requests_in(group).next().is_some() => {}
            Made::Nothing(_) => {
                if let Made::Nothing(answered) = made {
                    answer(reply, Ok(answered));
                }
                return;
            }
        }
        group.steps.push(Step::Approval(made, reply));
    }

    pub(super) fn finish_approval(&self, made: Made, reply: Reply<Approved>) {
        let told = self.told(&made);
        let request = match made {
            Made::Nothing(answered) => return answer(reply, Ok(answered)),
            Made::Asked(request) => {
                self.registry.put_requests(std::slice::from_ref(&request));
                self.audit.access_requested(&request);
                request
            }
            Made::Decided(request, deciding) => {
                self.registry.put_requests(std::slice::from_ref(&request));
                self.audit.access_decided(&request, &deciding.decision, &deciding.caller.name, &deciding.comment);
                request
            }
            Made::Noticed(request) => {
                self.registry.put_requests(std::slice::from_ref(&request));
                request
            }
            Made::Used(used) => {
                self.registry.put_requests(&used);
                used.iter().for_each(|request| self.audit.grant_used(request));
                return answer(reply, Ok(Ok(None)));
            }
            Made::Swept(swept) => {
                let requests: Vec<AccessRequest> = swept.iter().map(|(request, _)| request.clone()).collect();
                self.registry.put_requests(&requests);
                swept.iter().for_each(|(request, why)| self.audit.access_over(request, *why));
                self.registry.notices_made(told);
                return answer(reply, Ok(Ok(None)));
            }
        };
        self.registry.notices_made(told);
        answer(reply, Ok(Ok(Some((request, true)))));
    }

    fn decide(&self, group: &Group, deciding: Box<Deciding>, now_ms: u64) -> Result<Made, NotDone> {
        let Deciding { id, decision, caller, comment } = &*deciding;
        let known = match decision {
            Decision::Revoke => self.registry.request_of_grant(id),
            Decision::Approve(_) | Decision::Deny | Decision::Cancel | Decision::Review => self.registry.request(id),
        };
        let known = known.ok_or(NotDone::Unknown)?;
        let held = in_group(group, &known.id).cloned().unwrap_or(known);
        let session = self.registry.find(held.session).filter(|session| session.ended().is_none());
        // A session that this commit ends is over.
        let is_ending = group.end_of(held.session).is_some();
        let instance = session.filter(|_| !is_ending).map(|session| session.instance());
        let rules = self.registry.approval_rules();
        let decided = held.decided(decision, caller, comment, rules.named(&held.rule), instance, now_ms)?;
        Ok(Made::Decided(Box::new(decided), deciding))
    }

    /// The requests after their grants were used: all of them, or none.
    fn use_grants(&self, group: &Group, using: &Using, now_ms: u64) -> Result<Vec<AccessRequest>, NotDone> {
        let session = self.registry.find(using.session).filter(|session| session.ended().is_none());
        let is_ending = group.end_of(using.session).is_some();
        let session = session.filter(|_| !is_ending).ok_or(NotDone::Unknown)?;
        let live = session.live_grants(now_ms);
        let used = using.grants.iter().map(|id| {
            let known = self.registry.request_of_grant(id).filter(|request| request.session == using.session);
            let known = known.filter(|_| live.iter().any(|(_, grant)| grant.id == *id)).ok_or(NotDone::Unknown)?;
            let held = in_group(group, &known.id).unwrap_or(&known);
            held.used(&using.route, now_ms).ok_or(NotDone::Closed(held.state))
        });
        used.collect()
    }

    /// One by which the same was asked for already, before or after the changes so far.
    fn same(&self, group: &Group, asked: &Asked, now_ms: u64) -> Result<Option<AccessRequest>, NotDone> {
        let in_group = requests_in(group).rev().find(|request| request.is_same_as(asked, now_ms));
        match in_group {
            Some(same) => Ok(Some(same.clone())),
            None => self.registry.same_request(asked, now_ms),
        }
    }
}

/// The requests that a group changes, in order.
fn requests_in(group: &Group) -> impl DoubleEndedIterator<Item = &AccessRequest> {
    group.changes.iter().filter_map(|change| match change {
        Change::Request(request) => Some(&**request),
        _ => None,
    })
}

/// What the changes so far have made of a request.
pub(super) fn in_group<'g>(group: &'g Group, id: &str) -> Option<&'g AccessRequest> {
    requests_in(group).rev().find(|request| request.id == id)
}
