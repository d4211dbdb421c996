//! `policy diff` against the filter's own decisions: small policies whose requests can all be tried.

mod decision;
mod draft;
mod mutation;

use decision::{Asked, Holder, Outcome, Way, decide, holders, passes_without_token, way};
use draft::{Draft, draft};
use mutation::{mutation, refactoring};
use portcullis_cli::policy::diff::{Comparison, Direction, Finding};
use portcullis_engine::{
    policy::{Mode, Policy},
    route::{Host, Path, RuleId},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

static HOLDERS: LazyLock<Vec<Holder>> = LazyLock::new(holders);
static PATHS: LazyLock<Vec<String>> = LazyLock::new(paths);

/// Named segments, one without a name, and one of each other kind: in another case, with a suffix, with an encoded slash.
const WORDS: [&str; 7] = ["a", "b", "c", "A", "c:s", "c%2Fb", "c%2Fb:s"];

fn paths() -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    for length in 1..=3_u32 {
        for number in 0..WORDS.len().pow(length) {
            let segment = |place| WORDS[number / WORDS.len().pow(place) % WORDS.len()];
            let path = (0..length).fold(String::new(), |path, place| path + "/" + segment(place));
            paths.push(format!("{path}/"));
            paths.push(path);
        }
    }
    // Longer than any template.
    paths.extend(["/a/a/a/a", "/b/a/b/c", "/c/c/c/c/", "/a/b/c/a/b"].map(str::to_owned));
    paths
}

/// Every request that the small alphabets can make.
fn requests() -> impl Iterator<Item = Asked<'static>> {
    let hosts = ["x.org", "com", "a.com", "b.a.com", "c.b.a.com", "x.y.b.a.com", "q.a.com", "z.com"];
    let methods = [
        ("GET", false),
        ("PUT", false),
        ("PURGE", false),
        ("HEAD", false),
        ("POST", false),
        ("OPTIONS", false),
        ("OPTIONS", true),
    ];
    let paths = PATHS.as_slice();
    hosts.into_iter().flat_map(move |host| {
        methods
            .into_iter()
            .flat_map(move |(method, preflight)| paths.iter().map(move |path| Asked { host, method, path, preflight }))
    })
}

/// The outcomes of a request under both policies, for every possible caller.
struct Trial<'p> {
    old: &'p Policy,
    new: &'p Policy,
    known: HashMap<Kind, Effect>,
}

type Side = Result<RuleId, bool>;
type Kind = (Side, Side, bool);

/// Whether any caller is allowed more, and whether any caller is allowed less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effect {
    easier: bool,
    harder: bool,
}

impl<'p> Trial<'p> {
    fn new(old: &'p Policy, new: &'p Policy) -> Self {
        Self { old, new, known: HashMap::new() }
    }

    fn effect(&mut self, asked: &Asked<'_>) -> Effect {
        let side = |policy| match way(policy, asked, true) {
            Way::Rule(rule) => Ok(rule),
            Way::Decided(released) => Err(released),
        };
        let (old, new) = (side(self.old), side(self.new));
        let kind = (old, new, matches!(asked.method, "GET" | "HEAD" | "OPTIONS"));
        let (before, after) = (self.old, self.new);
        *self.known.entry(kind).or_insert_with(|| {
            let mut effect = Effect { easier: false, harder: false };
            let mut note = |was: Outcome, is: Outcome| {
                effect.easier |= is.is_easier_than(was);
                effect.harder |= was.is_easier_than(is);
            };
            note(without_token(before, asked), without_token(after, asked));
            for holder in HOLDERS.iter() {
                note(outcome(before, old, asked.method, holder), outcome(after, new, asked.method, holder));
            }
            effect
        })
    }

    /// The first request of which somebody is allowed more, or less.
    fn all(&mut self) -> (Option<Asked<'static>>, Option<Asked<'static>>) {
        let (mut easier, mut harder) = (None, None);
        for asked in requests() {
            let effect = self.effect(&asked);
            easier = easier.or(effect.easier.then_some(asked));
            harder = harder.or(effect.harder.then_some(asked));
        }
        (easier, harder)
    }
}

/// A request that is not checked with the session service does not affect sessions.
fn at_once(released: bool) -> Outcome {
    Outcome { released, touches: true, outlives: true }
}

fn without_token(policy: &Policy, asked: &Asked<'_>) -> Outcome {
    at_once(match way(policy, asked, false) {
        Way::Rule(rule) => passes_without_token(policy, rule),
        Way::Decided(released) => released,
    })
}

fn outcome(policy: &Policy, side: Side, method: &str, holder: &Holder) -> Outcome {
    match side {
        // Shadow mode cuts no streams either.
        _ if policy.mode == Mode::Shadow => at_once(true),
        Ok(rule) => decide(policy, rule, method, holder),
        Err(released) => at_once(released),
    }
}

/// Findings about what the policies release. In shadow mode, which releases everything, rules are still compared.
fn says(comparison: &Comparison, direction: Direction) -> bool {
    comparison.to(direction).next().is_some()
}

fn changed() -> impl Strategy<Value = (Draft, Draft)> {
    let mutations = prop::collection::vec(mutation(), 1..4);
    prop_oneof![
        5 => (draft(), mutations).prop_map(|(old, mutations)| {
            let mut new = old.clone();
            mutations.iter().for_each(|mutation| mutation.apply(&mut new));
            (old, new)
        }),
        1 => (draft(), draft()),
    ]
}

/// Two policies that both ignore case, or both heed it: otherwise one finding stands for every path in another case.
fn in_one_case(old: Draft, mut new: Draft) -> (Draft, Draft) {
    new.ignore_case = old.ignore_case;
    (old, new.mended())
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

/// The names of the rules that answer a request before and after.
fn answered<'p>(old: &'p Policy, new: &'p Policy, asked: &Asked<'_>) -> [Option<&'p str>; 2] {
    let host = Host::parse(asked.host.as_bytes()).expect("a host");
    let path = Path::parse(asked.path.as_bytes()).expect("a path");
    [old, new].map(|policy| {
        let rule = policy.routes.find(&host, asked.method, &path)?;
        Some(policy.rules[rule.0].name.as_str())
    })
}

/// Whether a finding is about requests that these rules answer before and after.
fn is_about(finding: &Finding, rules: [Option<&str>; 2]) -> bool {
    let subject = match rules {
        [Some(old), Some(new)] if old != new => format!("{new} (was {old})"),
        [old, new] => new.or(old).unwrap_or_default().to_owned(),
    };
    let of_many = finding.routes.len() > 1 && finding.routes.iter().any(|route| rules.contains(&Some(route)));
    finding.subject == subject || of_many
}

/// The rules that a finding of one route is about.
fn rules(finding: &Finding) -> [Option<&str>; 2] {
    let subject = finding.subject.as_str();
    match (finding.kind, subject.split_once(" (was ")) {
        ("opened", _) => [None, Some(subject)],
        ("closed", _) => [Some(subject), None],
        (_, Some((new, old))) => [Some(old.trim_end_matches(')')), Some(new)],
        (_, None) => [Some(subject), Some(subject)],
    }
}

/// The requests that each pair of rules answers before and after.
fn by_rules<'p>(old: &'p Policy, new: &'p Policy) -> HashMap<[Option<&'p str>; 2], BTreeSet<Asked<'static>>> {
    let mut all: HashMap<_, BTreeSet<_>> = HashMap::new();
    for asked in requests().filter(|asked| !asked.preflight) {
        all.entry(answered(old, new, &asked)).or_default().insert(asked);
    }
    all
}

/// A finding about rules must be true for each of its examples.
fn holds(finding: &Finding, trial: &mut Trial<'_>) -> Result<(), TestCaseError> {
    for example in &finding.examples {
        let asked = Asked { host: &example.host, method: &example.method, path: &example.path, preflight: false };
        let effect = trial.effect(&asked);
        let is_so = if finding.direction == Direction::MorePermissive { effect.easier } else { effect.harder };
        prop_assert!(is_so, "{} {:?}", finding.identity(), example);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(25))]

    /// The central property: the filter releases nothing new that the diff does not report.
    #[test]
    fn what_is_not_called_easier_releases_nothing_more((old, new) in changed()) {
        let (old, new) = (old.policy(), new.policy());
        let comparison = Comparison::of(&old, &new);
        let (easier, harder) = Trial::new(&old, &new).all();
        prop_assert!(easier.is_none() || says(&comparison, Direction::MorePermissive), "{:?}", easier);
        let is_told = says(&comparison, Direction::LessPermissive) || says(&comparison, Direction::MorePermissive);
        prop_assert!(harder.is_none() || is_told, "{:?}", harder);
    }

    /// The same for each pair of rules that answer a request before and after: a finding names these two.
    #[test]
    fn every_request_that_becomes_easier_or_harder_is_told((mut old, mut new) in changed()) {
        (old.shadow, new.shadow) = (false, false);
        let (old, new) = in_one_case(old, new);
        let (old, new) = (old.policy(), new.policy());
        let comparison = Comparison::of(&old, &new);
        let mut trial = Trial::new(&old, &new);
        for (rules, all) in by_rules(&old, &new) {
            let about = || comparison.findings.iter().filter(|finding| is_about(finding, rules));
            for asked in all {
                let effect = trial.effect(&asked);
                let easier = about().any(|finding| finding.direction == Direction::MorePermissive);
                let harder = about().any(|finding| finding.direction != Direction::Changed);
                prop_assert!(!effect.easier || easier, "{:?} {:?}", rules, asked);
                prop_assert!(!effect.harder || harder, "{:?} {:?}", rules, asked);
            }
        }
    }

    /// Changes with the same words have the same identity if and only if they are about the same requests.
    #[test]
    fn an_identity_stands_for_a_set_of_requests((old, first) in changed(), mutations in prop::collection::vec(mutation(), 1..3)) {
        let (old, first) = in_one_case(old, first);
        let mut second = first.clone();
        for mutation in &mutations {
            if mutation.is_about_matching() {
                mutation.apply(&mut second);
            }
        }
        let access = |draft: &Draft, name: &str| {
            draft.routes.iter().find(|route| route.name == name).map(|route| route.access.clone())
        };
        let means_the_same = |[_, new]: [Option<&str>; 2]| {
            new.is_none_or(|name| access(&first, name) == access(&second, name))
        };
        let [old, first, second] = [&old, &first, &second].map(|draft| draft.policy());
        let (to_first, to_second) = (by_rules(&old, &first), by_rules(&old, &second));
        let (one, other) = (Comparison::of(&old, &first), Comparison::of(&old, &second));
        // In an outage, it depends on the method, too.
        let of_rules = |finding: &&Finding| finding.routes.len() == 1 && finding.kind != "on_outage";
        for finding in one.findings.iter().filter(of_rules) {
            let is_like = |like: &&Finding| (&like.subject, &like.text) == (&finding.subject, &finding.text);
            let Some(like) = other.findings.iter().filter(of_rules).find(is_like) else { continue };
            let rules = rules(finding);
            if means_the_same(rules) {
                let are_same = to_first.get(&rules) == to_second.get(&rules);
                prop_assert_eq!(finding.identity() == like.identity(), are_same, "{}", finding.identity());
            }
        }
    }

    /// No false alarms: each example of a finding is released to a caller who was refused before, or the other way round.
    #[test]
    fn what_is_called_easier_or_harder_is_so((mut old, mut new) in changed()) {
        // Shadow mode releases everything, but the rules are still compared.
        (old.shadow, new.shadow) = (false, false);
        let (old, new) = in_one_case(old, new);
        let (old, new) = (old.policy(), new.policy());
        let comparison = Comparison::of(&old, &new);
        let mut trial = Trial::new(&old, &new);
        for finding in &comparison.findings {
            prop_assert_ne!(finding.kind, "incomplete");
            if finding.direction != Direction::Changed && !finding.examples.is_empty() {
                holds(finding, &mut trial)?;
            }
        }
    }

    #[test]
    fn another_way_to_write_the_same_is_no_change(old in draft(), steps in prop::collection::vec(refactoring(), 1..6)) {
        let mut new = old.clone();
        for step in steps {
            let before = new.clone();
            step.apply(&mut new);
            if new.clone().mended().routes.len() != new.routes.len() {
                new = before;
            }
        }
        let (old, new) = (old.policy(), new.policy());
        for comparison in [Comparison::of(&old, &new), Comparison::of(&new, &old)] {
            prop_assert!(!says(&comparison, Direction::MorePermissive), "{:#?}", comparison);
            prop_assert!(!says(&comparison, Direction::LessPermissive), "{:#?}", comparison);
        }
    }

    /// An approval covers only what was approved: with the same approvals, no other change releases more.
    #[test]
    fn approvals_of_one_change_release_nothing_more_by_another(
        (old, first) in changed(), mutations in prop::collection::vec(mutation(), 1..3)
    ) {
        let (old, first) = in_one_case(old, first);
        let mut second = first.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut second));
        let (first, second) = in_one_case(first, second);
        let [old, first, second] = [old, first, second].map(|draft| draft.policy());
        let identities = |new| -> HashSet<String> {
            Comparison::of(&old, new).to(Direction::MorePermissive).map(Finding::identity).collect()
        };
        let approved = identities(&first);
        prop_assert_eq!(&approved, &identities(&first));
        if identities(&second).is_subset(&approved) {
            let (mut to_second, mut from_first) = (Trial::new(&old, &second), Trial::new(&first, &second));
            // A preflight follows the rule of the request that it announces, wherever preflights are allowed.
            for asked in requests().filter(|asked| !asked.preflight) {
                let is_more = to_second.effect(&asked).easier && from_first.effect(&asked).easier;
                prop_assert!(!is_more, "{:?}", asked);
            }
        }
    }

    /// A change keeps its identity when the rest of the policy is written differently.
    #[test]
    fn the_identity_of_a_change_does_not_depend_on_how_policies_are_written(
        (old, new) in changed(), one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()
    ) {
        let mut moved = new.clone();
        let count = moved.routes.len();
        moved.routes.swap(one.index(count), other.index(count));
        let [old, new, moved] = [old, new, moved].map(|draft| draft.policy());
        let identities = |new: &Policy| -> BTreeMap<String, u64> {
            Comparison::of(&old, new).findings.iter().map(|finding| (finding.identity(), finding.kinds)).collect()
        };
        prop_assert_eq!(identities(&new), identities(&moved));
    }
}
