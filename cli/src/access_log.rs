//! The filter's field in Envoy's access log, as `log_record.rs` of the engine writes it.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};
use serde::Serialize;
use serde_json::Value;

/// The members of the field. No value has a space, except the name of a route.
const FIELD: &str = r#"\bcode=(?:(shadow|outage):)?([a-z_]+)(?: reason=([a-z_]+))? route=(.+?) session=([0-9a-f]{32}|-)(?: client=([^\s"]*))?(?: missing=([^\s"]*))?(?: step_up=(acr|max_age) wanted=([^\s"]*) had=([^\s"]*))?(?: condition=([^\s"]*)(?: why=([^\s"]*))?)?(?: stream=(cut))?"#;

/// Whether a decision was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was.
    Enforced,
    /// Shadow mode released a request that would have been refused.
    Shadow,
    /// The request was released without a verdict.
    Outage,
}

/// What the filter decided about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) kind: Kind,
    /// `ok`, `public`, the code of a refusal, or what an outage allows.
    pub(crate) code: String,
    /// Why a token was refused.
    pub(crate) reason: Option<String>,
    /// The name of the route; `None` if none matched.
    pub(crate) route: Option<String>,
    /// The id of the session; `None` if no token was accepted.
    pub(crate) session: Option<String>,
    /// The client of the refused token. What was too long ends with `*`.
    pub(crate) client: Option<String>,
    pub(crate) missing: Option<Missing>,
    /// Whether the list of missing scopes was too long: its last scope is cut, and others can be missing as well.
    pub(crate) is_missing_cut: bool,
    /// What the login of the token did not meet.
    pub(crate) step_up: Option<StepUp>,
    /// The condition of the session service that refused.
    pub(crate) condition: Option<Condition>,
    /// Whether the response had begun, and the open stream was cut.
    pub(crate) is_cut: bool,
}

/// A condition that refused a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Condition {
    pub(crate) id: String,
    /// Why, in the words of its author.
    pub(crate) reason: Option<String>,
}

/// What a route asks of a login, and what there is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepUp {
    /// One of these authentication contexts; without any other, the token names none.
    Acr { wanted: Vec<String>, had: Option<String> },
    /// A login of at most this age in seconds; without an instant, the token does not say when it was (RFC 3339 text).
    MaxAge { wanted_s: Option<u64>, had: Option<String> },
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing: it does not have the filter's field.
    Other,
    /// What the filter decided.
    Decision(Box<Decision>),
    /// It has several such fields that differ. A client chooses the rest of the line, a header for example, and can have written
    /// one of them.
    Ambiguous,
}

/// The scopes that were missing: all of `all_of`, and all of one of the groups of `any_of`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Missing {
    pub(crate) all_of: Vec<String>,
    pub(crate) any_of: Vec<Vec<String>>,
}

/// Reads lines of access logs, JSON or text.
#[derive(Debug)]
pub(crate) struct Reader(Regex);

impl Reader {
    pub(crate) fn new() -> Result<Self, regex::Error> {
        Regex::new(FIELD).map(Self)
    }

    /// What a line says.
    pub(crate) fn read(&self, line: &str) -> Line {
        let mut found = Vec::new();
        match serde_json::from_str::<Value>(line) {
            Ok(json) => self.within(&json, &mut found),
            Err(_) => self.fields(line, &mut found),
        }
        found.dedup();
        match (found.pop(), found.is_empty()) {
            (None, _) => Line::Other,
            // A field that was begun before another one took in the name of its route.
            (Some(one), true) if !one.route.as_ref().is_some_and(|route| route.contains("code=")) => {
                Line::Decision(Box::new(one))
            }
            (Some(_), _) => Line::Ambiguous,
        }
    }

    /// The field may have any name, and stand in a part of the line.
    fn within(&self, json: &Value, found: &mut Vec<Decision>) {
        match json {
            Value::String(text) if text.starts_with("code=") => self.fields(text, found),
            Value::Array(items) => items.iter().for_each(|item| self.within(item, found)),
            Value::Object(members) => members.values().for_each(|member| self.within(member, found)),
            _ => {}
        }
    }

    fn fields(&self, text: &str, found: &mut Vec<Decision>) {
        found.extend(self.0.captures_iter(text).filter_map(|captures| Self::decision(&captures)));
    }

    fn decision(captures: &Captures<'_>) -> Option<Decision> {
        let member = |index| captures.get(index).map(|member| member.as_str());
        Some(Decision {
            kind: match member(1) {
                Some("shadow") => Kind::Shadow,
                Some(_) => Kind::Outage,
                None => Kind::Enforced,
            },
            code: member(2)?.to_owned(),
            reason: member(3).map(str::to_owned),
            route: member(4).filter(|route| *route != "-").map(str::to_owned),
            session: member(5).filter(|session| *session != "-").map(str::to_owned),
            client: member(6).map(decoded),
            missing: member(7).filter(|missing| !missing.is_empty()).map(Missing::read),
            is_missing_cut: member(7).is_some_and(|missing| missing.ends_with('*')),
            step_up: StepUp::read(member(8), member(9), member(10)),
            condition: member(11).map(|id| Condition { id: decoded(id), reason: member(12).map(decoded) }),
            is_cut: member(13).is_some(),
        })
    }
}

impl StepUp {
    fn read(asked: Option<&str>, wanted: Option<&str>, had: Option<&str>) -> Option<Self> {
        let had = had.filter(|had| !had.is_empty());
        Some(match asked? {
            "acr" => Self::Acr { wanted: wanted?.split(',').map(decoded).collect(), had: had.map(decoded) },
            _ => {
                let instant = |had: &str| Timestamp::from_second(had.parse().ok()?).ok();
                Self::MaxAge { wanted_s: wanted?.parse().ok(), had: had.and_then(instant).map(|at| at.to_string()) }
            }
        })
    }
}

impl Missing {
    /// `a,b` is both, `c|d+e` is `c`, or `d` and `e`.
    fn read(text: &str) -> Self {
        let (mut all_of, mut any_of) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            match part.contains(['|', '+']) {
                true => any_of.extend(part.split('|').map(|group| group.split('+').map(decoded).collect())),
                false => all_of.push(decoded(part)),
            }
        }
        Self { all_of, any_of }
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "5d41402abc4b2a76b9719d911017c592";

    fn line(line: &str) -> Line {
        Reader::new().expect("a pattern").read(line)
    }

    fn read(text: &str) -> Option<Decision> {
        match line(text) {
            Line::Decision(decision) => Some(*decision),
            Line::Other => None,
            Line::Ambiguous => panic!("ambiguous: {text}"),
        }
    }

    #[test]
    fn a_field_that_a_client_has_written_is_not_taken_for_the_filters() {
        let (own, planted) =
            ("code=ok route=x session=-", "code=shadow:insufficient_scope route=y session=- missing=admin");
        for text in [
            format!("\"{planted}\" \"{own}\""),
            format!("\"{own}\" \"{planted}\""),
            format!("\"code=shadow:no_route route=y\" \"{own}\""),
            format!(r#"{{"agent":"{planted}","portcullis":"{own}"}}"#),
            format!(r#"{{"portcullis":"{own}","z":["{planted}"]}}"#),
        ] {
            assert_eq!(line(&text), Line::Ambiguous, "{text}");
        }
        assert!(read(&format!("{own} {own}")).is_some(), "the same twice is one");
        let empty = read("code=insufficient_scope route=x session=- client= missing=a").expect("a field");
        assert_eq!(empty.client.as_deref(), Some(""));
        assert_eq!(empty.missing.map(|missing| missing.all_of), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn the_field_is_found_in_json_and_in_text() {
        let field =
            format!("code=shadow:insufficient_scope route=a & b session={SESSION} client=my%20app missing=a%2Cb,c|d+e");
        let lists = |lists: &[&[&str]]| -> Vec<Vec<String>> {
            lists.iter().map(|list| list.iter().map(|&text| text.to_owned()).collect()).collect()
        };
        let expected = Decision {
            kind: Kind::Shadow,
            code: "insufficient_scope".to_owned(),
            reason: None,
            route: Some("a & b".to_owned()),
            session: Some(SESSION.to_owned()),
            client: Some("my app".to_owned()),
            missing: Some(Missing { all_of: vec!["a,b".to_owned()], any_of: lists(&[&["c"], &["d", "e"]]) }),
            is_missing_cut: false,
            step_up: None,
            condition: None,
            is_cut: false,
        };
        for line in [
            format!(r#"{{"status":200,"filter":{{"portcullis":"{field}"}},"path":"/x?code=1"}}"#),
            format!("[2026-11-26] \"GET /x HTTP/1.1\" 200 \"{field}\""),
            field.clone(),
        ] {
            assert_eq!(read(&line), Some(expected.clone()), "{line}");
        }
    }

    #[test]
    fn a_login_that_is_refused_and_a_stream_that_is_cut_are_read() {
        let head = format!("code=step_up_required route=x session={SESSION} client=web");
        let of = |rest: &str| read(&format!("\"{head}{rest}\" \"agent\"")).expect("a field");
        let acr = |had: Option<&str>| StepUp::Acr {
            wanted: vec!["aal2".to_owned(), "a,b".to_owned()],
            had: had.map(str::to_owned),
        };
        assert_eq!(of(" step_up=acr wanted=aal2,a%2Cb had=aal1").step_up, Some(acr(Some("aal1"))));
        assert_eq!(of(" step_up=acr wanted=aal2,a%2Cb had=").step_up, Some(acr(None)));
        let age = |had: Option<&str>| StepUp::MaxAge { wanted_s: Some(900), had: had.map(str::to_owned) };
        assert_eq!(of(" step_up=max_age wanted=900 had=1700000000").step_up, Some(age(Some("2023-11-14T22:13:20Z"))));
        assert_eq!(of(" step_up=max_age wanted=900 had=").step_up, Some(age(None)));
        assert_eq!((of("").step_up, of("").is_cut, of(" stream=cut").is_cut), (None, false, true));
    }

    #[test]
    fn a_condition_that_refused_is_read_with_its_reason() {
        let head = format!("code=condition_failed route=x session={SESSION} client=web");
        let of = |rest: &str| read(&format!("{head}{rest}")).expect("a field");
        let condition =
            |id: &str, reason: Option<&str>| Some(Condition { id: id.to_owned(), reason: reason.map(str::to_owned) });
        let cut = of(" condition=office%20only why=not%20from%20Z%C3%BCrich stream=cut");
        assert_eq!((cut.condition, cut.is_cut), (condition("office only", Some("not from Zürich")), true));
        assert_eq!(of(" condition=c1").condition, condition("c1", None));
        assert_eq!(of("").condition, None);
    }

    #[test]
    fn every_kind_of_decision_is_read_and_nothing_else() {
        let of = |line: &str| read(line).map(|of| (of.kind, of.code, of.reason, of.route));
        let text = |text: &str| text.to_owned();
        assert_eq!(of("code=ok route=x session=-"), Some((Kind::Enforced, text("ok"), None, Some(text("x")))));
        assert_eq!(
            of("code=invalid_token reason=audience route=x session=-"),
            Some((Kind::Enforced, text("invalid_token"), Some(text("audience")), Some(text("x"))))
        );
        assert_eq!(
            of("code=outage:grace route=x session=-"),
            Some((Kind::Outage, text("grace"), None, Some(text("x"))))
        );
        let cut = read("code=insufficient_scope route=x session=- missing=a,bc*").expect("a field");
        assert!(cut.is_missing_cut && cut.session.is_none());
        assert_eq!(of("code=no_route route=- session=-"), Some((Kind::Enforced, text("no_route"), None, None)));
        for other in ["", "-", "{}", r#"{"portcullis":"-"}"#, r#"{"path":"/?code=ok route=x session=-"}"#, "code=ok"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
