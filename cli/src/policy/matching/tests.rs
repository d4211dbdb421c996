//! A few samples against every request of small alphabets.

use super::{judge::Hit, *};
use portcullis_engine::route::{HostPattern, Match, Method, RouteTable, RuleId, Template};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::LazyLock};

const WORDS: [&str; 10] = ["a", "b", "a.x", "zz.x", "azz", "zz", "a:s", "zz:s", "azz:s", "bzz:s"];
const HOSTS: [&str; 3] = ["a.com", "b.com", "elsewhere.net"];
const METHODS: [&str; 2] = ["GET", "PUT"];

fn rules(written: &[(String, Vec<&str>, Vec<&str>)]) -> (RouteTable, Vec<Match>) {
    let (mut table, mut matches) = (RouteTable::default(), Vec::new());
    for (path, methods, hosts) in written {
        let answers = Match {
            hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            methods: methods.iter().map(|method| Method::parse(method).unwrap()).collect(),
            path: Template::parse(path).unwrap(),
            encoded_slash: false,
        };
        if table.insert(RuleId(matches.len()), &answers).is_ok() {
            matches.push(answers);
        }
    }
    (table, matches)
}

fn entry(pattern: Pattern, rules: &Rules<'_>) -> Entry<'static> {
    Entry {
        paths: Paths::Patterns(vec![pattern]),
        methods: Methods::Only(METHODS.map(str::to_owned).into()),
        hosts: vec![rules.other_host().to_owned()],
        reaches: Box::new(|_| true),
    }
}

static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| paths(4));

/// Every path of at most `length` words, with and without a final slash.
fn paths(length: u32) -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    for length in 1..=length {
        for number in 0..WORDS.len().pow(length) {
            let words = (0..length).map(|place| WORDS[number / WORDS.len().pow(place) % WORDS.len()]);
            let path = words.fold(String::new(), |path, word| path + "/" + word);
            paths.push(format!("{path}/"));
            paths.push(path);
        }
    }
    paths
}

fn template() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(&["a", "b", "a.x", "{}", "{}:s", "{*}"][..]);
    (prop::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(segments, slash)| {
        let end = segments.iter().position(|segment| *segment == "{*}").map_or(segments.len(), |at| at + 1);
        let named = segments[..end].iter().enumerate();
        let path =
            named.fold(String::new(), |path, (at, segment)| path + "/" + &segment.replace('}', &format!("n{at}}}")));
        if slash && segments[end - 1] != "{*}" { path + "/" } else { path }
    })
}

fn written() -> impl Strategy<Value = (String, Vec<&'static str>, Vec<&'static str>)> {
    let hosts = prop::sample::select(vec![vec![], vec![], vec!["a.com"], vec!["*.com"]]);
    (template(), prop::sample::subsequence(&METHODS[..], 0..2), hosts)
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop::sample::select(&["a", "b", "{p}", "{p}.x", "a{p}", "{p}:s"][..]);
    let openapi = prop::collection::vec(segment, 1..4)
        .prop_map(|segments| Pattern::of_openapi(&format!("/{}", segments.join("/"))));
    let prefix = prop::sample::select(&["/", "/a", "/a/", "/a/b", "/zz"][..]).prop_map(Pattern::of_prefix);
    let slash = prop::sample::select(&["/", "/a/", "/a/b/"][..]).prop_map(Pattern::of_text);
    prop_oneof![4 => openapi, 2 => prefix, 1 => slash]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn witnesses_tell_what_every_request_tells(written in prop::collection::vec(written(), 0..8), pattern in pattern()) {
        let (table, matches) = rules(&written);
        let rules = Rules::new(&table, matches);
        let coverage = judge(&entry(pattern.clone(), &rules), &rules);
        let (mut reached, mut missing, mut some) = (BTreeSet::new(), false, false);
        for path in PATHS.iter().filter(|path| pattern.holds(path)) {
            for (host, method) in HOSTS.into_iter().flat_map(|host| METHODS.map(|method| (host, method))) {
                some = true;
                let request = SampleRequest { host: host.to_owned(), method: method.to_owned(), path: path.clone() };
                match Rules::answering(&table, &request) {
                    Some(rule) => drop(reached.insert(rule)),
                    None => missing = true,
                }
            }
        }
        let told: BTreeSet<RuleId> = coverage.rules.keys().copied().collect();
        prop_assert_eq!(&told, &reached, "{:?}", coverage);
        let extent = match (reached.is_empty(), missing) {
            _ if !some => coverage.extent,
            (true, _) => Extent::Nothing,
            (false, true) => Extent::Part,
            (false, false) => Extent::Full,
        };
        prop_assert_eq!(coverage.extent, extent);
    }
}

fn told(written: &[(&str, &[&str])], pattern: &Pattern) -> (Extent, Vec<(usize, String, bool)>) {
    let written: Vec<_> =
        written.iter().map(|(path, methods)| ((*path).to_owned(), methods.to_vec(), vec![])).collect();
    let (table, matches) = rules(&written);
    let rules = Rules::new(&table, matches);
    let coverage = judge(&entry(pattern.clone(), &rules), &rules);
    let hits = coverage.rules.into_iter().map(|(rule, Hit { example, general })| (rule.0, example.path, general));
    (coverage.extent, hits.collect())
}

#[test]
fn a_more_specific_rule_covers_a_part() {
    let all = told(&[("/users/{id}", &[]), ("/users/me", &[])], &Pattern::of_openapi("/users/{id}"));
    assert_eq!(all, (Extent::Full, vec![(0, "/users/any".into(), true), (1, "/users/me".into(), false)]));
    let part = told(&[("/users/me", &[])], &Pattern::of_openapi("/users/{id}"));
    assert_eq!(part, (Extent::Part, vec![(0, "/users/me".into(), false)]));
    assert_eq!(told(&[("/users", &[])], &Pattern::of_openapi("/users/{id}")), (Extent::Nothing, vec![]));
}

#[test]
fn a_rule_that_others_stand_before_is_not_reached() {
    let written: &[(&str, &[&str])] =
        &[("/{*rest}", &[]), ("/a/{id}", &["GET"]), ("/a/{id}/", &[]), ("/a/{id}", &["PUT"])];
    let (extent, hits) = told(written, &Pattern::of_openapi("/a/{id}"));
    assert_eq!((extent, hits.iter().map(|hit| hit.0).collect::<Vec<_>>()), (Extent::Full, vec![1, 3]));
}

#[test]
fn a_rule_with_a_suffix_covers_what_ends_so() {
    let written: &[(&str, &[&str])] = &[("/a/{id}:suspend", &[])];
    let suspend = Pattern::of_openapi("/a/{id}:suspend");
    assert_eq!(told(written, &suspend), (Extent::Full, vec![(0, "/a/any:suspend".into(), true)]));
    assert_eq!(told(written, &Pattern::of_openapi("/a/{id}")).0, Extent::Part);
    assert_eq!(told(written, &Pattern::of_openapi("/a/{id}d")).0, Extent::Part);
    assert_eq!(told(written, &Pattern::of_openapi("/a/{id}:resume")).0, Extent::Nothing);
}

#[test]
fn a_table_that_ignores_case_covers_an_entry_in_any_case() {
    let mut table = RouteTable::new(true);
    let matches: Vec<_> = ["/files/special", "/files/{name}"]
        .map(|path| Match {
            hosts: Vec::new(),
            methods: Vec::new(),
            path: Template::parse(path).unwrap().without_case(),
            encoded_slash: false,
        })
        .into();
    for (id, answers) in matches.iter().enumerate() {
        table.insert(RuleId(id), answers).unwrap();
    }
    let rules = Rules::new(&table, matches);
    for (pattern, expected) in
        [("/Files/Special", vec![0]), ("/Files/{name}", vec![0, 1]), ("/Files/Spec{name}", vec![0, 1])]
    {
        let coverage = judge(&entry(Pattern::of_openapi(pattern), &rules), &rules);
        assert_eq!(coverage.extent, Extent::Full, "{pattern}");
        assert_eq!(coverage.rules.keys().map(|rule| rule.0).collect::<Vec<_>>(), expected, "{pattern}");
    }
}

#[test]
fn words_of_witnesses_stand_in_no_rule() {
    let (extent, hits) = told(&[("/x/any", &[]), ("/x/ANY1s", &[])], &Pattern::of_openapi("/x/{id}"));
    assert_eq!((extent, hits.len()), (Extent::Part, 2));
}

#[test]
fn case_matters_to_rules_where_it_does_not_to_the_entry() {
    let any_case = Pattern { any_case: true, ..Pattern::of_text("/Me") };
    assert_eq!(told(&[("/me", &[])], &any_case).0, Extent::Part);
    assert_eq!(told(&[("/{x}", &[])], &any_case).0, Extent::Full);
}
