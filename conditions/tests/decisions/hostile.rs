//! What somebody may write to bring the service down: nesting, sizes, names.

use crate::setting::{faults, refused_by, request, session, when};
use portcullis_conditions::{Request, Session};

/// The bound is what Cedar can do on a test's stack, in a build that is not optimized.
#[test]
fn nesting_up_to_the_bound_loads_and_beyond_it_is_a_fault() {
    for (open, middle, close, deepest) in [
        ("(", "true", ")", 28),
        ("!(", "true", ")", 25),
        ("if true then ", "true", " else true", 80),
        ("true && ", "true", "", 120),
        ("true || (", "true", ")", 22),
        ("[", "true", "]", 28),
        ("{a: ", "true", "}", 28),
        ("1 + ", "1", "", 240),
    ] {
        let nested = |depth: usize| format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
        let deep = when(&format!("{0} == {0}", nested(2_000)));
        assert!(faults(&deep).iter().any(|fault| fault.contains("nested too deeply")), "{open}");
        // A fault of another kind is right, too: what counts is that there is an answer.
        let text = when(&format!("{} == {middle}", nested(deepest)));
        let found = faults(&text);
        assert!(!found.iter().any(|fault| fault.contains("nested too deeply")), "{open}: {found:?}");
        if found.is_empty() {
            refused_by(&text, &session(), &request());
        }
    }
}

#[test]
fn broken_texts_are_faults_with_a_place() {
    for text in [
        "\"",
        "@id(\"",
        "{",
        "}",
        ";",
        "\u{0}",
        "@id(\"a\") forbid",
        "//",
        "/*",
        "ä",
        "@id(\"\\u{110000}\") forbid(principal, action, resource);",
    ] {
        let found = faults(text);
        assert!(found.iter().all(|fault| fault.starts_with("a.cedar:1:")), "{text}: {found:?}");
        assert_eq!(found.is_empty(), text == "//", "{text}: {found:?}");
    }
}

#[test]
fn as_many_faults_as_anybody_reads_are_reported() {
    assert!(faults(&"permit(principal, action, resource);".repeat(1_000)).len() <= 200);
}

#[test]
fn names_and_values_of_sessions_cannot_reach_into_a_condition() {
    let nasty = "\" || true // \\ \u{0} #0 Portcullis::User::\"root\"";
    let session = Session {
        id: nasty.to_owned(),
        issuer: nasty.to_owned(),
        subject: nasty.to_owned(),
        client: nasty.to_owned(),
        groups: vec![nasty.to_owned(); 3],
        access: nasty.to_owned(),
        acr: Some(nasty.to_owned()),
        attributes: [("#0".to_owned(), nasty.to_owned()), ("x-device-id".to_owned(), nasty.to_owned())].into(),
        ..session()
    };
    let request = Request { host: nasty.to_owned(), ..request() };
    for condition in [
        "context.host == \"x\" || principal.access == \"x\" || (context has acr && context.acr == \"x\")",
        "context.session has \"x-device-id\" && [\"a\", \"b\"].contains(context.session[\"x-device-id\"])",
        "[\"a\", \"b\"].contains(context.host) && context.place has ip",
    ] {
        assert_eq!(refused_by(&when(condition), &session, &request), None, "{condition}");
    }
}

#[test]
fn a_constant_cannot_be_asked_for() {
    assert!(!faults(&when("context[\"#0\"] == \"x\"")).is_empty());
    assert!(!faults(&when("[\"a\", \"b\"].contains(context.host) || context has \"#0\"")).is_empty());
}
