//! Writes small databases in the MaxMind DB format, for tests: an IPv6 tree with 24-bit records, and no pointers.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A value of a record.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(&'static str),
    Whole(u32),
    Number(f64),
    Flag(bool),
    Map(Vec<(&'static str, Value)>),
}

/// The record of a country, as MaxMind has it.
pub(crate) fn country(code: &'static str) -> Value {
    Value::Map(vec![("country", Value::Map(vec![("iso_code", Value::Text(code))]))])
}

/// The record of a city.
pub(crate) fn city(code: &'static str, latitude: f64, longitude: f64) -> Value {
    let point = vec![("latitude", Value::Number(latitude)), ("longitude", Value::Number(longitude))];
    let country = Value::Map(vec![("iso_code", Value::Text(code))]);
    Value::Map(vec![("country", country), ("location", Value::Map(point))])
}

/// The record of a network.
pub(crate) fn network(asn: u32) -> Value {
    Value::Map(vec![("autonomous_system_number", Value::Whole(asn)), ("is_anonymous", Value::Flag(false))])
}

/// A database with these networks, which must not overlap.
pub(crate) fn built(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut tree = Tree(vec![[None, None]]);
    let mut data = Vec::new();
    for (network, record) in networks {
        tree.enter(network, data.len());
        put(&mut data, record);
    }
    let mut bytes = tree.written();
    bytes.extend([0; 16]);
    bytes.extend(&data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    put_metadata(&mut bytes, kind, tree.0.len());
    bytes
}

#[derive(Clone, Copy)]
enum Next {
    Node(usize),
    Data(usize),
}

struct Tree(Vec<[Option<Next>; 2]>);

impl Tree {
    fn enter(&mut self, network: &str, offset: usize) {
        let (address, length) = network.split_once('/').unwrap();
        let length: usize = length.parse().unwrap();
        // IPv4 addresses are the last 32 bits of `::/96`.
        let (bits, length) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(u32::from(address)), length + 96),
            IpAddr::V6(address) => (u128::from(address), length),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.0[node][side] = Some(Next::Data(offset));
                return;
            }
            node = match self.0[node][side] {
                Some(Next::Node(next)) => next,
                Some(Next::Data(_)) => panic!("networks overlap"),
                None => {
                    self.0.push([None, None]);
                    let next = self.0.len() - 1;
                    self.0[node][side] = Some(Next::Node(next));
                    next
                }
            };
        }
    }

    fn written(&self) -> Vec<u8> {
        let count = self.0.len();
        let record = |next: &Option<Next>| match next {
            None => count,
            Some(Next::Node(node)) => *node,
            Some(Next::Data(offset)) => count + 16 + offset,
        };
        let bytes = |next| u32::try_from(record(next)).unwrap().to_be_bytes()[1..].to_vec();
        self.0.iter().flatten().flat_map(bytes).collect()
    }
}

fn head(to: &mut Vec<u8>, kind: u8, length: usize) {
    match (length, kind) {
        (0..29, 0..=7) => to.push(kind << 5 | u8::try_from(length).unwrap()),
        (0..29, _) => to.extend([u8::try_from(length).unwrap(), kind - 7]),
        _ => {
            assert!(kind <= 7 && length < 285);
            to.extend([kind << 5 | 29, u8::try_from(length - 29).unwrap()]);
        }
    }
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    head(to, 2, text.len());
    to.extend(text.as_bytes());
}

fn put_whole(to: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    head(to, kind, bytes.len());
    to.extend(bytes);
}

fn put(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => put_text(to, text),
        Value::Whole(number) => put_whole(to, 6, u64::from(*number)),
        Value::Number(number) => {
            head(to, 3, 8);
            to.extend(number.to_be_bytes());
        }
        Value::Flag(flag) => head(to, 14, usize::from(*flag)),
        Value::Map(members) => {
            head(to, 7, members.len());
            for (key, value) in members {
                put_text(to, key);
                put(to, value);
            }
        }
    }
}

fn put_metadata(to: &mut Vec<u8>, kind: &str, nodes: usize) {
    let whole = BTreeMap::from([
        ("binary_format_major_version", (5, 2)),
        ("binary_format_minor_version", (5, 0)),
        ("build_epoch", (9, 1_700_000_000)),
        ("ip_version", (5, 6)),
        ("node_count", (6, u64::try_from(nodes).unwrap())),
        ("record_size", (5, 24)),
    ]);
    head(to, 7, whole.len() + 3);
    for (key, (kind, number)) in whole {
        put_text(to, key);
        put_whole(to, kind, number);
    }
    put_text(to, "database_type");
    put_text(to, kind);
    put_text(to, "description");
    head(to, 7, 1);
    put_text(to, "en");
    put_text(to, "for tests");
    put_text(to, "languages");
    head(to, 11, 1);
    put_text(to, "en");
}
