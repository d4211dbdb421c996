//! Routes and sessions as entities of Cedar.

use crate::{
    Route, Session,
    vocabulary::{Vocabulary, texts, uid},
};
use cedar_policy_core::{
    ast::{Entity, EntityType, EntityUID, Value},
    entities::{Entities, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use std::{collections::HashSet, sync::Arc};

/// A route and the sets that it is in.
pub(crate) fn route(vocabulary: &Vocabulary, route: &Route) -> Vec<Entity> {
    let sets: HashSet<_> = route.sets.iter().map(|set| uid(&vocabulary.route_set, set)).collect();
    let attributes = vec![
        ("class", Value::from(route.class.as_str())),
        ("scopes", texts(&route.scopes)),
        ("tags", texts(&route.tags)),
    ];
    let mut entities: Vec<_> = sets.iter().map(|set| Entity::with_uid(set.clone())).collect();
    entities.push(entity(uid(&vocabulary.route, &route.name), attributes, sets));
    entities
}

/// A session, and whom it belongs to.
pub(crate) fn session(vocabulary: &Vocabulary, session: &Session) -> Vec<Entity> {
    let user = party(session, (&vocabulary.user, "subject"), &session.subject);
    let client = party(session, (&vocabulary.client, "id"), &session.client);
    let groups: HashSet<&String> = session.groups.iter().collect();
    let groups: Vec<_> = groups.into_iter().map(|group| party(session, (&vocabulary.group, "name"), group)).collect();
    let mut attributes = vec![
        ("user", Value::from(user.uid().clone())),
        ("client", Value::from(client.uid().clone())),
        ("access", Value::from(session.access.as_str())),
        ("scopes", texts(&session.scopes)),
    ];
    let times = [
        ("opened_at", Some(session.opened_at_ms)),
        ("login_at", Some(session.login_at_ms)),
        ("granted_until", session.granted_until_ms),
    ];
    attributes.extend(times.into_iter().filter_map(|(name, ms)| Some((name, vocabulary.datetime(ms?)?))));
    let mut entities = groups;
    entities.extend([user, client]);
    let parents = entities.iter().map(|party| party.uid().clone()).collect();
    entities.push(entity(uid(&vocabulary.session, &session.id), attributes, parents));
    entities
}

/// Subjects, clients and groups of two issuers are different ones, whatever they are called.
fn party(session: &Session, (kind, member): (&EntityType, &'static str), name: &str) -> Entity {
    let id = format!("{}#{name}", session.issuer);
    let attributes = vec![("issuer", Value::from(session.issuer.as_str())), (member, Value::from(name))];
    entity(uid(kind, &id), attributes, HashSet::new())
}

fn entity(uid: EntityUID, attributes: Vec<(&'static str, Value)>, parents: HashSet<EntityUID>) -> Entity {
    let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
    Entity::new_with_attr_partial_value(uid, attributes, HashSet::new(), parents, [])
}

/// Adds entities to others; parents have no parents of their own. `None`: an id is taken by another entity.
pub(crate) fn with(base: &Entities, more: Vec<Entity>) -> Option<Entities> {
    let more = more.into_iter().map(Arc::new);
    let computed = TCComputation::AssumeAlreadyComputed;
    base.clone().add_entities(more, None::<&NoEntitiesSchema>, computed, Extensions::all_available()).ok()
}
