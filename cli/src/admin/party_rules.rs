//! What the commands on rules for parties have in common, whether these are revocations or blocks.

use super::{
    client::{Client, Path},
    connection::Connection,
    pages,
    plain::{clipped, plain},
    sessions::{id::PREFIX_MIN, json_text},
    table::List,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 200;
/// The digits of an id in a list.
const ID_DIGITS: usize = 12;
/// The member that names what a rule leaves out of its party.
const EXCEPT: &str = "except_sid";

/// A kind of rules.
#[derive(Debug)]
pub(super) struct Kind {
    /// Where they are listed.
    pub(super) path: &'static str,
    /// The list's name in the response, which is also their name in messages.
    pub(super) several: &'static str,
    /// The name of one.
    pub(super) one: &'static str,
}

impl Kind {
    /// All of them, the newest first.
    fn newest_first(&self, client: &Client) -> Result<Vec<Value>, Error> {
        let mut rules = pages::all(client, &Path::new(self.path), self.several)?;
        pages::newest_first(&mut rules, "made_at");
        Ok(rules)
    }

    /// Prints all of them, the newest first.
    pub(super) fn list(
        &self,
        service: &Connection,
        output: Format,
        table: impl FnOnce(&[Value], Timestamp) -> List,
    ) -> Outcome {
        let rules = self.newest_first(&service.client()?)?;
        match output {
            Format::Json => {
                let list: Map<_, _> = [(self.several.to_owned(), Value::Array(rules))].into_iter().collect();
                output::write(json_text(&Value::Object(list))?)?;
            }
            Format::Text if rules.is_empty() => output::message(&format!("there are no {}", self.several)),
            Format::Text => {
                output::write_styled(&table(&rules, Timestamp::now()).text(true))?;
            }
        }
        Ok(Exit::Done)
    }

    /// Takes back the one whose id begins with `digits`, and prints it as it was, or in words.
    pub(super) fn take_back(
        &self,
        service: &Connection,
        digits: &str,
        output: Format,
        words: impl FnOnce(&Value) -> String,
    ) -> Outcome {
        let lifted = self.delete(&service.client()?, digits)?;
        output::write(match output {
            Format::Json => json_text(&lifted)?,
            Format::Text => words(&lifted),
        })?;
        Ok(Exit::Done)
    }

    /// Takes back the one whose id begins with `digits`; returns it as it was.
    fn delete(&self, client: &Client, digits: &str) -> Result<Value, Error> {
        let given = plain(digits);
        if digits.len() < PREFIX_MIN {
            return Err(Error::invalid(format_args!(
                "`{given}` is too short: write at least {PREFIX_MIN} digits of the id"
            )));
        }
        let mut found = self.newest_first(client)?;
        found.retain(|of| text(of, "id").starts_with(digits));
        match found.as_slice() {
            [only] => Ok(client.delete(&Path::new(self.path).segment(text(only, "id")))?),
            [] => Err(Error::failed(format_args!("there is no {} whose id begins with `{given}`", self.one))),
            several => {
                let lines: String =
                    several.iter().map(|of| format!("\n  {}  {}", plain(text(of, "id")), party(of))).collect();
                Err(Error::invalid(format_args!(
                    "several {} have an id that begins with `{given}`; write more digits{lines}",
                    self.several
                )))
            }
        }
    }
}

/// The body of a call: the members that were given.
pub(super) fn body(given: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Value {
    let members = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    Value::Object(members.collect::<Map<_, _>>())
}

/// A text of a rule; empty if there is none.
pub(super) fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The same for a table.
pub(super) fn cell(of: &Value, key: &str) -> String {
    clipped(text(of, key), CELL_CHARS_MAX)
}

/// The first digits of its id, for a table.
pub(super) fn id_cell(of: &Value) -> String {
    plain(text(of, "id")).chars().take(ID_DIGITS).collect()
}

/// The party of a rule: "subject `alice`".
pub(super) fn party(of: &Value) -> String {
    match named(of) {
        Some((kind, name)) => match text(of, EXCEPT) {
            "" => format!("{kind} `{}`{}", plain(name), without(of)),
            sid => format!("{kind} `{}` except sid `{}`", plain(name), plain(sid)),
        },
        None => "everybody".to_owned(),
    }
}

/// The same for a table.
pub(super) fn party_cell(of: &Value) -> String {
    match named(of) {
        Some((kind @ "session", id)) => format!("{kind} {}", plain(id).chars().take(ID_DIGITS).collect::<String>()),
        Some((kind, name)) => match text(of, EXCEPT) {
            "" => format!("{kind} {}{}", clipped(name, CELL_CHARS_MAX), without(of)),
            _ => format!("{kind} {} except sid {}", clipped(name, CELL_CHARS_MAX), cell(of, EXCEPT)),
        },
        None => "everybody".to_owned(),
    }
}

/// What is said of a rule about the sessions of a subject that no session claim names.
fn without(of: &Value) -> &'static str {
    if of["without_sid"] == true { " without a session claim" } else { "" }
}

fn named(of: &Value) -> Option<(&'static str, &str)> {
    let kinds = [("subject", "subject"), ("client_id", "client"), ("sid", "sid"), ("session_id", "session")];
    kinds.into_iter().find_map(|(key, kind)| Some((kind, of.get(key)?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_party_is_named_by_what_it_is() {
        for (of, expected) in [
            (json!({"issuer": "i", "subject": "a\u{1b}"}), "subject `a\\u{1b}`"),
            (json!({"issuer": "i", "client_id": "web"}), "client `web`"),
            (json!({"issuer": "i", "sid": "s"}), "sid `s`"),
            (json!({"session_id": "5d41"}), "session `5d41`"),
            (json!({"issuer": "i", "subject": "a", "except_sid": "s\u{1b}"}), "subject `a` except sid `s\\u{1b}`"),
            (json!({"issuer": "i", "subject": "a", "without_sid": true}), "subject `a` without a session claim"),
            (json!({"issuer": "i"}), "everybody"),
        ] {
            assert_eq!(party(&of), expected);
            assert_eq!(party_cell(&of), expected.replace('`', ""));
        }
    }
}
