//! The answers of the scripts: lists that begin with a word. What has another shape is an error.

use crate::store::StoreError;
use crate::store::entry::Entry;
use redis::Value;
use std::collections::VecDeque;

/// An answer, of which the values are taken one by one.
#[derive(Debug)]
pub(super) struct Reply {
    word: String,
    rest: VecDeque<Value>,
}

impl Reply {
    pub(super) fn read(value: Value) -> Result<Self, StoreError> {
        let Value::Array(values) = value else { return Err(strange()) };
        let mut rest = VecDeque::from(values);
        let word = rest.pop_front().ok_or_else(strange).and_then(text)?;
        Ok(Self { word, rest })
    }

    pub(super) fn word(&self) -> &str {
        &self.word
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.next().and_then(text)
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        self.text()?.parse().map_err(|_| strange())
    }

    /// The texts that are left.
    pub(super) fn rest(&mut self) -> Result<Vec<String>, StoreError> {
        self.rest.drain(..).map(text).collect()
    }

    /// A list of texts.
    pub(super) fn texts(&mut self) -> Result<Vec<String>, StoreError> {
        let Value::Array(values) = self.next()? else { return Err(strange()) };
        values.into_iter().map(text).collect()
    }

    /// A hash: its fields with their values.
    pub(super) fn pairs(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let texts = self.texts()?;
        let (pairs, rest) = texts.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(strange());
        }
        Ok(pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect())
    }

    /// Entries of the log.
    pub(super) fn entries(&mut self) -> Result<Vec<Entry>, StoreError> {
        let Value::Array(entries) = self.next()? else { return Err(strange()) };
        entries.into_iter().map(entry).collect()
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.rest.pop_front().ok_or_else(strange)
    }
}

fn entry(value: Value) -> Result<Entry, StoreError> {
    let Value::Array(parts) = value else { return Err(strange()) };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).map_err(|_| strange())? else {
        return Err(strange());
    };
    let id = text(id)?;
    let number = id.strip_suffix("-0").and_then(|number| number.parse().ok()).ok_or_else(strange)?;
    let mut entry = Entry { number, tag: 0, format: 0, clock_lead_ms: 0, changes: Vec::new() };
    let mut fields = fields.into_iter();
    while let Some((name, value)) = fields.next().zip(fields.next()) {
        match text(name)?.as_str() {
            "tag" => entry.tag = text(value)?.parse().map_err(|_| strange())?,
            "format" => entry.format = text(value)?.parse().map_err(|_| strange())?,
            "lead" => entry.clock_lead_ms = text(value)?.parse().map_err(|_| strange())?,
            "changes" => match value {
                Value::BulkString(bytes) => entry.changes = bytes,
                _ => return Err(strange()),
            },
            _ => {}
        }
    }
    // An entry without these says nothing that can be read, which is an error of its own.
    Ok(entry)
}

fn text(value: Value) -> Result<String, StoreError> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| strange()),
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        Value::Okay => Ok("OK".to_owned()),
        _ => Err(strange()),
    }
}

fn strange() -> StoreError {
    StoreError("Redis has given an answer that this version does not understand".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_answer_is_read_part_by_part() {
        let fields = ["tag", "-5", "format", "1", "lead", "0", "changes", "[]"].map(bulk).to_vec();
        let entry = Value::Array(vec![bulk("7-0"), Value::Array(fields)]);
        let hash = Value::Array(["a", "1"].map(bulk).to_vec());
        let mut reply =
            Reply::read(Value::Array(vec![bulk("OK"), bulk("9"), hash, Value::Array(vec![entry])])).unwrap();
        assert_eq!(reply.word(), "OK");
        assert_eq!(reply.number::<u64>(), Ok(9));
        assert_eq!(reply.pairs().unwrap(), [("a".to_owned(), "1".to_owned())]);
        let entries = reply.entries().unwrap();
        assert_eq!((entries[0].number, entries[0].tag, entries[0].changes.as_slice()), (7, -5, b"[]".as_slice()));
        assert!(reply.text().is_err());
    }

    #[test]
    fn another_shape_is_an_error() {
        for value in [Value::Nil, Value::Array(Vec::new()), Value::Array(vec![Value::Nil])] {
            assert!(Reply::read(value).is_err());
        }
        for id in ["7", "x-0", "7-1"] {
            let entry = Value::Array(vec![bulk(id), Value::Array(Vec::new())]);
            let mut reply = Reply::read(Value::Array(vec![bulk("OK"), Value::Array(vec![entry])])).unwrap();
            assert!(reply.entries().is_err(), "{id}");
        }
    }
}
