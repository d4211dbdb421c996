//! What conditions are told about a session: its tokens' facts, its own, and the attributes that hold for it.

use super::layers::Layers;
use super::route::Of;
use super::{Request, RouteFacts};
use crate::approvals::Grant;
use crate::attributes::Value;
use crate::token::Token;
use crate::whereabouts::Whereabouts;
use portcullis_conditions::{Declared, Device, Place, Request as Asked, Session};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How the names of attributes begin that stand for claims, as signals set them.
const CLAIM: &str = "claim.";

/// The end of a grant that has none: the last day that everybody can write.
const NEVER_MS: u64 = 253_402_300_799_000;

/// The facts of a session, but for those of a route. `layers` are the attributes that hold for it.
pub(super) fn session(of: &Of<'_>, layers: &Layers, device: &str, declared: &Declared, now_ms: u64) -> Session {
    let Of { session, token, left, .. } = *of;
    let text = |name: &str| layers.nearest(name).and_then(|(_, value)| as_text(value));
    let flag = |name: &str| layers.nearest(name).and_then(|(_, value)| as_flag(value));
    let subject = if session.subject.is_empty() { &token.subject } else { &session.subject };
    let client = if session.client.is_empty() { &token.client } else { &session.client };
    Session {
        id: session.id.to_string(),
        issuer: session.issuer.to_string(),
        subject: subject.to_string(),
        client: client.to_string(),
        groups: token.further().groups.to_vec(),
        access: session.access.name.clone(),
        scopes: left.map_or_else(|| token.scopes.to_vec(), <[String]>::to_vec),
        opened_at_ms: session.opened_at_ms,
        login_at_ms: session.login_at_ms(),
        granted_until_ms: None,
        acr: acr(of, now_ms),
        amr: token.further().amr.to_vec(),
        risk: text("risk"),
        new_place: flag("new_place").unwrap_or_default(),
        device: self::device(layers, device),
        attributes: declared.0.keys().filter_map(|name| Some((name.clone(), nearest(layers, token, name)?))).collect(),
        subject_attributes: of_subject(layers, declared),
    }
}

/// The same on a route: with the end of the first grant that it rests on.
pub(super) fn on_route(session: &Arc<Session>, of: &Of<'_>, route: &RouteFacts, now_ms: u64) -> Arc<Session> {
    if of.session.grants().are_none() {
        return Arc::clone(session);
    }
    let grants = of.session.live_grants(now_ms);
    let names_scope = |scope: &str| route.scopes.iter().any(|named| **named == *scope) && of.token.scopes.holds(scope);
    let counts = |grant: &Grant| !grant.once || of.once.contains(&grant.id);
    let used = grants.iter().filter(|(scopes, grant)| counts(grant) && scopes.iter().any(names_scope));
    let Some(until_ms) = used.map(|(_, grant)| grant.until_ms.unwrap_or(NEVER_MS)).min() else {
        return Arc::clone(session);
    };
    Arc::new(Session { granted_until_ms: Some(until_ms), ..Session::clone(session) })
}

/// What belongs to one question.
pub(super) fn asked(request: Request<'_>, whereabouts: &Whereabouts, now_ms: u64) -> Asked {
    let ip = request.address();
    let place = whereabouts.place(request).map(known);
    let attributes = request.attributes().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (method, host) = (request.method().to_owned(), request.host().to_owned());
    Asked { now_ms, method, host, ip, place, attributes }
}

fn known(place: crate::place::Place) -> Place {
    let country = place.country.map(|country| country.to_string());
    Place { country, asn: place.asn, proxy: place.proxy }
}

/// The authentication context of the login. What attributes make it count as takes nothing back and adds nothing: where they
/// and the token differ, it has none.
fn acr(of: &Of<'_>, now_ms: u64) -> Option<String> {
    let own = Some(&*of.token.acr).filter(|acr| !acr.is_empty())?;
    let counts = of.contexts.of(of.session.bearer(), now_ms).all(|context| context == own);
    counts.then(|| own.to_owned())
}

fn device(layers: &Layers, id: &str) -> Option<Device> {
    let text = |name: &str| layers.nearest(name).and_then(|(_, value)| as_text(value));
    let flag = |name: &str| layers.nearest(name).and_then(|(_, value)| as_flag(value));
    let (compliant, managed, os) = (flag("device.compliant"), flag("device.managed"), text("device.os"));
    let named = ["device.compliant", "device.managed", "device.os"];
    let source = text("device.source")
        .or_else(|| named.into_iter().find_map(|name| layers.nearest(name)).map(|(source, _)| source.to_owned()));
    let is_known = !id.is_empty() || compliant.is_some() || managed.is_some() || os.is_some();
    is_known.then(|| Device { id: id.to_owned(), compliant, managed, os, source })
}

/// A declared attribute: what is stored wins over what the token says.
fn nearest(layers: &Layers, token: &Token, name: &str) -> Option<String> {
    let stored = layers.nearest(name).or_else(|| layers.nearest(&[CLAIM, name].concat()));
    match stored {
        Some((_, value)) => Some(shown(value)),
        None => token.further().claims.iter().find(|(claim, _)| claim == name).map(|(_, value)| value.clone()),
    }
}

fn of_subject(layers: &Layers, declared: &Declared) -> BTreeMap<String, String> {
    let found = |name: &String| {
        let stored = layers.subject(name).or_else(|| layers.subject(&[CLAIM, name].concat()));
        stored.map(|(_, value)| (name.clone(), shown(value)))
    };
    declared.0.keys().filter_map(found).collect()
}

/// A value as text: its kind is that of the declaration.
fn shown(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    }
}

fn as_text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.clone()) } else { None }
}

fn as_flag(value: &Value) -> Option<bool> {
    if let Value::Boolean(flag) = value { Some(*flag) } else { None }
}

/// What tells the tokens of a session apart whose facts differ, and the devices that they are used on.
pub(super) fn fingerprint(of: &Of<'_>, device: &str, mut to: impl Hasher) -> u64 {
    device.hash(&mut to);
    (of.left, of.once).hash(&mut to);
    let Token { subject, client, scopes, acr, .. } = of.token;
    (subject, client, scopes, acr).hash(&mut to);
    of.token.further().hash(&mut to);
    to.finish()
}
