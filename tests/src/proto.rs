//! The messages of the check stream, and of the upstream's gRPC service.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

/// The check stream.
pub(crate) use portcullis_contract::wire as check;

mod echo {
    include!(concat!(env!("OUT_DIR"), "/portcullis.tests.rs"));
}

pub(crate) use echo::*;
