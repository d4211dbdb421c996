//! `portcullis policy explain`: how a policy decides one request, and why.

mod candidates;
mod command;
mod decide;
mod expected;
mod explanation;
mod keys;
mod play;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub(super) use command::Args;
