//! Takes parts out of a YAML or JSON text, and leaves everything else as it is written. What cannot be cut cleanly is found by
//! whoever reads the result again.

use super::plan::Removal;
use crate::document::{Content, Node};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// The text without these parts.
pub(super) fn edited(text: &str, root: &Node, removals: &[Removal]) -> Option<String> {
    let mut of: BTreeMap<&[usize], BTreeSet<usize>> = BTreeMap::new();
    for removal in removals {
        let (item, way) = removal.split_last()?;
        of.entry(way).or_default().insert(*item);
    }
    let mut cuts = Vec::new();
    for (way, items) in of {
        cuts.extend(cuts_of(text, part(root, way)?, &items)?);
    }
    // From the end, so that the places before stay what they are.
    cuts.sort_unstable_by_key(|cut| std::cmp::Reverse(cut.start));
    let mut edited = text.to_owned();
    let mut end = text.len();
    for cut in cuts {
        if cut.end > end || cut.start > cut.end || !text.is_char_boundary(cut.start) || !text.is_char_boundary(cut.end)
        {
            return None;
        }
        end = cut.start;
        edited.replace_range(cut, "");
    }
    Some(edited)
}

fn part<'n>(root: &'n Node, way: &[usize]) -> Option<&'n Node> {
    way.iter().try_fold(root, |node, index| node.parts().nth(*index))
}

/// What to cut, for these items of a list or an object.
fn cuts_of(text: &str, parent: &Node, items: &BTreeSet<usize>) -> Option<Vec<Range<usize>>> {
    let spans: Vec<Range<usize>> = match &parent.content {
        Content::List(items) => items.iter().map(|item| item.span.start..end(text, item)).collect(),
        Content::Object(pairs) => pairs.iter().map(|(key, value)| key.span.start..end(text, value)).collect(),
        _ => return None,
    };
    let is_flow = is_flow(text, parent);
    let mut cuts = Vec::new();
    for run in runs(items) {
        let (first, last) = (spans.get(run.start)?, spans.get(run.end.checked_sub(1)?)?);
        let next = spans.get(run.end);
        let before = run.start.checked_sub(1).and_then(|before| spans.get(before));
        cuts.push(match (is_flow, next, before) {
            (false, ..) => line_start(text, first.start)..line_end(text, last.end),
            // A comma follows those that another one follows, and precedes the last.
            (true, Some(next), _) => first.start..next.start,
            (true, None, Some(before)) => before.end..last.end,
            (true, None, None) => first.start..last.end,
        });
    }
    Some(cuts)
}

/// Indexes that follow each other.
fn runs(items: &BTreeSet<usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for item in items {
        match runs.last_mut() {
            Some(run) if run.end == *item => run.end += 1,
            _ => runs.push(*item..item + 1),
        }
    }
    runs
}

/// Whether a list or an object is written in brackets.
fn is_flow(text: &str, node: &Node) -> bool {
    text.get(node.span.clone()).is_some_and(|text| text.starts_with(['[', '{']))
}

/// Where a value ends. The reader knows where a list or an object begins, and where its parts are: one in brackets ends with
/// the bracket after its last part, and a block with its last part.
fn end(text: &str, node: &Node) -> usize {
    let last = match &node.content {
        Content::List(items) => items.last(),
        Content::Object(pairs) => pairs.last().map(|(_, value)| value),
        _ => {
            let written = text.get(node.span.clone()).unwrap_or_default();
            return node.span.start + written.trim_end().len();
        }
    };
    let last_end = last.map(|last| end(text, last));
    match is_flow(text, node) {
        true => bracket_end(text, last_end.unwrap_or(node.span.start + 1)),
        false => last_end.unwrap_or(node.span.end),
    }
}

/// The end of the bracket that comes next, after commas, white space and comments.
fn bracket_end(text: &str, from: usize) -> usize {
    let mut is_comment = false;
    let after = text.get(from..).unwrap_or_default().char_indices().find(|(_, c)| {
        is_comment = (is_comment || *c == '#') && *c != '\n';
        !is_comment && !c.is_whitespace() && *c != ','
    });
    after.map_or(text.len(), |(at, bracket)| from + at + bracket.len_utf8())
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}
