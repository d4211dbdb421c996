//! Where the session service is, and how it is asked.

use std::time::Duration;

/// Where the session service is, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionService {
    /// The Envoy cluster of the service.
    pub cluster: String,
    /// How long a request may wait for its verdict; at least 1 ms.
    pub timeout: Duration,
    /// The variable of the VM's environment that holds the filter's bearer credential.
    pub credential_env: Option<String>,
    /// How it is asked.
    pub protocol: Protocol,
}

/// How the session service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// On the check stream.
    Stream {
        /// How long open requests go on without a word from the service; at least 500 ms.
        lease: Duration,
    },
    /// By a call to an OAuth server for each request (RFC 7662).
    Introspection(Introspection),
}

/// An introspection endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    /// `:path`; begins with `/` and is of visible ASCII characters.
    pub path: String,
    /// `:authority`
    pub authority: String,
    /// Who the filter is at the endpoint, unless it has a bearer credential; never both.
    pub client: Option<Client>,
}

/// An OAuth client of the filter's own (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// The variable of the VM's environment that holds its secret.
    pub secret_env: String,
}
