//! What a condition's annotations say: `@id`, `@reason`, `@tell`, and the answer in `@advice` or `@requestable`.

use crate::Answer;

/// The longest `@id`, in bytes.
const ID_BYTES_MAX: usize = 64;

/// The longest `@reason`, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// The most authentication contexts of an `@advice`.
const ACR_MAX: usize = 8;

/// The longest `max_age`, in seconds: ten years.
const MAX_AGE_MAX_S: u64 = 315_360_000;

/// The annotations there are.
const KNOWN: [&str; 5] = ["id", "reason", "tell", "advice", "requestable"];

/// What the annotations of a condition say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) tell: bool,
    pub(crate) answer: Answer,
}

/// What is wrong with an annotation, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Its name; `None`: the policy lacks one.
    pub(crate) name: Option<String>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

impl Annotations {
    /// Reads annotations, by name. The error has all faults.
    pub(crate) fn read(all: &[(&str, &str)]) -> Result<Self, Vec<Wrong>> {
        let value = |name| all.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        let mut wrong: Vec<_> = all.iter().filter(|(name, _)| !KNOWN.contains(name)).copied().map(unknown).collect();
        let id = taken(id(value("id")), &mut wrong).unwrap_or_default();
        let reason = value("reason").map(reason);
        let reason = reason.and_then(|reason| taken(reason, &mut wrong));
        let tell = value("tell").map(tell).and_then(|tell| taken(tell, &mut wrong)).is_some();
        let answer = match (value("advice"), value("requestable")) {
            (Some(_), Some(_)) => Err(Wrong {
                name: Some("requestable".to_owned()),
                message: "a condition has `@advice` or `@requestable`, not both".to_owned(),
                help: "write two conditions, each with its own answer",
            }),
            (Some(advice), None) => step_up(advice),
            (None, Some(scope)) => requestable(scope),
            (None, None) => Ok(Answer::ConditionFailed),
        };
        let answer = taken(answer, &mut wrong);
        match answer {
            Some(answer) if wrong.is_empty() => {
                let reason = reason.unwrap_or_else(|| format!("the condition `{id}` does not hold"));
                Ok(Self { id, reason, tell, answer })
            }
            _ => Err(wrong),
        }
    }
}

fn taken<T>(result: Result<T, Wrong>, wrong: &mut Vec<Wrong>) -> Option<T> {
    result.map_err(|fault| wrong.push(fault)).ok()
}

fn unknown((name, _): (&str, &str)) -> Wrong {
    Wrong {
        name: Some(name.to_owned()),
        message: format!("unknown annotation `@{name}`"),
        help: "there are `@id`, `@reason`, `@tell`, `@advice` and `@requestable`",
    }
}

fn wrong<T>(name: &str, message: impl Into<String>, help: &'static str) -> Result<T, Wrong> {
    Err(Wrong { name: Some(name.to_owned()), message: message.into(), help })
}

fn id(id: Option<&str>) -> Result<String, Wrong> {
    const HELP: &str = "a letter or digit, followed by letters, digits, `.`, `_` and `-`; up to 64 characters";
    let Some(id) = id else {
        let message = "the condition has no `@id`".to_owned();
        return Err(Wrong {
            name: None,
            message,
            help: "write a name in front of it, for example `@id(\"admin-place\")`",
        });
    };
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts_well = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !starts_well || id.len() > ID_BYTES_MAX || !id.bytes().all(is_inner) {
        return wrong("id", "the `@id` cannot be used as a name", HELP);
    }
    Ok(id.to_owned())
}

fn reason(reason: &str) -> Result<String, Wrong> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX || reason.contains(char::is_control) {
        return wrong(
            "reason",
            "the `@reason` is empty, longer than 256 bytes or has control characters",
            "write one short sentence",
        );
    }
    Ok(reason.to_owned())
}

/// With or without a value. One that reads as "no" would mean the opposite of what it says.
fn tell(value: &str) -> Result<(), Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "false" | "no" | "off" | "0" => {
            wrong("tell", "`@tell` always tells the client the reason", "to tell it nothing, remove `@tell`")
        }
        _ => Ok(()),
    }
}

fn step_up(advice: &str) -> Result<Answer, Wrong> {
    const HELP: &str = "write for example `@advice(\"step_up:acr=aal3,max_age=300\")`; `max_age` is in seconds";
    let Some(pairs) = advice.strip_prefix("step_up:") else {
        return wrong("advice", "the only advice is `step_up:`", HELP);
    };
    let (mut acr, mut max_age_ms) = (Vec::new(), None);
    for pair in pairs.split(',') {
        match pair.trim().split_once('=') {
            Some(("acr", values)) if acr.is_empty() => acr = contexts(values)?,
            Some(("max_age", seconds)) if max_age_ms.is_none() => max_age_ms = Some(milliseconds(seconds)?),
            _ => {
                let message = format!("`{}` is not `acr=…` or `max_age=…`, each at most once", pair.escape_debug());
                return wrong("advice", message, HELP);
            }
        }
    }
    Ok(Answer::StepUpRequired { acr, max_age_ms })
}

/// Space-separated, the preferred one first, like `acr_values` of OpenID Connect.
fn contexts(values: &str) -> Result<Vec<String>, Wrong> {
    // What a challenge can have between its quotes (RFC 9110, section 5.6.4), without spaces.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let contexts: Vec<_> = values.split(' ').map(str::to_owned).collect();
    let is_good = |context: &String| !context.is_empty() && context.len() <= 128 && context.bytes().all(is_plain);
    if contexts.len() > ACR_MAX || !contexts.iter().all(is_good) {
        return wrong("advice", "`acr` cannot be used in a challenge", "write up to 8 values, separated by one space");
    }
    Ok(contexts)
}

fn milliseconds(seconds: &str) -> Result<u64, Wrong> {
    match seconds.parse::<u64>() {
        Ok(seconds) if seconds <= MAX_AGE_MAX_S => Ok(seconds.saturating_mul(1_000)),
        _ => wrong("advice", "`max_age` is not a number of seconds", "write for example `max_age=300`"),
    }
}

fn requestable(scope: &str) -> Result<Answer, Wrong> {
    // A scope-token of RFC 6749, section 3.3.
    let is_token = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if scope.is_empty() || scope.len() > 256 || !scope.bytes().all(is_token) {
        return wrong("requestable", "`@requestable` does not name a scope", "write one scope of the policy");
    }
    Ok(Answer::ApprovalRequired { scope: scope.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(all: &[(&str, &str)]) -> Result<Annotations, Vec<String>> {
        Annotations::read(all).map_err(|wrong| wrong.into_iter().map(|wrong| wrong.name.unwrap_or_default()).collect())
    }

    #[test]
    fn an_id_is_enough() {
        let read = read(&[("id", "place")]).expect("annotations");
        assert_eq!(read.answer, Answer::ConditionFailed);
        assert_eq!((read.tell, read.reason.as_str()), (false, "the condition `place` does not hold"));
    }

    #[test]
    fn tell_needs_no_value() {
        for value in ["", "true", "yes"] {
            assert!(read(&[("id", "a"), ("tell", value)]).expect("annotations").tell, "{value}");
        }
        assert_eq!(read(&[("id", "a"), ("tell", "False")]), Err(vec!["tell".to_owned()]));
    }

    #[test]
    fn advice_names_contexts_and_age() {
        let advice = |text| read(&[("id", "a"), ("advice", text)]).map(|read| read.answer);
        let step_up = |acr: &[&str], max_age_ms| {
            let acr = acr.iter().map(|acr| (*acr).to_owned()).collect();
            Ok(Answer::StepUpRequired { acr, max_age_ms })
        };
        assert_eq!(advice("step_up:acr=aal3,max_age=300"), step_up(&["aal3"], Some(300_000)));
        assert_eq!(advice("step_up:max_age=0"), step_up(&[], Some(0)));
        assert_eq!(advice("step_up:acr=aal3 aal2"), step_up(&["aal3", "aal2"], None));
        for text in [
            "",
            "step_up",
            "step_up:",
            "step_up:acr=",
            "step_up:acr=a\"b",
            "step_up:acr=a,acr=b",
            "step_up:max_age=-1",
            "step_up:max_age=5m",
            "step_up:level=3",
            "login:acr=a",
        ] {
            assert_eq!(advice(text), Err(vec!["advice".to_owned()]), "{text}");
        }
    }

    #[test]
    fn requestable_names_one_scope() {
        let answer = read(&[("id", "a"), ("requestable", "prod-admin")]).map(|read| read.answer);
        assert_eq!(answer, Ok(Answer::ApprovalRequired { scope: "prod-admin".to_owned() }));
        assert!(read(&[("id", "a"), ("requestable", "two scopes")]).is_err());
        assert!(read(&[("id", "a"), ("requestable", "x"), ("advice", "step_up:max_age=1")]).is_err());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let wrong = read(&[("reson", "x"), ("reason", ""), ("tell", "no"), ("advice", "x")]);
        assert_eq!(wrong, Err(["reson", "", "reason", "tell", "advice"].map(str::to_owned).to_vec()));
        for id in ["", "-a", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(read(&[("id", id)]), Err(vec!["id".to_owned()]), "{id}");
        }
    }
}
