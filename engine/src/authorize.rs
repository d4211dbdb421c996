//! Where a request is decided.
//!
//! [`Gate`] is the whole of one Envoy worker: policy, keys, tokens, the requests under way and the desk that asks the
//! session service. Its parts:
//!
//! - [`head`](Head): what a request says, read once from its headers;
//! - `local`: everything that can be decided without asking: route, token, scopes;
//! - [`request`](Request): the machine `Fresh → Asking → Asked → Released | Denied`;
//! - [`desk`](StreamClient): the questions to the session service, on one stream, in groups, with their deadlines;
//! - [`calls`](IntrospectionClient): the same questions to an introspection endpoint, a call for each, and `introspection`: what is
//!   called, and what the answer means.
//!
//! Nothing here calls the host: events go in, [`Step`]s and [`Act`]s come out, time is an argument.

mod bearer;
#[cfg(test)]
mod fixtures;
mod gate;
mod head;
pub mod identity;
mod introspection;
pub mod local;
mod principal;
mod refusal;
mod request;
mod stream_client;
mod tally;
mod token_cache;
#[cfg(test)]
mod token_cache_tests;

pub use bearer::{CredentialError, credentials};
pub use gate::{ContextId, Due, Fetch, Gate};
pub use head::{Head, IDENTITY_PREFIX};
pub use introspection::{Call, CallKey, Ended, IntrospectionClient, authorization};
pub use principal::Principal;
pub use request::{
    Arrival, Denial, Event, Inquiry, Local, Mark, Permit, Presented, Question, Request, RequestAttributes, Step,
    Verdict,
};
pub use stream_client::{Act, StreamClient};
pub use tally::{Count, Tally};
