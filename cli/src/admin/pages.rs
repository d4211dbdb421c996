//! Lists that are short enough to be read whole: revocations, blocks, narrowings and held signals.

use super::client::{Client, Path};
use crate::error::Error;
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;

/// The number of entries per request.
const PAGE: &str = "1000";

/// Every entry of the list at `path`, in the order of the service; `member` is the list's name in the response.
pub(super) fn all(client: &Client, path: &Path, member: &str) -> Result<Vec<Value>, Error> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let at = path.clone().parameter("limit", Some(PAGE)).parameter("cursor", cursor.as_deref());
        let mut page: Value = client.get(&at)?;
        let Some(Value::Array(listed)) = page.get_mut(member).map(Value::take) else {
            return Err(Error::failed(format_args!("unexpected response: it has no `{member}`")));
        };
        entries.extend(listed);
        match page.get("next").and_then(Value::as_str) {
            None => return Ok(entries),
            // Following a page that leads to itself would never end.
            Some(next) if cursor.as_deref() == Some(next) => {
                return Err(Error::failed("the session service returned the same page twice"));
            }
            Some(next) => cursor = Some(next.to_owned()),
        }
    }
}

/// Sorts a list by the instant in a member of its entries; those without one come last.
pub(super) fn newest_first(entries: &mut [Value], member: &str) {
    let instant = |of: &Value| of.get(member).and_then(Value::as_str)?.parse::<Timestamp>().ok();
    entries.sort_by_key(|of| Reverse(instant(of)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_entry_comes_first_and_undated_ones_last() {
        let entry = |id: u8, at: &str| json!({"id": id, "at": at});
        let mut entries = [
            json!({"id": 1}),
            entry(2, "2026-11-26T10:00:00Z"),
            entry(3, "2026-11-26T11:00:00.5+02:00"),
            entry(4, "soon"),
            entry(5, "2026-11-26T10:00:00.001Z"),
        ];
        newest_first(&mut entries, "at");
        assert_eq!(entries.map(|entry| entry["id"].clone()), [5, 2, 3, 1, 4]);
    }
}
