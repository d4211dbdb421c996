//! The route table against a model that scans all rules and compares their ranks as the documentation puts it.

use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;

#[derive(Debug, Clone)]
struct Written {
    hosts: Vec<&'static str>,
    methods: Vec<&'static str>,
    path: Vec<&'static str>,
    encoded_slash: bool,
}

const SEGMENTS: [&str; 6] = ["a", "b", "{x}:s", "{x}:s:s", "{x}", "{*x}"];
const HOSTS: [&str; 6] = ["a.com", "b.a.com", "c.b.a.com", "*.a.com", "*.b.a.com", "*.com"];
const METHODS: [&str; 4] = ["GET", "HEAD", "PUT", "PURGE"];

impl Written {
    fn read(&self) -> Match {
        let names = self.path.iter().enumerate().map(|(n, segment)| segment.replace('x', &format!("x{n}")));
        let path = names.fold(String::new(), |path, segment| path + "/" + &segment);
        Match {
            hosts: self.hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            methods: self.methods.iter().map(|method| Method::parse(method).unwrap()).collect(),
            path: Template::parse(&path).unwrap(),
            encoded_slash: self.encoded_slash,
        }
    }

    /// The rank of the best of its hosts for a request: 0 exact, then the longer suffix, then none.
    fn host_rank(&self, host: Option<&str>) -> Option<(u8, Reverse<usize>)> {
        if self.hosts.is_empty() {
            return Some((2, Reverse(0)));
        }
        let host = host?;
        let fits = self.hosts.iter().filter_map(|pattern| match pattern.strip_prefix('*') {
            None => (*pattern == host).then_some((0, Reverse(0))),
            Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some((1, Reverse(suffix.len()))),
        });
        fits.min()
    }

    fn path_rank(&self, segments: &[&str]) -> Option<Vec<u8>> {
        let mut rank = Vec::new();
        for (position, pattern) in self.path.iter().enumerate() {
            let segment = segments.get(position)?;
            match *pattern {
                "{*x}" if !segment.is_empty() => return Some([rank, vec![4]].concat()),
                "{x}" if !segment.is_empty() => rank.push(3),
                "{x}:s" if segment.len() > 2 && segment.ends_with(":s") => rank.push(2),
                "{x}:s:s" if segment.len() > 4 && segment.ends_with(":s:s") => rank.push(1),
                literal if literal == *segment => rank.push(0),
                _ => return None,
            }
        }
        (segments.len() == self.path.len()).then_some(rank)
    }

    /// Whether it lets the encoded slashes of a path that it matches through.
    fn lets_slashes_through(&self, segments: &[&str]) -> bool {
        let is_fine = |(at, segment): (usize, &&str)| {
            !segment.contains("%2F") || self.encoded_slash && self.path.get(at) == Some(&"{x}")
        };
        segments.iter().enumerate().all(is_fine)
    }

    fn has(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(&method)
    }

    /// The same where no rule that names `HEAD` answers it.
    fn has_in_place_of_head(&self, method: &str) -> bool {
        self.has(method) || (method == "HEAD" && self.methods.contains(&"GET"))
    }

    fn is_rival_of(&self, other: &Written) -> bool {
        let hosts = if self.hosts.is_empty() || other.hosts.is_empty() {
            self.hosts.is_empty() && other.hosts.is_empty()
        } else {
            self.hosts.iter().any(|host| other.hosts.contains(host))
        };
        let methods = self.methods.is_empty() || other.methods.is_empty() || self.methods.iter().any(|m| other.has(m));
        hosts && methods && self.path == other.path
    }
}

fn scan(rules: &[(RuleId, Written)], host: Option<&str>, method: &str, path: &[&str]) -> Option<RuleId> {
    let best = |has: fn(&Written, &str) -> bool| {
        let fits = rules
            .iter()
            .filter(|(_, rule)| has(rule, method))
            .filter_map(|(id, rule)| Some(((rule.host_rank(host)?, rule.path_rank(path)?), id, rule)));
        fits.min_by_key(|(rank, ..)| rank.clone()).map(|(_, id, rule)| (*id, rule))
    };
    let named = best(Written::has).filter(|(_, rule)| rule.methods.contains(&method));
    let found = named.or_else(|| best(Written::has_in_place_of_head));
    found.filter(|(_, rule)| rule.lets_slashes_through(path)).map(|(id, _)| id)
}

fn path() -> impl Strategy<Value = Vec<&'static str>> {
    let segments = prop::collection::vec(prop::sample::select(&SEGMENTS[..]), 0..4);
    (segments, any::<bool>()).prop_map(|(mut path, slash)| {
        if let Some(rest) = path.iter().position(|segment| *segment == "{*x}") {
            path.truncate(rest + 1);
        } else if slash || path.is_empty() {
            path.push("");
        }
        path
    })
}

fn written() -> impl Strategy<Value = Written> {
    let hosts = prop::sample::subsequence(&HOSTS[..], 0..3);
    (hosts, prop::sample::subsequence(&METHODS[..], 0..3), path(), any::<bool>())
        .prop_map(|(hosts, methods, path, encoded_slash)| Written { hosts, methods, path, encoded_slash })
}

type Request = (Option<&'static str>, &'static str, Vec<&'static str>);

/// Every request that the small alphabets can make.
fn requests() -> Vec<Request> {
    let hosts =
        [None, Some("com"), Some("a.com"), Some("b.a.com"), Some("c.b.a.com"), Some("x.y.b.a.com"), Some("x.org")];
    let mut paths = vec![vec![""]];
    for length in 1..=3_u32 {
        for number in 0..6_usize.pow(length) {
            let words = ["a", "b", "c", "a:s", "b:s:s", "a%2Fb"];
            let path: Vec<_> = (0..length).map(|place| words[number / 6_usize.pow(place) % 6]).collect();
            paths.push([path.as_slice(), &[""]].concat());
            paths.push(path);
        }
    }
    let methods = ["GET", "HEAD", "PUT", "PURGE", "get"];
    hosts
        .into_iter()
        .flat_map(|host| methods.into_iter().map(move |method| (host, method)))
        .flat_map(|(host, method)| paths.iter().map(move |path| (host, method, path.clone())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_finds_what_a_scan_of_all_rules_finds(written in prop::collection::vec(written(), 1..14)) {
        let mut table = RouteTable::default();
        let mut kept: Vec<(RuleId, Written)> = Vec::new();
        for (id, rule) in written.into_iter().enumerate() {
            let rivals: std::collections::BTreeSet<_> = kept.iter().filter(|(_, other)| rule.is_rival_of(other)).map(|(id, _)| *id).collect();
            match table.insert(RuleId(id), &rule.read()) {
                Ok(()) => {
                    prop_assert_eq!(rivals, std::collections::BTreeSet::new());
                    kept.push((RuleId(id), rule));
                }
                Err(named) => prop_assert_eq!(rivals, named),
            }
        }
        for (host, method, path) in requests() {
            let raw = format!("/{}", path.join("/"));
            let found = table.find(
                &Host::parse(host.unwrap_or("elsewhere").as_bytes()).unwrap(),
                method,
                &Path::parse(raw.as_bytes()).unwrap(),
            );
            prop_assert_eq!(found, scan(&kept, host, method, &path), "{:?} {} {}", host, method, raw);
        }
    }
}
