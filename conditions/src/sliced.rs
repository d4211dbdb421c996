//! The conditions that can concern one route.

use crate::{Prepared, Session};

/// The conditions that can concern one route.
#[derive(Debug)]
pub struct Sliced {}

impl Sliced {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Evaluates what a session and a method decide.
    pub fn prepare(&self, session: &Session, method: &str) -> Prepared {
        let _ = (session, method);
        Prepared {}
    }
}
