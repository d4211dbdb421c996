//! The parts of a request's headers that its decision depends on, read once, as bytes.

use super::bearer::{self, CredentialError, Scheme};
use crate::{answer::Caller, policy::FactSources};
use std::fmt;

/// The prefix of the headers that identify the caller to the upstream; a client's own are stripped.
pub const IDENTITY_PREFIX: &str = "x-portcullis-";

/// The header with a proof of possession (RFC 9449, section 4.1).
pub(super) const PROOF: &str = "dpop";

/// The parts of a request that its decision depends on.
pub struct Head<'a> {
    /// `:method`; empty when missing.
    pub method: &'a str,
    /// `:authority` as it came.
    pub authority: &'a [u8],
    /// `:path` as it came, with its query.
    pub path: &'a [u8],
    /// Whether there is more than one `Authorization`: the filter and the upstream could each trust a different one.
    pub several_authorizations: bool,
    /// The values of all `Cookie` headers.
    pub cookies: Vec<&'a [u8]>,
    /// The values of all `Sec-WebSocket-Protocol` headers.
    pub subprotocols: Vec<&'a [u8]>,
    /// `Origin` as it came.
    pub origin: Option<&'a [u8]>,
    /// Whether the request came over TLS, as far as Envoy knows.
    pub is_https: bool,
    /// Whether it asks for another protocol, such as a websocket.
    pub upgrades: bool,
    /// Whether there is an `Authorization` at all.
    pub has_authorization: bool,
    /// The only bearer token in `Authorization`, or why there is none.
    pub token: Result<&'a str, CredentialError>,
    /// The only token under the scheme DPoP in `Authorization`, or why there is none.
    pub dpop_token: Result<&'a str, CredentialError>,
    /// The first two values of `DPoP`: more than one is never right.
    pub proofs: [Option<&'a [u8]>; 2],
    /// `:scheme` as it came.
    pub scheme: Option<&'a [u8]>,
    /// `X-Forwarded-Proto` as it came.
    pub forwarded_proto: Option<&'a [u8]>,
    /// `User-Agent` as it came.
    pub user_agent: Option<&'a [u8]>,
    /// `traceparent` and `x-request-id`, which connect a call to the request.
    pub trace: [(&'static str, Option<&'a [u8]>); 2],
    /// The method that a CORS preflight asks about (Fetch standard, section 3.2.2); `None` if it is another request.
    pub preflight: Option<&'a str>,
    /// Whether a body follows, or may follow.
    pub has_body: bool,
    /// In which form the caller understands a refusal.
    pub caller: Caller,
    /// All headers, for those that the policy names.
    pub headers: &'a [(String, Vec<u8>)],
    /// Inbound headers that only the filter is allowed to set.
    pub forged: Vec<&'a str>,
    /// Whether `Connection` lists one of them: the next hop would then drop what the filter sets (RFC 9110, section
    /// 7.6.1).
    pub drops_identity: bool,
}

/// Written by hand because the token is a secret, and a query can hold others.
impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_token = &self.token.map(|_| ());
        f.debug_struct("Head").field("method", &self.method).field("token", is_token).finish_non_exhaustive()
    }
}

impl<'a> Head<'a> {
    /// Reads the header map of a request. If a header occurs several times, the first one counts.
    pub fn read(headers: &'a [(String, Vec<u8>)]) -> Self {
        let (mut seen, mut forged) = (Seen::default(), Vec::new());
        for (name, value) in headers {
            if !seen.note(name, value) && is_identity(name.as_bytes()) {
                forged.push(name.as_str());
            }
        }
        let is_https = |value: Option<&[u8]>| value.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
        let authorizations = || seen.authorizations.into_iter().flatten();
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let method = seen.method.and_then(text).unwrap_or_default();
        Self {
            method,
            authority: seen.authority.unwrap_or_default(),
            path: seen.path.unwrap_or_default(),
            several_authorizations: authorizations().nth(1).is_some() || authorizations().any(holds_several),
            cookies: seen.cookies,
            subprotocols: seen.subprotocols,
            origin: seen.origin,
            is_https: is_https(seen.scheme) || is_https(seen.forwarded_proto),
            upgrades: seen.upgrade.is_some(),
            has_authorization: authorizations().next().is_some(),
            token: bearer::credentials(Scheme::Bearer, authorizations()),
            dpop_token: bearer::credentials(Scheme::Dpop, authorizations()),
            proofs: seen.proofs,
            scheme: seen.scheme,
            forwarded_proto: seen.forwarded_proto,
            user_agent: seen.user_agent,
            trace: [("traceparent", seen.traceparent), ("x-request-id", seen.request_id)],
            preflight: seen.requested_method.filter(|_| method == "OPTIONS" && seen.origin.is_some()).and_then(text),
            has_body: seen.announces_body,
            caller: seen.content_type.map(Caller::of).unwrap_or_default(),
            headers,
            forged,
            drops_identity: seen.drops_identity,
        }
    }
}

impl Head<'_> {
    /// The same for a request whose stream does not end with its headers: whatever they say, a body may follow.
    #[must_use]
    pub fn open(self, is_open: bool) -> Self {
        Self { has_body: self.has_body || is_open, ..self }
    }
}

/// Whether a length may be that of a body. One that cannot be read may be any.
fn is_length(value: &[u8]) -> bool {
    value.is_empty() || value.iter().any(|byte| *byte != b'0')
}

/// The request trailers to remove: those that only the filter is allowed to set, as headers, and those that the policy takes
/// facts from, as headers.
pub fn forged_trailers<'t>(
    trailers: &'t [(String, Vec<u8>)],
    sources: Option<&'t FactSources>,
) -> impl Iterator<Item = &'t str> {
    let forged = trailers.iter().map(|(name, _)| name.as_str()).filter(|name| is_identity(name.as_bytes()));
    forged.chain(sources.into_iter().flat_map(|sources| fact_headers(trailers, sources)))
}

/// What one pass over the headers finds: the first value of most of those that are read, and all of some.
#[derive(Default)]
struct Seen<'a> {
    /// With a second one, the request is refused.
    authorizations: [Option<&'a [u8]>; 2],
    proofs: [Option<&'a [u8]>; 2],
    cookies: Vec<&'a [u8]>,
    subprotocols: Vec<&'a [u8]>,
    announces_body: bool,
    drops_identity: bool,
    method: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    forwarded_proto: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    requested_method: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    /// Notes a header; returns whether it is one of those that are read.
    fn note(&mut self, name: &str, value: &'a [u8]) -> bool {
        let first = match name {
            ":method" => &mut self.method,
            ":authority" => &mut self.authority,
            ":path" => &mut self.path,
            "user-agent" => &mut self.user_agent,
            "traceparent" => &mut self.traceparent,
            "x-request-id" => &mut self.request_id,
            "origin" => &mut self.origin,
            ":scheme" => &mut self.scheme,
            "x-forwarded-proto" => &mut self.forwarded_proto,
            // A websocket over HTTP/2 has the protocol in a pseudo-header (RFC 8441).
            "upgrade" | ":protocol" => &mut self.upgrade,
            "access-control-request-method" => &mut self.requested_method,
            "content-type" => &mut self.content_type,
            "authorization" => {
                let [first, second] = &mut self.authorizations;
                if first.is_none() { first } else { second }
            }
            PROOF => {
                let [first, second] = &mut self.proofs;
                if first.is_none() { first } else { second }
            }
            "cookie" => return push(&mut self.cookies, value),
            "sec-websocket-protocol" => return push(&mut self.subprotocols, value),
            "transfer-encoding" => return set(&mut self.announces_body, true),
            "content-length" => return set(&mut self.announces_body, is_length(value)),
            "connection" => return set(&mut self.drops_identity, names_identity(value)),
            _ => return false,
        };
        first.get_or_insert(value);
        true
    }
}

fn push<'a>(values: &mut Vec<&'a [u8]>, value: &'a [u8]) -> bool {
    values.push(value);
    true
}

fn set(flag: &mut bool, value: bool) -> bool {
    *flag |= value;
    true
}

/// Envoy joins repeated headers with a comma. What follows the comma distinguishes a list from parameters (`Digest
/// a="1", b="2"`): a scheme and a space, or nothing. A bearer token never contains a comma.
fn holds_several(authorization: &[u8]) -> bool {
    let starts_bearer = authorization.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    let mut rest = authorization.split(|byte| *byte == b',').skip(1).map(<[u8]>::trim_ascii);
    rest.any(|part| {
        let word = part.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.~+".contains(byte)).count();
        starts_bearer || part.get(word) == Some(&b' ')
    })
}

/// The names of the headers that the policy takes facts from, in every spelling that an upstream could fold into one: they are
/// for conditions only, whoever has set them.
pub(super) fn fact_headers<'h>(
    headers: &'h [(String, Vec<u8>)],
    sources: &'h FactSources,
) -> impl Iterator<Item = &'h str> {
    // Most policies name none.
    let headers = if sources.header_names().next().is_some() { headers } else { &[] };
    let is_named = move |name: &&str| sources.header_names().any(|named| folds_to(name.as_bytes(), named.as_bytes()));
    headers.iter().map(|(name, _)| name.as_str()).filter(is_named)
}

/// Whether this is one of the filter's own headers, in any spelling that an upstream could fold into one: when headers
/// become variables (CGI, WSGI), every byte that is neither a letter nor a digit becomes the same character.
fn is_identity(name: &[u8]) -> bool {
    name.get(..IDENTITY_PREFIX.len()).is_some_and(|head| folds_to(head, IDENTITY_PREFIX.as_bytes()))
}

/// Whether two names are one where every byte that is neither a letter nor a digit is the same.
pub(super) fn folds_to(name: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == other.len() && name.iter().map(folded).eq(other.iter().map(folded))
}

/// Whether a list of names contains one of the filter's own headers.
fn names_identity(list: &[u8]) -> bool {
    names(list).any(is_identity)
}

/// The names of a list.
pub(super) fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PlaceHeaders;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn inbound_copies_of_our_headers_are_found_however_they_are_spelt() {
        let headers = headers(&[
            ("x-portcullis-subject", "root"),
            ("x_portcullis_subject", "root"),
            ("x-portcullis_anything", "1"),
            ("x.portcullis.subject", "root"),
            ("x~portcullis~", "1"),
            ("x-portculli", "1"),
            ("xportcullis-subject", "1"),
            ("my-x-portcullis-subject", "1"),
            ("accept", "*/*"),
        ]);
        let forged = Head::read(&headers).forged;
        let expected = [
            "x-portcullis-subject",
            "x_portcullis_subject",
            "x-portcullis_anything",
            "x.portcullis.subject",
            "x~portcullis~",
        ];
        assert_eq!(forged, expected);
        assert_eq!(forged_trailers(&headers, None).collect::<Vec<_>>(), expected);
        let named = FactSources { headers: vec!["x-portculli".to_owned()], ..FactSources::default() };
        let with_named = forged_trailers(&headers, Some(&named)).collect::<Vec<_>>();
        assert_eq!(with_named, [&expected[..], &["x-portculli"]].concat());
    }

    #[test]
    fn headers_that_the_policy_names_are_found_however_they_are_spelt() {
        let names = ["x-device-id", "x_device_id", "x.country", "X-DEVICE-ID", "x-device", "x-device-idx", "accept"];
        let all = headers(&names.map(|name| (name, "1")));
        let place = PlaceHeaders { country: Some("x-country".to_owned()), ..PlaceHeaders::default() };
        let sources = FactSources { headers: vec!["x-device-id".to_owned()], place, ..FactSources::default() };
        assert_eq!(fact_headers(&all, &sources).collect::<Vec<_>>(), names[..4]);
        assert_eq!(fact_headers(&all, &FactSources::default()).count(), 0);
    }

    #[test]
    fn a_connection_header_that_names_one_of_ours_is_noticed_wherever_it_does() {
        for (value, expected) in [
            ("upgrade", false),
            ("upgrade, x-portcullis-subject", true),
            ("X_Portcullis_Scopes ,close", true),
            ("x-portcullis", false),
            ("", false),
        ] {
            let twice = headers(&[("connection", "keep-alive"), ("connection", value)]);
            assert_eq!(Head::read(&twice).drops_identity, expected, "{value}");
        }
    }

    #[test]
    fn credentials_that_were_joined_are_several() {
        for (value, expected) in [
            ("Bearer a.b.c", false),
            ("Bearer a,Bearer b", true),
            ("bearer a, Basic Zm9v", true),
            ("Bearer a,b", true),
            ("Basic Zm9v,Bearer a", true),
            ("Digest username=\"a\", realm=\"b c\", nc=00000001", false),
        ] {
            assert_eq!(Head::read(&headers(&[("authorization", value)])).several_authorizations, expected, "{value}");
        }
        assert!(
            Head::read(&headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]))
                .several_authorizations
        );
    }

    #[test]
    fn a_preflight_needs_method_origin_and_request_method() {
        let all = [(":method", "OPTIONS"), ("origin", "https://app"), ("access-control-request-method", "PUT")];
        assert_eq!(Head::read(&headers(&all)).preflight, Some("PUT"));
        for left_out in 0..all.len() {
            let some: Vec<_> = all.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, h)| *h).collect();
            assert_eq!(Head::read(&headers(&some)).preflight, None);
        }
    }

    #[test]
    fn a_body_is_announced_by_a_length_by_an_encoding_or_by_an_open_stream() {
        for (name, value, expected) in [
            ("content-length", "0", false),
            ("content-length", "1", true),
            ("content-length", "10", true),
            ("content-length", "", true),
            ("content-length", "x", true),
            ("transfer-encoding", "chunked", true),
            ("accept", "1", false),
        ] {
            assert_eq!(Head::read(&headers(&[(name, value)])).has_body, expected, "{name}: {value}");
            assert!(Head::read(&headers(&[(name, value)])).open(true).has_body);
            assert_eq!(Head::read(&headers(&[(name, value)])).open(false).has_body, expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_read_without_harm() {
        let headers = vec![(":method".to_owned(), vec![0xff]), (":path".to_owned(), vec![b'/', 0xff])];
        let head = Head::read(&headers);
        assert_eq!(head.method, "");
        assert_eq!(head.path, [b'/', 0xff]);
    }
}
