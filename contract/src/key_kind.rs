//! The kinds of session keys.

use serde::{Deserialize, Serialize};

/// What a session key was derived from. This decides whether a session can reopen after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The value of a session claim such as `sid`.
    Claim,
    /// A digest of issuer, subject, client and the token's `auth_time`.
    Login,
    /// The same digest for a token without `auth_time`: all logins of the user then share one key.
    LoginUndated,
    /// The `client_id` of a machine client.
    Machine,
}

impl KeyKind {
    /// The kind as ids and the admin API name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Login | Self::LoginUndated => "login",
            Self::Machine => "machine",
        }
    }

    /// Whether a token issued after a session's end opens a new session. It does if the key identifies the party rather
    /// than a single login: otherwise ending one session would lock the party out permanently.
    pub fn returns(self) -> bool {
        match self {
            Self::Claim | Self::Login => false,
            Self::LoginUndated | Self::Machine => true,
        }
    }
}
