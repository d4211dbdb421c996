//! The facts that the policy names for conditions: headers, claims, the client's certificate, and who vouches for them.

use super::{ROOT, some_texts, texts};
use crate::{
    policy::{
        DeviceSource, FactSources, PlaceHeaders,
        deserialize::Given,
        fault::Faults,
        json_path::At,
        raw::{RawAttributes, RawDevice, RawDeviceSource, RawPlace, Texts},
        text::{plain, quoted, visible},
    },
    token::ScopeClaim,
};

/// The maximum number of trusted hops.
const HOPS_MAX: usize = 100;
/// The maximum number of headers that become attributes: together with the client's certificate, a question has room for them.
const HEADERS_MAX: usize = 16;
/// The maximum number of claims that become attributes.
const CLAIMS_MAX: usize = 32;
/// The maximum number of sources that can name a device.
const DEVICE_SOURCES_MAX: usize = 8;
/// The maximum length of the name of a header or claim in bytes: each question or token carries it.
const NAME_BYTES_MAX: usize = 128;

/// Headers that Envoy's routes and this filter decide by. To remove one of them would change the request.
const RESERVED: [&str; 19] = [
    "access-control-request-method",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "origin",
    "sec-websocket-protocol",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-client-cert",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// The parts of a policy that name facts.
pub(super) struct RawFacts {
    pub(super) trusted_hops: Texts,
    pub(super) device: Given<RawDevice>,
    pub(super) attributes: Given<RawAttributes>,
    pub(super) place: Given<RawPlace>,
}

/// Reads the parts. `is_endpoint`: the session service is an introspection endpoint, which knows no conditions.
pub(super) fn facts(raw: RawFacts, is_endpoint: bool, faults: &mut Faults) -> Option<FactSources> {
    let session = ROOT.key("session");
    let given = [
        (ROOT.key("device"), raw.device.is_absent()),
        (session.key("attributes"), raw.attributes.is_absent()),
        (session.key("place"), raw.place.is_absent()),
    ];
    if is_endpoint {
        given.iter().filter(|(_, is_absent)| !is_absent).for_each(|(at, _)| no_conditions(at, faults));
    }
    let trusted_hops = trusted_hops(raw.trusted_hops, faults);
    let device = raw.device.or(Vec::new(), |raw| device(raw, faults));
    let sources = raw.attributes.or(FactSources::default(), |raw| attributes(raw, &session.key("attributes"), faults));
    let place = raw.place.or(PlaceHeaders::default(), |raw| place(raw, &session.key("place"), faults));
    Some(FactSources { trusted_hops: trusted_hops?, device: device?, place: place?, ..sources? })
}

/// Reports a key that only conditions need.
pub(super) fn no_conditions(at: &At<'_>, faults: &mut Faults) {
    faults.add(at, "an introspection endpoint knows no conditions; omit this key, or use `protocol: stream`");
}

fn trusted_hops(raw: Texts, faults: &mut Faults) -> Option<Vec<String>> {
    let at = ROOT.key("trusted_hops");
    let hops = some_texts(raw, &at, faults, visible).or(Vec::new(), Some)?;
    within(hops, HOPS_MAX, &at, faults)
}

/// At most so many items.
fn within<T>(items: Vec<T>, max: usize, at: &At<'_>, faults: &mut Faults) -> Option<Vec<T>> {
    if items.len() > max {
        faults.add(at, format_args!("has {} items; at most {max} are allowed", items.len()));
        return None;
    }
    Some(items)
}

fn device(raw: RawDevice, faults: &mut Faults) -> Option<Vec<DeviceSource>> {
    let at = ROOT.key("device");
    let at = at.key("from");
    let list = raw.from.required(&at, faults)?;
    if list.is_empty() {
        faults.add(&at, "must not be empty");
        return None;
    }
    let list = within(list, DEVICE_SOURCES_MAX, &at, faults)?;
    let sources: Vec<_> = list
        .into_iter()
        .enumerate()
        .map(|(index, raw)| match raw.value()? {
            RawDeviceSource::ClientCertificate => Some(DeviceSource::ClientCertificate),
            RawDeviceSource::Claim(name) => {
                let at = at.item(index);
                let at = at.key("claim");
                let name = name.required(&at, faults)?;
                faults.check(&at, claim(&name)).map(DeviceSource::Claim)
            }
        })
        .collect();
    let sources = sources.into_iter().collect::<Option<Vec<_>>>()?;
    let repeated =
        sources.iter().enumerate().find(|(index, source)| sources.iter().take(*index).any(|of| of == *source));
    if let Some((index, _)) = repeated {
        faults.add(&at.item(index), "is already listed, and only the first one counts");
        return None;
    }
    Some(sources)
}

fn attributes(raw: RawAttributes, at: &At<'_>, faults: &mut Faults) -> Option<FactSources> {
    let headers_at = at.key("headers");
    let headers = some_texts(raw.headers, &headers_at, faults, header).or(Vec::new(), Some);
    let headers = headers.and_then(|headers| within(headers, HEADERS_MAX, &headers_at, faults));
    let client_certificate = raw.client_certificate.or(false, Some);
    let claims_at = at.key("claims");
    let claims = some_texts(raw.claims, &claims_at, faults, claim).or(Vec::new(), Some);
    let claims = claims.and_then(|claims| within(claims, CLAIMS_MAX, &claims_at, faults));
    let groups = raw.groups.or(None, |text| faults.check(&at.key("groups"), pointer(&text)).map(Some));
    Some(FactSources {
        headers: headers?,
        client_certificate: client_certificate?,
        claims: claims?,
        groups: groups?,
        ..FactSources::default()
    })
}

fn place(raw: RawPlace, at: &At<'_>, faults: &mut Faults) -> Option<PlaceHeaders> {
    if raw.country.is_absent() && raw.asn.is_absent() && raw.proxy.is_absent() {
        faults.add(at, "names no header; specify `country`, `asn` or `proxy`, or omit this key");
        return None;
    }
    let mut read = |name: Given<String>, key| name.or(None, |name| faults.check(&at.key(key), header(&name)).map(Some));
    let (country, asn, proxy) = (read(raw.country, "country"), read(raw.asn, "asn"), read(raw.proxy, "proxy"));
    Some(PlaceHeaders { country: country?, asn: asn?, proxy: proxy? })
}

/// The words of a route for conditions: its class or one of its tags.
pub(super) fn keyword(text: &str) -> Result<String, String> {
    const KEYWORD_BYTES_MAX: usize = 64;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    match text {
        "" => Err("must not be empty".to_owned()),
        text if text.len() > KEYWORD_BYTES_MAX => Err(format!("must not be longer than {KEYWORD_BYTES_MAX} bytes")),
        text if text.bytes().all(is_byte) => Ok(text.to_owned()),
        text => Err(format!("{} must consist of letters, digits and `_.:/-`", quoted(text))),
    }
}

/// The tags of a route.
pub(super) fn tags(raw: Texts, at: &At<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    const TAGS_MAX: usize = 16;
    let tags = texts(raw, at, faults, keyword).or(Vec::new(), Some)?;
    within(tags, TAGS_MAX, at, faults)
}

/// The name of a header, in lower case.
pub(super) fn header(text: &str) -> Result<String, String> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = text.to_ascii_lowercase();
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("must not be longer than {NAME_BYTES_MAX} bytes"));
    }
    if name.starts_with(':') {
        return Err(format!("{} is no header that a proxy in front can set", quoted(text)));
    }
    if !name.bytes().all(is_byte) {
        return Err(format!("{} contains a byte that the name of a header cannot have", quoted(text)));
    }
    // A server may fold other spellings into the same header.
    let folded: String = name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    if folded.starts_with(crate::authorize::IDENTITY_PREFIX) {
        return Err(format!("{}: headers `x-portcullis-…` are the filter's own", quoted(text)));
    }
    if RESERVED.contains(&folded.as_str()) {
        return Err(format!(
            "{} decides how the request is handled, and a header that is named here is removed; use a header of its own",
            quoted(text)
        ));
    }
    Ok(name)
}

/// The name of a claim.
fn claim(text: &str) -> Result<String, String> {
    let name = plain(text)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("must not be longer than {NAME_BYTES_MAX} bytes"));
    }
    Ok(name)
}

/// The name of a claim, or a JSON Pointer.
fn pointer(text: &str) -> Result<ScopeClaim, String> {
    let text = plain(text)?;
    ScopeClaim::parse(&text).map_err(|malformed| format!("{}: {malformed}", quoted(&text)))
}
