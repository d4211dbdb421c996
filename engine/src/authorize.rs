//! How a request is decided.
//!
//! [`Gate`] is the state of one Envoy worker: policy, keys, tokens, current requests, and the client of the session
//! service. `gate/decide.rs` takes a request from its headers to the question: edge, route, token, scopes. The parts:
//!
//! - [`Head`]: the parts of a request that its decision depends on, read once from the headers;
//! - [`token_place`]: where the token is, and what the upstream sees of it;
//! - `redemptions`: the tokens of the handles that browsers show in place of tokens;
//! - `oauth`: requests for the token endpoint, where browsers get those;
//! - [`local`]: the decisions that need no answer from outside;
//! - `possession`: whether a bound token comes with what it is bound to;
//! - [`Request`]: the state machine `Fresh → Redeeming → Asking → Asked → Released | Denied`;
//! - `circumstances`: what conditions of the session service want to know besides;
//! - `session_client`: the questions to the session service, grouped on one stream or as one call per request;
//! - `leases`: what a worker decides by itself for a moment, because the session service has given it leases;
//! - `session_memory`: the last verdicts, which decide a request when there is no new one;
//! - `follows`: the sessions of open requests;
//! - [`upstream_token`]: tokens that the session service mints for upstreams;
//! - `usage`: counts of the requests that need no question, for the session service.
//!
//! Nothing here calls the host: events go in, [`Step`]s and [`Act`]s come out, time is an argument.

mod bearer;
mod bounded_cache;
mod circumstances;
mod condition;
pub mod cookie;
#[cfg(test)]
mod fixtures;
mod follows;
mod forwarded_certificate;
mod gate;
pub mod handle;
mod head;
pub mod identity;
mod introspection;
mod leases;
pub mod local;
pub mod log_record;
mod oauth;
mod possession;
mod principal;
mod question;
mod redemptions;
mod refusal;
mod refused_tokens;
mod request;
mod session_client;
mod session_memory;
mod stream_client;
pub mod subprotocol;
mod tally;
mod token_cache;
#[cfg(test)]
mod token_cache_tests;
pub mod token_place;
pub mod upstream_token;
mod usage;

pub use bearer::{CredentialError, Scheme, credentials};
pub use circumstances::LookUp;
pub use condition::Condition;
pub use gate::{ContextId, Due, Fetch, Gate};
pub use head::{Head, IDENTITY_PREFIX, forged_trailers};
pub use introspection::{CALLS_MAX, Call, CallKey, Carried, authorization};
pub use leases::Leased;
pub use possession::{Presented, UsedProof};
pub use principal::Principal;
pub use question::{Arrival, Behind, Inquiry, Question, RequestAttributes, Verdict};
pub use redemptions::TokenText;
pub use refusal::Refusal;
pub use refused_tokens::RefusedToken;
pub use request::{Decision, Denial, Event, Mark, Next, Open, Permit, Request, Step, StepUp};
pub use session_memory::Known;
pub use stream_client::{Act, Lack, MESSAGE_BYTES_MAX, PeerNews};
pub use tally::{
    CacheResult, CheckOutcome, Count, Decided, FetchResult, LeaseEvent, OutageRelease, RedemptionOutcome, Route,
    StreamEvent, Tally,
};
pub use upstream_token::UpstreamToken;
