//! The writer: the one thread that changes the store. Changes that must be durable before they are answered are
//! committed in groups, so that concurrent revocations share one fsync; the rest is written later.
//!
//! A durable change goes to disk, then to memory, then to its caller: a failed commit leaves memory as it was. The
//! writer changes memory, and not the caller, who may have gone away in between.

mod approval;
#[cfg(test)]
mod approval_tests;
mod attribute;
mod commit;
mod enrol;
mod finish;
mod handle;
mod late;
mod notice;
#[cfg(test)]
mod notice_tests;
mod op;
#[cfg(test)]
mod orders;
mod prepare;
mod retention;
mod scopes;
mod signal;
#[cfg(test)]
mod signal_tests;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use approval::{Approving, Deciding, Using};
pub(crate) use attribute::NoRoom;
pub(crate) use handle::{Among, Writer};
pub(crate) use op::{HeldBack, NotWritten, Opening};
pub(crate) use signal::{Applied, Effect, Line, Signal};

#[cfg(test)]
pub(crate) use commit::Commit;
#[cfg(test)]
pub(crate) use op::{Op, Revoking, Unseen};
#[cfg(test)]
pub(crate) use tests::op;
