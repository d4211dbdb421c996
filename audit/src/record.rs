//! A record: one line of JSON, written and read. Its bytes without the newline are a leaf of the tree.

mod ocsf;

use crate::tree::{Hash, Stated};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The shape of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Members as the audit lines of the log have them.
    #[default]
    Portcullis,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
}

impl Format {
    /// The name, as the configuration has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Portcullis => "portcullis",
            Self::Ocsf => "ocsf",
        }
    }
}

/// When something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instant {
    /// RFC 3339, with milliseconds, UTC.
    pub text: String,
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
}

/// What is to become a line.
#[derive(Debug)]
pub struct Draft<'d> {
    /// The number of the leaf.
    pub seq: u64,
    /// When it happened.
    pub time: &'d Instant,
    /// The hash of the leaf before, if there is one.
    pub prev: Option<&'d Hash>,
    /// The code.
    pub code: &'d str,
    /// Its members as JSON, each with a comma before it.
    pub members: &'d str,
}

impl Draft<'_> {
    /// The line, without its newline.
    pub fn line(&self, format: Format) -> String {
        match format {
            Format::Portcullis => {
                let Self { seq, time, code, members, .. } = self;
                let mut line = format!(r#"{{"seq":{seq},"time":"{}","code":"{code}""#, time.text);
                if let Some(prev) = self.prev {
                    line.push_str(&format!(r#","prev":"{}""#, short(prev)));
                }
                line.push_str(members);
                line.push('}');
                line
            }
            Format::Ocsf => ocsf::event(self).to_string(),
        }
    }

    fn fields(&self) -> Map<String, Value> {
        let object = format!("{{{}}}", self.members.trim_start_matches(','));
        serde_json::from_str(&object).unwrap_or_default()
    }
}

/// How a record names the leaf before it: the first 8 bytes of its hash. It pins an edit to its line; what proves that there
/// is none is the tree.
pub fn short(hash: &Hash) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of the first record of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// The name of the log.
    pub origin: String,
    /// The number of the file.
    pub file: u64,
    /// The tree before this record.
    pub tree: Stated,
    /// That the tree begins anew here, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anew: Option<Anew>,
}

/// Why a tree began anew although there was one.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Anew {
    /// What is wrong with what was there.
    pub reason: String,
    /// Where it was put aside.
    pub aside: String,
    /// Its last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The number of the leaf.
    pub seq: u64,
    /// When it happened, RFC 3339.
    pub time: String,
    /// The code.
    pub code: String,
    /// How it names the leaf before it.
    pub prev: Option<String>,
    /// The other members.
    pub fields: Map<String, Value>,
}

impl Record {
    /// Reads a line of either format.
    pub fn read(line: &[u8]) -> Option<Self> {
        let mut object: Map<String, Value> = serde_json::from_slice(line).ok()?;
        if object.contains_key("class_uid") {
            object = ocsf::unmapped(object)?;
        }
        let mut text = |name: &str| match object.remove(name)? {
            Value::String(text) => Some(text),
            _ => None,
        };
        let (time, code, prev) = (text("time")?, text("code")?, text("prev"));
        let seq = object.remove("seq")?.as_u64()?;
        Some(Self { seq, time, code, prev, fields: object })
    }

    /// What the first record of a file states; `None` if this is not one.
    pub fn header(&self) -> Option<Header> {
        let is_header = self.code == crate::code::FILE;
        is_header.then(|| serde_json::from_value(Value::Object(self.fields.clone())).ok())?
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::CODES;
    use serde_json::json;

    const MEMBERS: &str =
        r#","session":"s-1","issuer":"i","subject":"ali\"ce","client_id":"web","scopes":"a b","by":"admin""#;

    fn draft<'d>(code: &'d str, members: &'d str, time: &'d Instant) -> Draft<'d> {
        Draft { seq: 7, time, prev: Some(&[0xab; 32]), code, members }
    }

    fn time() -> Instant {
        Instant { text: "2026-11-27T02:00:00.123Z".to_owned(), ms: 1_795_744_800_123 }
    }

    #[test]
    fn a_line_of_each_format_is_read_back_as_the_same_record() {
        for code in CODES.iter().map(|code| code.name).chain(["of_tomorrow"]) {
            for members in ["", MEMBERS] {
                let time = time();
                let draft = draft(code, members, &time);
                let [own, ocsf] = [Format::Portcullis, Format::Ocsf].map(|format| draft.line(format));
                let record = Record::read(own.as_bytes()).unwrap();
                assert_eq!((record.seq, record.code.as_str()), (7, code));
                assert_eq!((record.time.as_str(), record.prev.as_deref()), (&*time.text, Some("abababababababab")));
                assert_eq!(record.fields.len(), if members.is_empty() { 0 } else { 6 });
                assert_eq!(Record::read(ocsf.as_bytes()), Some(record), "{ocsf}");
            }
        }
    }

    #[test]
    fn the_own_format_is_this_line() {
        let line = draft("login", r#","session":"s""#, &time()).line(Format::Portcullis);
        let expected =
            r#"{"seq":7,"time":"2026-11-27T02:00:00.123Z","code":"login","prev":"abababababababab","session":"s"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn an_ocsf_event_has_what_its_class_requires() {
        for code in CODES {
            let time = time();
            let event: Value = serde_json::from_str(&draft(code.name, MEMBERS, &time).line(Format::Ocsf)).unwrap();
            let uid = event["class_uid"].as_u64().unwrap();
            assert_eq!(event["category_uid"].as_u64().unwrap(), uid / 1000);
            assert_eq!(event["type_uid"].as_u64().unwrap(), uid * 100 + event["activity_id"].as_u64().unwrap());
            assert_eq!((&event["time"], &event["metadata"]["sequence"]), (&json!(time.ms), &json!(7)));
            assert_eq!(event["metadata"]["event_code"], code.name);
            let required: &[&str] = match uid {
                3002 => &["user", "service"],
                3004 => &["entity"],
                3005 => &["user", "privileges"],
                6003 => &["actor", "api", "src_endpoint"],
                _ => panic!("{uid}"),
            };
            required.iter().for_each(|name| assert!(!event[*name].is_null(), "{} {name}", code.name));
        }
    }

    #[test]
    fn what_is_not_a_record_is_none() {
        for line in ["", "{}", "[]", r#"{"seq":"7","time":"x","code":"x"}"#, r#"{"seq":1,"time":"x"}"#] {
            assert_eq!(Record::read(line.as_bytes()), None, "{line}");
        }
        assert!(
            Record::read(draft("login", "", &time()).line(Format::Portcullis).as_bytes()).unwrap().header().is_none()
        );
    }
}
