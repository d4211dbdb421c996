//! Where a request can carry its token.

use std::fmt;

/// Where a request can carry its token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenPlace {
    /// `Authorization: Bearer TOKEN`
    Authorization,
    /// The value of the cookie with this name.
    Cookie(String),
    /// The cookie with this name holds a handle, for which the session service has the token.
    SessionCookie(String),
    /// `Sec-WebSocket-Protocol: NAME, TOKEN`
    WebsocketProtocol(String),
}

impl TokenPlace {
    /// Whether it is a cookie, which browsers send whichever page makes a request.
    pub const fn is_cookie(&self) -> bool {
        matches!(self, Self::Cookie(_) | Self::SessionCookie(_))
    }
}

/// As a policy has it.
impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorization => f.write_str("authorization"),
            Self::Cookie(name) => write!(f, "{{cookie: {name}}}"),
            Self::SessionCookie(name) => write!(f, "{{session_cookie: {name}}}"),
            Self::WebsocketProtocol(name) => write!(f, "{{websocket_protocol: {name}}}"),
        }
    }
}
