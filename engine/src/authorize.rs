//! Where a request is decided.
//!
//! [`Gate`] is the whole of one Envoy worker: policy, keys, tokens, the requests under way, and the client of the session
//! service. `gate/decide.rs` takes a request from its headers to the question: edge, route, token, scopes. Its parts:
//!
//! - [`Head`]: what a request says, read once from its headers;
//! - [`local`]: what can be decided without asking;
//! - [`Request`]: the machine `Fresh → Asking → Asked → Released | Denied`;
//! - `session_client`: how the session service is asked: on one stream, in groups, or by a call for each request;
//! - `last_heard`: what decides a request when there is no verdict;
//! - `follows`: the sessions of open requests.
//!
//! Nothing here calls the host: events go in, [`Step`]s and [`Act`]s come out, time is an argument.

mod bearer;
#[cfg(test)]
mod fixtures;
mod follows;
mod gate;
mod head;
pub mod identity;
mod introspection;
mod last_heard;
pub mod local;
mod principal;
mod question;
mod refusal;
mod request;
mod session_client;
mod stream_client;
mod tally;
mod token_cache;
#[cfg(test)]
mod token_cache_tests;

pub use bearer::{CredentialError, credentials};
pub use gate::{ContextId, Due, Fetch, Gate};
pub use head::{Head, IDENTITY_PREFIX, forged_trailers};
pub use introspection::{Call, CallKey, Carried, authorization};
pub use last_heard::Known;
pub use principal::Principal;
pub use question::{Arrival, Inquiry, Question, RequestAttributes, Verdict};
pub use request::{Decision, Denial, Event, Mark, Next, Open, Permit, Request, Step};
pub use stream_client::{Act, MESSAGE_BYTES_MAX};
pub use tally::{CacheResult, CheckOutcome, Count, Decided, FetchResult, OutageRelease, StreamEvent, Tally};
