//! A record as it is printed.

use crate::{output::Format, plain};
use portcullis_audit::record::Record;
use serde_json::Value;

/// The longest value that is printed for people, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// A record with its line.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) record: Record,
    pub(super) line: String,
}

impl Read {
    /// Reads a line; `None` if it is not a record.
    pub(super) fn line(line: &[u8]) -> Option<Self> {
        let record = Record::read(line)?;
        Some(Self { record, line: String::from_utf8_lossy(line).into_owned() })
    }

    /// The text to print, with a newline. JSON is the line as it is.
    pub(super) fn text(&self, format: Format) -> String {
        match format {
            Format::Json => format!("{}\n", plain::json(&self.line)),
            Format::Text => {
                let Record { time, code, fields, .. } = &self.record;
                let fields: String = fields.iter().map(|(name, value)| field(name, value)).collect();
                format!("{}  {}{fields}\n", plain::plain(time), plain::plain(code))
            }
        }
    }
}

fn field(name: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("  {}={}", plain::plain(name), plain::clipped(&text, VALUE_CHARS_MAX))
}
