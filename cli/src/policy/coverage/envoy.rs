//! Envoy routes as entries. A request belongs to the first route that matches it in the virtual host that owns it.

use super::{
    entry::Described,
    matcher::{MethodMatch, PathMatch, member},
};
use crate::policy::{
    matching::{Entry, Methods, Rules, SampleRequest},
    openapi::Value,
};
use portcullis_engine::route::Host;

/// The most routes of a configuration.
const ROUTES_MAX: usize = 50_000;

/// A route configuration.
#[derive(Debug, Default)]
pub(super) struct Table {
    name: String,
    hosts: Vec<VirtualHost>,
}

#[derive(Debug)]
struct VirtualHost {
    name: String,
    domains: Vec<Domain>,
    routes: Vec<Route>,
}

/// A domain of a virtual host, in lower case and without port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Domain {
    Exact(String),
    /// `*` followed by this.
    Suffix(String),
    /// This followed by `*`.
    Prefix(String),
    Every,
}

#[derive(Debug)]
struct Route {
    name: String,
    label: String,
    path: Result<PathMatch, String>,
    methods: Vec<MethodMatch>,
    /// Whether only path and method decide, so that later routes never see a request that matches.
    is_certain: bool,
}

/// Reads all route configurations of a file.
pub(super) fn read(configuration: &Value) -> Result<Vec<Table>, String> {
    let mut tables = Vec::new();
    let mut loose = Table::default();
    collect(configuration, &mut tables, &mut loose);
    if !loose.hosts.is_empty() {
        tables.push(loose);
    }
    let count: usize = tables.iter().flat_map(|table| &table.hosts).map(|host| host.routes.len()).sum();
    match count {
        0 => Err(
            "this configuration contains no routes; if they come from RDS, use the file or the config dump that contains them"
                .to_owned(),
        ),
        count if count > ROUTES_MAX => Err(format!("{count} routes; the maximum is {ROUTES_MAX}")),
        _ => Ok(tables),
    }
}

/// A route configuration is recognized by `virtual_hosts`, wherever it is: in a listener, a resource or a dump.
fn collect(value: &Value, tables: &mut Vec<Table>, loose: &mut Table) {
    if let Some(Value::List(hosts)) = member(value, "virtual_hosts") {
        let name = value.text("name").unwrap_or_default().to_owned();
        tables.push(Table { name, hosts: hosts.iter().map(VirtualHost::read).collect() });
        return;
    }
    let is_virtual_host = member(value, "domains").is_some() && member(value, "routes").is_some();
    if is_virtual_host {
        loose.hosts.push(VirtualHost::read(value));
        return;
    }
    for part in value.items().iter().chain(value.entries().iter().map(|(_, part)| part)) {
        collect(part, tables, loose);
    }
}

impl VirtualHost {
    fn read(value: &Value) -> Self {
        let domains = member(value, "domains").map(Value::items).unwrap_or_default().iter();
        let mut routes: Vec<_> =
            member(value, "routes").map(Value::items).unwrap_or_default().iter().map(Route::read).collect();
        if member(value, "matcher").is_some() {
            let path = Err("matcher trees are not supported".to_owned());
            routes.push(Route {
                name: String::new(),
                label: "(matcher)".to_owned(),
                path,
                methods: Vec::new(),
                is_certain: false,
            });
        }
        Self {
            name: value.text("name").unwrap_or_default().to_owned(),
            domains: domains.filter_map(Value::as_text).map(Domain::read).collect(),
            routes,
        }
    }

    /// How well it matches a host; greater is better.
    fn rank(&self, host: &str) -> Option<(u8, usize)> {
        self.domains.iter().filter_map(|domain| domain.rank(host)).max()
    }
}

impl Domain {
    fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let name = match text.rsplit_once(':') {
            Some((name, port)) if port == "*" || !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                name
            }
            _ => text.as_str(),
        };
        match (name.strip_prefix('*'), name.strip_suffix('*')) {
            (Some(""), _) => Self::Every,
            (Some(suffix), _) => Self::Suffix(suffix.to_owned()),
            (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
            (None, None) => Self::Exact(name.to_owned()),
        }
    }

    /// Envoy prefers exact domains, then longer suffixes, then longer prefixes, then `*`.
    fn rank(&self, host: &str) -> Option<(u8, usize)> {
        match self {
            Self::Exact(name) => (name == host).then_some((3, 0)),
            Self::Suffix(suffix) => {
                (host.len() > suffix.len() && host.ends_with(suffix.as_str())).then_some((2, suffix.len()))
            }
            Self::Prefix(prefix) => {
                (host.len() > prefix.len() && host.starts_with(prefix.as_str())).then_some((1, prefix.len()))
            }
            Self::Every => Some((0, 0)),
        }
    }

    /// An example host; one that no rule names, if the domain allows it.
    fn example(&self, rules: &Rules<'_>) -> String {
        match self {
            // In the spelling of the filter.
            Self::Exact(name) => {
                Host::parse(name.as_bytes()).map_or_else(|| name.clone(), |host| host.as_str().to_owned())
            }
            Self::Suffix(suffix) => format!("{}{suffix}", rules.host_word()),
            Self::Prefix(prefix) => format!("{prefix}{}", rules.other_host()),
            Self::Every => rules.other_host().to_owned(),
        }
    }
}

impl Route {
    fn read(value: &Value) -> Self {
        let nothing = Value::Null;
        let matches = member(value, "match").unwrap_or(&nothing);
        let (path_label, path) = PathMatch::read(matches);
        let headers = member(matches, "headers").map(Value::items).unwrap_or_default();
        let is_method = |header: &&Value| header.text("name").is_some_and(|name| name.eq_ignore_ascii_case(":method"));
        let methods: Vec<_> = headers.iter().filter(is_method).map(MethodMatch::read).collect();
        let conditions = [
            "query_parameters",
            "grpc",
            "runtime_fraction",
            "tls_context",
            "dynamic_metadata",
            "filter_state",
            "cookies",
        ];
        let has_other = conditions
            .into_iter()
            .any(|name| member(matches, name).is_some_and(|value| *value != Value::List(Vec::new())));
        let is_certain = methods.len() == headers.len() && !has_other && methods.iter().all(MethodMatch::is_certain);
        let method =
            methods.iter().find_map(MethodMatch::only).unwrap_or(if methods.is_empty() { "*" } else { "(some)" });
        let label = format!("{method} {path_label}");
        Self { name: value.text("name").unwrap_or_default().to_owned(), label, path, methods, is_certain }
    }

    fn takes(&self, request: &SampleRequest) -> bool {
        self.methods.iter().all(|method| method.holds(&request.method))
            && self.path.as_ref().is_ok_and(|path| path.holds(&request.path))
    }
}

/// Every route of every virtual host.
pub(super) fn described<'t>(tables: &'t [Table], rules: &Rules<'_>) -> Vec<Described<'t>> {
    let mut described = Vec::new();
    for table in tables {
        for (owner, host) in table.hosts.iter().enumerate() {
            for (at, route) in host.routes.iter().enumerate() {
                let place = [&table.name, &host.name, &route.name].map(String::as_str);
                let place = place.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" / ");
                let entry = route.path.as_ref().map(|path| entry(table, owner, at, route, path, rules));
                described.push(Described { label: route.label.clone(), place, entry: entry.map_err(Clone::clone) });
            }
        }
    }
    described
}

fn entry<'t>(
    table: &'t Table,
    owner: usize,
    at: usize,
    route: &'t Route,
    path: &PathMatch,
    rules: &Rules<'_>,
) -> Entry<'t> {
    let domains = table.hosts.get(owner).map(|host| host.domains.as_slice()).unwrap_or_default();
    let mut hosts: Vec<String> = domains.iter().map(|domain| domain.example(rules)).collect();
    hosts.dedup();
    let only: Vec<String> = route.methods.iter().filter_map(MethodMatch::only).map(str::to_owned).collect();
    let reaches = move |request: &SampleRequest| {
        let before = table.hosts.get(owner).map(|host| host.routes.iter().take(at)).into_iter().flatten();
        route.takes(request)
            && owner_of(table, &request.host) == Some(owner)
            && !before.into_iter().any(|earlier| earlier.is_certain && earlier.takes(request))
    };
    Entry {
        paths: path.paths(),
        methods: if only.is_empty() { Methods::Every } else { Methods::Only(only) },
        hosts,
        reaches: Box::new(reaches),
    }
}

/// The virtual host that Envoy selects for a host.
fn owner_of(table: &Table, host: &str) -> Option<usize> {
    let ranked = table.hosts.iter().enumerate().filter_map(|(at, virtual_host)| Some((virtual_host.rank(host)?, at)));
    ranked.max_by_key(|(rank, at)| (*rank, std::cmp::Reverse(*at))).map(|(_, at)| at)
}
