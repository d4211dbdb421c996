//! Who has asked for what is audited.

use super::EndedBy;
use std::sync::Arc;

/// Who has asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Actor {
    /// A caller of the admin API, by its name.
    Admin(Arc<str>),
    /// The person whose session it is.
    Person,
    /// Nobody there: a signal, a token or the service itself has brought it about.
    #[default]
    Nobody,
}

impl Actor {
    /// The name of the caller of the admin API, if it was one.
    pub fn admin(&self) -> Option<&str> {
        match self {
            Self::Admin(name) => Some(name),
            Self::Person | Self::Nobody => None,
        }
    }

    /// As whose the revocation of a session is reported.
    pub(crate) const fn revokes_as(&self) -> EndedBy {
        match self {
            Self::Person => EndedBy::Person,
            Self::Admin(_) | Self::Nobody => EndedBy::Admin,
        }
    }

    pub(super) fn shared(&self) -> Option<Arc<str>> {
        match self {
            Self::Admin(name) => Some(Arc::clone(name)),
            Self::Person | Self::Nobody => None,
        }
    }
}
