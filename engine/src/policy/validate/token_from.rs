//! Where a request can carry its token, which pages can use one in a cookie, and where browsers get cookies.

use super::{ROOT, texts};
use crate::policy::{
    Origin, TokenPlace,
    deserialize::Given,
    fault::Faults,
    json_path::At,
    raw::{RawNamedPlace, RawTokenPlace, Texts},
    text::quoted,
};

/// The maximum number of places.
const PLACES_MAX: usize = 10;
/// The maximum length of the name of a cookie or a subprotocol in bytes.
const NAME_BYTES_MAX: usize = 128;

pub(super) fn token_from(list: Given<Vec<Given<RawTokenPlace>>>, faults: &mut Faults) -> Option<Vec<TokenPlace>> {
    let at = ROOT.key("token_from");
    let list = match list {
        Given::Absent => return Some(vec![TokenPlace::Authorization]),
        Given::Faulty => return None,
        Given::Value(list) => list,
    };
    if list.is_empty() || list.len() > PLACES_MAX {
        faults.add(&at, format_args!("{} places; expected 1 to {PLACES_MAX}", list.len()));
        return None;
    }
    let mut places = Vec::with_capacity(list.len());
    let mut is_faulty = false;
    for (index, raw) in list.into_iter().enumerate() {
        match raw.value().and_then(|raw| place(raw, &at.item(index), faults)) {
            Some(place) if places.contains(&place) => {}
            Some(TokenPlace::WebsocketProtocol(_)) if places.iter().any(is_subprotocol) => {
                faults.add(
                    &at.item(index),
                    "only one `websocket_protocol` is possible: a token would follow either name",
                );
                is_faulty = true;
            }
            Some(place) if places.iter().any(|other| is_rival(&place, other)) => {
                faults.add(&at.item(index), "only one `session_cookie` is possible, and no `cookie` can have its name");
                is_faulty = true;
            }
            Some(place) => places.push(place),
            None => is_faulty = true,
        }
    }
    (!is_faulty).then_some(places)
}

fn is_subprotocol(place: &TokenPlace) -> bool {
    matches!(place, TokenPlace::WebsocketProtocol(_))
}

/// Whether two places cannot stand in one policy: a browser would hold two handles, or one that is a token as well.
fn is_rival(place: &TokenPlace, other: &TokenPlace) -> bool {
    match (place, other) {
        (TokenPlace::SessionCookie(_), TokenPlace::SessionCookie(_)) => true,
        (TokenPlace::SessionCookie(name), TokenPlace::Cookie(other))
        | (TokenPlace::Cookie(name), TokenPlace::SessionCookie(other)) => name == other,
        _ => false,
    }
}

fn place(raw: RawTokenPlace, at: &At<'_>, faults: &mut Faults) -> Option<TokenPlace> {
    let mut name = |given: Given<String>, key| {
        let name = given.value()?;
        faults.check(&at.key(key), header_token(&name)).map(|()| name)
    };
    let raw = match raw {
        RawTokenPlace::Authorization => return Some(TokenPlace::Authorization),
        RawTokenPlace::Named(named) => named,
    };
    match raw {
        RawNamedPlace { cookie, session_cookie: Given::Absent, websocket_protocol: Given::Absent }
            if !cookie.is_absent() =>
        {
            name(cookie, "cookie").map(TokenPlace::Cookie)
        }
        RawNamedPlace { cookie: Given::Absent, session_cookie, websocket_protocol: Given::Absent }
            if !session_cookie.is_absent() =>
        {
            name(session_cookie, "session_cookie").map(TokenPlace::SessionCookie)
        }
        RawNamedPlace { cookie: Given::Absent, session_cookie: Given::Absent, websocket_protocol }
            if !websocket_protocol.is_absent() =>
        {
            name(websocket_protocol, "websocket_protocol").map(TokenPlace::WebsocketProtocol)
        }
        _ => {
            faults.add(at, "specify exactly one of `cookie`, `session_cookie` and `websocket_protocol`");
            None
        }
    }
}

/// A token (RFC 9110, section 5.6.2): both kinds of names are.
fn header_token(name: &str) -> Result<(), String> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match name {
        "" => Err("must not be empty".to_owned()),
        name if name.len() > NAME_BYTES_MAX => Err(format!("must not be longer than {NAME_BYTES_MAX} bytes")),
        name if name.bytes().all(is_byte) => Ok(()),
        name => Err(format!("{} contains a byte that such a name cannot have", quoted(name))),
    }
}

/// `places`: what `token_from` says, if it could be read.
pub(super) fn allowed_origins(list: Texts, places: Option<&[TokenPlace]>, faults: &mut Faults) -> Option<Vec<Origin>> {
    let at = ROOT.key("allowed_origins");
    let origins = texts(list, &at, faults, origin).or(Vec::new(), Some)?;
    let has_cookie = places.is_none_or(|places| places.iter().any(TokenPlace::is_cookie));
    if !origins.is_empty() && !has_cookie {
        faults.add(
            &at,
            "only a token in a cookie needs an origin; omit this key, or add `{cookie: NAME}` to `$.token_from`",
        );
        return None;
    }
    Some(origins)
}

fn origin(text: &str) -> Result<Origin, String> {
    match text {
        "*" => Err("every site could then act in a person's name; list the origins whose pages may".to_owned()),
        text if text.contains('*') => Err(format!("{}: wildcards are not supported; list each origin", quoted(text))),
        text => Origin::parse(text.as_bytes())
            .ok_or_else(|| format!("{} is not an origin such as `https://app.example.com`", quoted(text))),
    }
}
