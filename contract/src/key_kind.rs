//! What a session key was made from.

use serde::{Deserialize, Serialize};

/// What a session key was made from, which decides whether an ended session can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The value of a session claim such as `sid`.
    Claim,
    /// A digest of issuer, subject, client and `auth_time`, when the token had one.
    Login,
    /// The same digest without an `auth_time`: the key is then the same for every login of the person.
    LoginUndated,
    /// A machine client: its `client_id`.
    Client,
}

impl KeyKind {
    /// Whether a token issued after a session's end opens a new one. It does where the key names the party and not
    /// one login: without that, one end would lock the party out for ever.
    pub fn returns(self) -> bool {
        match self {
            Self::Claim | Self::Login => false,
            Self::LoginUndated | Self::Client => true,
        }
    }
}
