//! Tests of which rule matches, case by case.

use super::*;

fn rule(hosts: &[&str], methods: &[&str], path: &str) -> Match {
    Match {
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        methods: methods.iter().map(|method| Method::parse(method).unwrap()).collect(),
        path: Template::parse(path).unwrap(),
        encoded_slash: false,
    }
}

fn slashed(path: &str) -> Match {
    Match { encoded_slash: true, ..rule(&[], &[], path) }
}

fn table(rules: &[Match]) -> RouteTable {
    let mut table = RouteTable::default();
    for (id, rule) in rules.iter().enumerate() {
        table.insert(RuleId(id), rule).unwrap();
    }
    table
}

fn find(table: &RouteTable, host: &str, method: &str, path: &str) -> Option<usize> {
    // A host that no rule names.
    let host = if host.is_empty() { "elsewhere" } else { host };
    let host = Host::parse(host.as_bytes()).unwrap();
    let path = Path::parse(path.as_bytes()).unwrap();
    table.find(&host, method, &path).map(|RuleId(id)| id)
}

#[test]
fn literal_comes_before_parameter_before_rest() {
    let table = table(&[
        rule(&[], &[], "/{*rest}"),
        rule(&[], &[], "/{a}"),
        rule(&[], &[], "/a"),
        rule(&[], &[], "/{a}/b"),
        rule(&[], &[], "/a/{b}"),
        rule(&[], &[], "/a/{*rest}"),
    ]);
    for (path, id) in [("/a", 2), ("/b", 1), ("/b/c", 0), ("/b/b", 3), ("/a/b", 4), ("/a/b/c", 5), ("/b/b/b", 0)] {
        assert_eq!(find(&table, "", "GET", path), Some(id), "{path}");
    }
    assert_eq!(find(&table, "", "GET", "/"), None);
}

#[test]
fn a_dead_end_falls_back_to_the_less_specific_path() {
    let table = table(&[rule(&[], &[], "/a/b/c"), rule(&[], &[], "/a/{x}/d"), rule(&[], &[], "/{*rest}")]);
    assert_eq!(find(&table, "", "GET", "/a/b/c"), Some(0));
    assert_eq!(find(&table, "", "GET", "/a/b/d"), Some(1));
    assert_eq!(find(&table, "", "GET", "/a/b/e"), Some(2));
}

#[test]
fn a_method_that_does_not_fit_falls_back_too() {
    let table = table(&[rule(&["a.example.com"], &["PUT"], "/a"), rule(&[], &["GET"], "/a"), rule(&[], &[], "/{x}")]);
    assert_eq!(find(&table, "a.example.com", "PUT", "/a"), Some(0));
    assert_eq!(find(&table, "a.example.com", "GET", "/a"), Some(1));
    assert_eq!(find(&table, "a.example.com", "DELETE", "/a"), Some(2));
    assert_eq!(find(&table, "a.example.com", "get", "/a"), Some(2));
    assert_eq!(find(&table, "b.example.com", "PUT", "/a"), Some(2));
}

#[test]
fn a_rule_for_get_answers_head_unless_another_rule_names_it() {
    let own = table(&[rule(&[], &["GET"], "/a"), rule(&[], &["HEAD"], "/a"), rule(&[], &[], "/{x}")]);
    assert_eq!(find(&own, "", "HEAD", "/a"), Some(1));
    let elsewhere = table(&[rule(&[], &["GET"], "/a"), rule(&[], &["HEAD"], "/{*rest}"), rule(&[], &["GET"], "/{x}")]);
    assert_eq!(find(&elsewhere, "", "HEAD", "/a"), Some(1));
    // The rule that names it would not answer it: the one for every method would.
    let hidden = table(&[rule(&[], &["GET"], "/a"), rule(&[], &[], "/{x}"), rule(&[], &["HEAD"], "/{*rest}")]);
    assert_eq!(find(&hidden, "", "HEAD", "/a"), Some(0), "and not the weaker rule of another path");
    let hosts = table(&[rule(&["a.example.com"], &["GET"], "/a"), rule(&[], &[], "/{*rest}")]);
    assert_eq!(find(&hosts, "a.example.com", "HEAD", "/a"), Some(0));
    assert_eq!(find(&hosts, "b.example.com", "HEAD", "/a"), Some(1));
    let none = table(&[rule(&[], &["PUT"], "/a")]);
    assert_eq!(find(&none, "", "HEAD", "/a"), None);
}

#[test]
fn a_trailing_slash_is_another_path() {
    let table = table(&[rule(&[], &[], "/admin/{*rest}"), rule(&[], &[], "/orders"), rule(&[], &[], "/o/{id}/")]);
    for path in ["/admin", "/admin/", "/orders/", "/o/1", "/o/"] {
        assert_eq!(find(&table, "", "GET", path), None, "{path}");
    }
    for (path, id) in [("/admin/a", 0), ("/admin/a/", 0), ("/admin/a/b", 0), ("/orders", 1), ("/o/1/", 2)] {
        assert_eq!(find(&table, "", "GET", path), Some(id), "{path}");
    }
}

#[test]
fn exact_host_comes_before_longest_wildcard_before_none() {
    let table = table(&[
        rule(&[], &[], "/{*rest}"),
        rule(&["*.example.com"], &[], "/{*rest}"),
        rule(&["*.b.example.com"], &[], "/{*rest}"),
        rule(&["a.b.example.com"], &[], "/a"),
    ]);
    for (host, path, id) in [
        ("A.b.example.com:443", "/a", 3),
        ("a.b.example.com", "/b", 2),
        ("x.y.b.example.com", "/a", 2),
        ("b.example.com", "/a", 1),
        ("x.example.com", "/a", 1),
        ("example.com", "/a", 0),
        ("xexample.com", "/a", 0),
        ("[::1]", "/a", 0),
        ("", "/a", 0),
    ] {
        assert_eq!(find(&table, host, "GET", path), Some(id), "{host}{path}");
    }
}

#[test]
fn rules_of_equal_rank_name_each_other() {
    for (first, second) in [
        (rule(&[], &[], "/a"), rule(&[], &[], "/%61")),
        (rule(&[], &[], "/{x}/c"), rule(&[], &["GET"], "/{y}/c")),
        (rule(&[], &["GET", "PUT"], "/a"), rule(&[], &["POST", "PUT"], "/a")),
        (rule(&["a.com", "b.com"], &[], "/{*x}"), rule(&["B.com."], &[], "/{*y}")),
        (rule(&["*.a.com"], &[], "/"), rule(&["*.A.com"], &[], "/")),
    ] {
        for (one, other) in [(&first, &second), (&second, &first)] {
            let mut table = table(std::slice::from_ref(one));
            assert_eq!(table.insert(RuleId(1), other), Err([RuleId(0)].into()), "{one:?} {other:?}");
        }
    }
}

#[test]
fn rules_of_different_rank_live_together() {
    table(&[
        rule(&[], &["GET"], "/a"),
        rule(&[], &["PUT"], "/a"),
        rule(&["a.com"], &[], "/a"),
        rule(&["*.com"], &[], "/a"),
        rule(&["com"], &[], "/a"),
        rule(&[], &[], "/a/"),
        rule(&[], &[], "/{x}/b"),
        rule(&[], &[], "/a/{y}"),
        rule(&[], &[], "/{x}"),
        rule(&[], &[], "/{*x}"),
    ]);
}

#[test]
fn a_host_named_twice_is_no_rival_of_itself() {
    table(&[rule(&["a.com", "A.com"], &["GET"], "/a")]);
}

#[test]
fn a_path_of_many_segments_is_searched_no_deeper_than_the_templates() {
    let mut rules = Vec::new();
    for depth in 1..=12 {
        rules.push(rule(&[], &[], &"/a".repeat(depth)));
        let names: String = (0..depth).map(|n| format!("/{{p{n}}}")).collect();
        rules.push(rule(&[], &[], &names));
    }
    let table = table(&rules);
    assert_eq!(find(&table, "", "GET", &"/a".repeat(30_000)), None);
}

#[test]
fn a_literal_suffix_comes_after_a_literal_and_before_a_parameter() {
    let table = table(&[
        rule(&[], &[], "/o/{id}"),
        rule(&[], &["POST"], "/o/{id}:suspend"),
        rule(&[], &[], "/o/7:suspend"),
        rule(&[], &[], "/o/{id}:all:suspend"),
        rule(&[], &[], "/o/{id}:suspend/x"),
    ]);
    for (method, path, id) in [
        ("POST", "/o/8:suspend", Some(1)),
        ("POST", "/o/8%3Asuspend", Some(1)),
        ("POST", "/o/7:suspend", Some(2)),
        ("POST", "/o/8:all:suspend", Some(3)),
        ("POST", "/o/8:b:suspend", Some(1)),
        ("POST", "/o/:suspend", Some(0)),
        ("POST", "/o/8:suspended", Some(0)),
        ("GET", "/o/8:suspend", Some(0)),
        ("GET", "/o/8:suspend/x", Some(4)),
        ("GET", "/o/8:suspend/y", None),
    ] {
        assert_eq!(find(&table, "", method, path), id, "{method} {path}");
    }
}

#[test]
fn rules_with_the_same_suffix_are_rivals() {
    let mut table = table(&[rule(&[], &[], "/o/{id}:suspend")]);
    assert_eq!(table.insert(RuleId(1), &rule(&[], &[], "/o/{x}:%73uspend")), Err([RuleId(0)].into()));
    assert_eq!(table.insert(RuleId(1), &rule(&[], &[], "/o/{x}:resume")), Ok(()));
}

#[test]
fn an_encoded_slash_passes_inside_one_segment_of_a_rule_that_says_so() {
    let table = table(&[
        slashed("/npm/{package}"),
        rule(&[], &[], "/other/{package}"),
        slashed("/rest/{*path}"),
        slashed("/p/{id}/raw"),
        slashed("/p/{id}:archive"),
        rule(&[], &[], "/npm/{package}/{version}"),
        rule(&[], &[], "/{*all}"),
    ]);
    for (path, id) in [
        ("/npm/@scope%2fname", Some(0)),
        ("/npm/a%2Fb%2Fc", Some(0)),
        ("/npm/name", Some(0)),
        ("/npm/@scope%2Fname/1.0", None),
        ("/npm%2Fname", None),
        ("/other/a%2Fb", None),
        ("/rest/a%2Fb", None),
        ("/p/a%2Fb/raw", Some(3)),
        ("/p/a/r%2Fw", None),
        ("/p/a%2Fb:archive", None),
        ("/x/a%2Fb", None),
    ] {
        assert_eq!(find(&table, "", "GET", path), id, "{path}");
    }
}

#[test]
fn a_table_that_ignores_case_matches_every_spelling() {
    let mut table = RouteTable::new(true);
    let fold = |path: &str| {
        let answers = rule(&[], &[], path);
        Match { path: answers.path.without_case(), ..answers }
    };
    table.insert(RuleId(0), &fold("/files/{name}")).unwrap();
    table.insert(RuleId(1), &fold("/Files/Special")).unwrap();
    table.insert(RuleId(2), &fold("/files/{id}:Move")).unwrap();
    assert_eq!(table.insert(RuleId(3), &fold("/FILES/special")), Err([RuleId(1)].into()));
    for (path, id) in [("/FILES/SPECIAL", 1), ("/files/special", 1), ("/Files/x", 0), ("/fILES/X:mOVE", 2)] {
        assert_eq!(find(&table, "", "GET", path), Some(id), "{path}");
    }
}
