//! Ten thousand policies, of which few concern a route.

use crate::setting::{request, route, session, set, when};
use portcullis_conditions::{Decision, Route};
use std::fmt::Write;

#[test]
fn only_conditions_that_can_concern_a_route_are_kept() {
    let text = "@id(\"all\") forbid (principal, action, resource) when { context.risk == \"high\" };\
                @id(\"read\") forbid (principal, action in Portcullis::Action::\"read\", resource);\
                @id(\"one\") forbid (principal, action, resource == Portcullis::Route::\"orders.change\");\
                @id(\"other\") forbid (principal, action, resource == Portcullis::Route::\"other\");\
                @id(\"set\") forbid (principal, action, resource in Portcullis::RouteSet::\"support\");\
                @id(\"tag\") forbid (principal, action, resource) when { resource.tags.contains(\"pii\") };\
                @id(\"class\") forbid (principal, action, resource) when { resource.class == \"admin\" };";
    let set = set(text);
    let ids = |route: &Route, method: &str| {
        let sliced = set.for_route(route).expect("a route");
        sliced.ids(method).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&route(), "PUT"), "all one set tag");
    assert_eq!(ids(&route(), "GET"), "all read one set tag");
    assert_eq!(ids(&Route { name: "other".to_owned(), ..Route::default() }, "PUT"), "all other");
}

#[test]
fn ten_thousand_policies_leave_no_more_to_decide_than_ten() {
    let mut text = when("context.place has proxy && context.place.proxy");
    for n in 0..10_000 {
        write!(text, "@id(\"r{n}\") forbid (principal, action, resource == Portcullis::Route::\"r{n}\");")
            .expect("text");
    }
    let set = set(&text);
    assert_eq!(set.len(), 10_001);
    let sliced = set.for_route(&route()).expect("a route");
    assert_eq!(sliced.len(), 1);
    assert_eq!(sliced.prepare(&session(), "PUT").decide(&session(), &request()), Decision::Allowed);
}
