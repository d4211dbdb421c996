//! Records as events of the Open Cybersecurity Schema Framework, one class for each code. All that a record says is in
//! `unmapped` under its own name as well: nothing is lost, and a reader needs only one vocabulary.

use super::{Draft, short};
use crate::code::{Class, closest};
use serde_json::{Map, Value, json};

/// The version of the schema.
const VERSION: &str = "1.4.0";

/// Severities: informational, low.
const INFORMATIONAL: u32 = 1;
const LOW: u32 = 2;

/// The event of a record.
pub(super) fn event(draft: &Draft<'_>) -> Value {
    let code = closest(draft.code);
    let mut fields = draft.fields();
    let class = code.class.uid();
    let (status, severity) = if code.is_failure { (2, LOW) } else { (1, INFORMATIONAL) };
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    put("class_uid", class.into());
    put("class_name", code.class.name().into());
    put("category_uid", (class / 1000).into());
    put("activity_id", code.activity.into());
    put("type_uid", (u64::from(class) * 100 + u64::from(code.activity)).into());
    put("time", draft.time.ms.into());
    put("status_id", status.into());
    put("severity_id", severity.into());
    let product = json!({"name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION")});
    put("metadata", json!({"version": VERSION, "product": product, "event_code": draft.code, "sequence": draft.seq}));
    let user = json!({"uid": text(&fields, "subject"), "domain": text(&fields, "issuer")});
    match code.class {
        Class::Authentication => {
            put("user", user);
            put("service", json!({"name": "portcullis", "uid": text(&fields, "client_id")}));
            put("session", json!({"uid": text(&fields, "session"), "issuer": text(&fields, "issuer")}));
        }
        Class::UserAccess => {
            put("user", user);
            let changed = ["remove", "restore", "scopes"].iter().find_map(|name| fields.get(*name)?.as_str());
            put("privileges", changed.unwrap_or_default().split_whitespace().collect());
        }
        Class::EntityManagement => {
            put("entity", json!({"name": draft.code, "data": Value::Object(fields.clone())}));
        }
        Class::ApiActivity => {
            put("actor", json!({"user": user, "session": {"uid": text(&fields, "session")}}));
            put("api", json!({"operation": draft.code, "service": {"name": text(&fields, "route")}}));
            put("src_endpoint", json!({"name": text(&fields, "client_id")}));
        }
    }
    if let Some(by) = fields.get("by").cloned() {
        match code.class {
            Class::ApiActivity => {}
            _ => put("actor", json!({"user": {"name": by}})),
        }
    }
    for (name, value) in
        [("seq", draft.seq.into()), ("time", draft.time.text.clone().into()), ("code", draft.code.into())]
    {
        fields.insert(name.to_owned(), value);
    }
    if let Some(prev) = draft.prev {
        fields.insert("prev".to_owned(), short(prev).into());
    }
    put("unmapped", Value::Object(fields));
    Value::Object(event)
}

/// The record of an event.
pub(super) fn unmapped(mut event: Map<String, Value>) -> Option<Map<String, Value>> {
    match event.remove("unmapped")? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

fn text<'f>(fields: &'f Map<String, Value>, name: &str) -> &'f str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}
