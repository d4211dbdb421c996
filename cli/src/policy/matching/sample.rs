//! Sample paths that represent a pattern.

use super::{
    pattern::{Pattern, Piece, filled, matches, may_be_empty, respelt, rule_segment, suffixed},
    rules::Rules,
};
use portcullis_engine::route::{self, Template};

/// A sample request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) struct SampleRequest {
    pub(in crate::policy) host: String,
    pub(in crate::policy) method: String,
    pub(in crate::policy) path: String,
}

/// Paths that contain no rule's literal unless the pattern itself does, one for each number of segments that makes a
/// difference.
pub(super) fn general(pattern: &Pattern, rules: &Rules<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for length in lengths(pattern, rules) {
        for slash in [false, true] {
            let segments = (0..length).map(|at| {
                let is_last = at + 1 == length;
                general_segment(pattern, at, is_last, slash && is_last, &rules.word)
            });
            paths.extend(joined(segments));
        }
    }
    if pattern.any_case {
        let swapped = paths.iter().map(|path| swapped(path)).filter(|path| !paths.contains(path)).collect::<Vec<_>>();
        paths.extend(swapped);
    }
    paths
}

/// Paths that both the pattern and a rule's template match.
pub(super) fn shared(pattern: &Pattern, template: &Template, rules: &Rules<'_>, word: &str) -> Vec<String> {
    let own = template.segments().len();
    let has_rest = template.segments().last() == Some(&route::Segment::Rest);
    let fits = |length: &usize| if has_rest { *length >= own } else { *length == own };
    let ignores_case = rules.table.ignores_case();
    let mut paths = Vec::new();
    for length in lengths(pattern, rules).filter(fits) {
        for slash in [false, true] {
            let segments = (0..length).map(|at| {
                let is_slash = slash && at + 1 == length;
                shared_segment(pattern, rule_segment(template, at)?, at, is_slash, at + 1 == own, word, ignores_case)
            });
            paths.extend(joined(segments));
        }
    }
    paths
}

fn lengths(pattern: &Pattern, rules: &Rules<'_>) -> std::ops::RangeInclusive<usize> {
    let fewest = pattern.segments.len();
    if pattern.subtree { fewest..=fewest.max(rules.segments_max) + 1 } else { fewest..=fewest }
}

fn joined(segments: impl Iterator<Item = Option<String>>) -> Option<String> {
    let segments: Option<Vec<_>> = segments.collect();
    segments.map(|segments| format!("/{}", segments.join("/")))
}

/// The pattern's pieces at a position.
fn pieces(pattern: &Pattern, at: usize) -> &[Piece] {
    pattern.segments.get(at).map_or(&[Piece::Any], Vec::as_slice)
}

/// `is_slash`: the segment is the empty one after a final slash.
fn general_segment(pattern: &Pattern, at: usize, is_last: bool, is_slash: bool, word: &str) -> Option<String> {
    let pieces = pieces(pattern, at);
    match (pieces.is_empty(), is_slash) {
        // A pattern that ends with a slash has no form without it.
        (true, false) if is_last => None,
        (_, true) => may_be_empty(pieces).then(String::new),
        (_, false) => Some(filled(pieces, word)),
    }
}

fn shared_segment(
    pattern: &Pattern,
    rule: &route::Segment,
    at: usize,
    is_slash: bool,
    rule_ends: bool,
    word: &str,
    ignores_case: bool,
) -> Option<String> {
    let pieces = pieces(pattern, at);
    match rule {
        route::Segment::Literal(text) if text.is_empty() == is_slash => match matches(pieces, text, pattern.any_case) {
            true => Some(text.to_string()),
            false => ignores_case.then(|| respelt(pieces, text)).flatten(),
        },
        route::Segment::Literal(_) => None,
        route::Segment::Suffixed(_) if is_slash => None,
        route::Segment::Suffixed(text) => suffixed(pieces, text, word, pattern.any_case || ignores_case),
        // The first segment that `{*name}` matches is never empty.
        route::Segment::Rest if is_slash && !rule_ends => may_be_empty(pieces).then(String::new),
        route::Segment::One | route::Segment::Rest if is_slash => None,
        route::Segment::One | route::Segment::Rest => {
            let text = filled(pieces, word);
            (!text.is_empty()).then_some(text)
        }
    }
}

fn swapped(path: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    path.chars().map(swap).collect()
}
