//! Lists that are short enough to be read whole: revocations, blocks, narrowings and held signals.

use super::client::{Client, Path};
use crate::error::Error;
use serde_json::Value;

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
