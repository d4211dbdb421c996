//! The configuration of the token endpoint: `tokens`.

use super::rotation::Terms;
use super::vault::SealingKey;
use crate::signals::Url;
use std::path::PathBuf;

/// The token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The issuers whose clients come here.
    pub issuers: Vec<IssuerSettings>,
    /// The keys that seal what is kept; the first one seals.
    pub(crate) keys: Vec<SealingKey>,
    pub(super) terms: Terms,
    /// Our own access tokens, if the answers have them.
    pub issue: Option<IssueSettings>,
}

impl TokenSettings {
    /// With these times, in milliseconds.
    pub(crate) fn new(
        issuers: Vec<IssuerSettings>,
        keys: Vec<SealingKey>,
        [retry_window_ms, idle_ms, absolute_ms]: [u64; 3],
        issue: Option<IssueSettings>,
    ) -> Self {
        let terms = Terms { retry_window_ms, idle_ms, absolute_ms };
        Self { issuers, keys, terms, issue }
    }
}

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its access tokens must have one of these; empty: it is not asked about.
    pub audiences: Vec<String>,
    /// Where it is called.
    pub(crate) endpoints: Endpoints,
    /// A PEM file with the certificates that its servers are checked against; without it, the system's.
    pub ca: Option<PathBuf>,
}

/// Where an issuer is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// There.
    Named {
        /// Its token endpoint.
        token: Url,
        /// Where its tokens are revoked (RFC 7009).
        revocation: Option<Url>,
    },
    /// As its metadata says (RFC 8414).
    Discovery(Url),
}

/// Our own access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueSettings {
    /// How long one lives, in milliseconds.
    pub ttl_ms: u64,
    /// Whom it is for.
    pub audience: String,
    /// Whom one can be exchanged for besides.
    pub audiences: Vec<String>,
}

impl IssueSettings {
    /// The audience of a token that is asked for one; `None`: there is no such audience.
    pub(super) fn audience<'a>(&'a self, asked: Option<&'a str>) -> Option<&'a str> {
        match asked {
            None => Some(&self.audience),
            Some(asked) => (asked == self.audience || self.audiences.iter().any(|one| one == asked)).then_some(asked),
        }
    }
}
