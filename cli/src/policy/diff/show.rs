//! What a comparison found, for people and for machines.

mod json;
mod markdown;
mod phrases;
mod text;

pub use json::json;
pub use markdown::markdown;
pub use text::text;
