//! What a group of changes leaves to be written.

use super::op::NotWritten;
use crate::session::Session;
use std::sync::Arc;

/// Answers a change whose group is written, or could not be.
pub(super) type Answer = Box<dyn FnOnce(Result<(), NotWritten>)>;

/// The sessions that a group leaves to be written, and the answers that wait for them. They are written once the whole
/// group is in memory: until then, an ended session must not leave memory, because a session that the group opens would
/// take its place. A revocation can leave hundreds of thousands, so they are written in chunks, between which other
/// changes proceed.
#[derive(Default)]
#[must_use = "answers wait until it is written"]
pub(crate) struct Late {
    pub(super) sessions: Vec<Arc<Session>>,
    pub(super) answers: Vec<Answer>,
}
