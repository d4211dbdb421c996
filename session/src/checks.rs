//! The check stream: one question in, one verdict out; and a verdict on what is followed whenever it changes.

pub(crate) mod bound;
pub mod desk;
mod follows;
#[cfg(test)]
mod follows_tests;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::Checks;
pub(crate) use stream::DRAIN_MAX;
