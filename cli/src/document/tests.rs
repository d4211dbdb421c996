use super::*;

fn pointed(text: &str, path: &str) -> String {
    let document = Document::parse("policy.yaml", text).expect("a document");
    text.get(document.span(path)).expect("within the text").to_owned()
}

fn refused(text: &str) -> String {
    match Document::parse("policy.yaml", text) {
        Err(faults) => anstream::adapter::strip_str(&crate::report::diagnosed_file(&faults)).to_string(),
        other => panic!("{text:?} was read: {other:?}"),
    }
}

#[test]
fn a_fault_points_at_the_value_or_at_the_key_of_what_has_parts() {
    let text = "realm: örders\nroutes:\n  - {name: a, match: {path: /x}}\n  - name: b\n";
    assert_eq!(pointed(text, "$.realm"), "örders");
    assert_eq!(pointed(text, "$.routes"), "routes");
    assert_eq!(pointed(text, "$.routes[0].match.path"), "/x");
    assert_eq!(pointed(text, "$.routes[0].match"), "match");
    assert_eq!(pointed(text, "$.routes[1].name"), "b");
}

#[test]
fn a_fault_of_something_missing_points_at_what_should_hold_it() {
    assert_eq!(pointed("session: {cluster: c}\n", "$.session.timeout"), "session");
    assert_eq!(pointed("scopes: {'a:b': {owner: x}}\n", "$.scopes['a:b'].description"), "'a:b'");
}

#[test]
fn a_value_without_a_key_is_pointed_at_by_its_first_pair() {
    let text = "routes:\n  - name: a\n    match: {path: /x}\n  - match:\n      path: /y\n  - {public: true}\n";
    assert_eq!(pointed(text, "$.routes[0]"), "name: a");
    assert_eq!(pointed(text, "$.routes[1]"), "match");
    assert_eq!(pointed(text, "$.routes[2].name"), "public: true");
    assert_eq!(pointed(text, "$.session"), "routes");
}

#[test]
fn of_two_values_of_a_key_the_first_is_meant_and_the_others_are_found_by_their_keys() {
    let text = "a: {x: 1}\nb: 2\na: {x: 3}\n'a': 4\n";
    let document = Document::parse("policy.yaml", text).expect("a document");
    let at = |range: Range<usize>| (range.start, text.get(range).expect("within").to_owned());
    assert_eq!(at(document.span("$.a.x")), (7, "1".to_owned()));
    assert_eq!(at(document.repeated_key_span("$.a", 0)), (15, "a".to_owned()));
    assert_eq!(at(document.repeated_key_span("$.a", 1)), (25, "'a'".to_owned()));
    assert_eq!(at(document.repeated_key_span("$.a", 2)), (0, "a".to_owned()));
}

#[test]
fn all_scalars_that_readers_take_differently_are_reported() {
    let report = refused("a: yes\nb: [.inf, off]\n");
    assert_eq!(report.matches("policy.yaml:").count(), 3, "{report}");
}

#[test]
fn yaml_and_json_are_the_same_value() {
    let yaml = Document::parse("a", "a: [1, -2.5, true, null, 'x: y', \"\\u00fc\"]\nb: {c: ''}\n").expect("yaml");
    let json = Document::parse("b", r#"{"a":[1,-2.5,true,null,"x: y","ü"],"b":{"c":""}}"#).expect("json");
    assert_eq!(yaml.json(), r#"{"a":[1,-2.5,true,null,"x: y","ü"],"b":{"c":""}}"#);
    assert_eq!(json.json(), yaml.json());
}

#[test]
fn a_key_that_is_given_twice_stays_for_the_reader_to_report() {
    assert_eq!(Document::parse("a", "a: 1\na: 2\n").expect("yaml").json(), r#"{"a":1,"a":2}"#);
}

#[test]
fn what_is_no_document_is_refused_with_its_line() {
    for (text, words) in [
        ("", "the file is empty"),
        ("a: [1\n", "policy.yaml:"),
        ("a: 1\n---\nb: 2\n", "policy.yaml:3:1"),
        ("public: yes\n", "policy.yaml:1:9"),
        ("a: .nan\n", "policy.yaml:1:4"),
        ("[a]: 1\n", "a key must be text"),
    ] {
        let report = refused(text);
        assert!(report.contains(words), "{text:?}: {report}");
    }
}

#[test]
fn aliases_stand_for_values_and_cannot_blow_a_file_up() {
    assert_eq!(Document::parse("a", "a: &x [1]\nb: *x\n").expect("yaml").json(), r#"{"a":[1],"b":[1]}"#);
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let above = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [above.as_str(); 10].join(","));
    }
    assert!(refused(&bomb).contains("aliases expand to more than"));
}

#[test]
fn depth_is_bounded() {
    for depth in [150, 100_000] {
        assert!(refused(&"[".repeat(depth)).contains("policy.yaml:1:"));
    }
}
