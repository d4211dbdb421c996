//! Any text is conditions or a list of faults, each with its place; and whatever a session and a request say, conditions decide,
//! and partial evaluation decides as evaluation does.
#![no_main]

use portcullis_conditions::{Decision, Declared, Device, Finding, Kind, Place, Request, Route, Session, Set, Source};
use std::sync::LazyLock;

static DECLARED: LazyLock<Declared> = LazyLock::new(|| {
    let kinds = [("text", Kind::String), ("number", Kind::Long), ("flag", Kind::Bool)];
    Declared(kinds.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect())
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // What is behind the first NUL is what a session and a request say.
    let text = String::from_utf8_lossy(bytes);
    let (policies, said) = text.split_once('\0').unwrap_or((&text, "high"));
    let source = Source { file: "fuzz.cedar".to_owned(), text: policies.to_owned() };
    let set = match Set::load(&[source], &DECLARED) {
        Ok(set) => set,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            assert!(
                faults.iter().all(|fault| fault.line > 0 && fault.column > 0),
                "a fault without its place: {faults:?}"
            );
            return;
        }
    };
    let words: Vec<String> = said.split('\n').map(str::to_owned).collect();
    let word = |index: usize| words.get(index % words.len()).cloned().unwrap_or_default();
    let attributes = |from: usize| {
        let names = ["text", "number", "flag", "undeclared"].into_iter().enumerate();
        names.map(|(index, name)| (name.to_owned(), word(from + index))).collect()
    };
    let route =
        Route { name: word(0), class: word(1), tags: words.clone(), scopes: words.clone(), sets: words.clone() };
    let Ok(sliced) = set.for_route(&route) else { return };
    let session = Session {
        id: word(0),
        issuer: word(1),
        subject: word(2),
        client: word(3),
        groups: words.clone(),
        access: word(4),
        scopes: words.clone(),
        opened_at_ms: word(5).parse().unwrap_or(u64::MAX),
        login_at_ms: word(6).parse().unwrap_or_default(),
        acr: Some(word(7)),
        amr: words.clone(),
        risk: Some(word(8)),
        device: Some(Device { id: word(9), compliant: Some(word(9) == "high"), ..Device::default() }),
        attributes: attributes(0),
        subject_attributes: attributes(1),
        ..Session::default()
    };
    for method in ["GET", "PUT"] {
        let request = Request {
            now_ms: word(10).parse().unwrap_or_default(),
            method: method.to_owned(),
            host: word(11),
            ip: word(12).parse().ok(),
            place: Some(Place { country: Some(word(13)), asn: word(14).parse().ok(), proxy: None }),
            attributes: attributes(2),
        };
        let findings = sliced.findings(&session, &request);
        let is_refused = findings.iter().any(|(_, finding)| *finding != Finding::DoesNotApply);
        let decision = sliced.prepare(&session, method).decide(&session, &request);
        assert_eq!(decision != Decision::Allowed, is_refused, "{policies}: {findings:?}");
    }
});
