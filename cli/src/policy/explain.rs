//! `portcullis policy explain`: how a policy decides one request, and why.

mod candidates;
mod command;
mod decide;
mod explanation;
mod play;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub(crate) use candidates::{Candidate, Fit, Route};
pub(crate) use command::Args;
pub(crate) use decide::explain;
pub(crate) use explanation::{Conclusion, Explanation, Reply, Says, SessionLimits, Token, Vouched};
pub(crate) use play::{Asked, Given};
