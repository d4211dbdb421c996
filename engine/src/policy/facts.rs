//! The facts about a request that the policy names for the conditions of a session service, and who is trusted with them.

use crate::token::{FactClaims, ScopeClaim};

/// The name of the attribute for the client's certificate, and of the source that names a device by it.
pub const CLIENT_CERTIFICATE: &str = "client_certificate";

/// What the policy names for conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactSources {
    /// Names in the verified certificates (URI or DNS SAN) of connections whose headers are trusted.
    pub trusted_hops: Vec<String>,
    /// What names the session's device; the first one that is there counts.
    pub device: Vec<DeviceSource>,
    /// Headers that become attributes; lower case.
    pub headers: Vec<String>,
    /// Whether the client's certificate is an attribute.
    pub client_certificate: bool,
    /// Claims that become attributes.
    pub claims: Vec<String>,
    /// The claim that contains the groups of a person.
    pub groups: Option<ScopeClaim>,
    /// Headers that say where a request comes from.
    pub place: PlaceHeaders,
}

/// What names the device of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSource {
    /// The digest of the client's certificate.
    ClientCertificate,
    /// A claim of the token.
    Claim(String),
}

/// Headers that say where a request comes from; lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceHeaders {
    /// The country, by its two letters.
    pub country: Option<String>,
    /// The number of the autonomous system.
    pub asn: Option<String>,
    /// Whether the address is an anonymizing proxy's.
    pub proxy: Option<String>,
}

impl FactSources {
    /// Every header that is named; one can be named twice.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let PlaceHeaders { country, asn, proxy } = &self.place;
        self.headers.iter().chain([country, asn, proxy].into_iter().flatten()).map(String::as_str)
    }

    /// Whether a client's certificate says something that conditions need.
    pub fn needs_certificate(&self) -> bool {
        self.client_certificate || self.names_device_by_certificate()
    }

    /// Whether a client's certificate can name the session's device.
    pub fn names_device_by_certificate(&self) -> bool {
        self.device.contains(&DeviceSource::ClientCertificate)
    }

    /// The claims that are to be read from tokens.
    pub(super) fn token_claims(&self) -> FactClaims {
        let claim = |source: &DeviceSource| match source {
            DeviceSource::ClientCertificate => None,
            DeviceSource::Claim(name) => Some(name.clone()),
        };
        let before = self.device.iter().take_while(|source| **source != DeviceSource::ClientCertificate);
        FactClaims {
            before_certificate: before.count(),
            device: self.device.iter().filter_map(claim).collect(),
            attributes: self.claims.clone(),
            groups: self.groups.clone(),
        }
    }
}
