//! A set, a route, a session and a request for tests to change.

use portcullis_conditions::{Answer, Decision, Declared, Device, Kind, Place, Request, Route, Session, Set, Source};

pub(crate) fn declared() -> Declared {
    let kinds = [("score", Kind::Long), ("x-device-id", Kind::String), ("staff", Kind::Bool)];
    Declared(kinds.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect())
}

pub(crate) fn sources(text: &str) -> Vec<Source> {
    vec![Source { file: "a.cedar".to_owned(), text: text.to_owned() }]
}

pub(crate) fn set(text: &str) -> Set {
    Set::load(&sources(text), &declared()).unwrap_or_else(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n"))
    })
}

pub(crate) fn faults(text: &str) -> Vec<String> {
    let faults = Set::load(&sources(text), &declared()).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

pub(crate) fn route() -> Route {
    Route {
        name: "orders.change".to_owned(),
        class: "write".to_owned(),
        tags: vec!["pii".to_owned()],
        scopes: vec!["orders:write".to_owned()],
        sets: vec!["support".to_owned()],
    }
}

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

pub(crate) fn session() -> Session {
    Session {
        id: "s1".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        subject: "alice".to_owned(),
        client: "app".to_owned(),
        groups: vec!["admins".to_owned()],
        access: "human".to_owned(),
        scopes: vec!["orders:write".to_owned()],
        opened_at_ms: NOW_MS - 3_600_000,
        login_at_ms: NOW_MS - 600_000,
        acr: Some("aal2".to_owned()),
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        device: Some(Device { id: "d1".to_owned(), compliant: Some(true), ..Device::default() }),
        ..Session::default()
    }
}

pub(crate) fn request() -> Request {
    Request {
        now_ms: NOW_MS,
        method: "PUT".to_owned(),
        host: "api.example.com".to_owned(),
        ip: Some([192, 0, 2, 7].into()),
        place: Some(Place { country: Some("CH".to_owned()), asn: Some(64_500), proxy: Some(false) }),
        attributes: [("x-device-id".to_owned(), "from-header".to_owned())].into(),
    }
}

/// The decision about a request, and whether it needed the question.
pub(crate) fn decide(text: &str, session: &Session, request: &Request) -> (Decision, bool) {
    let sliced = set(text).for_route(&route()).expect("a route");
    let prepared = sliced.prepare(session, &request.method);
    (prepared.decide(session, request), prepared.settled().is_none())
}

/// The id of the condition that refuses.
pub(crate) fn refused_by(text: &str, session: &Session, request: &Request) -> Option<String> {
    match decide(text, session, request).0 {
        Decision::Allowed => None,
        Decision::Refused(refusal) => Some(refusal.id),
    }
}

/// A condition `a` that forbids when `when` holds.
pub(crate) fn when(when: &str) -> String {
    format!("@id(\"a\") forbid (principal, action, resource) when {{ {when} }};")
}

pub(crate) fn answer(text: &str) -> Option<Answer> {
    match decide(text, &session(), &request()).0 {
        Decision::Allowed => None,
        Decision::Refused(refusal) => Some(refusal.answer),
    }
}
