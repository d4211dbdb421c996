//! The digest that names a policy: in logs, in the hello to the session service, and on the command line.
//!
//! It is of the policy's content, not of its notation: SHA-256 of the JSON without white space, with the keys of every object
//! sorted by their bytes, and with numbers as a `google.protobuf.Struct` holds them (doubles, whole ones without a fraction). So
//! a file in YAML has the digest of the policy that Envoy passes on, as a `Struct` or as text that Istio has formatted anew.

use super::{envoy_config::number, json::Json};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The digest, in lower-case hex.
pub(super) fn of(json: &Json<'_>) -> String {
    let mut hash = Hash(Sha256::new());
    // Writing to a hash cannot fail, nor can texts and numbers fail to be JSON.
    let _ = write(json, &mut hash);
    hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash that can be written to.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(json: &Json<'_>, hash: &mut Hash) -> io::Result<()> {
    match json {
        Json::Null => hash.write_all(b"null"),
        Json::Bool(value) => hash.write_all(if *value { b"true" } else { b"false" }),
        Json::Number(value) => write!(hash, "{}", number(value.as_f64().unwrap_or_default())),
        Json::Text(text) => Ok(serde_json::to_writer(hash, text)?),
        Json::List(items) => {
            hash.write_all(b"[")?;
            for (index, item) in items.iter().enumerate() {
                separate(index, hash)?;
                write(item, hash)?;
            }
            hash.write_all(b"]")
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
            hash.write_all(b"{")?;
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                separate(index, hash)?;
                serde_json::to_writer(&mut *hash, key)?;
                hash.write_all(b":")?;
                write(value, hash)?;
            }
            hash.write_all(b"}")
        }
    }
}

fn separate(index: usize, hash: &mut Hash) -> io::Result<()> {
    match index {
        0 => Ok(()),
        _ => hash.write_all(b","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Faults, json};

    fn digest(text: &str) -> String {
        of(&json::read(text.as_bytes(), &mut Faults::default()).expect("JSON"))
    }

    #[test]
    fn the_digest_is_of_the_content_and_not_of_the_notation() {
        let one = digest(r#"{"b":[1,{"d":true,"c":"ü\"\n"}],"a":1e3}"#);
        assert_eq!(one, digest("{ \"a\": 1000.0,\n \"b\": [1.0, {\"c\": \"\\u00fc\\\"\\n\", \"d\": true}] }"));
        // printf '{"a":1000,"b":[1,{"c":"ü\\"\\n","d":true}]}' | sha256sum
        let text = r#"{"a":1000,"b":[1,{"c":"ü\"\n","d":true}]}"#;
        assert_eq!(one, Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        for other in
            ["{}", r#"{"b":[{"c":"ü\"\n","d":true},1],"a":1000}"#, r#"{"a":1000,"b":[1,{"c":"ü\"\n","d":false}]}"#]
        {
            assert_ne!(one, digest(other), "{other}");
        }
    }
}
