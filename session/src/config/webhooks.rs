//! The webhooks: `webhooks`.

use super::credentials::each;
use super::raw::RawCredentials;
use crate::approvals::Rules;
use crate::audit_log::AuditFile;
use crate::notices::Event;
use crate::signals::{Url, trusted};
use crate::webhooks::{Key, WebhookSettings};
use serde::Deserialize;
use std::path::PathBuf;

/// The most webhooks.
const WEBHOOKS_MAX: usize = 16;

/// The most secrets of one: the old and the new one of a change, and one more.
const SECRETS_MAX: usize = 3;

/// The longest name.
const NAME_BYTES_MAX: usize = 63;

/// What is wrong with a URL. Not the URL: those of some receivers are secrets.
const NO_URL: &str = "is not an `https` URL without a user in it (`http` is for loopback addresses only)";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of a webhook")]
pub(super) struct RawWebhook {
    name: String,
    url: String,
    secret: RawCredentials,
    ca: Option<String>,
    events: Option<Vec<String>>,
}

/// Reads the webhooks.
pub(super) fn read(
    raw: Vec<RawWebhook>,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Vec<WebhookSettings> {
    if raw.len() > WEBHOOKS_MAX {
        faults.push(format!("webhooks: has more than {WEBHOOKS_MAX} entries"));
        return Vec::new();
    }
    let mut all: Vec<WebhookSettings> = Vec::with_capacity(raw.len());
    for (number, raw) in raw.into_iter().enumerate() {
        let at = format!("webhooks[{number}]");
        if all.iter().any(|other| other.name == raw.name) {
            faults.push(format!("{at}.name: another webhook is named `{}`", raw.name));
        }
        all.extend(webhook(&at, raw, env, faults));
    }
    all
}

fn webhook(
    at: &str,
    raw: RawWebhook,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<WebhookSettings> {
    let RawWebhook { name, url, secret, ca, events } = raw;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
        faults.push(format!(
            "{at}.name: `{name}` is not a name: use up to {NAME_BYTES_MAX} lower-case letters, digits, `-` and `_`"
        ));
    }
    let keys = each(&format!("{at}.secret"), &secret, env, Key::read, faults);
    if keys.len() > SECRETS_MAX {
        faults.push(format!("{at}.secret: has more than {SECRETS_MAX} secrets"));
    }
    let events = events.map(|names| names.iter().filter_map(|name| event(at, name, faults)).collect());
    let ca: Option<PathBuf> = ca.map(Into::into);
    let url = Url::read(&url).map_err(|_| faults.push(format!("{at}.url: {NO_URL}"))).ok()?;
    if let Err(fault) = trusted(ca.as_ref(), &url) {
        faults.push(format!("{at}: {fault}"));
    }
    Some(WebhookSettings { name, url, keys, ca, events })
}

fn event(at: &str, name: &str, faults: &mut Vec<String>) -> Option<Event> {
    let event = Event::named(name);
    if event.is_none() {
        let known = Event::ALL.map(Event::as_str).join("`, `");
        faults.push(format!("{at}.events: there is no event `{name}`: use some of `{known}`"));
    }
    event
}

/// Whoever is to be told something by name must be there.
pub(super) fn are_there(all: &[WebhookSettings], rules: &Rules, audit: Option<&AuditFile>, faults: &mut Vec<String>) {
    for (number, name) in missing(all, rules) {
        faults.push(format!("approvals[{number}].break_glass.notify: there is no webhook `{name}` in `webhooks`"));
    }
    let is_there = |name: &str| all.iter().any(|webhook| webhook.name == name);
    if let Some(name) = audit.and_then(|audit| audit.webhook.as_deref()).filter(|name| !is_there(name)) {
        faults.push(format!("audit.checkpoint.webhook: there is no webhook `{name}` in `webhooks`"));
    }
}

/// The webhooks that rules name and that are not there, with the number of the rule.
pub(super) fn missing<'r>(all: &[WebhookSettings], rules: &'r Rules) -> impl Iterator<Item = (usize, &'r str)> {
    let named = rules.0.iter().enumerate().filter_map(|(number, rule)| {
        let notify = rule.break_glass.as_ref()?.notify.as_deref()?;
        Some((number, notify))
    });
    named.filter(|(_, name)| !all.iter().any(|webhook| webhook.name == *name))
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, read};
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn given(more: &str) -> Result<Settings, String> {
        let env = |name: &str| Some(if name == "HOOK" { SECRET } else { "not-a-webhook-secret" }.to_owned());
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: data}}\n";
        read(&format!("{start}{more}"), &env).map_err(|faults| faults.to_string())
    }

    fn webhooks(text: &str) -> Result<Vec<WebhookSettings>, String> {
        given(&format!("webhooks: [{text}]")).map(|settings| settings.webhooks)
    }

    #[test]
    fn a_webhook_is_told_everything_unless_it_says_what() {
        let text = "{name: ops, url: 'http://127.0.0.1:9/x', secret: {env: HOOK}}, \
                    {name: audit, url: 'http://localhost:9/y', secret: [{env: HOOK}, {env: HOOK}], events: [break_glass]}, \
                    {name: none, url: 'http://localhost:9/y', secret: {env: HOOK}, events: []}";
        let webhooks = webhooks(text).unwrap();
        assert_eq!((&*webhooks[0].name, &webhooks[0].events, webhooks[0].keys.len()), ("ops", &None, 1));
        assert_eq!(webhooks[1].events, Some([Event::BreakGlass].into()));
        assert_eq!((webhooks[1].keys.len(), &webhooks[2].events), (2, &Some(Default::default())));
    }

    #[test]
    fn a_fault_says_where_it_is_and_never_what_is_secret() {
        let with = |name: &str, url: &str, secret: &str, more: &str| {
            format!("{{name: {name}, url: '{url}', secret: {secret}{more}}}")
        };
        let (url, hook) = ("http://127.0.0.1/hidden", "{env: HOOK}");
        for (text, wanted) in [
            (with("Ops", url, hook, ""), "webhooks[0].name: `Ops` is not a name"),
            (with("ops", "http://10.0.0.1/hidden", hook, ""), "webhooks[0].url: is not"),
            (with("ops", "https://a:b@example.com/hidden", hook, ""), "webhooks[0].url: is not"),
            (with("ops", "hidden", hook, ""), "webhooks[0].url: is not"),
            (with("ops", url, "{env: OTHER}", ""), "webhooks[0].secret: is not a secret"),
            (with("ops", url, "[{env: HOOK}, {env: OTHER}]", ""), "webhooks[0].secret[1]: is not a secret"),
            (with("ops", url, "[]", ""), "webhooks[0].secret: is empty"),
            (with("ops", url, "{}", ""), "webhooks[0].secret: needs either `env` or `file`"),
            (with("ops", url, hook, ", events: [login]"), "webhooks[0].events: there is no event `login`"),
            (with("ops", url, hook, ", ca: /nowhere"), "webhooks[0]: ca: cannot read"),
            (with("ops", url, hook, ", retries: 3"), "webhooks[0].retries: unknown key"),
            (format!("{0}, {0}", with("ops", url, hook, "")), "webhooks[1].name: another webhook is named `ops`"),
            (vec![with("ops", url, hook, ""); 17].join(", "), "webhooks: has more than 16 entries"),
        ] {
            let faults = webhooks(&text).expect_err(&text);
            assert!(faults.contains(wanted), "{wanted}: {faults}");
            assert!(!faults.contains("hidden") && !faults.contains("not-a-webhook-secret"), "{faults}");
        }
    }

    #[test]
    fn who_is_told_by_name_must_be_there() {
        let rule = "approvals: [{name: p, scopes: [a], decide: [{claims: {g: [b]}}], max_duration: 1h, break_glass: {who: {claims: {g: [c]}}, \
                    max_duration: 1m, notify: ops}}]\n";
        let faults = given(rule).unwrap_err();
        assert!(faults.contains("approvals[0].break_glass.notify: there is no webhook `ops`"), "{faults}");
        let hook = "webhooks: [{name: ops, url: 'http://127.0.0.1:9/x', secret: {env: HOOK}}]\n";
        assert!(given(&format!("{rule}{hook}")).is_ok());
    }

    #[test]
    fn a_rule_that_names_a_new_webhook_waits_for_the_restart_that_brings_it() {
        let hook = |name: &str| format!("{{name: {name}, url: 'http://127.0.0.1:9/x', secret: {{env: HOOK}}}}");
        let rule = |name: &str| {
            format!(
                "approvals: [{{name: p, scopes: [a], decide: [{{claims: {{g: [b]}}}}], max_duration: 1h, break_glass: \
                 {{who: {{claims: {{g: [c]}}}}, max_duration: 1m, notify: {name}}}}}]\n"
            )
        };
        let running = given(&format!("{}webhooks: [{}, {}]\n", rule("ops"), hook("ops"), hook("spare"))).unwrap();
        let reload = |more: &str| running.take_over(&given(more).unwrap());
        let named = |running: &Settings| running.approvals.read().0[0].break_glass.clone().unwrap().notify;
        let pager = format!("{}webhooks: [{}, {}]\n", rule("pager"), hook("ops"), hook("pager"));
        assert_eq!(reload(&pager).needs_restart, ["webhooks", "approvals"]);
        assert_eq!(named(&running).as_deref(), Some("ops"), "an emergency is told to somebody who is there");
        let spare = format!("{}webhooks: [{}, {}]\n", rule("spare"), hook("ops"), hook("spare"));
        assert_eq!(reload(&spare).reloaded, ["approvals"]);
    }
}
