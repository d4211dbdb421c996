//! The check stream's messages and service, generated from `proto/portcullis/check/v1/check.proto`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file says what each field means"
)]

include!(concat!(env!("OUT_DIR"), "/portcullis.check.v1.rs"));
