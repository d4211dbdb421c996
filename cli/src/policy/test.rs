//! `portcullis policy test`: runs cases against a policy with the filter's own code.

mod command;
mod junit;
mod run;
mod show;
#[cfg(test)]
mod tests;

pub(super) use command::Args;
pub use run::{Difference, Played, Run};
pub(crate) use show::text as show_text;
