//! Finds the rules that answer the requests of a pattern, by asking the filter's own route table.
//!
//! A pattern stands for infinitely many requests. The answer of a route table can only change where a rule is more specific
//! than the pattern, so a few sample requests suffice: one for each rule that overlaps with the pattern, filled with a word that no
//! rule contains wherever both leave the segment open; and one filled with that word alone, for the rest of the pattern.

mod judge;
mod pattern;
mod rules;
mod sample;

pub(super) use judge::{Coverage, Entry, Extent, Hit, Methods, Paths, judge};
pub(super) use pattern::{Pattern, Piece, Segment};
pub(super) use rules::Rules;
pub(super) use sample::SampleRequest;

#[cfg(test)]
mod tests;
