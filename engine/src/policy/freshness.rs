//! How fresh the session service's word on a request must be.

use portcullis_contract::bounds::LEASE_MS_MAX;
use std::time::Duration;

/// The shortest lease: a shorter one would have to be renewed more often than a busy session is asked about.
pub(super) const LEASE_MIN: Duration = Duration::from_millis(100);
/// The longest lease: for so long, an answer of the admin API can have to wait.
pub(super) const LEASE_MAX: Duration = Duration::from_millis(LEASE_MS_MAX);

/// Whether the session service is asked about each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Freshness {
    /// It is.
    #[default]
    EachRequest,
    /// It gives a worker leases of at most this time, in which the worker decides a token's requests on a route by itself.
    Lease(Duration),
}

impl Freshness {
    /// The longest lease; `None` if each request is asked about.
    pub const fn lease(self) -> Option<Duration> {
        match self {
            Self::EachRequest => None,
            Self::Lease(lease) => Some(lease),
        }
    }
}
