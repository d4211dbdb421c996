//! Plans a rule or a question for every operation.
//!
//! An operation with a question gets no rule, so its requests are refused. If a less specific rule would answer them, a more
//! specific rule that no token can meet blocks them.

use super::{
    access::{Access, Decision, Kind, decide},
    text::Names,
};
use crate::policy::{
    matching::{self, Entry, Methods, Paths, Pattern, Rules, SampleRequest},
    openapi::{Api, Base, Operation, Scheme},
};
use portcullis_engine::{
    policy::ROUTES_MAX,
    route::{HostPattern, Match, Method, RouteTable, RuleId, Template},
};
use std::collections::{BTreeSet, HashMap};

/// The most operations with the same template and method that are compared.
const DUPLICATES_MAX: usize = 50;

/// An operation at one of its base paths, and its treatment in the policy.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) operation: &'a Operation,
    /// The path in the document, with the base path of the server.
    pub(super) document_path: String,
    pub(super) name: String,
    /// What its rule matches; `None` if a policy cannot match this path or method.
    pub(super) answers: Option<Answers>,
    pub(super) treatment: Treatment,
    /// Other operations that this rule also covers.
    pub(super) also: Vec<String>,
    /// Why a segment of its path may contain an encoded slash, if the document suggests that.
    pub(super) encoded_slash: Option<String>,
}

/// Which requests a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    /// In the notation of the policy.
    pub(super) path: String,
    template: Template,
    /// `None`: every method.
    pub(super) method: Option<String>,
    /// Empty: every host.
    pub(super) hosts: Vec<String>,
}

/// How the policy treats an operation.
#[derive(Debug)]
pub(super) enum Treatment {
    Rule {
        access: Access,
        left_out: Vec<String>,
    },
    Ask(Question),
    /// The rule of another operation covers it.
    Merged,
}

/// A decision that a person has to make.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) why: String,
    pub(super) likely: Option<Access>,
    /// Rules that would answer its requests until the question is answered.
    pub(super) meanwhile: Vec<String>,
    /// The hosts of the rule that blocks them, if there is one. Empty: every host.
    pub(super) block: Option<Vec<String>>,
}

impl Question {
    fn ask(kind: Kind, why: String, likely: Option<Access>) -> Treatment {
        Treatment::Ask(Self { kind, why, likely, meanwhile: Vec::new(), block: None })
    }
}

impl Route<'_> {
    /// Rules of other operations that answer its requests until its question is answered: a path that a policy cannot match
    /// cannot be blocked either.
    pub(super) fn answered_meanwhile(&self) -> &[String] {
        match &self.treatment {
            Treatment::Ask(question) if self.answers.is_none() => &question.meanwhile,
            _ => &[],
        }
    }
}

/// Whether the operations are on different hosts. Rules without hosts would then grant access to one server's operations with
/// the scopes of another's.
pub(super) fn is_on_different_hosts(api: &Api) -> bool {
    let mut places = api.operations.iter().map(|operation| {
        let bases = operation.bases.iter().map(|base| (base.anywhere, base.hosts.iter().collect::<BTreeSet<_>>()));
        bases.collect::<BTreeSet<_>>()
    });
    let first = places.next();
    places.any(|other| Some(other) != first)
}

/// Plans a policy; with `with_hosts`, rules name the hosts of `servers`.
pub(super) fn plan(api: &Api, with_hosts: bool) -> Result<Vec<Route<'_>>, String> {
    let count: usize = api.operations.iter().map(|operation| operation.bases.len()).sum();
    if count > ROUTES_MAX {
        return Err(format!(
            "{count} operations, counting each base path; a policy can have at most {ROUTES_MAX} routes"
        ));
    }
    let schemes: HashMap<&str, &Scheme> = api.schemes.iter().map(|scheme| (scheme.name.as_str(), scheme)).collect();
    let mut names = Names::default();
    let mut routes: Vec<_> = api
        .operations
        .iter()
        .flat_map(|operation| operation.bases.iter().map(move |base| (operation, base)))
        .map(|(operation, base)| route(operation, base, with_hosts, &schemes, &mut names))
        .collect();
    settle_duplicates(&mut routes);
    block(&mut routes);
    Ok(routes)
}

fn route<'a>(
    operation: &'a Operation,
    base: &Base,
    with_hosts: bool,
    schemes: &HashMap<&str, &Scheme>,
    names: &mut Names,
) -> Route<'a> {
    let document_path = format!("{}{}", base.path, operation.path);
    let method = operation.method.as_deref();
    let name = names.route(operation.id.as_deref(), method.unwrap_or("any"), &document_path);
    let answers = answers(&document_path, method, base, with_hosts);
    let treatment = match (&operation.error, decide(&operation.security, schemes), &answers) {
        (Some(error), ..) => Question::ask(Kind::Unreadable, error.clone(), None),
        (None, Decision::Ask(_, _, likely), Err(why)) => Question::ask(Kind::Path, why.clone(), likely),
        (None, Decision::Rule(access, _), Err(why)) => Question::ask(Kind::Path, why.clone(), Some(access)),
        (None, Decision::Ask(kind, why, likely), Ok(_)) => Question::ask(kind, why, likely),
        (None, Decision::Rule(access, left_out), Ok(_)) => Treatment::Rule { access, left_out },
    };
    let encoded_slash = operation.encoded_slash.clone().filter(|_| answers.is_ok());
    Route { operation, document_path, name, answers: answers.ok(), treatment, also: Vec::new(), encoded_slash }
}

fn answers(path: &str, method: Option<&str>, base: &Base, with_hosts: bool) -> Result<Answers, String> {
    let path = respelt(path)?;
    let template = Template::parse(&path).map_err(|error| error.to_string())?;
    if let Some(method) = method {
        Method::parse(method).map_err(|error| format!("method `{}`: {error}", method.escape_debug()))?;
    }
    let mut hosts = Vec::new();
    if with_hosts && !base.anywhere {
        for host in &base.hosts {
            HostPattern::parse(host).map_err(|error| format!("host `{}`: {error}", host.escape_debug()))?;
            hosts.push(host.clone());
        }
    }
    Ok(Answers { path, template, method: method.map(str::to_owned), hosts })
}

/// The path with parameter names that are valid in a policy.
fn respelt(path: &str) -> Result<String, String> {
    let mut names = Names::default();
    let segments: Result<Vec<_>, String> = path
        .split('/')
        .map(|segment| {
            // `{name}`, or `{name}:literal`.
            let parts = segment.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, suffix)) = parts.filter(|(_, suffix)| suffix.is_empty() || suffix.starts_with(':')) else {
                return Ok(segment.to_owned());
            };
            if name.contains(['*', '+']) {
                return Err(format!(
                    "`{segment}` may match several segments; if so, use `{{*name}}` at the end of the path"
                ));
            }
            if name.contains(['{', '}']) {
                return Ok(segment.to_owned());
            }
            let word: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let word = if word.starts_with(|c: char| c.is_ascii_digit()) || word.is_empty() {
                format!("_{word}")
            } else {
                word
            };
            Ok(format!("{{{}}}{suffix}", names.free(&word).replace('-', "_")))
        })
        .collect();
    segments.map(|segments| segments.join("/"))
}

/// Two operations that match the same requests become one rule if their requirements are equal, otherwise two questions.
fn settle_duplicates(routes: &mut [Route<'_>]) {
    let mut groups: HashMap<(Template, Option<String>), Vec<usize>> = HashMap::new();
    for (at, route) in routes.iter().enumerate() {
        if let Some(answers) = &route.answers {
            groups.entry((answers.template.clone(), answers.method.clone())).or_default().push(at);
        }
    }
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let (mut merged, mut asked) = (Vec::new(), BTreeSet::new());
        for (place, second) in group.iter().enumerate() {
            let firsts = group.iter().take(place.min(DUPLICATES_MAX));
            let duplicate = firsts.copied().find(|first| are_duplicates(routes, *first, *second));
            match duplicate {
                Some(first) if place < DUPLICATES_MAX && are_alike(routes, first, *second) => {
                    merged.push((first, *second))
                }
                Some(first) => asked.extend([first, *second]),
                None => {}
            }
        }
        // If an operation becomes a question, so do the operations that were merged into it.
        let taken: Vec<usize> =
            merged.iter().filter(|(first, _)| asked.contains(first)).map(|(_, second)| *second).collect();
        asked.extend(taken);
        let labels: Vec<String> =
            asked.iter().filter_map(|at| routes.get(*at)).map(|route| route.operation.label()).collect();
        for (first, second) in merged.into_iter().filter(|(first, _)| !asked.contains(first)) {
            merge(routes, first, second);
        }
        for at in asked {
            ask_twice(routes.get_mut(at), &labels);
        }
    }
}

fn are_duplicates(routes: &[Route<'_>], first: usize, second: usize) -> bool {
    let hosts = |at: usize| routes.get(at).and_then(|route| route.answers.as_ref()).map(|answers| &answers.hosts);
    let (Some(first), Some(second)) = (hosts(first), hosts(second)) else { return false };
    first.is_empty() && second.is_empty() || first.iter().any(|host| second.contains(host))
}

fn are_alike(routes: &[Route<'_>], first: usize, second: usize) -> bool {
    let (Some(first), Some(second)) = (routes.get(first), routes.get(second)) else { return false };
    let hosts = |route: &Route<'_>| route.answers.as_ref().map(|answers| answers.hosts.clone());
    match (&first.treatment, &second.treatment) {
        (Treatment::Rule { access, left_out }, Treatment::Rule { access: other, left_out: more }) => {
            access == other && left_out == more && hosts(first) == hosts(second)
        }
        _ => false,
    }
}

fn merge(routes: &mut [Route<'_>], first: usize, second: usize) {
    let Some(route) = routes.get_mut(second) else { return };
    route.treatment = Treatment::Merged;
    let encoded_slash = route.encoded_slash.take();
    let label = format!("{} {}", route.operation.method.as_deref().unwrap_or_default(), route.document_path);
    if let Some(route) = routes.get_mut(first) {
        route.also.push(label);
        route.encoded_slash = route.encoded_slash.take().or(encoded_slash);
    }
}

fn ask_twice(route: Option<&mut Route<'_>>, labels: &[String]) {
    let Some(route) = route else { return };
    let own = route.operation.label();
    let others: Vec<_> =
        labels.iter().filter(|label| **label != own).take(3).map(|label| format!("`{label}`")).collect();
    let likely = match std::mem::replace(&mut route.treatment, Treatment::Merged) {
        Treatment::Rule { access, .. } => Some(access),
        Treatment::Ask(Question { likely, .. }) => likely,
        Treatment::Merged => None,
    };
    let others = if others.is_empty() { "another operation with the same path".to_owned() } else { others.join(", ") };
    route.treatment = Question::ask(Kind::Twice, format!("see also {others}"), likely);
}

/// Finds the rules that would answer the requests of a question, and blocks these requests.
fn block(routes: &mut [Route<'_>]) {
    let mut table = RouteTable::default();
    let (mut matches, mut names) = (Vec::new(), Vec::new());
    for route in routes.iter().filter(|route| matches!(route.treatment, Treatment::Rule { .. })) {
        let Some(answers) = route.answers.as_ref().and_then(Answers::as_match) else { continue };
        // Duplicates were merged before. If one were left, the policy would be invalid and not be written.
        if table.insert(RuleId(matches.len()), &answers).is_ok() {
            matches.push(answers);
            names.push(route.name.clone());
        }
    }
    let rules = Rules::new(&table, matches);
    let mut blocked: HashMap<_, BTreeSet<String>> = HashMap::new();
    for route in routes.iter_mut() {
        let Treatment::Ask(question) = &mut route.treatment else { continue };
        let hosts = route.answers.as_ref().map(|answers| answers.hosts.clone()).unwrap_or_default();
        let entry = Entry {
            paths: Paths::Patterns(vec![Pattern::of_openapi(&route.document_path)]),
            methods: route.operation.method.clone().map_or(Methods::Every, |method| Methods::Only(vec![method])),
            hosts: sample_hosts(&hosts, &rules),
            reaches: Box::new(|_| true),
        };
        let own = route.answers.as_ref().and_then(Answers::as_match);
        let coverage = matching::judge(&entry, &rules);
        let instead = coverage.rules.iter().filter(|(rule, hit)| {
            let other = rules.matching(**rule);
            own.as_ref().zip(other).is_none_or(|(own, other)| comes_first(own, other, &hit.example))
        });
        question.meanwhile = instead.filter_map(|(rule, _)| names.get(rule.0).cloned()).collect();
        if let (Some(answers), false) = (&route.answers, question.meanwhile.is_empty()) {
            // If several questions are about the same requests, the first one blocks them for all.
            let done = blocked.entry((answers.template.clone(), answers.method.clone())).or_default();
            question.block = match answers.hosts.is_empty() {
                true => done.insert(String::new()).then(Vec::new),
                false => Some(hosts.into_iter().filter(|host| done.insert(host.clone())).collect::<Vec<_>>())
                    .filter(|hosts| !hosts.is_empty()),
            };
        }
    }
}

/// Whether the first of two rules answers a request that both match.
fn comes_first(first: &Match, second: &Match, request: &SampleRequest) -> bool {
    let mut table = RouteTable::default();
    let (first_id, second_id) = (RuleId(0), RuleId(1));
    let both = table.insert(first_id, first).and_then(|()| table.insert(second_id, second));
    both.is_err() || Rules::answering(&table, request) == Some(first_id)
}

fn sample_hosts(hosts: &[String], rules: &Rules<'_>) -> Vec<String> {
    let patterns = hosts.iter().filter_map(|host| HostPattern::parse(host).ok());
    let hosts: Vec<_> = patterns.map(|pattern| rules.host_of(&pattern)).collect();
    if hosts.is_empty() { vec![rules.other_host().to_owned()] } else { hosts }
}

impl Answers {
    fn as_match(&self) -> Option<Match> {
        let methods: Result<Vec<_>, _> = self.method.iter().map(|method| Method::parse(method)).collect();
        let hosts: Result<Vec<_>, _> = self.hosts.iter().map(|host| HostPattern::parse(host)).collect();
        Some(Match { hosts: hosts.ok()?, methods: methods.ok()?, path: self.template.clone(), encoded_slash: false })
    }
}
