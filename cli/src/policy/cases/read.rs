//! Checks raw cases: everything that their types cannot express. All faults are collected.

use super::{
    bearer::{Bearer, Claim, Quality, TIMES},
    case::{Case, Client, Expect, Known, Request, Session, Then},
    facts::facts,
    raw::{PLACES, RawCase, RawCases, RawKnown, RawNamed, RawPlace, RawSession, RawTexts, RawThen},
    words::{CLIENTS, QUALITIES, STATES, named},
};
use portcullis_engine::{
    answer::Code,
    policy::{
        At, Faults, TokenPlace, Wrong,
        document::{self, Given, duration, nearest, quoted},
    },
    route::Method,
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// The host of a request that names none, where no route looks at it.
const ANY_HOST: &str = "host.example";
/// The most cases of a file.
const CASES_MAX: usize = 100_000;

pub(super) fn cases(json: &[u8], faults: &mut Faults) -> Option<Vec<Case>> {
    let raw: RawCases = document::read(json, faults)?;
    let host = raw.host.or(None, |host| Some(Some(host))).flatten();
    let at = At::ROOT.key("cases");
    let list = raw.cases.required(&at, faults)?;
    if list.is_empty() || list.len() > CASES_MAX {
        faults.add(&at, format_args!("{} cases; expected 1 to {CASES_MAX}", list.len()));
        return None;
    }
    let read = list.into_iter().enumerate().filter_map(|(index, raw)| {
        let at = at.item(index);
        case(raw.value()?, host.as_deref(), &at, faults)
    });
    Some(read.collect())
}

fn case(raw: RawCase, host: Option<&str>, at: &At<'_>, faults: &mut Faults) -> Option<Case> {
    let request = request(raw.request, raw.client, raw.headers, host, at, faults);
    let bearer = bearer(raw.token, raw.issuer, raw.scopes, raw.claims, raw.without, at, faults);
    let token_in = raw.token_in.or(TokenPlace::Authorization, |raw| token_in(raw, &at.key("token_in"), faults));
    let session_at = at.key("session");
    if matches!(bearer, Some(None)) && !raw.session.is_absent() {
        faults.add(&session_at, "a case without a token has no session; add `scopes` or `claims`, or remove this");
    }
    let session = session(raw.session, &session_at, faults);
    let facts = facts(raw.attributes, raw.context, at, faults);
    let expect = required_word(raw.expect, &at.key("expect"), faults, "released");
    let then_at = at.key("then");
    if !raw.then.is_absent() && expect.is_some_and(|expect| expect != Expect::Released) {
        faults.add(&then_at, "only a released request stays open; remove this");
    }
    let then = raw.then.or(None, |raw| then(raw, session.as_ref(), &then_at, faults).map(Some));
    if !raw.status.is_absent() && expect == Some(Expect::Released) {
        faults.add(&at.key("status"), "the upstream determines the status of a released request; remove this");
    }
    let request = request?;
    Some(Case {
        name: raw.name.or(request.name(), Some)?,
        place: at.to_string(),
        request,
        bearer: bearer?,
        token_in: token_in?,
        session: session?,
        facts: facts?,
        expect: expect?,
        status: raw.status.or(None, |status| Some(Some(status)))?,
        rule: raw.rule.or(None, |rule| Some(Some(rule)))?,
        then: then?,
    })
}

fn request(
    line: Given<String>,
    client: Given<String>,
    headers: Given<BTreeMap<String, Given<RawTexts>>>,
    host: Option<&str>,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Request> {
    let client = client.or(Client::Http, |word| faults.check(&at.key("client"), named(&word, &CLIENTS)));
    let headers = headers.or(Vec::new(), |headers| Some(self::headers(headers, &at.key("headers"), faults)));
    let at = at.key("request");
    let line = line.required(&at, faults)?;
    let (method, named, path) = faults.check(&at, request_line(&line))?;
    let host = named.as_deref().or(host);
    let is_host_named = host.is_some();
    let host = host.unwrap_or(ANY_HOST).to_owned();
    Some(Request { method, host, is_host_named, path, client: client?, headers: headers? })
}

/// The method, the host if it is named, and the path.
fn request_line(line: &str) -> Result<(String, Option<String>, String), String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [method, target] = parts.as_slice() else {
        return Err("expected a method and a target, such as `GET /orders` or `GET api.example.com/orders`".to_owned());
    };
    Method::parse(method).map_err(|bad| format!("{}: {bad}", quoted(method)))?;
    let schemes = ["https://", "http://", "wss://", "ws://"];
    let bare = schemes.iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(target);
    let (named, path) = bare.split_at_checked(bare.find('/').unwrap_or(bare.len())).unwrap_or((bare, ""));
    let host = (!named.is_empty()).then(|| named.to_owned());
    let path = if path.is_empty() { "/" } else { path };
    Ok(((*method).to_owned(), host, path.to_owned()))
}

fn headers(raw: BTreeMap<String, Given<RawTexts>>, at: &At<'_>, faults: &mut Faults) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, values) in raw {
        let at = at.key(&name);
        if !is_header_name(&name) || name.eq_ignore_ascii_case("host") {
            faults.add(&at, "expected a header name; method, host and path belong in `request`");
        }
        let values = match values.value() {
            None => continue,
            Some(RawTexts::One(value)) => vec![value],
            Some(RawTexts::List(values)) => values,
        };
        if values.iter().any(|value| value.contains(|c: char| c.is_control() && c != '\t')) {
            faults.add(&at, "a header value must not contain control characters");
        }
        headers.extend(values.into_iter().map(|value| (name.to_ascii_lowercase(), value)));
    }
    headers
}

/// A token (RFC 9110, section 5.1).
fn is_header_name(name: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_char)
}

fn bearer(
    token: Given<String>,
    issuer: Given<String>,
    scopes: Given<RawTexts>,
    claims: Given<Map<String, Value>>,
    without: Given<RawTexts>,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Option<Bearer>> {
    let implied = if scopes.is_absent() && claims.is_absent() { None } else { Some(Quality::Good) };
    let more = [
        ("issuer", !issuer.is_absent()),
        ("scopes", !scopes.is_absent()),
        ("claims", !claims.is_absent()),
        ("without", !without.is_absent()),
    ];
    let quality = token.or(implied, |word| faults.check(&at.key("token"), named(&word, &QUALITIES)));
    let issuer = issuer.or(None, |issuer| Some(Some(issuer)));
    let scopes = scopes.or(None, |scopes| Some(Some(texts(scopes))));
    let claims = claims.or(Vec::new(), |claims| Some(self::claims(claims, &at.key("claims"), faults)));
    let without = without.or(Vec::new(), |names| Some(texts(names)));
    let Some(quality) = quality? else {
        for (key, _) in more.into_iter().filter(|(_, given)| *given) {
            faults.add(&at.key(key), "not possible without a token; remove this, or set `token: good`");
        }
        return Some(None);
    };
    Some(Some(Bearer { issuer: issuer?, quality, scopes: scopes?, claims: claims?, without: without? }))
}

fn token_in(raw: RawPlace, at: &At<'_>, faults: &mut Faults) -> Option<TokenPlace> {
    let named = match raw {
        RawPlace::Word(word) if word == "authorization" => return Some(TokenPlace::Authorization),
        RawPlace::Word(_) => None,
        RawPlace::Named(RawNamed { cookie, session_cookie, websocket_protocol }) => {
            let mut named = [
                cookie.value().map(TokenPlace::Cookie),
                session_cookie.value().map(TokenPlace::SessionCookie),
                websocket_protocol.value().map(TokenPlace::WebsocketProtocol),
            ]
            .into_iter()
            .flatten();
            named.next().filter(|_| named.next().is_none())
        }
    };
    if named.is_none() {
        faults.add(at, format_args!("expected {PLACES}"));
    }
    named
}

fn texts(raw: RawTexts) -> Vec<String> {
    match raw {
        RawTexts::One(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        RawTexts::List(list) => list,
    }
}

fn claims(raw: Map<String, Value>, at: &At<'_>, faults: &mut Faults) -> Vec<(String, Claim)> {
    let claims = raw.into_iter().filter_map(|(name, value)| {
        let claim = faults.check(&at.key(&name), claim_of(&name, value))?;
        Some((name, claim))
    });
    claims.collect()
}

/// The value of a claim. In a claim that is a time, text is relative to now; a date is text, as some providers send it.
pub(in crate::policy) fn claim_of(name: &str, value: Value) -> Result<Claim, String> {
    match &value {
        Value::String(text) if TIMES.contains(&name) && !is_dated(text) => from_now(text).map(Claim::FromNow),
        _ => Ok(Claim::Value(value)),
    }
}

/// Whether text begins with a date such as `2026-03-14`.
fn is_dated(text: &str) -> bool {
    let form = b"dddd-dd-dd";
    let fits = |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
    text.len() >= form.len() && text.bytes().zip(form).all(fits)
}

/// A time relative to now: `-20m` is in the past, `5m` in the future.
fn from_now(text: &str) -> Result<i64, String> {
    let (past, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let seconds = i64::try_from(duration(text)?.as_secs()).unwrap_or(i64::MAX);
    Ok(if past { -seconds } else { seconds })
}

fn session(raw: Given<RawSession>, at: &At<'_>, faults: &mut Faults) -> Option<Session> {
    raw.or(Session::Known(Known::default()), |raw| match raw {
        RawSession::Word(word) => faults.check(at, named(&word, &STATES)).map(|state| state()),
        RawSession::Known(raw) => known(raw, at, faults).map(Session::Known),
    })
}

fn known(raw: RawKnown, at: &At<'_>, faults: &mut Faults) -> Option<Known> {
    let scopes = raw.scopes.or(None, |scopes| Some(Some(texts(scopes))));
    let grants = raw.grants.or(Vec::new(), |scopes| Some(texts(scopes)));
    let mut time =
        |text: Given<String>, key| text.or(Duration::ZERO, |text| faults.check(&at.key(key), duration(&text)));
    let (age, idle) = (time(raw.age, "age"), time(raw.idle, "idle"));
    let (age, idle) = (age?, idle?);
    let access = raw.access.or(None, |access| Some(Some(access)));
    // A session cannot have been idle for longer than it exists.
    Some(Known { scopes: scopes?, grants: grants?, age: age.max(idle), idle, access: access? })
}

fn then(raw: RawThen, before: Option<&Session>, at: &At<'_>, faults: &mut Faults) -> Option<Then> {
    let session_at = at.key("session");
    let is_same = raw.session.is_absent();
    if is_same && raw.attributes.is_absent() && raw.context.is_absent() {
        faults.add(&session_at, "this key is required, or `attributes` or `context`");
    }
    let session = session(raw.session, &session_at, faults);
    let session = if is_same { before.cloned() } else { session };
    let facts = facts(raw.attributes, raw.context, at, faults);
    if !is_same
        && matches!(
            session,
            Some(Session::Over(Code::SessionUnknown | Code::ScopeEscalation) | Session::Outage { granted: true })
        )
    {
        faults.add(&session_at, "a session cannot change to this state while a request is open");
    }
    let expect = required_word(raw.expect, &at.key("expect"), faults, "open");
    Some(Then { session: session?, facts: facts?, expect: expect? })
}

fn required_word(word: Given<String>, at: &At<'_>, faults: &mut Faults, good: &str) -> Option<Expect> {
    let word = word.required(at, faults)?;
    if word == good {
        return Some(Expect::Released);
    }
    faults.check(at, expected(&word, good)).map(Expect::Code)
}

fn expected(word: &str, good: &str) -> Result<Code, Wrong> {
    if let Some(code) = Code::ALL.into_iter().find(|code| code.name() == word) {
        return Ok(code);
    }
    let known: Vec<&str> = std::iter::once(good).chain(Code::ALL.map(Code::name)).collect();
    let near = nearest(word, &known);
    let message = match near {
        Some(near) => format!("unknown code {}; did you mean `{near}`?", quoted(word)),
        None => format!("unknown code {}; expected one of `{}`", quoted(word), known.join("`, `")),
    };
    Err(Wrong::from(message).meant(near))
}
