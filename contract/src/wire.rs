//! The check stream's messages, generated from `proto/portcullis/check/v1/check.proto`; with the feature `grpc`, its
//! client and server as well.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file says what each field means"
)]

/// The capability of a service that sends beats, and of a filter that acts when they stop.
pub const BEAT: &str = "beat";

/// The capability of a service that holds scopes back until its session has a live grant of them.
pub const APPROVALS: &str = "approvals";

/// The capability of a service that counts what is used, and of a filter that reports what it decides by itself.
pub const USAGE: &str = "usage";

/// The capability of a service that decides by conditions, and wants to know what they depend on.
pub const CONDITIONS: &str = "conditions";

/// The capability of a service that knows which proofs of possession were used.
pub const PROOFS: &str = "proofs";

/// The capability of a service that mints tokens for upstreams.
pub const UPSTREAM_TOKENS: &str = "upstream_tokens";

/// The capability of a service that gives leases.
pub const LEASES: &str = "leases";

/// The capability of a service that keeps the tokens of browsers, which hold only handles.
pub const COOKIES: &str = "cookies";

/// The header in which a filter tells the token endpoint the name of the cookie that a browser keeps its handle in. The filter
/// vouches by it that a page of the request's own host, or of an allowed origin, has made the request: without it, no cookie is
/// to be set, read or cleared.
pub const COOKIE_HEADER: &str = "x-portcullis-cookie";

/// The `typ` of a token for an upstream, where the policy specifies none.
pub const UPSTREAM_TOKEN_TYP: &str = "txntoken+jwt";

include!(concat!(env!("OUT_DIR"), "/portcullis.check.v1.rs"));
