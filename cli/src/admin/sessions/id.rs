//! Session ids as people write them: whole, or their first digits.

use crate::{
    admin::{
        client::{Client, Path},
        plain::plain,
        when,
    },
    error::Error,
};
use jiff::Timestamp;
use serde::Deserialize;

/// The digits of a whole id.
const DIGITS: usize = 32;
/// The fewest digits of a prefix. Fewer would often name another session than the one that was meant.
pub(in crate::admin) const PREFIX_MIN: usize = 4;
/// How many sessions are listed that begin with an ambiguous prefix.
const SHOWN_MAX: usize = 10;

/// The response of the admin API.
#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    id: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    client_id: String,
    state: String,
    opened_at: String,
}

/// The whole id of the only session whose id begins with `given`. What cannot be a prefix is left to the service.
pub(in crate::admin) fn resolve(client: &Client, given: &str) -> Result<String, Error> {
    let is_hex = given.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || given.len() >= DIGITS {
        return Ok(given.to_owned());
    }
    if given.len() < PREFIX_MIN {
        return Err(Error::invalid(format_args!(
            "`{given}` is too short: write at least {PREFIX_MIN} digits of the id"
        )));
    }
    let count = (SHOWN_MAX + 1).to_string();
    let path = Path::new("/v1/sessions").parameter("id_prefix", Some(given)).parameter("order", Some("newest"));
    let page: Page = client.get(&path.parameter("limit", Some(&count)))?;
    // A service that ignores the parameter must not make the tool act on another session.
    let found: Vec<Found> = page.sessions.into_iter().filter(|session| session.id.starts_with(given)).collect();
    match found.as_slice() {
        [] => Err(Error::failed(format_args!("there is no session whose id begins with `{given}`"))),
        [only] => Ok(only.id.clone()),
        several => Err(Error::invalid(ambiguous(given, several, Timestamp::now()))),
    }
}

fn ambiguous(given: &str, found: &[Found], now: Timestamp) -> String {
    let line = |session: &Found| {
        let Found { id, subject, client_id, state, opened_at } = session;
        let opened = when::distance(opened_at, now);
        format!("\n  {}  {} via {}, {}, opened {opened}", plain(id), plain(subject), plain(client_id), plain(state))
    };
    let lines: String = found.iter().take(SHOWN_MAX).map(line).collect();
    let more = if found.len() > SHOWN_MAX { "\n  and more" } else { "" };
    format!("several sessions have an id that begins with `{given}`; write more digits{lines}{more}")
}
