//! Resolves references within a document: a JSON Pointer (RFC 6901) in the fragment of `$ref`.

use super::Value;

/// The longest chain of references.
const HOPS_MAX: usize = 16;

/// The value itself, or the target of its `$ref`.
pub(super) fn resolved<'v>(root: &'v Value, value: &'v Value) -> Result<&'v Value, String> {
    let mut value = value;
    for _ in 0..HOPS_MAX {
        let Some(reference) = value.get("$ref") else { return Ok(value) };
        let reference = reference.as_text().ok_or("`$ref` is not text")?;
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!("`$ref: {reference}` refers to another document; bundle the documents into one first"));
        };
        value = at(root, pointer).ok_or_else(|| format!("`$ref: {reference}` does not exist in this document"))?;
    }
    Err("its `$ref`s form a cycle or a chain that is too long".to_owned())
}

fn at<'v>(root: &'v Value, pointer: &str) -> Option<&'v Value> {
    let pointer = percent_decoded(pointer)?;
    if pointer.is_empty() {
        return Some(root);
    }
    pointer.strip_prefix('/')?.split('/').try_fold(root, |value, token| match value {
        Value::List(items) => items.get(token.parse::<usize>().ok()?),
        _ => value.get(&token.replace("~1", "/").replace("~0", "~")),
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::Shape, *};

    fn found(text: &str) -> Result<String, String> {
        let root = super::super::value::parse(text, Shape::All).expect("a value");
        resolved(&root, root.get("from").expect("`from`")).map(|value| format!("{value:?}"))
    }

    #[test]
    fn references_are_followed_within_the_document() {
        for reference in ["#/paths/~1a~1{id}", "#/paths/~1a~1%7Bid%7D", "#/list/1", "#/more"] {
            let text = format!(
                r##"{{"paths": {{"/a/{{id}}": "here"}}, "list": [0, "here"], "more": {{"$ref": "#/list/1"}}, "from": {{"$ref": "{reference}"}}}}"##
            );
            assert_eq!(found(&text), Ok("Text(\"here\")".to_owned()), "{reference}");
        }
    }

    #[test]
    fn other_references_are_reported() {
        for (reference, words) in [
            ("other.yaml#/a", "another document"),
            ("#/nowhere", "does not exist"),
            ("#/list/9", "does not exist"),
            ("#/%", "does not exist"),
            ("#/from", "form a cycle"),
        ] {
            let error = found(&format!(r#"{{"list": [], "from": {{"$ref": "{reference}"}}}}"#)).expect_err(reference);
            assert!(error.contains(words), "{reference}: {error}");
        }
        assert_eq!(found(r#"{"from": {"$ref": 1}}"#), Err("`$ref` is not text".to_owned()));
    }
}
