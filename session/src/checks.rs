//! The check stream: one question in, one verdict out.

pub mod desk;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::Checks;
