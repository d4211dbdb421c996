//! The audit log as a file that can be proved, for the service that writes it and the tool that verifies it.
//!
//! - [`record`] is a line, [`code`] the table of codes;
//! - [`tree`] is the Merkle tree whose leaves the lines are, [`note`] a signed text and [`checkpoint`] a signed tree;
//! - [`verify`] reads files and finds what does not fit, [`mod@prove`] shows that a record is in the tree.
//!
//! No files and no clock: readers and times are arguments.

pub mod checkpoint;
pub mod code;
pub mod note;
pub mod prove;
pub mod record;
pub mod tree;
pub mod verify;
