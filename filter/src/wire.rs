//! The messages of the check stream, generated from `session/proto/portcullis/check/v1/check.proto`.

#![allow(missing_docs, reason = "generated code; the .proto file says what each field means")]

include!(concat!(env!("OUT_DIR"), "/portcullis.check.v1.rs"));
