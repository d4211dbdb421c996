//! Policies made up at random, small enough that all their requests can be tried, and what can happen to them.

use portcullis_engine::{
    policy::Policy,
    route::{HostPattern, Match, Method, RouteTable, RuleId, Template},
};
use proptest::{prelude::*, sample};
use serde_json::{Value, json};

pub(crate) const SCOPES: [&str; 4] = ["a", "b", "c", "d"];
const SETS: [(&str, &[&str]); 2] = [("ab", &["a", "b"]), ("cd", &["c", "d"])];
const HOSTS: [&str; 6] = ["a.com", "b.a.com", "c.b.a.com", "*.a.com", "*.b.a.com", "*.com"];
const METHODS: [&str; 4] = ["GET", "PUT", "PURGE", "OPTIONS"];
const SEGMENTS: [&str; 7] = ["a", "b", "A", "{x}", "{x}", "{x}:s", "{*x}"];
const LIMITS: [Option<&str>; 3] = [None, Some("5m"), Some("1h")];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) methods: Vec<&'static str>,
    pub(crate) path: Vec<&'static str>,
    pub(crate) encoded_slash: bool,
    /// What names the parameters.
    pub(crate) parameter: &'static str,
    pub(crate) access: Access,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Access {
    Public,
    /// Without `require`, a token may be optional.
    Guarded {
        require: Option<Require>,
        optional: bool,
        acr: Vec<&'static str>,
        session: Session,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Require {
    pub(crate) all_of: Vec<String>,
    pub(crate) any_of: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Session {
    pub(crate) max_age: Option<&'static str>,
    pub(crate) max_idle: Option<&'static str>,
    pub(crate) touch: Option<bool>,
    pub(crate) outlive_token: Option<bool>,
    pub(crate) on_outage: Option<Outage>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outage {
    Deny,
    ReadOnly,
    Grace(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) shadow: bool,
    pub(crate) ignore_case: bool,
    pub(crate) preflight: bool,
    pub(crate) on_outage: Option<Outage>,
    pub(crate) sets: Vec<(String, Vec<&'static str>)>,
    pub(crate) routes: Vec<Route>,
}

impl Route {
    fn to_match(&self, ignore_case: bool) -> Match {
        let path = Template::parse(&self.template()).expect("a template");
        Match {
            hosts: self.hosts.iter().map(|host| HostPattern::parse(host).expect("a host")).collect(),
            methods: self.methods.iter().map(|method| Method::parse(method).expect("a method")).collect(),
            path: if ignore_case { path.without_case() } else { path },
            encoded_slash: self.has_encoded_slash(),
        }
    }

    /// A path without a variable has nowhere to let a slash through.
    fn has_encoded_slash(&self) -> bool {
        self.encoded_slash && self.path.contains(&"{x}")
    }

    fn template(&self) -> String {
        let names = self.path.iter().enumerate();
        names.fold(String::new(), |path, (n, segment)| {
            path + "/" + &segment.replace('x', &format!("{}{n}", self.parameter))
        })
    }

    fn to_json(&self) -> Value {
        let mut answers = json!({"path": self.template()});
        if !self.hosts.is_empty() {
            answers["hosts"] = json!(self.hosts);
        }
        if !self.methods.is_empty() {
            answers["methods"] = json!(self.methods);
        }
        if self.has_encoded_slash() {
            answers["encoded_slash"] = json!("segment");
        }
        let mut route = json!({"name": self.name, "match": answers});
        match &self.access {
            Access::Public => route["public"] = json!(true),
            Access::Guarded { require, optional, acr, session } => {
                match require {
                    None if *optional => route["authenticated"] = json!("optional"),
                    None => route["authenticated"] = json!(true),
                    Some(Require { all_of, any_of }) => route["require"] = json!({"all_of": all_of, "any_of": any_of}),
                }
                route["acr"] = json!(acr);
                route["session"] = session.to_json();
            }
        }
        route
    }
}

impl Session {
    fn to_json(&self) -> Value {
        let mut json = json!({});
        let outage = self.on_outage.map(Outage::to_json);
        for (key, value) in [
            ("max_age", self.max_age.map(Value::from)),
            ("max_idle", self.max_idle.map(Value::from)),
            ("touch", self.touch.map(Value::from)),
            ("outlive_token", self.outlive_token.map(Value::from)),
            ("on_outage", outage),
        ] {
            if let Some(value) = value {
                json[key] = value;
            }
        }
        json
    }
}

impl Outage {
    fn to_json(self) -> Value {
        match self {
            Self::Deny => json!("deny"),
            Self::ReadOnly => json!("read_only"),
            Self::Grace(grace) => json!({"grace": grace}),
        }
    }
}

impl Draft {
    /// Without routes that the filter would not tell apart, and with names that are given once.
    pub(crate) fn mended(mut self) -> Self {
        let mut table = RouteTable::new(self.ignore_case);
        let mut names = std::collections::HashSet::new();
        self.routes.retain(|route| names.insert(route.name.clone()));
        let mut index = 0;
        self.routes.retain(|route| {
            index += 1;
            table.insert(RuleId(index), &route.to_match(self.ignore_case)).is_ok()
        });
        if self.routes.is_empty() {
            self.routes.push(Route {
                name: "only".into(),
                hosts: vec![],
                methods: vec![],
                path: vec!["a"],
                encoded_slash: false,
                parameter: "x",
                access: Access::Public,
            });
        }
        self
    }

    pub(crate) fn policy(&self) -> Policy {
        let mut session = json!({"cluster": "session", "timeout": "200ms"});
        if let Some(outage) = self.on_outage {
            session["on_outage"] = outage.to_json();
        }
        let sets: serde_json::Map<_, _> =
            self.sets.iter().map(|(name, scopes)| (name.clone(), json!(scopes))).collect();
        let mut policy = json!({
            "mode": if self.shadow { "shadow" } else { "enforce" },
            "issuers": [{
                "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
                "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
            }],
            "session": session,
            "scopes": {"a": {}, "b": {}, "c": {}, "d": {}},
            "sets": sets,
            "routes": self.routes.iter().map(Route::to_json).collect::<Vec<_>>(),
        });
        if self.ignore_case {
            policy["ignore_case"] = json!(true);
        }
        if self.preflight {
            policy["cors_preflight"] = json!("allow");
        }
        Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}\n{policy:#}"))
    }
}

fn one<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = T> {
    sample::select(of)
}

pub(crate) fn outage() -> impl Strategy<Value = Outage> {
    prop_oneof![Just(Outage::Deny), Just(Outage::ReadOnly), Just(Outage::Grace("10s")), Just(Outage::Grace("60s"))]
}

fn session() -> impl Strategy<Value = Session> {
    let flags = (prop::option::weighted(0.2, any::<bool>()), prop::option::weighted(0.2, any::<bool>()));
    (one(&LIMITS), one(&LIMITS), flags, prop::option::weighted(0.3, outage())).prop_map(
        |(max_age, max_idle, (touch, outlive_token), on_outage)| Session {
            max_age,
            max_idle,
            touch,
            outlive_token,
            on_outage,
        },
    )
}

fn require() -> impl Strategy<Value = Require> {
    let names = ["a", "b", "c", "d", "@ab", "@cd"].map(str::to_owned).to_vec();
    let some = move |max| sample::subsequence(names.clone(), 0..=max);
    (some(2), some(3))
        .prop_filter("names a scope", |(all_of, any_of)| !all_of.is_empty() || !any_of.is_empty())
        .prop_map(|(all_of, any_of)| Require { all_of, any_of })
}

fn guarded() -> impl Strategy<Value = Access> {
    let plain = prop::bool::weighted(0.6)
        .prop_flat_map(|plain| if plain { Just(Session::default()).boxed() } else { session().boxed() });
    let acr = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["aal2"]), 1 => Just(vec!["aal1", "aal2"])];
    (prop::option::weighted(0.7, require()), prop::bool::weighted(0.4), acr, plain)
        .prop_map(|(require, optional, acr, session)| Access::Guarded { require, optional, acr, session })
}

pub(crate) fn access() -> impl Strategy<Value = Access> {
    prop_oneof![1 => Just(Access::Public), 4 => guarded()]
}

pub(crate) fn path() -> impl Strategy<Value = Vec<&'static str>> {
    (prop::collection::vec(one(&SEGMENTS), 0..4), prop::bool::weighted(0.2)).prop_map(|(mut path, slash)| {
        if let Some(rest) = path.iter().position(|segment| *segment == "{*x}") {
            path.truncate(rest + 1);
        } else if slash || path.is_empty() {
            path.push("");
        }
        path
    })
}

pub(crate) fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![2 => Just(vec![]), 1 => sample::subsequence(&HOSTS[..], 1..3)]
}

pub(crate) fn methods() -> impl Strategy<Value = Vec<&'static str>> {
    sample::subsequence(&METHODS[..], 0..3)
}

pub(crate) fn route() -> impl Strategy<Value = Route> {
    (0..12_u8, hosts(), methods(), (path(), prop::bool::weighted(0.3)), access()).prop_map(
        |(number, hosts, methods, (path, encoded_slash), access)| Route {
            name: format!("r{number}"),
            hosts,
            methods,
            path,
            encoded_slash,
            parameter: "x",
            access,
        },
    )
}

pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    let routes = prop::collection::vec(route(), 1..9);
    let rare = || prop::bool::weighted(0.1);
    let frame = (prop::bool::weighted(0.05), rare(), rare(), prop::option::weighted(0.3, outage()));
    (frame, routes).prop_map(|((shadow, ignore_case, preflight, on_outage), routes)| {
        let sets = SETS.map(|(name, scopes)| (name.to_owned(), scopes.to_vec())).to_vec();
        Draft { shadow, ignore_case, preflight, on_outage, sets, routes }.mended()
    })
}
