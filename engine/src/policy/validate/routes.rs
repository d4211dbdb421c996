//! The routes: which requests each matches, who can use it, and within what limits.

mod access;

use super::{
    ROOT,
    facts::{keyword, no_conditions, tags},
    list, mode,
    scopes::Scopes,
    session::{freshness, outage},
    texts,
    upstream_token::OfPolicy,
};
use crate::{
    policy::{
        Access, Freshness, Limits, Mode, Outage, Rule, Words,
        deserialize::{Given, shaped},
        duration::limit,
        fault::{Faults, Wrong},
        json::Json,
        json_path::At,
        raw::{RawLimits, RawMatch, RawRequire, RawRoute, Texts},
        text::{quoted, unescaped},
    },
    route::{BadMethod, HostPattern, Match, Method, RouteTable, RuleId, Segment, Template},
};
use portcullis_contract::bounds;
use std::{collections::HashMap, fmt};

/// The maximum number of routes in a policy: the session service is sent all of them.
pub const ROUTES_MAX: usize = bounds::ROUTES_MAX;
/// The maximum length of a route's name in bytes: names are part of counter names.
const NAME_BYTES_MAX: usize = 128;

/// The routes that could be read, and what they need.
#[derive(Default)]
pub(super) struct Routes {
    /// The valid routes.
    pub(super) rules: Vec<Rule>,
    /// All routes with a valid `match`.
    pub(super) table: RouteTable,
    /// The first route that is not public.
    pub(super) guarded: Option<usize>,
    /// The first route that requires a scope.
    pub(super) asks_scope: Option<usize>,
    /// The first route that requires a set.
    pub(super) asks_set: Option<usize>,
    /// What tools need to know about the valid routes.
    #[cfg(feature = "source")]
    pub(super) sources: Vec<crate::policy::RouteSource>,
}

/// What the rest of the policy says about all routes.
#[derive(Clone, Copy)]
pub(super) struct Common {
    /// `mode` of routes without one of their own.
    pub(super) mode: Mode,
    /// `on_outage` of routes without one of their own.
    pub(super) outage: Outage,
    /// `freshness` of routes without one of their own.
    pub(super) freshness: Freshness,
    /// Whether the session service is an introspection endpoint.
    pub(super) is_endpoint: bool,
    /// Whether paths are matched without case.
    pub(super) ignore_case: bool,
}

/// What the rest of the policy says about the tokens that reach upstreams.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'c> {
    /// `upstream_token` of routes without one of their own, or without some keys of it.
    pub(super) upstream: &'c OfPolicy,
    /// `forward_token`, if it is there.
    pub(super) forward: Option<bool>,
}

pub(super) fn routes(
    json: Given<Json<'_>>,
    scopes: &Scopes,
    common: Common,
    tokens: Tokens<'_>,
    faults: &mut Faults,
) -> Option<Routes> {
    let at = ROOT.key("routes");
    let entries = list(json, &at, ROUTES_MAX, faults).required(&at, faults)?;
    if entries.is_empty() {
        faults.add(&at, "without routes, every request would be refused");
        return None;
    }
    let routes = Routes { table: RouteTable::new(common.ignore_case), ..Routes::default() };
    let mut reader = Reader { scopes, common, tokens, faults, names: HashMap::new(), routes };
    for (index, json) in entries.into_iter().enumerate() {
        let at = at.item(index);
        let raw = shaped(json, &at, reader.faults);
        let rule = raw.value().and_then(|raw| reader.route(raw, &at, index));
        reader.routes.rules.extend(rule);
    }
    Some(reader.routes)
}

struct Reader<'c> {
    scopes: &'c Scopes,
    common: Common,
    tokens: Tokens<'c>,
    faults: &'c mut Faults,
    names: HashMap<String, usize>,
    routes: Routes,
}

impl Reader<'_> {
    fn route(&mut self, raw: RawRoute, at: &At<'_>, index: usize) -> Option<Rule> {
        #[cfg(feature = "source")]
        let source = crate::policy::RouteSource::of(&raw);
        let name = self.name(raw.name, &at.key("name"), index);
        let answers = raw.r#match.required(&at.key("match"), self.faults);
        let answers = answers.and_then(|raw| self.answers(raw, &at.key("match")));
        if let Some(answers) = answers {
            self.enter(index, &answers, &at.key("match"));
            #[cfg(feature = "source")]
            self.routes.sources.push(source(answers));
        }
        let has_mode = !raw.mode.is_absent();
        let mode = raw.mode.or(self.common.mode, |word| self.faults.check(&at.key("mode"), mode(&word)));
        let has_limits = !raw.session.is_absent();
        let has_acr = !raw.acr.is_absent();
        let sets = sets(&raw.require);
        let words = self.words(raw.class, raw.tags, sets, at);
        let access = self.access(raw.public, raw.authenticated, raw.require, at, index);
        let limits = self.limits(raw.session, &at.key("session")).map(|limits| self.strict(limits, access.as_ref()));
        let acr = texts(raw.acr, &at.key("acr"), self.faults, acr).or(Vec::new(), Some);
        let is_public = matches!(access, Some(Access::Public));
        let has_token = !raw.upstream_token.is_absent();
        let upstream_token = match is_public {
            true => Some(None),
            false => self.tokens.upstream.of_route(raw.upstream_token, at, self.faults),
        };
        if is_public {
            if has_token {
                let message = "a public route has no session that a token could be about; omit this key";
                self.faults.add(&at.key("upstream_token"), message);
            }
            if has_mode {
                self.faults.add(&at.key("mode"), "a public route refuses no one; omit this key");
            }
            if has_limits {
                self.faults.add(&at.key("session"), "a public route has no session; omit this key");
            }
            if has_acr {
                self.faults.add(&at.key("acr"), "a public route requires no token; omit this key");
            }
        }
        let wants_token = has_token || self.tokens.upstream.is_there();
        Some(Rule {
            name: name?,
            mode: mode?,
            access: access?,
            limits: limits?,
            acr: acr?,
            words: words?,
            upstream_token: upstream_token?,
            forward_token: self.tokens.forward.unwrap_or(!wants_token),
        })
    }

    fn words(&mut self, class: Given<String>, raw_tags: Texts, sets: Vec<String>, at: &At<'_>) -> Option<Words> {
        if self.common.is_endpoint {
            for (key, _) in [("class", class.is_absent()), ("tags", raw_tags.is_absent())].iter().filter(|(_, is)| !is)
            {
                no_conditions(&at.key(key), self.faults);
            }
        }
        let class = class.or(None, |word| self.faults.check(&at.key("class"), keyword(&word)).map(Some));
        let tags = tags(raw_tags, &at.key("tags"), self.faults);
        Some(Words { class: class?, tags: tags?, sets })
    }

    /// A route that a grant can open denies in an outage, whatever it says: nobody can tell whether the grant still holds.
    fn strict(&self, limits: Limits, access: Option<&Access>) -> Limits {
        match access {
            Some(Access::Scopes(requirement)) if requirement.needs_approval(&self.scopes.register) => {
                Limits { on_outage: Outage::Deny, ..limits }
            }
            _ => limits,
        }
    }

    fn name(&mut self, name: Given<String>, at: &At<'_>, index: usize) -> Option<String> {
        let name = name.required(at, self.faults)?;
        let name = self.faults.check(at, route_name(&name))?;
        let first = *self.names.entry(name.clone()).or_insert(index);
        if first != index {
            let message = format_args!("{} is already the name of `$.routes[{first}]`", quoted(&name));
            self.faults.add(at, message);
        }
        Some(name)
    }

    fn answers(&mut self, raw: RawMatch, at: &At<'_>) -> Option<Match> {
        let hosts = some_or_all(raw.hosts, &at.key("hosts"), self.faults, HostPattern::parse);
        let methods = some_or_all(raw.methods, &at.key("methods"), self.faults, method);
        let encoded_slash = raw
            .encoded_slash
            .or(false, |word| self.faults.check(&at.key("encoded_slash"), encoded_slash(&word)).map(|()| true));
        let path_at = at.key("path");
        let path = raw.path.required(&path_at, self.faults);
        let path = path.and_then(|path| self.faults.check(&path_at, about(&path, Template::parse(&path))));
        let path = path.map(|path| if self.common.ignore_case { path.without_case() } else { path });
        if let (Some(true), Some(path)) = (encoded_slash, &path)
            && !path.segments().contains(&Segment::One)
        {
            let message = "the path has no `{name}` segment in which a slash could be let through; omit this key";
            self.faults.add(&at.key("encoded_slash"), message);
        }
        Some(Match { hosts: hosts?, methods: methods?, path: path?, encoded_slash: encoded_slash? })
    }

    fn enter(&mut self, index: usize, answers: &Match, at: &At<'_>) {
        let Err(rivals) = self.routes.table.insert(RuleId(index), answers) else {
            return;
        };
        for RuleId(rival) in rivals {
            let (this, other) = (Label(&self.names, index), Label(&self.names, rival));
            let message = format_args!(
                "{this} and {other} could match the same request with equal precedence; make them differ in host, method or path{}",
                if self.common.ignore_case { " (case makes no difference: `$.ignore_case`)" } else { "" }
            );
            self.faults.add(at, message);
        }
    }

    fn limits(&mut self, raw: Given<RawLimits>, at: &At<'_>) -> Option<Limits> {
        let raw = raw.or(RawLimits::default(), Some)?;
        if self.common.is_endpoint {
            let given = [
                ("max_idle", raw.max_idle.is_absent()),
                ("touch", raw.touch.is_absent()),
                ("outlive_token", raw.outlive_token.is_absent()),
            ];
            for (key, _) in given.into_iter().filter(|(_, is_absent)| !is_absent) {
                let message = "an introspection endpoint knows no activity and no session beyond its tokens; omit this key, or use `protocol: stream`";
                self.faults.add(&at.key(key), message);
            }
        }
        let mut read =
            |text: Given<String>, key| text.or(None, |text| self.faults.check(&at.key(key), limit(&text)).map(Some));
        let max_age = read(raw.max_age, "max_age");
        let max_idle = read(raw.max_idle, "max_idle");
        let on_outage = outage(raw.on_outage, self.common.outage, &at.key("on_outage"), self.faults);
        let at = at.key("freshness");
        let freshness = freshness(raw.freshness, self.common.freshness, self.common.is_endpoint, &at, self.faults);
        let touch = raw.touch.or(true, Some);
        let outlive_token = raw.outlive_token.or(false, Some);
        Some(Limits {
            max_age: max_age?,
            max_idle: max_idle?,
            touch: touch?,
            outlive_token: outlive_token?,
            on_outage: on_outage?,
            freshness: freshness?,
        })
    }
}

/// The sets that a requirement names, without `@`. Whether there are such sets is checked elsewhere.
fn sets(require: &Given<RawRequire>) -> Vec<String> {
    let Given::Value(RawRequire { all_of, any_of }) = require else { return Vec::new() };
    let mut sets = Vec::new();
    for texts in [all_of, any_of] {
        let Given::Value(items) = texts else { continue };
        for item in items {
            let Given::Value(name) = item else { continue };
            let Some(set) = name.strip_prefix('@') else { continue };
            if !sets.iter().any(|known| known == set) {
                sets.push(set.to_owned());
            }
        }
    }
    sets
}

/// Hosts or methods: those listed, or all if the key is absent. An empty list is refused because it could mean either
/// all or none.
fn some_or_all<T: PartialEq, E: Into<Wrong>>(
    list: Texts,
    at: &At<'_>,
    faults: &mut Faults,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    if matches!(&list, Given::Value(list) if list.is_empty()) {
        faults.add(at, "must not be empty; omit the key to match all");
        return None;
    }
    texts(list, at, faults, |text| about(text, parse(text))).or(Vec::new(), Some)
}

/// Puts the quoted text in front of the message.
fn about<T>(text: &str, read: Result<T, impl Into<Wrong>>) -> Result<T, Wrong> {
    read.map_err(|wrong| wrong.into().of(text))
}

fn encoded_slash(text: &str) -> Result<(), String> {
    match text {
        "segment" => Ok(()),
        _ => {
            Err(format!("the only value is `segment`, found {}; omit the key to refuse encoded slashes", quoted(text)))
        }
    }
}

fn method(text: &str) -> Result<Method, Wrong> {
    Method::parse(text).map_err(|bad| match bad {
        BadMethod::Case(common) => Wrong::from(bad).meant(Some(common)),
        BadMethod::NoToken | BadMethod::Every => bad.into(),
    })
}

/// Checks the name of a route: short ASCII that needs no escaping, because it is used in logs and counters.
pub fn route_name(name: &str) -> Result<String, String> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a name must not be longer than {NAME_BYTES_MAX} bytes"));
    }
    unescaped(name)
}

/// Checks an `acr` value, which becomes part of the space-separated `acr_values` of a challenge (RFC 9470, section 3).
fn acr(text: &str) -> Result<String, String> {
    match unescaped(text)? {
        text if text.contains(' ') => Err(format!("{} contains a space, which separates values", quoted(&text))),
        text => Ok(text),
    }
}

/// A route in terms an operator knows: its name and its place.
struct Label<'n>(&'n HashMap<String, usize>, usize);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Label(names, index) = self;
        match names.iter().find(|(_, named)| *named == index) {
            Some((name, _)) => write!(f, "{} (`$.routes[{index}]`)", quoted(name)),
            None => write!(f, "`$.routes[{index}]`"),
        }
    }
}
