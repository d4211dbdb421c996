//! What conditions cost: `cargo bench -p portcullis-conditions`. Each row is the median of several runs, per call.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

use portcullis_conditions::{Decision, Declared, Place, Prepared, Request, Route, Session, Set, Sliced, Source};
use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

const RUNS: usize = 9;

/// A condition that the session decides.
const SETTLED: &str = "context.risk == \"high\" && principal.access == \"human\" && resource.tags.contains(\"pii\")";

/// A condition that depends on the question.
const DEPENDS: &str = "resource.tags.contains(\"pii\") && !(context.place has country && \
                       [\"CH\", \"DE\", \"AT\", \"FR\", \"IT\"].contains(context.place.country))";

fn main() {
    let (session, request) = (session(), request());
    row("load 10,000 policies of other routes", || black_box(set(&others(10_000))).len(), 1);
    for count in [10, 1_000] {
        let sliced = sliced(&conditions(SETTLED, count));
        row(&format!("prepare {count} conditions for a session"), || sliced.prepare(&session, "PUT"), 20);
    }
    for (name, text) in [
        ("1,000 conditions, nothing left", conditions(SETTLED, 1_000)),
        ("1 condition, nothing left", conditions(SETTLED, 1)),
        ("1 condition left", conditions(DEPENDS, 1)),
        ("4 conditions left", conditions(DEPENDS, 4)),
        ("1 condition left, 10 policies of other routes", conditions(DEPENDS, 1) + &others(10)),
        ("1 condition left, 10,000 policies of other routes", conditions(DEPENDS, 1) + &others(10_000)),
        ("1 condition left, about the address", conditions(ADDRESS, 1)),
        ("1 condition left, about the time", conditions("context.login_age > duration(\"1h\")", 1)),
    ] {
        let prepared: Prepared = sliced(&text).prepare(&session, "PUT");
        assert_eq!(prepared.decide(&session, &request), Decision::Allowed, "{name}");
        row(&format!("decide: {name}"), || prepared.decide(&session, &request), 10_000);
    }
}

/// A condition about the client's address.
const ADDRESS: &str = "!(context.place has ip && context.place.ip.isInRange(ip(\"192.0.2.0/24\")))";

/// Measures and prints.
fn row<T>(name: &str, mut call: impl FnMut() -> T, calls: u32) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                black_box(call());
            }
            start.elapsed() / calls
        })
        .collect();
    times.sort();
    println!("{:>12.2?}  {name}", times.get(RUNS / 2).copied().unwrap_or_default());
}

fn conditions(when: &str, count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        write!(text, "@id(\"c{n}\") forbid (principal, action, resource) when {{ {when} }};").expect("text");
    }
    text
}

fn others(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let resource = format!("resource == Portcullis::Route::\"other.{n}\"");
        write!(text, "@id(\"o{n}\") forbid (principal, action, {resource}) when {{ context.risk == \"high\" }};")
            .expect("text");
    }
    text
}

fn set(text: &str) -> Set {
    let source = Source { file: "bench.cedar".to_owned(), text: text.to_owned() };
    Set::load(&[source], &Declared::default()).expect("conditions")
}

fn sliced(text: &str) -> Sliced {
    let route = Route { name: "customers.change".to_owned(), tags: vec!["pii".to_owned()], ..Route::default() };
    set(text).for_route(&route).expect("a route")
}

fn session() -> Session {
    Session {
        id: "s1".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        subject: "alice".to_owned(),
        client: "app".to_owned(),
        access: "human".to_owned(),
        scopes: vec!["customers:write".to_owned()],
        risk: Some("low".to_owned()),
        opened_at_ms: 1_700_000_000_000,
        login_at_ms: 1_700_000_000_000,
        ..Session::default()
    }
}

fn request() -> Request {
    Request {
        now_ms: 1_700_000_060_000,
        method: "PUT".to_owned(),
        host: "api.example.com".to_owned(),
        ip: Some([192, 0, 2, 7].into()),
        place: Some(Place { country: Some("CH".to_owned()), ..Place::default() }),
        ..Request::default()
    }
}
