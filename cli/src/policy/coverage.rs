//! `portcullis policy coverage`: which operations of an API, or which Envoy routes, a policy covers.

mod command;
mod entry;
mod envoy;
mod matcher;
mod operations;
mod samples;
mod show;
#[cfg(test)]
mod tests;

pub(super) use command::Args;
