//! The session service: its address and protocol.

use std::time::Duration;

/// The session service, and how long it can take to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionService {
    /// The Envoy cluster of the service.
    pub cluster: String,
    /// How long a request can wait for its verdict; at least 1 ms.
    pub timeout: Duration,
    /// The environment variable of the VM that contains the filter's bearer credential.
    pub credential_env: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
}

/// The protocol for questions to the session service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// The check stream.
    Stream {
        /// How long open requests can continue while the service is silent; at least 500 ms.
        lease: Duration,
    },
    /// One introspection call per request, to any OAuth server (RFC 7662).
    Introspection(Introspection),
}

/// An introspection endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    /// `:path`; it starts with `/` and consists of visible ASCII characters.
    pub path: String,
    /// `:authority`
    pub authority: String,
    /// The filter's own OAuth client, unless the session service has a bearer credential; never both.
    pub client: Option<Client>,
}

/// An OAuth client of the filter's own (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// The environment variable of the VM that contains its secret.
    pub secret_env: String,
}
