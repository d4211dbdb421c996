//! What the caller says of the request, for conditions: `ip`, `host`, `device` and `place` of the context. Whatever is of another
//! type, and everything else, is as if it were not there.

use portcullis_contract::wire::{Circumstances, Place, Question};
use serde_json::{Map, Value};

/// The longest text that is taken over, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// The request, as a filter would describe it.
pub(super) fn request(method: &str, context: &Map<String, Value>) -> Question {
    let text = |name: &str| text(context, name);
    let host = text("host").to_ascii_lowercase();
    let circumstances = Circumstances { host, attributes: Vec::new(), device: text("device"), place: place(context) };
    Question {
        method: method.to_owned(),
        client_address: text("ip"),
        circumstances: Some(circumstances),
        ..Question::default()
    }
}

fn text(of: &Map<String, Value>, name: &str) -> String {
    let text = of.get(name).and_then(Value::as_str).unwrap_or_default();
    // Cut, it could be another's.
    if text.len() <= TEXT_BYTES_MAX { text.to_owned() } else { String::new() }
}

fn place(context: &Map<String, Value>) -> Option<Place> {
    let place = context.get("place")?.as_object()?;
    Some(Place {
        country: text(place, "country"),
        asn: place.get("asn").and_then(Value::as_u64).and_then(|asn| u32::try_from(asn).ok()),
        proxy: place.get("proxy").and_then(Value::as_bool),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(context: &Value) -> Question {
        request("GET", context.as_object().unwrap())
    }

    #[test]
    fn what_conditions_know_is_taken_over() {
        let place = json!({"country": "CH", "asn": 3303, "proxy": false});
        let context =
            json!({"ip": "192.0.2.1", "host": "API.example.com", "device": "laptop", "place": place, "time": "now"});
        let place = Some(Place { country: "CH".to_owned(), asn: Some(3303), proxy: Some(false) });
        let (host, device) = ("api.example.com".to_owned(), "laptop".to_owned());
        let wanted = Question {
            method: "GET".to_owned(),
            client_address: "192.0.2.1".to_owned(),
            circumstances: Some(Circumstances { host, attributes: Vec::new(), device, place }),
            ..Question::default()
        };
        assert_eq!(read(&context), wanted);
    }

    #[test]
    fn what_is_of_another_type_or_too_long_is_not_there() {
        let none = read(&json!({}));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        for context in [
            json!({"ip": 7, "host": [], "device": {}, "place": "CH"}),
            json!({"ip": long, "host": long, "device": long}),
        ] {
            assert_eq!(read(&context), none, "{context}");
        }
        let place = read(&json!({"place": {"country": 1, "asn": -1, "proxy": "no"}})).circumstances.unwrap().place;
        assert_eq!(place, Some(Place::default()));
    }
}
