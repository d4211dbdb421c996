//! The world in which the end-to-end tests and the demo run: the shipped files of `envoy/`, a real Envoy with the built
//! filter, the real session service, and an issuer and an upstream that live in this process.
//!
//! Start with [`World`]; a test asks it for answers with [`World::get`] and its kin.

mod admin;
mod cuts;
mod envoy;
mod fake;
mod http;
mod introspection;
mod issuer;
mod key;
mod load;
mod machine;
mod paths;
mod process;
mod proto;
mod raw;
mod service;
mod stream;
mod token;
mod upstream;
mod wait;
mod world;

pub mod cases;
pub mod glewlwyd;
pub mod oauth;
pub mod policy;
pub mod scenario;

pub use admin::Admin;
pub use cuts::{Cuts, cut};
pub use envoy::Envoy;
pub use fake::{FakeService, Manner};
pub use http::{Answer, Call, Client};
pub use introspection::{Asked, Introspection, Reply};
pub use issuer::{Behaviour, Issuer};
pub use key::{Algorithm, Key, base64, base64url};
pub use load::{Load, Round};
pub use machine::{Busy, Quiet, busy, quiet};
pub use paths::{dist, envoy_program, root, shipped_file};
pub use process::{Process, free_port, local};
pub use raw::{RawAnswer, exchange};
pub use service::Service;
pub use stream::{End, Kind, Refused, Stream};
pub use token::{Token, TokenBuilder, now_s, session_id};
pub use upstream::{Seen, Upstream};
pub use wait::{PATIENCE, holds_for, until};
pub use world::{Builder, World};
