//! `portcullis policy init`: a first policy for the tokens of an identity provider.

mod command;
mod provider;

pub(super) use command::Args;
