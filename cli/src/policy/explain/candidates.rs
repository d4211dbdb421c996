//! The rules that did not decide, and why. Each part of a rule's `match` is tried separately, with the filter's own route
//! table.

use crate::document::Document;
use portcullis_engine::{
    policy::Policy,
    route::{Host, HostPattern, Match, Path, RouteTable, RuleId, Segment, Template},
};
use serde::Serialize;

/// The most rules that are listed in addition to the one that decides.
const CANDIDATES_MAX: usize = 5;

/// A rule, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Route {
    /// Its name.
    pub(crate) name: String,
    /// Its place, as a JSONPath (RFC 9535).
    pub(crate) place: String,
    /// Its first line.
    pub(crate) line: usize,
    /// The hosts that it matches; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<String>,
    /// The methods that it matches; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) methods: Vec<String>,
    /// The path that it matches.
    pub(crate) path: String,
}

/// A rule that could have decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Candidate {
    /// The rule.
    #[serde(flatten)]
    pub(crate) route: Route,
    /// Why it did not decide.
    pub(crate) why: Fit,
}

/// Why a rule did not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fit {
    /// It matches, but a more specific host decided.
    LessSpecificHost,
    /// It matches, but a more specific path decided.
    LessSpecificPath,
    /// It matches other methods.
    Method,
    /// It matches other hosts.
    Host,
    /// It matches everything under the path, and not the path itself.
    NothingForRest,
    /// It matches other paths with the same beginning.
    Path,
    /// It matches other hosts and other methods.
    HostAndMethod,
}

/// A request with a valid host and path.
pub(super) struct Target<'r> {
    pub(super) host: Host<'r>,
    pub(super) method: &'r str,
    pub(super) path: Path<'r>,
}

impl Route {
    /// A rule of a policy.
    pub(super) fn of(document: &Document, policy: &Policy, RuleId(index): RuleId) -> Option<Self> {
        let (rule, source) = (policy.rules.get(index)?, policy.source.routes.get(index)?);
        let host = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Under(suffix) => format!("*.{suffix}"),
        };
        let place = format!("$.routes[{index}]");
        Some(Self {
            name: rule.name.clone(),
            line: document.position(&place).0,
            place,
            hosts: source.matches.hosts.iter().map(host).collect(),
            methods: source.matches.methods.iter().map(|method| method.as_str().to_owned()).collect(),
            path: source.path.clone(),
        })
    }
}

/// The number of leading segments that a rule's path and another one have in common. Only used to rank candidates.
fn alike(own: &str, path: &Path<'_>) -> usize {
    let (own, asked) = (own.split('/').skip(1), path.as_str().split('/').skip(1));
    own.zip(asked).take_while(|(own, asked)| own == asked || own.starts_with('{') && !asked.is_empty()).count()
}

/// The nearest rules other than the one that decides, nearest first, and the number of all of them.
pub(super) fn candidates(
    document: &Document,
    policy: &Policy,
    decides: Option<RuleId>,
    target: &Target<'_>,
) -> (Vec<Candidate>, usize) {
    let routes = &policy.source.routes;
    let decides_at = decides.and_then(|id| routes.get(id.0)).map(|route| &route.matches);
    let others = routes.iter().enumerate().filter(|(index, _)| Some(RuleId(*index)) != decides);
    let mut found: Vec<((Fit, std::cmp::Reverse<usize>), RuleId)> = others
        .filter_map(|(index, route)| {
            let fit = fit(&route.matches, decides_at, target)?;
            let alike = alike(&route.path, &target.path);
            let is_near = !matches!(fit, Fit::Path | Fit::HostAndMethod) || alike > 0;
            is_near.then_some(((fit, std::cmp::Reverse(alike)), RuleId(index)))
        })
        .collect();
    found.sort();
    let count = found.len();
    let nearest = found.into_iter().take(CANDIDATES_MAX);
    let nearest = nearest.filter_map(|((why, _), id)| Some(Candidate { route: Route::of(document, policy, id)?, why }));
    (nearest.collect(), count)
}

/// Why a rule did not decide, unless it is unrelated to the request.
fn fit(answers: &Match, decides: Option<&Match>, target: &Target<'_>) -> Option<Fit> {
    let everywhere = Match {
        hosts: Vec::new(),
        methods: Vec::new(),
        path: answers.path.clone(),
        encoded_slash: answers.encoded_slash,
    };
    // A path that matches in any case, so that only host and method decide.
    let path = Template::parse("/x").ok()?;
    let with_host =
        Match { hosts: answers.hosts.clone(), methods: Vec::new(), path: path.clone(), encoded_slash: false };
    let with_method = Match { hosts: Vec::new(), methods: answers.methods.clone(), path, encoded_slash: false };
    let elsewhere = Path::parse(b"/x").ok()?;
    let fits = (
        finds(&with_host, target, &elsewhere),
        finds(&with_method, target, &elsewhere),
        finds(&everywhere, target, &target.path),
    );
    // A rule for `GET` does not answer `HEAD` where another rule names it.
    let names_head = |answers: &Match| answers.methods.iter().any(|method| method.as_str() == "HEAD");
    let gives_way = target.method == "HEAD"
        && !answers.methods.is_empty()
        && !names_head(answers)
        && decides.is_some_and(names_head);
    match fits {
        (true, true, true) if gives_way => Some(Fit::Method),
        (true, true, true) => Some(match decides {
            Some(decides) if hosts_rank(decides, target) < hosts_rank(answers, target) => Fit::LessSpecificHost,
            _ => Fit::LessSpecificPath,
        }),
        (true, false, true) => Some(Fit::Method),
        (false, true, true) => Some(Fit::Host),
        (false, false, true) => Some(Fit::HostAndMethod),
        (true, true, false) if is_prefix(&everywhere, target) => Some(Fit::NothingForRest),
        (true, true, false) => Some(Fit::Path),
        _ => None,
    }
}

/// Whether one more segment makes the path one that a final `{*name}` matches.
fn is_prefix(answers: &Match, target: &Target<'_>) -> bool {
    let longer = format!("{}/x", target.path.as_str().trim_end_matches('/'));
    let longer = Path::parse(longer.as_bytes());
    answers.path.segments().last() == Some(&Segment::Rest) && longer.is_ok_and(|path| finds(answers, target, &path))
}

fn finds(answers: &Match, target: &Target<'_>, path: &Path<'_>) -> bool {
    let mut table = RouteTable::default();
    table.insert(RuleId(0), answers).is_ok() && table.find(&target.host, target.method, path).is_some()
}

/// The rank of a rule's most specific host for a request: the table prefers the longer suffix.
fn hosts_rank(answers: &Match, target: &Target<'_>) -> (u8, std::cmp::Reverse<usize>) {
    let ranks = answers.hosts.iter().filter_map(|host| match host {
        HostPattern::Exact(name) => (**name == *target.host.as_str()).then_some((0, std::cmp::Reverse(0))),
        HostPattern::Under(suffix) => {
            let stem = target.host.as_str().strip_suffix(&**suffix)?;
            stem.ends_with('.').then_some((1, std::cmp::Reverse(suffix.len())))
        }
    });
    ranks.min().unwrap_or((2, std::cmp::Reverse(0)))
}
