//! Conditions as the simulated session service judges by them: once everything else is good.

use crate::policy::cases::{CaseFacts, Known};
use portcullis_conditions::{Answer, Decision, Device, Finding, Refusal, Request, Route, Session, Set, Sliced};
use portcullis_engine::wire::{self, Circumstances, Outcome, SessionKey, Token, Verdict};
use std::{collections::BTreeMap, sync::Arc};

/// Judges by conditions.
pub(crate) struct Judge {
    set: Arc<Set>,
    /// For each route of the filter; `None`: it cannot be shown to conditions.
    routes: Vec<Option<(Route, Sliced)>>,
    /// What was judged last.
    pub(crate) last: Option<Judged>,
}

/// What was judged about a request.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// The name of the route.
    pub(crate) route: String,
    /// What each condition that can concern the route says.
    pub(crate) findings: Vec<(String, Finding)>,
    /// What they decide together.
    pub(crate) decision: Decision,
}

/// A question of the filter, or an open request.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) address: &'a str,
    pub(super) circumstances: Option<&'a Circumstances>,
    /// The simulator's clock.
    pub(super) now_ms: u64,
}

impl Judge {
    pub(super) fn new(set: Arc<Set>) -> Self {
        Self { set, routes: Vec::new(), last: None }
    }

    /// Takes over the routes of the filter.
    pub(super) fn hello(&mut self, routes: &[wire::Route]) {
        let sliced = routes.iter().map(|route| {
            let route = shown(route);
            let sliced = self.set.for_route(&route).ok()?;
            Some((route, sliced))
        });
        self.routes = sliced.collect();
    }

    /// The verdict of a condition that refuses.
    pub(super) fn verdict(
        &mut self,
        route: usize,
        token: &Token,
        known: &Known,
        facts: &CaseFacts,
        asked: Asked<'_>,
    ) -> Option<Verdict> {
        let (of, sliced) = self.routes.get(route)?.as_ref()?;
        let request = request(asked, facts);
        let session = session(token, known, facts, &request, asked);
        let decision = sliced.prepare(&session, &request.method).decide(&session, &request);
        let findings = sliced.findings(&session, &request);
        self.last = Some(Judged { route: of.name.clone(), findings, decision: decision.clone() });
        match decision {
            Decision::Allowed => None,
            Decision::Refused(refusal) => Some(refused(refusal)),
        }
    }
}

/// A route as conditions see it.
pub(crate) fn shown(route: &wire::Route) -> Route {
    let groups = route.any_of.iter().flat_map(|group| &group.scopes);
    let mut scopes: Vec<_> = route.all_of.iter().chain(groups).cloned().collect();
    scopes.sort();
    scopes.dedup();
    let wire::Route { name, class, tags, sets, .. } = route.clone();
    Route { name, class, tags, scopes, sets }
}

fn refused(refusal: Refusal) -> Verdict {
    let Refusal { answer, id, reason, tell, .. } = refusal;
    let mut condition = wire::Condition { id, reason, tell, ..wire::Condition::default() };
    let outcome = match answer {
        Answer::ConditionFailed => Outcome::ConditionFailed,
        Answer::ApprovalRequired { scope } => {
            condition.requestable = scope;
            Outcome::ApprovalRequired
        }
        Answer::StepUpRequired { acr, max_age_ms } => {
            (condition.acr, condition.max_age_ms) = (acr, max_age_ms);
            Outcome::StepUpRequired
        }
    };
    Verdict { outcome: outcome.into(), condition: Some(condition), ..Verdict::default() }
}

fn request(asked: Asked<'_>, facts: &CaseFacts) -> Request {
    let circumstances = asked.circumstances.cloned().unwrap_or_default();
    let attributes = circumstances.attributes.into_iter().map(|attribute| (attribute.name, attribute.value));
    let place = circumstances.place.map(|place| portcullis_conditions::Place {
        country: Some(place.country).filter(|country| !country.is_empty()),
        asn: place.asn,
        proxy: place.proxy,
    });
    Request {
        now_ms: facts.now_ms.unwrap_or(asked.now_ms),
        method: asked.method.to_owned(),
        host: circumstances.host,
        ip: facts.ip.or_else(|| asked.address.parse().ok()),
        place: facts.place.clone().or(place),
        attributes: attributes.collect(),
    }
}

fn session(token: &Token, known: &Known, facts: &CaseFacts, request: &Request, asked: Asked<'_>) -> Session {
    let age_ms = u64::try_from(known.age.as_millis()).unwrap_or(u64::MAX);
    let login_age_ms = token.authenticated_at_ms.map_or(age_ms, |at| asked.now_ms.saturating_sub(at));
    let is_machine = token.key_kind() == SessionKey::Machine || token.grant == "client_credentials";
    let access = known.access.as_deref().unwrap_or(if is_machine { "machine" } else { "human" });
    let nearest = |name: &str| {
        let holders = [&facts.session, &facts.device, &facts.subject];
        holders.into_iter().find_map(|holder| holder.get(name)).cloned()
    };
    let mut attributes: BTreeMap<_, _> =
        token.claims.iter().map(|claim| (claim.name.clone(), claim.value.clone())).collect();
    // The nearest holder's counts, and what is stored wins over what the token says.
    for holder in [&facts.subject, &facts.device, &facts.session] {
        attributes.extend(holder.clone());
    }
    Session {
        id: "case".to_owned(),
        issuer: token.issuer.clone(),
        subject: token.subject.clone(),
        client: token.client_id.clone(),
        groups: token.groups.clone(),
        access: access.to_owned(),
        scopes: known.scopes.clone().unwrap_or_else(|| token.scopes.clone()),
        opened_at_ms: request.now_ms.saturating_sub(age_ms),
        login_at_ms: request.now_ms.saturating_sub(login_age_ms),
        granted_until_ms: None,
        acr: acr(token, facts),
        amr: token.amr.clone(),
        risk: nearest("risk"),
        new_place: nearest("new_place").is_some_and(|new| new == "true"),
        device: device(token, facts, asked.circumstances),
        attributes,
        subject_attributes: facts.subject.clone(),
    }
}

/// The context of the login; it counts as none if an attribute says another one.
fn acr(token: &Token, facts: &CaseFacts) -> Option<String> {
    let own = Some(&token.acr).filter(|acr| !acr.is_empty())?;
    let mut counts_as = [&facts.session, &facts.subject].into_iter().filter_map(|holder| holder.get("acr"));
    counts_as.all(|other| other == own).then(|| own.clone())
}

fn device(token: &Token, facts: &CaseFacts, circumstances: Option<&Circumstances>) -> Option<Device> {
    let stated = |name: &str| {
        let long = format!("device.{name}");
        let of_device = facts.device.get(name).or_else(|| facts.device.get(&long));
        of_device.or_else(|| facts.session.get(&long)).or_else(|| facts.subject.get(&long)).cloned()
    };
    let flag = |name| stated(name).and_then(|text| text.parse().ok());
    let of_connection = circumstances.map(|circumstances| &circumstances.device).filter(|id| !id.is_empty());
    let id = stated("id").or_else(|| of_connection.cloned()).unwrap_or_else(|| token.device.clone());
    let (compliant, managed, os) = (flag("compliant"), flag("managed"), stated("os"));
    let is_known = !id.is_empty() || compliant.is_some() || managed.is_some() || os.is_some();
    is_known.then(|| Device { id, compliant, managed, os, source: stated("source") })
}
