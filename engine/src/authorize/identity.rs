//! What the upstream learns about a decision.

use super::{
    Refusal,
    principal::Principal,
    request::{Mark, Permit},
};
use crate::{answer::Code, policy::Policy};
use std::{borrow::Cow, fmt::Write};

/// The headers added to a released request.
pub fn headers<'a>(permit: &'a Permit, policy: &Policy) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
    let wanted = policy.identity_headers;
    let principal = |wanted: bool| permit.principal.as_deref().filter(|_| wanted && !is_nobody(permit));
    let field = |name, wanted, value: fn(&'a Principal) -> Option<&'a str>| {
        principal(wanted).and_then(|principal| Some((name, encoded(value(principal)?))))
    };
    let mark = permit.mark.as_ref().map(|mark| match mark {
        Mark::Shadow(refusal) => ("x-portcullis-shadow", refusal.code.name().into()),
        Mark::OutageReadOnly => ("x-portcullis-outage", "read_only".into()),
        Mark::OutageGrace => ("x-portcullis-outage", "grace".into()),
    });
    let scopes =
        principal(wanted.scopes).map(|known| ("x-portcullis-scopes", effective_scopes(permit, known, policy).into()));
    let headers = [
        field("x-portcullis-subject", wanted.subject, |known| known.facts.subject.as_deref()),
        field("x-portcullis-client", wanted.client, |known| known.facts.client_id.as_deref()),
        field("x-portcullis-issuer", wanted.issuer, |known| Some(&known.facts.issuer)),
        scopes,
        principal(wanted.session).map(|known| ("x-portcullis-session", known.facts.session_id.to_string().into())),
        mark,
    ];
    headers.into_iter().flatten()
}

/// Whether shadow mode released a token that proves nothing any more: the upstream must not treat it as an identity. A 403
/// that depends on the route alone leaves the person who they are; one about scopes leaves open which of them the session has.
fn is_nobody(permit: &Permit) -> bool {
    let Some(Mark::Shadow(Refusal { code, .. })) = &permit.mark else { return false };
    let is_beyond = matches!(code, Code::ScopeEscalation | Code::ApprovalRequired);
    code.status() == 401 || code.refuses_session() || is_beyond
}

/// The token's registered scopes without those that its session has lost.
fn effective_scopes(permit: &Permit, principal: &Principal, policy: &Policy) -> String {
    let scopes = match &permit.narrowed {
        Some(left) => policy.register.list(&policy.register.held(left.iter().map(String::as_str))),
        None => policy.register.list(&principal.held),
    };
    encoded(&scopes).into_owned()
}

/// A value as a header: an upstream that percent-decodes it gets the value. Everything that is not printable ASCII is
/// encoded, and `%` itself; and a space at either end, which HTTP would drop.
fn encoded(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if value.bytes().all(is_plain) && value.trim_matches(' ').len() == value.len() {
        return value.into();
    }
    let inner = value.len() - value.trim_start_matches(' ').len()..value.trim_end_matches(' ').len();
    let mut text = String::with_capacity(value.len() * 3);
    for (index, byte) in value.bytes().enumerate() {
        if is_plain(byte) && inner.contains(&index) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authorize::fixtures, route::RuleId};
    use std::rc::Rc;

    #[test]
    fn a_value_has_one_meaning_once_it_is_percent_decoded() {
        for (value, header) in [
            ("alice", "alice"),
            ("Alice B. <a@b.example>", "Alice B. <a@b.example>"),
            ("J\u{fc}rgen", "J%C3%BCrgen"),
            ("J%C3%BCrgen", "J%25C3%25BCrgen"),
            ("100%", "100%25"),
            ("a\r\nx: y", "a%0D%0Ax: y"),
            ("a\u{7f}", "a%7F"),
            (" a b ", "%20a b%20"),
            ("  ", "%20%20"),
            ("", ""),
        ] {
            assert_eq!(encoded(value), header, "{value:?}");
        }
    }

    #[test]
    fn shadow_mode_forwards_no_identity_where_the_token_or_its_session_is_refused() {
        let policy = fixtures::policy("shadow");
        let principal = fixtures::principal(&policy, &["read"]);
        let is_forwarded = |code: &Code| {
            let mut permit = Permit::for_test(RuleId(1), Rc::clone(&principal), None);
            permit.mark = Some(Mark::Shadow((*code).into()));
            let names: Vec<_> = headers(&permit, &policy).map(|(name, _)| name).collect();
            assert!(names.contains(&"x-portcullis-shadow"), "{code:?}");
            names.len() > 1
        };
        let forwarded: Vec<Code> = Code::ALL.into_iter().filter(is_forwarded).collect();
        // What is wrong here is the request, its circumstances, the route or the network, and not the person.
        let expected = [
            Code::MalformedCredentials,
            Code::AmbiguousPath,
            Code::InsufficientScope,
            Code::ConditionFailed,
            Code::NoRoute,
            Code::CrossOrigin,
            Code::KeysUnavailable,
            Code::SessionUnavailable,
            Code::NoPolicy,
        ];
        assert_eq!(forwarded, expected);
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_can_be_decoded(value in proptest::prelude::any::<String>()) {
            let header = encoded(&value).into_owned();
            let mut bytes = header.bytes();
            let mut decoded = Vec::new();
            while let Some(byte) = bytes.next() {
                proptest::prop_assert!(matches!(byte, b' '..=b'~'));
                decoded.push(match byte {
                    b'%' => u8::from_str_radix(&String::from_utf8(bytes.by_ref().take(2).collect()).unwrap(), 16).unwrap(),
                    _ => byte,
                });
            }
            proptest::prop_assert_eq!(String::from_utf8(decoded).unwrap(), value);
            proptest::prop_assert_eq!(header.trim(), &header);
        }
    }

    #[test]
    fn scopes_are_those_of_the_register_and_the_issuer_is_named_on_demand() {
        let mut policy = fixtures::policy("enforce");
        policy.identity_headers.issuer = true;
        let principal = fixtures::principal(&policy, &["group-1", "write", "group-2", "read"]);
        let all: Vec<_> = principal.facts.scopes.clone();
        assert_eq!(all.len(), 4, "the session service is told of all");
        let shown = |narrowed: Option<&[&str]>| {
            let narrowed = narrowed.map(|left| left.iter().map(|scope| (*scope).to_owned()).collect::<Rc<[String]>>());
            let permit = Permit::for_test(RuleId(1), Rc::clone(&principal), narrowed);
            let headers = headers(&permit, &policy).map(|(name, value)| (name, value.into_owned()));
            headers.collect::<std::collections::HashMap<_, _>>()
        };
        assert_eq!(shown(None)["x-portcullis-scopes"], "read write");
        assert_eq!(shown(Some(&["group-1", "read"]))["x-portcullis-scopes"], "read");
        assert_eq!(shown(None)["x-portcullis-issuer"], "https://id.example");
    }
}
