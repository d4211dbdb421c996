//! Faults of policies: each at its line, all at once, with what to do.

use crate::setting::{declared, faults, set, sources, when};
use portcullis_conditions::{Declared, Route, Set, Source};

#[test]
fn every_fault_of_every_file_is_found_at_once() {
    let text = "permit (principal, action, resource);\n\
                @id(\"a\") forbid (principal, action, resource) when { context.place.country == \"CH\" };\n\
                @id(\"a\") @reson(\"x\") forbid (principal, action, resource);\n\
                @id(\"b\") forbid (principal, action, resource) when { context.plcae has ip };\n\
                @id(\"c\") forbid (principal, action, resource) when { ;\n\
                @id(\"d\") forbid (principal, action == Portcullis::Action::\"read\", resource);\n";
    let found = faults(text);
    for (place, words) in [
        ("a.cedar:1:1:", "a condition cannot permit"),
        ("a.cedar:1:1:", "has no `@id`"),
        ("a.cedar:2:", "optional attribute"),
        ("a.cedar:3:10:", "unknown annotation `@reson`"),
        ("a.cedar:4:", "attribute `plcae`"),
        ("a.cedar:5:", "unexpected token"),
        ("a.cedar:6:10:", "groups of methods"),
    ] {
        assert!(
            found.iter().any(|fault| fault.starts_with(place) && fault.contains(words)),
            "{place} {words}: {found:#?}"
        );
    }
}

#[test]
fn an_id_is_unique_over_all_files() {
    let source = |file: &str| Source { file: file.to_owned(), text: format!("\n{}", when("true")) };
    let faults = Set::load(&[source("x.cedar"), source("y.cedar")], &declared()).expect_err("a fault");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].to_string(), "y.cedar:2:1: the `@id` `a` is taken by x.cedar:2; every condition has its own");
}

#[test]
fn templates_and_unknown_types_are_refused() {
    for text in [
        "@id(\"a\") forbid (principal == ?principal, action, resource);",
        "@id(\"a\") forbid (principal is Portcullis::Person, action, resource);",
        "@id(\"a\") forbid (principal, action == Portcullis::Action::\"CONNECT\", resource);",
        "@id(\"a\") forbid (principal, action, resource) when { context.session.undeclared == \"x\" };",
        "@id(\"a\") forbid (principal, action, resource) when { context.host == 1 };",
        "@id(\"a\") forbid (principal, action, resource) when { [] == [] };",
        "@id(\"a\") forbid (principal, action, resource) when { ip(context.host).isIpv4() };",
        "@id(\"a\") @id(\"b\") forbid (principal, action, resource);",
        "@id(\"a\") forbid (principal, action, resource)",
        "nonsense",
    ] {
        assert!(!faults(text).is_empty(), "{text}");
    }
}

#[test]
fn has_of_an_attribute_that_there_is_none_of_is_a_fault_at_its_place() {
    for (condition, at, words) in [
        ("context.session has tikcet", "context", "`has tikcet` is never true"),
        ("context.session has tikcet && context.session.tikcet == \"T\"", "context", "`conditions.attributes`"),
        ("!(context.subject has \"x-divice\")", "context", "`conditions.attributes`"),
        ("context has session.tikcet", "context", "`conditions.attributes`"),
        ("context.place has contry", "context", "`portcullis conditions schema`"),
        ("context has device.compliance", "context", "`has device.compliance` is never true"),
        ("principal has granted", "principal", "`has granted`"),
        ("context.risk == \"high\" || context has tenant", "context has", "`has tenant`"),
        ("if context has acr then context has amrs else false", "context has amrs", "`has amrs`"),
    ] {
        let line = format!("when {{ true }} unless {{ {condition} }};");
        let found = faults(&format!("@id(\"a\") forbid (principal, action, resource)\n{line}"));
        let place = format!("a.cedar:2:{}: ", line.find(at).expect("a place") + 1);
        let is_found = |fault: &String| fault.starts_with(&place) && fault.contains(words);
        assert!(found.iter().any(is_found), "{place}{condition}: {found:?}");
    }
    // Also in a condition about some methods.
    let text =
        "@id(\"a\") forbid (principal, action == Portcullis::Action::\"PUT\", resource) when { context has no };";
    assert!(faults(text).iter().any(|fault| fault.contains("`has no` is never true")), "{:?}", faults(text));
    for condition in [
        "context.session has score && context.session.score > 7",
        "context.subject has \"x-device-id\"",
        "context has device.compliant && context.device.compliant",
        "context.place has country || context has acr || principal has granted_until",
        "context has host",
    ] {
        assert_eq!(faults(&when(condition)), [""; 0], "{condition}");
    }
}

#[test]
fn a_condition_that_never_applies_is_a_warning() {
    let set = set(&when("context.risk == \"high\" && false"));
    assert!(set.warnings().iter().any(|warning| warning.message.contains("impossible")), "{:?}", set.warnings());
    let text = "@id(\"a\") forbid (principal, action, resource == Portcullis::Route::\"x\");\
                @id(\"b\") forbid (principal, action, resource in Portcullis::RouteSet::\"y\");\
                @id(\"c\") forbid (principal, action, resource);";
    let routes = [Route { name: "x".to_owned(), ..Route::default() }];
    let unmatched = super::setting::set(text).unmatched(&routes);
    assert_eq!(unmatched.len(), 1);
    assert!(unmatched[0].message.contains("`b` never applies"), "{unmatched:?}");
}

#[test]
fn the_digest_is_that_of_what_decides() {
    let digest =
        |text: &str, declared: &Declared| Set::load(&sources(text), declared).expect("a set").digest().to_owned();
    let (a, none) = (when("true"), Declared::default());
    assert_eq!(digest(&a, &none), digest(&format!("// a comment\n\n{a}\n"), &none));
    assert_ne!(digest(&a, &none), digest(&when("false"), &none));
    assert_ne!(digest(&a, &none), digest(&a, &declared()), "the schema counts");
    assert_ne!(digest("", &none), digest(&a, &none));
}
