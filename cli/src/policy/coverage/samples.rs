//! Derives a few sample texts from a regular expression, deterministically.

use regex_syntax::hir::{Class, Hir, HirKind};

/// The most texts kept at any point.
const SAMPLES_MAX: usize = 24;
/// The longest text, in bytes.
const SAMPLE_BYTES_MAX: usize = 2048;
/// Characters to try for a class, in this order.
const LIKELY: [char; 6] = ['a', '1', 'A', '-', '/', ' '];

/// Texts that the expression probably matches: assertions are ignored, so the caller has to check.
pub(super) fn of(regex: &str) -> Vec<String> {
    regex_syntax::parse(regex).map(|hir| samples(&hir)).unwrap_or_default()
}

fn samples(hir: &Hir) -> Vec<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).map(|text| vec![text.to_owned()]).unwrap_or_default()
        }
        HirKind::Class(class) => members(class),
        HirKind::Capture(capture) => samples(&capture.sub),
        HirKind::Alternation(parts) => bounded(interleaved(parts.iter().map(samples).collect())),
        HirKind::Concat(parts) => parts.iter().fold(vec![String::new()], |texts, part| joined(&texts, &samples(part))),
        HirKind::Repetition(repetition) => {
            let once = samples(&repetition.sub);
            let most = repetition.max.unwrap_or(u32::MAX);
            let counts = [repetition.min.max(1), repetition.min.saturating_add(3), repetition.min];
            let mut counts: Vec<u32> = counts.into_iter().map(|count| count.min(most)).collect();
            counts.dedup();
            bounded(counts.into_iter().flat_map(|count| repeated(&once, count)).collect())
        }
    }
}

/// One or two members of a class, preferably ones that are likely in a path.
fn members(class: &Class) -> Vec<String> {
    let Class::Unicode(class) = class else {
        return Vec::new();
    };
    let holds = |c: char| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c));
    let mut members: Vec<String> = LIKELY.into_iter().filter(|c| holds(*c)).take(2).map(String::from).collect();
    if members.is_empty() {
        members.extend(class.ranges().first().map(|range| range.start().to_string()));
    }
    members
}

fn repeated(once: &[String], count: u32) -> Vec<String> {
    let fits = |text: &&String| text.len().saturating_mul(count as usize) <= SAMPLE_BYTES_MAX;
    once.iter().filter(fits).map(|text| text.repeat(count as usize)).collect()
}

fn joined(left: &[String], right: &[String]) -> Vec<String> {
    // Use every text of both sides before all their pairs, because there may not be room for all pairs.
    let pairs = left.len().max(right.len());
    let diagonal = left.iter().cycle().zip(right.iter().cycle()).take(pairs);
    let all = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
    let mut texts = Vec::new();
    for (left, right) in diagonal.chain(all) {
        let text = format!("{left}{right}");
        if text.len() <= SAMPLE_BYTES_MAX && !texts.contains(&text) {
            texts.push(text);
        }
        if texts.len() == SAMPLES_MAX {
            break;
        }
    }
    texts
}

/// The first of each list, then the second of each, and so on.
fn interleaved(lists: Vec<Vec<String>>) -> Vec<String> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or_default();
    (0..longest).flat_map(|at| lists.iter().filter_map(move |list| list.get(at).cloned())).collect()
}

fn bounded(mut texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts.truncate(SAMPLES_MAX);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_match_their_expression_and_differ() {
        for (regex, at_least) in [
            ("/users/[0-9]+", 2),
            ("/(orders|customers)/[^/]+(/items)?", 4),
            (r"/files/.*\.(jpg|png)", 4),
            ("/a{3}b?", 2),
            (r"/v\d+/\w{2,5}/?", 4),
            ("/x", 1),
        ] {
            let whole = regex::Regex::new(&format!("^(?:{regex})$")).expect("an expression");
            let samples = of(regex);
            let good = samples.iter().filter(|sample| whole.is_match(sample)).count();
            assert!(good == samples.len() && good >= at_least, "{regex}: {samples:?}");
        }
    }

    #[test]
    fn expressions_cannot_blow_up() {
        for regex in ["(a{1000}){1000}", "((((a|b)*c)*d)*e)*", "[", "(?:a|b|c|d|e|f|g|h){0,500}", "(?-u:\\xff)"] {
            let samples = of(regex);
            assert!(
                samples.len() <= SAMPLES_MAX && samples.iter().all(|text| text.len() <= SAMPLE_BYTES_MAX),
                "{regex}"
            );
        }
    }
}
