//! The testbed of the end-to-end tests and the demo: the shipped files of `envoy/`, a real Envoy with the built
//! filter, the real session service, and an issuer and an upstream that run in this process.
//!
//! Start with [`Testbed`], and send requests with [`Testbed::get`] and [`Testbed::call`].

mod admin;
mod cuts;
mod dpop;
mod envoy;
mod fake_service;
mod faults;
mod http;
mod introspection;
mod issuer;
mod key;
mod link;
mod load;
mod machine;
mod mtls;
mod paths;
mod postgres;
mod process;
mod proto;
mod raw;
mod redis;
mod service;
mod signing;
mod stream;
mod testbed;
mod token;
mod transmitter;
mod upstream;
mod wait;

pub mod cases;
pub mod cerbos;
pub mod glewlwyd;
pub mod oauth;
pub mod oauth_toolkit;
pub mod policy;
pub mod scenario;

pub use admin::Admin;
pub use cuts::{Cuts, cut};
pub use dpop::DpopClient;
pub use envoy::{Envoy, Watch, set_endpoints};
pub use fake_service::{FakeService, ServiceBehaviour};
pub use faults::Faults;
pub use http::{Answer, Call, Client};
pub use introspection::{Introspection, IntrospectionRequest, Reply};
pub use issuer::{Issuer, IssuerBehaviour};
pub use key::{Algorithm, Key, base64, base64url};
pub use link::{Break, Link};
pub use load::{Load, Refusal, Round};
pub use machine::{Busy, Quiet, busy, quiet};
pub use mtls::{ClientCertificate, Mtls};
pub use paths::{dist, envoy_program, root, shipped_file};
pub use postgres::{Postgres, shared_store};
pub use process::{Process, free_port, local};
pub use raw::{RawAnswer, exchange, leave_at_the_first_answer};
pub use redis::{Redis, RedisCluster, RedisSentinel, RedisTls, redis_at, redis_store};
pub use service::Service;
pub use signing::sign_with;
pub use stream::{End, Kind, Refused, Stream};
pub use testbed::{Builder, FRESH, Testbed};
pub use token::{Token, TokenBuilder, now_s, session_id};
pub use transmitter::Transmitter;
pub use upstream::{ReceivedRequest, Upstream};
pub use wait::{PATIENCE, holds_for, until};
