//! What the command is asked about: a line of the access log, a request in a log, or a session.

use crate::{
    access_log::{Decision, Line, Reader},
    admin::{plain::plain, sessions::id::PREFIX_MIN},
    error::Error,
    input,
};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// The longest line that is read, in bytes; a longer one is read in parts.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// The digits of a whole session id.
const ID_DIGITS: usize = 32;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// A decision of the filter.
    Decision(Box<Logged>),
    /// A session, by its id or the first digits of it.
    Session(String),
}

/// A decision from an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) decision: Decision,
    pub(super) request: Request,
    /// How many other decisions there were before it.
    pub(super) earlier: usize,
}

/// The request, as far as the line is JSON and names it as `envoy/envoy.yaml` does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Request {
    pub(super) method: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
}

impl Given {
    /// Reads the argument, standard input, or the log.
    pub(super) fn read(argument: &str, log: Option<&Path>) -> Result<Self, Error> {
        let reader = Reader::new().map_err(|error| Error::failed(format_args!("{error}")))?;
        if let Some(log) = log {
            return in_log(&reader, argument.trim(), log);
        }
        if argument == "-" {
            let (_, text) = input::text(Path::new("-"))?;
            return of_text(&reader, &text)?.ok_or_else(|| {
                Error::invalid("standard input has no field of the filter: expected a line of Envoy's access log")
            });
        }
        if let Some(given) = of_text(&reader, argument)? {
            return Ok(given);
        }
        of_id(argument.trim())
    }
}

/// The last decision in a text: a JSON object, or lines.
fn of_text(reader: &Reader, text: &str) -> Result<Option<Given>, Error> {
    let is_one = serde_json::from_str::<Value>(text).is_ok_and(|json| json.is_object());
    let lines: Vec<&str> = if is_one { vec![text] } else { text.lines().collect() };
    let mut found = Search::default();
    lines.into_iter().for_each(|line| found.add(reader, line));
    found.end()
}

fn of_id(text: &str) -> Result<Given, Error> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && (PREFIX_MIN..=ID_DIGITS).contains(&text.len()) {
        return Ok(Given::Session(text.to_owned()));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Error::invalid(format_args!(
            "`{text}` is not a session id (at least {PREFIX_MIN} digits); if it is the id of a request, name the access log: `--log FILE`"
        )));
    }
    Err(Error::invalid(
        "this has no field of the filter (`code=… route=… session=…`): expected a line of Envoy's access log, or a session id",
    ))
}

/// The last request with that id in a log.
fn in_log(reader: &Reader, id: &str, log: &Path) -> Result<Given, Error> {
    let failed = |error: io::Error| Error::failed(format_args!("cannot read `{}`: {error}", log.display()));
    let mut source: Box<dyn BufRead> = match log.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(log).map_err(failed)?)),
    };
    let (mut found, mut line, mut lines) = (Search::default(), Vec::new(), 0_usize);
    while Read::take(&mut source, LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if names(text.trim(), id) {
            lines += 1;
            found.add(reader, text.trim());
        }
        line.clear();
    }
    let log = log.display();
    found.end()?.ok_or_else(|| match lines {
        0 => Error::failed(format_args!("no line of `{log}` has the request id `{}`", plain(id))),
        _ => Error::failed(format_args!("the line of `{log}` with that request id has no field of the filter")),
    })
}

/// Whether a line names an id: as a whole value in JSON, as a whole word in text.
fn names(line: &str, id: &str) -> bool {
    fn within(json: &Value, id: &str) -> bool {
        match json {
            Value::String(text) => text == id,
            Value::Array(items) => items.iter().any(|item| within(item, id)),
            Value::Object(members) => members.values().any(|member| within(member, id)),
            _ => false,
        }
    }
    if id.is_empty() || !line.contains(id) {
        return false;
    }
    match serde_json::from_str::<Value>(line) {
        Ok(json) => within(&json, id),
        Err(_) => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            line.match_indices(id).any(|(at, _)| {
                let before = line.get(..at).and_then(|text| text.chars().next_back());
                let after = line.get(at + id.len()..).and_then(|text| text.chars().next());
                !before.is_some_and(is_part) && !after.is_some_and(is_part)
            })
        }
    }
}

/// The decisions of some lines.
#[derive(Default)]
struct Search {
    last: Option<Box<Logged>>,
    decisions: usize,
    ambiguous: usize,
}

impl Search {
    fn add(&mut self, reader: &Reader, line: &str) {
        match reader.read(line) {
            Line::Other => {}
            Line::Ambiguous => self.ambiguous += 1,
            Line::Decision(decision) => {
                let request = Request::read(line);
                self.last = Some(Box::new(Logged { decision: *decision, request, earlier: self.decisions }));
                self.decisions += 1;
            }
        }
    }

    fn end(self) -> Result<Option<Given>, Error> {
        match (self.last, self.ambiguous) {
            (Some(logged), _) => Ok(Some(Given::Decision(logged))),
            (None, 0) => Ok(None),
            (None, _) => Err(Error::invalid(
                "the line has several fields of the filter that differ: a client may have written one of them, for example in a header",
            )),
        }
    }
}

impl Request {
    fn read(line: &str) -> Self {
        let json = serde_json::from_str::<Value>(line).unwrap_or_default();
        let text = |keys: &[&str]| {
            let value = keys.iter().find_map(|key| json.get(*key).and_then(Value::as_str));
            value.filter(|value| !value.is_empty() && *value != "-").map(str::to_owned)
        };
        Self { method: text(&["method"]), host: text(&["host", "authority", ":authority"]), path: text(&["path"]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const FIELD: &str = "code=insufficient_scope route=orders.change session=- client=web missing=orders:write";

    fn logged(given: Result<Given, Error>) -> Logged {
        match given {
            Ok(Given::Decision(logged)) => *logged,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_argument_is_a_line_or_an_id_and_anything_else_is_refused() {
        let json = format!(r#"{{"method":"PUT","host":"api.example.com","path":"/orders/7","portcullis":"{FIELD}"}}"#);
        for line in [FIELD.to_owned(), format!("[2026] \"GET /\" 403 \"{FIELD}\""), json.clone()] {
            assert_eq!(logged(Given::read(&line, None)).decision.code, "insufficient_scope", "{line}");
        }
        assert_eq!(logged(Given::read(&json, None)).request.path.as_deref(), Some("/orders/7"));
        let several = logged(Given::read(&format!("code=ok route=x session=-\n{FIELD}\n"), None));
        assert_eq!((several.decision.code.as_str(), several.earlier), ("insufficient_scope", 1));
        assert_eq!(Given::read("5d41", None).ok(), Some(Given::Session("5d41".to_owned())));
        for (wrong, words) in [
            ("5d4", "at least 4 digits"),
            ("b9a6d29c-7f0e-4f4b-8a1c-000000000001", "--log"),
            ("{}", "no field of the filter"),
            ("", "no field of the filter"),
            (&format!("{FIELD} code=ok route=x session=-"), "several fields"),
        ] {
            let Err(Error::Invalid(why)) = Given::read(wrong, None) else { panic!("{wrong}") };
            assert!(why.contains(words), "{wrong}: {why}");
        }
    }

    #[test]
    fn a_request_is_found_in_a_log_by_its_whole_id_and_the_last_one_counts() {
        let mut log = tempfile::NamedTempFile::new().expect("a temporary file");
        writeln!(log, r#"{{"request_id":"a-1","portcullis":"code=ok route=one session=-"}}"#).expect("a line");
        writeln!(log, r#"{{"request_id":"a-12","portcullis":"{FIELD}"}}"#).expect("a line");
        writeln!(log, "\"GET /\" a-2 \"code=ok route=two session=-\"").expect("a line");
        writeln!(log, "\"GET /\" a-2 \"{FIELD}\"\n\"GET /a-3\" 404").expect("a line");
        let find = |id: &str| Given::read(id, Some(log.path()));
        assert_eq!(logged(find("a-1")).decision.route.as_deref(), Some("one"));
        let last = logged(find("a-2"));
        assert_eq!((last.decision.code.as_str(), last.earlier), ("insufficient_scope", 1));
        for (id, words) in [("a", "no line of"), ("a-3", "no field of the filter"), ("", "no line of")] {
            let Err(Error::Failed(why)) = find(id) else { panic!("{id}") };
            assert!(why.contains(words), "{id}: {why}");
        }
    }
}
