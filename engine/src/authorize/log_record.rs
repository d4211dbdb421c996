//! The access-log field of a request: what was decided, on which route, and about whom; never the token. Its one reader is the
//! command-line tool (`access_log.rs` there).
//!
//! `code=CODE[ reason=REASON] route=ROUTE session=ID[ client=CLIENT][ missing=SCOPES][ step_up=ASKED wanted=VALUES had=VALUE]
//! [ condition=ID][ why=REASON][ stream=cut][ by=lease]`, in one line. Further members only ever come last, and
//! only where something is refused, or would be without shadow mode, or where nobody was asked: all other lines stay as short as
//! they are. No value has a
//! space, a quote or a backslash, so the field can stand in JSON and in text.

use super::{
    condition::Condition,
    principal::Principal,
    request::{Denial, Mark, Permit, StepUp},
};
use crate::{
    answer::Code,
    policy::{Access, Policy, Rule},
    route::RuleId,
    token::Reason,
};
use std::{borrow::Cow, fmt::Write};

/// The longest client and the longest list of missing scopes, in bytes. What is longer ends with `*`, which is in neither.
const VALUE_BYTES_MAX: usize = 256;

/// What the field says about a request.
#[derive(Debug, Clone, Copy)]
struct Record<'r> {
    /// Stands before the code; empty if the decision was carried out.
    kind: &'static str,
    code: &'static str,
    reason: Option<Reason>,
    rule: Option<RuleId>,
    principal: Option<&'r Principal>,
    /// The scopes that are left, if there are fewer than in the token.
    narrowed: Option<&'r [String]>,
    step_up: Option<StepUp>,
    /// The condition that refused it.
    condition: Option<&'r Condition>,
    is_refusal: bool,
    /// Whether the response had begun: its status says nothing about the refusal.
    is_cut: bool,
}

/// The field of a released request.
pub fn permit(permit: &Permit, policy: &Policy) -> String {
    let shadowed = match &permit.mark {
        Some(Mark::Shadow(refusal)) => Some(refusal),
        Some(Mark::OutageReadOnly | Mark::OutageGrace) | None => None,
    };
    let (kind, code, reason) = match (&permit.mark, &permit.principal) {
        (Some(Mark::Shadow(refusal)), _) => ("shadow:", refusal.code.name(), refusal.reason),
        (Some(Mark::OutageReadOnly), _) => ("outage:", "read_only", None),
        (Some(Mark::OutageGrace), _) => ("outage:", "grace", None),
        (None, Some(_)) => ("", "ok", None),
        (None, None) if permit.is_oauth => ("", "oauth", None),
        (None, None) => ("", "public", None),
    };
    let record = Record {
        kind,
        code,
        reason,
        rule: permit.rule,
        principal: permit.principal.as_deref(),
        narrowed: permit.narrowed.as_deref(),
        step_up: None,
        condition: shadowed.and_then(|refusal| refusal.condition.as_deref()),
        is_cut: false,
        is_refusal: shadowed.is_some(),
    };
    let text = record.text(policy);
    if permit.is_leased { text + " by=lease" } else { text }
}

/// The field of a refused request.
pub fn denial(denial: &Denial, policy: &Policy) -> String {
    refused("", denial).text(policy)
}

/// The field of an open request that is cut after its response has begun.
pub fn cut(denial: &Denial, policy: &Policy) -> String {
    Record { is_cut: true, ..refused("", denial) }.text(policy)
}

/// The field of an open request that would have been cut without shadow mode.
pub fn spared(denial: &Denial, policy: &Policy) -> String {
    refused("shadow:", denial).text(policy)
}

/// The field of a request that is refused because there is no policy.
pub fn without_policy() -> String {
    format!("code={} route=- session=-", Code::NoPolicy.name())
}

fn refused<'r>(kind: &'static str, denial: &'r Denial) -> Record<'r> {
    Record {
        kind,
        code: denial.refusal.code.name(),
        reason: denial.refusal.reason,
        rule: denial.rule,
        principal: denial.principal.as_deref(),
        narrowed: denial.narrowed.as_deref(),
        step_up: denial.step_up,
        condition: denial.refusal.condition.as_deref(),
        is_refusal: true,
        is_cut: false,
    }
}

impl Record<'_> {
    fn text(self, policy: &Policy) -> String {
        let rule = self.rule.and_then(|id| policy.rule(id));
        let reason = self.reason.map_or(["", ""], |reason| [" reason=", reason.name()]);
        let route = rule.map_or("-", |rule| rule.name.as_str());
        let mut text = ["code=", self.kind, self.code, reason[0], reason[1], " route=", route, " session="].concat();
        let Some(principal) = self.principal else {
            return text + "-";
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", principal.facts.session_id);
        if !self.is_refusal {
            return text;
        }
        if let Some(client) = principal.facts.client_id.as_deref() {
            text += " client=";
            text += &within(escaped(client, "*"));
        }
        if let (true, Some(Access::Scopes(_))) =
            (self.code == Code::InsufficientScope.name(), rule.map(|rule| &rule.access))
        {
            text += " missing=";
            text += &within(self.missing(policy).into());
        }
        if let (Some(step_up), Some(rule)) = (self.step_up, rule) {
            text += &login(step_up, principal, rule);
        }
        if let Some(condition) = self.condition {
            text += " condition=";
            text += &within(escaped(&condition.id, "*"));
            if !condition.reason.is_empty() {
                text += " why=";
                text += &within(escaped(&condition.reason, "*"));
            }
        }
        if self.is_cut {
            text += " stream=cut";
        }
        text
    }

    /// What is missing: `a,b` is both, `c|d+e` is `c`, or `d` and `e`.
    fn missing(self, policy: &Policy) -> String {
        let rule = self.rule.and_then(|id| policy.rule(id));
        let (Some(principal), Some(Access::Scopes(requirement))) = (self.principal, rule.map(|rule| &rule.access))
        else {
            return String::new();
        };
        let left = self.narrowed.map(|left| policy.register.held(left.iter().map(String::as_str)));
        let held = left.map_or_else(|| principal.held.clone(), |left| principal.held.and(&left));
        let name = |scope: &str| escaped(scope, ",|+*").into_owned();
        let missing = requirement.missing(&held, &policy.register);
        let groups: Vec<_> = missing
            .any_of
            .iter()
            .map(|group| group.iter().map(|scope| name(scope)).collect::<Vec<_>>().join("+"))
            .collect();
        let all = missing.all_of.iter().map(|scope| name(scope));
        let any = (!groups.is_empty()).then(|| groups.join("|"));
        all.chain(any).collect::<Vec<_>>().join(",")
    }
}

/// What the rule asks of a login, and what the token says of it: an empty `had` is a claim that is absent or cannot be read.
/// Ages are in seconds, and instants in seconds since the Unix epoch.
fn login(step_up: StepUp, principal: &Principal, rule: &Rule) -> String {
    let (name, wanted, had) = match step_up {
        StepUp::Acr => {
            let wanted: Vec<_> = rule.acr.iter().map(|acr| escaped(acr, ",*")).collect();
            let had = principal.facts.acr.as_deref().filter(|acr| !acr.is_empty());
            ("acr", wanted.join(","), had.map(|acr| escaped(acr, ",*").into_owned()))
        }
        StepUp::MaxAge => {
            let wanted = rule.limits.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default();
            ("max_age", wanted, principal.facts.authenticated_at_ms.map(|at_ms| (at_ms / 1_000).to_string()))
        }
    };
    let (wanted, had) = (within(wanted.into()), within(had.unwrap_or_default().into()));
    format!(" step_up={name} wanted={wanted} had={had}")
}

/// Percent-encodes what is not printable ASCII, what would need escaping in JSON or end the value, `%` and the bytes of `also`.
fn escaped<'t>(value: &'t str, also: &str) -> Cow<'t, str> {
    let is_plain = |byte: u8| {
        matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'%') && !also.as_bytes().contains(&byte)
    };
    if value.bytes().all(is_plain) && !value.is_empty() {
        return value.into();
    }
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.into()
}

/// Cuts a value that is too long. It is ASCII.
fn within(value: Cow<'_, str>) -> Cow<'_, str> {
    match value.get(..VALUE_BYTES_MAX) {
        Some(head) if value.len() > VALUE_BYTES_MAX => format!("{head}*").into(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::{fixtures, request::Denial};
    use std::rc::Rc;

    fn denied(rule: usize, scopes: &[&str], left: Option<&[&str]>) -> String {
        let policy = fixtures::policy("enforce");
        let principal = fixtures::principal(&policy, scopes);
        let narrowed = left.map(|left| left.iter().map(|scope| (*scope).to_owned()).collect::<Rc<[String]>>());
        let denied = Denial { narrowed, ..Denial::of(&principal, Code::InsufficientScope, RuleId(rule)) };
        denial(&denied, &policy)
    }

    const SESSION: &str = "00000000000000000000000000000000";

    #[test]
    fn a_refusal_names_the_client_and_what_is_missing() {
        let head = format!("code=insufficient_scope route=both session={SESSION} client=app missing=");
        assert_eq!(denied(1, &["read"], None), format!("{head}write"));
        assert_eq!(denied(1, &[], None), format!("{head}read,write"));
        assert_eq!(denied(1, &["read", "write"], Some(&["write"])), format!("{head}read"), "what the session has lost");
        assert_eq!(denied(1, &["read"], Some(&["read", "write"])), format!("{head}write"), "nor does it add any");
        let policy = fixtures::policy("enforce");
        let principal = fixtures::principal(&policy, &[]);
        let revoked = Denial::of(&principal, Code::SessionRevoked, RuleId(1));
        let expected = format!("route=both session={SESSION} client=app");
        assert_eq!(denial(&revoked, &policy), format!("code=session_revoked {expected}"));
        assert_eq!(spared(&revoked, &policy), format!("code=shadow:session_revoked {expected}"));
        assert_eq!(denial(&Denial::new(Code::NoRoute, None), &policy), "code=no_route route=- session=-");
        let released = Permit::for_test(RuleId(1), principal, None);
        assert_eq!(permit(&released, &policy), format!("code=ok route=both session={SESSION}"));
        assert_eq!(without_policy(), "code=no_policy route=- session=-");
    }

    #[test]
    fn a_refused_login_says_what_was_asked_and_what_the_token_says() {
        let mut policy = fixtures::policy("enforce");
        policy.rules[2].acr = vec!["aal2".to_owned(), "a,b c".to_owned()];
        policy.rules[2].limits.max_age = Some(std::time::Duration::from_secs(900));
        let mut principal = fixtures::principal(&policy, &[]);
        let field = |principal: &Rc<Principal>, step_up| {
            let text = denial(&Denial::of_login(principal, step_up, RuleId(2)), &policy);
            text.split_once(" client=app").map(|(_, rest)| rest.to_owned()).expect("a client")
        };
        assert_eq!(field(&principal, StepUp::Acr), " step_up=acr wanted=aal2,a%2Cb%20c had=");
        assert_eq!(field(&principal, StepUp::MaxAge), " step_up=max_age wanted=900 had=");
        let facts = &mut Rc::get_mut(&mut principal).expect("the only one").facts;
        (facts.acr, facts.authenticated_at_ms) = (Some("aal1".to_owned()), Some(1_700_000_000_999));
        assert_eq!(field(&principal, StepUp::Acr), " step_up=acr wanted=aal2,a%2Cb%20c had=aal1");
        assert_eq!(field(&principal, StepUp::MaxAge), " step_up=max_age wanted=900 had=1700000000");
    }

    #[test]
    fn a_stream_that_was_cut_is_told_apart_from_a_request_that_was_refused() {
        let policy = fixtures::policy("enforce");
        let revoked = Denial::of(&fixtures::principal(&policy, &[]), Code::SessionRevoked, RuleId(1));
        let field = denial(&revoked, &policy);
        assert_eq!(cut(&revoked, &policy), format!("{field} stream=cut"));
    }

    #[test]
    fn no_value_ends_the_field_or_grows_without_bound() {
        for (value, expected) in
            [("web", "web"), ("a b", "a%20b"), ("a\"\\%", "a%22%5C%25"), ("ü\n*", "%C3%BC%0A%2A"), ("", "")]
        {
            assert_eq!(escaped(value, "*"), expected);
        }
        let long = "x".repeat(1_000);
        let long = within(escaped(&long, "*"));
        assert_eq!((long.len(), long.ends_with('*')), (VALUE_BYTES_MAX + 1, true));
        assert_eq!(within("x".repeat(VALUE_BYTES_MAX).into()).len(), VALUE_BYTES_MAX);
    }
}
