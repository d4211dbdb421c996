//! The rules of `approvals`, and `external_url`.

use super::access::duration;
use crate::admins::{Admins, Scope};
use crate::approvals::{BreakGlass, People, Rule, Rules};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The most rules, and the most entries of a list in one.
const RULES_MAX: usize = 1_000;
const LIST_MAX: usize = 1_000;

/// The longest text of a rule, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// The longest `external_url`, in bytes.
const URL_BYTES_MAX: usize = 1_024;

/// How long a request waits where its rule does not say.
const PENDING_FOR: &str = "24h";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of an approval rule")]
pub(super) struct RawRule {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    ask: RawPeople,
    decide: Vec<RawPeople>,
    max_duration: String,
    pending_for: Option<String>,
    #[serde(default)]
    justification: RawNeed,
    #[serde(default)]
    ticket: RawNeed,
    #[serde(default)]
    survives_login: bool,
    break_glass: Option<RawBreakGlass>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with `admins` or `claims`")]
struct RawPeople {
    #[serde(default)]
    admins: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawNeed {
    #[default]
    Optional,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `who`, `max_duration` and perhaps `notify`")]
struct RawBreakGlass {
    who: RawPeople,
    max_duration: String,
    notify: Option<String>,
}

/// The rules.
pub(super) fn rules(raw: Vec<RawRule>, faults: &mut Vec<String>) -> Rules {
    if raw.len() > RULES_MAX {
        faults.push(format!("approvals: has more than {RULES_MAX} rules"));
        return Rules::default();
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(raw.len());
    for (n, raw) in raw.into_iter().enumerate() {
        let rule = rule(&format!("approvals[{n}]"), raw, faults);
        if rules.iter().any(|other| other.name == rule.name) {
            faults.push(format!("approvals[{n}].name: `{}` is used twice", rule.name));
        }
        rules.push(rule);
    }
    Rules(rules)
}

/// Whether everybody whom the rules name is an admin, and known as a user: otherwise somebody could decide about himself by
/// another name.
pub(super) fn are_known(rules: &Rules, admins: &Admins, faults: &mut Vec<String>) {
    for (n, rule) in rules.0.iter().enumerate() {
        let at = format!("approvals[{n}]");
        are_admins(&format!("{at}.ask"), &rule.ask, None, admins, faults);
        for (step, people) in rule.decide.iter().enumerate() {
            are_admins(&format!("{at}.decide[{step}]"), people, Some(Scope::Approve), admins, faults);
        }
        if let Some(break_glass) = &rule.break_glass {
            are_admins(&format!("{at}.break_glass.who"), &break_glass.who, None, admins, faults);
        }
    }
}

fn are_admins(at: &str, people: &People, needed: Option<Scope>, admins: &Admins, faults: &mut Vec<String>) {
    for name in &people.admins {
        let fault = match admins.people().find(|admin| *admin.name == **name) {
            None => "is not the name of an entry of `admins`",
            Some(admin) if admin.subject.is_none() => {
                "needs a `subject` under `admins`: without it, nobody can tell whether he decides about himself"
            }
            Some(admin) if needed.is_some_and(|scope| !admin.scopes.allow(scope)) => {
                "needs the scope `portcullis:approve` under `admins`"
            }
            Some(_) => continue,
        };
        faults.push(format!("{at}.admins: `{name}` {fault}"));
    }
}

fn rule(at: &str, raw: RawRule, faults: &mut Vec<String>) -> Rule {
    texts(&format!("{at}.name"), std::slice::from_ref(&raw.name), faults);
    if raw.scopes.is_empty() {
        faults.push(format!("{at}.scopes: is empty: name the scopes that the rule is about"));
    }
    texts(&format!("{at}.scopes"), &raw.scopes, faults);
    if !matches!(raw.decide.len(), 1 | 2) {
        faults.push(format!("{at}.decide: has {} steps: one or two are possible", raw.decide.len()));
    }
    let mut decide = Vec::with_capacity(raw.decide.len());
    for (step, raw) in raw.decide.into_iter().enumerate() {
        decide.push(somebody(&format!("{at}.decide[{step}]"), raw, faults));
    }
    let pending_for = raw.pending_for.as_deref().unwrap_or(PENDING_FOR);
    let break_glass = raw.break_glass.map(|raw| BreakGlass {
        who: somebody(&format!("{at}.break_glass.who"), raw.who, faults),
        max_duration_ms: time(&format!("{at}.break_glass.max_duration"), &raw.max_duration, faults),
        notify: raw.notify,
    });
    Rule {
        ask: people(&format!("{at}.ask"), raw.ask, faults),
        decide,
        max_duration_ms: time(&format!("{at}.max_duration"), &raw.max_duration, faults),
        pending_for_ms: time(&format!("{at}.pending_for"), pending_for, faults),
        needs_reason: raw.justification == RawNeed::Required,
        needs_ticket: raw.ticket == RawNeed::Required,
        survives_login: raw.survives_login,
        break_glass,
        name: raw.name,
        scopes: raw.scopes,
    }
}

fn somebody(at: &str, raw: RawPeople, faults: &mut Vec<String>) -> People {
    if raw.admins.is_empty() && raw.claims.is_empty() {
        faults.push(format!("{at}: names nobody: add `admins` or `claims`"));
    }
    people(at, raw, faults)
}

fn people(at: &str, raw: RawPeople, faults: &mut Vec<String>) -> People {
    texts(&format!("{at}.admins"), &raw.admins, faults);
    for (claim, values) in &raw.claims {
        let at = format!("{at}.claims.{claim}");
        if claim.is_empty() || values.is_empty() {
            faults.push(format!("{at}: needs a name and at least one value"));
        }
        texts(&at, values, faults);
    }
    People { admins: raw.admins, claims: raw.claims.into_iter().collect() }
}

fn texts(at: &str, texts: &[String], faults: &mut Vec<String>) {
    if texts.len() > LIST_MAX {
        faults.push(format!("{at}: has more than {LIST_MAX} entries"));
    }
    if texts.iter().any(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
        faults.push(format!("{at}: a text must have 1 to {TEXT_BYTES_MAX} bytes"));
    }
}

fn time(at: &str, text: &str, faults: &mut Vec<String>) -> u64 {
    let before = faults.len();
    let ms = duration(at, text, faults);
    if ms == 0 && faults.len() == before {
        faults.push(format!("{at}: `{text}` would be over at once"));
    }
    ms
}

/// Where people reach requests, without a slash at its end.
pub(super) fn external_url(text: Option<String>, faults: &mut Vec<String>) -> Option<String> {
    let text = text?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next());
    let is_web = host.is_some_and(|host| !host.is_empty() && !host.starts_with(':') && !host.contains('@'));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'\\'));
    if !is_web || !is_plain || text.len() > URL_BYTES_MAX {
        faults.push(format!(
            "external_url: `{text}` is not a URL without query and fragment: use one like `https://portcullis.example.com`"
        ));
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admins::{Named, Subject};
    use crate::credential::Credentials;

    fn read(text: &str) -> (Rules, Vec<String>) {
        let mut faults = Vec::new();
        let rules = rules(serde_norway::from_str(text).unwrap(), &mut faults);
        (rules, faults)
    }

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let (rules, faults) = read("[{name: prod, scopes: [a, b], decide: [{admins: [ben]}], max_duration: 1h}]");
        assert!(faults.is_empty(), "{faults:?}");
        let rule = rules.covering(&["b".to_owned()]).unwrap();
        assert_eq!((rule.max_duration_ms, rule.pending_for_ms), (3_600_000, 24 * 3_600_000));
        assert!(!rule.needs_reason && !rule.needs_ticket && !rule.survives_login && rule.break_glass.is_none());
        assert_eq!(rule.ask, People::default(), "nobody may ask but a refused escalation");
        assert_eq!(rules.covering(&["b".to_owned(), "c".to_owned()]), None);
    }

    #[test]
    fn each_fault_says_where_it_is() {
        for (text, at) in [
            ("[{name: '', scopes: [a], decide: [{admins: [b]}], max_duration: 1h}]", "approvals[0].name"),
            ("[{name: p, scopes: [], decide: [{admins: [b]}], max_duration: 1h}]", "approvals[0].scopes"),
            ("[{name: p, scopes: [a], decide: [], max_duration: 1h}]", "approvals[0].decide"),
            ("[{name: p, scopes: [a], decide: [{}], max_duration: 1h}]", "approvals[0].decide[0]"),
            (
                "[{name: p, scopes: [a], decide: [{claims: {g: []}}], max_duration: 1h}]",
                "approvals[0].decide[0].claims.g",
            ),
            ("[{name: p, scopes: [a], decide: [{admins: [b]}], max_duration: 0s}]", "approvals[0].max_duration"),
            ("[{name: p, scopes: [a], decide: [{admins: [b]}], max_duration: x}]", "approvals[0].max_duration"),
            (
                "[{name: p, scopes: [a], decide: [{admins: [b]}], max_duration: 1h, break_glass: {who: {}, max_duration: 1m}}]",
                "approvals[0].break_glass.who",
            ),
        ] {
            let (_, faults) = read(text);
            assert!(faults.len() == 1 && faults[0].starts_with(&format!("{at}: ")), "{text}: {faults:?}");
        }
    }

    #[test]
    fn whoever_is_named_is_an_admin_who_is_known_as_a_user() {
        let (rules, _) = read(
            "[{name: p, scopes: [a], ask: {admins: [anna]}, decide: [{admins: [ben, cara, dora]}], max_duration: 1h,
               break_glass: {who: {admins: [nobody]}, max_duration: 1m}}]",
        );
        let named = |name: &str, sub: Option<&str>, scope| Named {
            name: name.into(),
            credentials: Credentials::new([name]),
            scopes: [scope].into_iter().collect(),
            subject: sub.map(|sub| Subject { issuer: "https://id".into(), sub: sub.into() }),
        };
        let named = vec![
            named("anna", Some("anna"), Scope::View),
            named("ben", Some("ben"), Scope::Approve),
            named("cara", None, Scope::Approve),
            named("dora", Some("dora"), Scope::Operate),
        ];
        let mut faults = Vec::new();
        are_known(&rules, &Admins { named, oauth: Vec::new() }, &mut faults);
        let begins = [
            "approvals[0].decide[0].admins: `cara`",
            "approvals[0].decide[0].admins: `dora`",
            "approvals[0].break_glass.who.admins: `nobody`",
        ];
        assert_eq!(faults.len(), 3, "{faults:?}");
        for (fault, begin) in faults.iter().zip(begins) {
            assert!(fault.starts_with(begin), "{fault}");
        }
    }

    #[test]
    fn an_external_url_has_neither_query_nor_fragment() {
        let mut faults = Vec::new();
        let good = external_url(Some("https://p.example.com/".to_owned()), &mut faults);
        assert_eq!((good.as_deref(), faults.len()), (Some("https://p.example.com"), 0));
        for bad in [
            "p.example.com",
            "https://p.example.com/?a",
            "https://p.example.com/#a",
            "ftp://x",
            "https://a b",
            "https://",
            "https:///x",
            "https://a@b",
        ] {
            assert_eq!(external_url(Some(bad.to_owned()), &mut faults), None, "{bad}");
        }
        assert_eq!(faults.len(), 8);
    }
}
