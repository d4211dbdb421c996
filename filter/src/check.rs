//! Where a request is decided.
//!
//! [`Gate`] is the whole of one Envoy worker: policy, keys, tokens, the requests under way and the desk that asks the
//! session service. Its parts:
//!
//! - [`head`](Head): what a request says, read once from its headers;
//! - `local`: everything that can be decided without asking: route, token, scopes;
//! - [`request`](Request): the machine `Fresh → Asking → Asked → Released | Denied`;
//! - [`desk`](Desk): the questions to the session service, on one stream, in groups, with their deadlines;
//! - [`calls`](Calls): the same questions to an introspection endpoint, a call for each, and `introspection`: what is
//!   called, and what the answer means.
//!
//! Nothing here calls the host: events go in, [`Step`]s and [`Act`]s come out, time is an argument.

mod calls;
mod credential;
mod desk;
mod gate;
mod head;
pub mod identity;
mod introspection;
pub mod local;
mod refusal;
mod request;
mod tally;
#[cfg(test)]
mod testing;

pub use calls::{CallKey, Calls, Ended};
pub use credential::Credential;
pub use desk::{Act, Desk};
pub use gate::{ContextId, Due, Fetch, Gate};
pub use head::{Head, IDENTITY_PREFIX};
pub use introspection::{Call, authorization};
pub use request::{
    Arrival, Circumstances, Denial, Event, Inquiry, Local, Mark, Permit, Presented, Question, Request, Step, Verdict,
};
pub use tally::{Count, Tally};
