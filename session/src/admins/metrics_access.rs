//! Who may read the metrics.

use crate::credential::Credentials;

/// Who may read the metrics, besides callers with the scope `portcullis:view`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Nobody.
    #[default]
    Admins,
    /// Whoever presents one of these. They open nothing else.
    Credential(Credentials),
    /// Everybody who can reach the admin listener.
    Open,
}
