//! Patterns of paths that are described elsewhere: templates with parameters inside a segment, and prefixes.

use portcullis_engine::route;

/// A set of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Pattern {
    /// The segments between the slashes; never empty.
    pub(in crate::policy) segments: Vec<Segment>,
    /// Whether any number of further segments may follow.
    pub(in crate::policy) subtree: bool,
    /// Whether matching ignores case.
    pub(in crate::policy) any_case: bool,
}

/// A segment: a sequence of pieces.
pub(in crate::policy) type Segment = Vec<Piece>;

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Piece {
    /// This text.
    Text(String),
    /// One or more bytes.
    Some,
    /// Any number of bytes.
    Any,
}

impl Pattern {
    /// Exactly these segments.
    pub(in crate::policy) fn exact(segments: Vec<Segment>) -> Self {
        Self { segments, subtree: false, any_case: false }
    }

    /// A path template of OpenAPI; `path` starts with `/`, and each `{name}` is one or more bytes inside a segment.
    pub(in crate::policy) fn of_openapi(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self::exact(slots_apart(path).iter().map(|segment| openapi_segment(segment)).collect())
    }

    /// Exactly this text.
    pub(in crate::policy) fn of_text(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self::exact(path.split('/').map(text).collect())
    }

    /// Every path that starts with this text.
    pub(in crate::policy) fn of_prefix(prefix: &str) -> Self {
        let mut pattern = Self::of_text(prefix);
        if let Some(last) = pattern.segments.last_mut() {
            last.push(Piece::Any);
        }
        pattern.subtree = true;
        pattern
    }

    /// Whether a path matches.
    pub(in crate::policy) fn holds(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let segments: Vec<_> = path.split('/').collect();
        let fits = segments.len() == self.segments.len() || self.subtree && segments.len() > self.segments.len();
        fits && self.segments.iter().zip(segments).all(|(pieces, text)| matches(pieces, text, self.any_case))
    }
}

fn text(segment: &str) -> Segment {
    if segment.is_empty() { Vec::new() } else { vec![Piece::Text(segment.to_owned())] }
}

/// Splits at the slashes outside of `{…}`.
fn slots_apart(path: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut in_slot = false;
    for c in path.chars() {
        match c {
            '{' => in_slot = true,
            '}' => in_slot = false,
            '/' if !in_slot => {
                segments.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(segment) = segments.last_mut() {
            segment.push(c);
        }
    }
    segments
}

fn openapi_segment(segment: &str) -> Segment {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some((before, slot)) = rest.split_once('{') {
        let Some((_, after)) = slot.split_once('}') else { break };
        pieces.extend(text(before));
        pieces.push(Piece::Some);
        rest = after;
    }
    pieces.extend(text(rest));
    pieces
}

/// Whether pieces match a text.
pub(super) fn matches(pieces: &[Piece], text: &str, any_case: bool) -> bool {
    // The positions that the pieces so far can have reached: each piece computes the next set.
    let mut ends = vec![0];
    for piece in pieces {
        let mut next: Vec<usize> = match piece {
            Piece::Text(part) => {
                ends.iter().filter(|at| starts(text, **at, part, any_case)).map(|at| at + part.len()).collect()
            }
            Piece::Some => ends.first().map(|first| (first + 1..=text.len()).collect()).unwrap_or_default(),
            Piece::Any => ends.first().map(|first| (*first..=text.len()).collect()).unwrap_or_default(),
        };
        next.sort_unstable();
        ends = next;
    }
    ends.contains(&text.len())
}

fn starts(text: &str, at: usize, part: &str, any_case: bool) -> bool {
    let found = text.as_bytes().get(at..at + part.len());
    found.is_some_and(
        |found| if any_case { found.eq_ignore_ascii_case(part.as_bytes()) } else { found == part.as_bytes() },
    )
}

/// The pieces as a text, with `word` for each open piece.
pub(super) fn filled(pieces: &[Piece], word: &str) -> String {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { word }).collect()
}

/// A text that matches the pieces and, but for case, equals `text`. Only a literal beginning and end of the pieces are
/// taken over as they are written; few routes have more.
pub(super) fn respelt(pieces: &[Piece], text: &str) -> Option<String> {
    let mut respelt = text.to_owned();
    if let Some(Piece::Text(start)) = pieces.first() {
        respelt = format!("{start}{}", respelt.get(start.len()..)?);
    }
    if let (Some(Piece::Text(end)), 2..) = (pieces.last(), pieces.len()) {
        let kept = respelt.len().checked_sub(end.len())?;
        respelt = format!("{}{end}", respelt.get(..kept)?);
    }
    (matches(pieces, &respelt, false) && respelt.eq_ignore_ascii_case(text)).then_some(respelt)
}

/// A text that matches the pieces and ends with a suffix, behind at least one more byte.
pub(super) fn suffixed(pieces: &[Piece], suffix: &str, word: &str, any_case: bool) -> Option<String> {
    let end = match pieces.last() {
        Some(Piece::Text(end)) => end.as_str(),
        _ => "",
    };
    // What the suffix has before the end that the pieces require belongs to the open piece before it.
    let before = suffix.get(..suffix.len().saturating_sub(end.len())).unwrap_or_default();
    let fits = |text: &String| {
        let ends = text.len().checked_sub(suffix.len()).filter(|kept| *kept > 0).and_then(|kept| text.get(kept..));
        let ends = ends.is_some_and(|end| if any_case { end.eq_ignore_ascii_case(suffix) } else { end == suffix });
        ends && matches(pieces, text, any_case)
    };
    [filled(pieces, word), filled(pieces, &format!("{word}{before}"))].into_iter().find(fits)
}

/// Whether pieces match the empty text.
pub(super) fn may_be_empty(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| *piece == Piece::Any)
}

/// A rule's segment at a position counted from 0, unless the rule's path is shorter.
pub(super) fn rule_segment(template: &route::Template, at: usize) -> Option<&route::Segment> {
    let segments = template.segments();
    segments.get(at).or_else(|| segments.last().filter(|last| **last == route::Segment::Rest))
}
