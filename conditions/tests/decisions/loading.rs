//! Faults of policies: each at its line, all at once, with what to do.

use crate::setting::{declared, faults, refused_by, request, session, set, sources, when};
use portcullis_conditions::{Declared, Fault, Request, Route, Set, Source};

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

/// Policies of a file are parsed and validated many at a time, which shows nowhere: each is read as if it were alone.
#[test]
fn a_policy_is_read_alike_alone_and_beside_others() {
    let lines = [
        "@id(\"ID\") forbid (principal, action, resource); // a comment; \"",
        "/* no comment */ @id(\"ID\") forbid (principal, action, resource);",
        "@id(\"ID\") forbid (principal, action, resource) when { context.host == \";\\\";//\" };",
        "  @id(\"ID\") forbid (principal, action, resource) when { context.host == \"ä\" && context has tenant };",
        "@id(\"ID\") forbid (principal, action, resource) when { context.risk == \"high\" && false };",
        "@id(\"ID\") forbid (principal, action == Portcullis::Action::\"PUT\", resource) when { context.host == 1 };",
        "@id(\"ID\") @tell(\"no\") permit (principal, action, resource);",
        "@id(\"ID\") forbid (principal == ?principal, action, resource);",
        "@id(\"ID\") forbid (principal, action, resource) when { ip(\"nowhere\").isIpv4() };",
        "@id(\"ID\") forbid (principal, action, resource) when { ;",
        ";",
        "// nothing",
    ];
    let lines: Vec<String> = (0..).zip(lines).map(|(id, line)| line.replace("ID", &format!("a{id}"))).collect();
    let alone: Vec<(Vec<Fault>, Vec<Fault>)> = lines.iter().map(|line| found(line)).collect();
    let pairs = (0..lines.len()).flat_map(|first| (0..lines.len()).map(move |second| [first, second]));
    for chosen in pairs.filter(|[first, second]| first != second) {
        let text = chosen.map(|line| lines[line].as_str()).join("\n");
        let mut expected = (Vec::new(), Vec::new());
        let mut start = 0;
        for (line, of) in chosen.into_iter().enumerate() {
            let moved = |fault: &Fault| Fault {
                line: fault.line + line,
                start: fault.start + start,
                end: fault.end + start,
                ..fault.clone()
            };
            expected.0.extend(alone[of].0.iter().map(moved));
            expected.1.extend(alone[of].1.iter().map(moved));
            start += lines[of].len() + 1;
        }
        if !expected.0.is_empty() {
            expected.1.clear();
        }
        assert_eq!(found(&text), expected, "{text}");
    }
}

/// The faults of a text, or else its warnings.
fn found(text: &str) -> (Vec<Fault>, Vec<Fault>) {
    match Set::load(&sources(text), &declared()) {
        Ok(set) => (Vec::new(), set.warnings().to_vec()),
        Err(faults) => (faults, Vec::new()),
    }
}

#[test]
fn of_many_policies_every_one_decides_and_the_fault_of_one_hides_none_of_another() {
    let many = |when: &dyn Fn(usize) -> String| -> String {
        (0..1_000)
            .map(|id| format!("@id(\"a{id}\") forbid (principal, action, resource) when {{ {} }};\n", when(id)))
            .collect()
    };
    let right = many(&|id| format!("context.host == \"{id}\""));
    let loaded = set(&right);
    assert_eq!((loaded.len(), loaded.ids().nth(999)), (1_000, Some("a999")));
    for id in [0, 127, 128, 500, 999] {
        let host = Request { host: id.to_string(), ..request() };
        assert_eq!(refused_by(&right, &session(), &host), Some(format!("a{id}")));
    }
    let wrong = |id: usize| id % 100 == 7;
    let found =
        faults(&many(&|id| if wrong(id) { "context.host ==".to_owned() } else { "context.hots == \"a\"".to_owned() }));
    assert!(found.len() == 200 && found[199].contains("more"), "{} {}", found.len(), found[199]);
    let found = faults(&many(&|id| if wrong(id) { "context.host ==".to_owned() } else { "true".to_owned() }));
    let at: Vec<_> = found.iter().map(|fault| fault.split(':').nth(1).unwrap().parse::<usize>().unwrap() - 1).collect();
    assert_eq!(at, (0..1_000).filter(|id| wrong(*id)).collect::<Vec<_>>(), "{found:#?}");
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
