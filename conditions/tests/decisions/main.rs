//! What conditions decide, through the crate's own face.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod decide;
mod hostile;
mod loading;
mod partial_is_full;
mod setting;
mod slicing;
