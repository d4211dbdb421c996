//! Which rules of a policy answer the requests of a pattern, found out by asking the filter's own route table.
//!
//! A pattern stands for endless requests. What a route table says of them can change only where a rule is more specific
//! than the pattern, so a few witnesses are enough: one for each rule that the pattern could meet, with words that stand in
//! no rule wherever both leave the word open; and for the rest of the pattern, one of such words alone.

mod judge;
mod pattern;
mod rules;
mod witness;

pub(super) use judge::{Coverage, Entry, Extent, Hit, Methods, Paths, judge};
pub(super) use pattern::{Pattern, Piece, Segment};
pub(super) use rules::Rules;
pub(super) use witness::Witness;

#[cfg(test)]
mod tests;
