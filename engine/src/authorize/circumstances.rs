//! What the conditions of a session service want to know of a request besides its token.
//!
//! Nothing that a client can write counts: the host vouches for what is known of the connection, and an earlier filter or a
//! trusted hop for a header.

use super::{
    forwarded_certificate::{self, client_digest},
    head::Head,
};
use crate::{
    policy::{CLIENT_CERTIFICATE, FactSources},
    route::Host,
    wire,
};
use portcullis_contract::bounds::ATTRIBUTE_BYTES_MAX;

/// What only the host knows of a request. Nothing is looked up that nobody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp<'a> {
    /// The address of the downstream peer, without its port.
    ClientAddress,
    /// The SHA-256 of the verified certificate of the connection, in hex.
    CertificateDigest,
    /// The first URI SAN of that certificate.
    CertificateUri,
    /// The first DNS SAN of that certificate.
    CertificateDns,
    /// The cluster to which Envoy routes the request.
    RouteCluster,
    /// What an earlier filter says of a header: the value of this key of its dynamic metadata.
    Vouched(&'a str),
}

/// The bytes of a boolean that is false, as Envoy shows the value of a key.
const FALSE: &[u8] = &[0];

/// Collects what the policy names.
pub(super) fn collect(
    head: &Head<'_>,
    sources: &FactSources,
    look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
) -> wire::Circumstances {
    let mut collector = Collector { head, sources, look_up, is_hop: None, own: None };
    let certificate = if sources.needs_certificate() { collector.client_certificate() } else { None };
    let mut attributes = Vec::new();
    for name in &sources.headers {
        let value = collector.vouched(name).filter(|value| value.len() <= ATTRIBUTE_BYTES_MAX);
        attributes.extend(value.map(|value| attribute(name, value)));
    }
    if sources.client_certificate {
        attributes.extend(certificate.as_deref().map(|digest| attribute(CLIENT_CERTIFICATE, digest)));
    }
    wire::Circumstances {
        host: Host::parse(head.authority).map(|host| host.as_str().to_owned()).unwrap_or_default(),
        attributes,
        device: certificate.filter(|_| sources.names_device_by_certificate()).unwrap_or_default(),
        place: collector.place(),
    }
}

/// What is known of the connection of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Connection {
    /// The SHA-256 of the client's certificate, in lower-case hex: its own, or as a trusted hop reports it.
    pub(super) certificate: Option<String>,
    /// Whether it is a trusted hop's.
    pub(super) is_hop: bool,
}

/// Looks at the connection of a request.
pub(super) fn connection(
    head: &Head<'_>,
    sources: &FactSources,
    look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>,
) -> Connection {
    let mut collector = Collector { head, sources, look_up, is_hop: None, own: None };
    Connection { certificate: collector.client_certificate(), is_hop: collector.is_hop() }
}

fn attribute(name: &str, value: &str) -> wire::Attribute {
    wire::Attribute { name: name.to_owned(), value: value.to_owned() }
}

struct Collector<'h, F> {
    head: &'h Head<'h>,
    sources: &'h FactSources,
    look_up: F,
    /// Whether the connection is a trusted hop's, once it is known.
    is_hop: Option<bool>,
    /// The digest of the connection's certificate, once it is known.
    own: Option<Option<String>>,
}

impl<'h, F: FnMut(LookUp<'_>) -> Option<Vec<u8>>> Collector<'h, F> {
    const fn sources(&self) -> &'h FactSources {
        self.sources
    }

    fn text(&mut self, what: LookUp<'_>) -> Option<String> {
        String::from_utf8((self.look_up)(what)?).ok().filter(|text| !text.is_empty())
    }

    fn is_hop(&mut self) -> bool {
        if let Some(is_hop) = self.is_hop {
            return is_hop;
        }
        let hops = &self.sources().trusted_hops;
        let is_hop = !hops.is_empty()
            && [LookUp::CertificateUri, LookUp::CertificateDns]
                .into_iter()
                .any(|what| self.text(what).is_some_and(|name| hops.contains(&name)));
        self.is_hop = Some(is_hop);
        is_hop
    }

    fn own_certificate(&mut self) -> Option<String> {
        if self.own.is_none() {
            let digest = self.text(LookUp::CertificateDigest).and_then(|text| forwarded_certificate::digest(&text));
            self.own = Some(digest);
        }
        self.own.clone().flatten()
    }

    /// The certificate of the connection is the client's, unless it is a trusted hop's: that hop reports the client's.
    fn client_certificate(&mut self) -> Option<String> {
        let own = self.own_certificate();
        if !self.is_hop() {
            return own;
        }
        let header = self.all(forwarded_certificate::HEADER)?;
        client_digest(&header, own.as_deref(), |name| self.sources.trusted_hops.iter().any(|hop| hop == name))
    }

    /// The values of a header as one list. `None` if one of them is no text.
    fn all(&self, name: &str) -> Option<String> {
        let values = self.head.headers.iter().filter(|(of, _)| of == name);
        let values: Option<Vec<&str>> = values.map(|(_, value)| std::str::from_utf8(value).ok()).collect();
        values.map(|values| values.join(","))
    }

    /// The value of a header that somebody vouches for. A header that occurs twice counts as absent: it is unknown which of
    /// them is vouched for.
    fn vouched(&mut self, name: &str) -> Option<&'h str> {
        let head = self.head;
        let mut values = head.headers.iter().filter(|(of, _)| of == name).map(|(_, value)| value);
        let (value, None) = (values.next()?, values.next()) else { return None };
        let value = std::str::from_utf8(value).ok()?;
        let is_vouched = self.is_hop() || (self.look_up)(LookUp::Vouched(name)).is_some_and(|said| said != FALSE);
        is_vouched.then_some(value)
    }

    /// `None` if nothing is known.
    fn place(&mut self) -> Option<wire::Place> {
        let names = &self.sources().place;
        let mut value = |name: &Option<String>| name.as_deref().and_then(|name| self.vouched(name)).map(str::trim);
        let place = wire::Place {
            country: value(&names.country).and_then(country).unwrap_or_default(),
            asn: value(&names.asn).and_then(asn),
            proxy: value(&names.proxy).and_then(proxy),
        };
        (place != wire::Place::default()).then_some(place)
    }
}

fn country(text: &str) -> Option<String> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

fn asn(text: &str) -> Option<u32> {
    let has_prefix = text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("as"));
    let number = if has_prefix { text.get(2..)? } else { text };
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}

fn proxy(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
