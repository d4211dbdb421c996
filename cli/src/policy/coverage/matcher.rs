//! The path and method conditions of an Envoy route: `RouteMatch` and `HeaderMatcher`.

use super::samples;
use crate::policy::{
    matching::{Paths, Pattern, Piece, Segment},
    openapi::Value,
};
use regex::Regex;

/// The longest supported regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 4096;

/// A member by its protobuf name or its protobuf JSON name.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.get(name).or_else(|| value.get(&camel_case(name)))
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &head.into_iter().chain(letters).collect::<String>()
    })
}

/// The paths of a route.
#[derive(Debug)]
pub(super) enum PathMatch {
    /// Paths that match these patterns.
    Patterns(Vec<Pattern>),
    /// Paths that a regular expression matches entirely, and samples of them.
    Regex(Regex, Vec<String>),
}

impl PathMatch {
    /// Reads the path specifier of a `RouteMatch`, and a label for it.
    pub(super) fn read(matches: &Value) -> (String, Result<Self, String>) {
        let any_case = member(matches, "case_sensitive") == Some(&Value::Bool(false));
        let text = |name| member(matches, name).and_then(Value::as_text);
        let with_case = |pattern: Pattern| Pattern { any_case, ..pattern };
        if let Some(prefix) = text("prefix") {
            return (
                format!("{prefix}…"),
                rooted(prefix).map(|()| Self::Patterns(vec![with_case(Pattern::of_prefix(prefix))])),
            );
        }
        if let Some(path) = text("path") {
            return (path.to_owned(), rooted(path).map(|()| Self::Patterns(vec![with_case(Pattern::of_text(path))])));
        }
        if let Some(path) = text("path_separated_prefix") {
            let below = Pattern::of_prefix(&format!("{path}/"));
            let patterns = [Pattern::of_text(path), below].map(with_case).into();
            return (format!("{path}/…"), rooted(path).map(|()| Self::Patterns(patterns)));
        }
        if let Some(regex) = member(matches, "safe_regex") {
            let regex = regex.text("regex").unwrap_or_default();
            return (format!("~ {regex}"), Self::regex(regex));
        }
        if let Some(policy) = member(matches, "path_match_policy") {
            let config = member(policy, "typed_config").unwrap_or(&Value::Null);
            return match member(config, "path_template").and_then(Value::as_text) {
                Some(template) => (template.to_owned(), rooted(template).and_then(|()| uri_template(template))),
                None => ("(path_match_policy)".to_owned(), Err("this `path_match_policy` is not supported".to_owned())),
            };
        }
        let unknown =
            "only `prefix`, `path`, `path_separated_prefix`, `safe_regex` and `path_match_policy` are supported";
        let kind = if member(matches, "connect_matcher").is_some() { "(connect_matcher)" } else { "(no path)" };
        (kind.to_owned(), Err(unknown.to_owned()))
    }

    fn regex(text: &str) -> Result<Self, String> {
        if text.len() > REGEX_BYTES_MAX {
            return Err(format!("the regular expression is longer than {REGEX_BYTES_MAX} bytes"));
        }
        let regex = whole(text)?;
        let samples = samples::of(text)
            .into_iter()
            .filter(|path| path.starts_with('/') && regex.is_match(path))
            .collect::<Vec<_>>();
        if samples.is_empty() {
            return Err("no sample path could be derived from the regular expression".to_owned());
        }
        Ok(Self::Regex(regex, samples))
    }

    /// Whether a path matches.
    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.holds(path)),
            Self::Regex(regex, _) => regex.is_match(path),
        }
    }

    pub(super) fn paths(&self) -> Paths {
        match self {
            Self::Patterns(patterns) => Paths::Patterns(patterns.clone()),
            Self::Regex(_, samples) => Paths::Samples(samples.clone()),
        }
    }
}

fn rooted(path: &str) -> Result<(), String> {
    if path.starts_with('/') { Ok(()) } else { Err("the path does not start with `/`".to_owned()) }
}

/// Envoy's regular expressions match the entire text.
fn whole(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|_| "the regular expression is invalid or not supported".to_owned())
}

/// `envoy.path.match.uri_template`: `*` and `{name}` match a segment or a part of one, `**` matches the rest.
fn uri_template(template: &str) -> Result<PathMatch, String> {
    let plain = without_names(template);
    let mut segments: Vec<&str> = plain.strip_prefix('/').unwrap_or(&plain).split('/').collect();
    if !plain.contains("**") {
        return Ok(PathMatch::Patterns(vec![Pattern::exact(segments.into_iter().map(starred).collect())]));
    }
    if segments.pop() == Some("**") && !segments.iter().any(|segment| segment.contains("**")) {
        let mut segments: Vec<Segment> = segments.into_iter().map(starred).collect();
        segments.push(vec![Piece::Any]);
        return Ok(PathMatch::Patterns(vec![Pattern { subtree: true, ..Pattern::exact(segments) }]));
    }
    let regex = regex::escape(&plain).replace(r"\*\*", ".*").replace(r"\*", "[^/]+");
    PathMatch::regex(&regex)
}

/// Replaces `{name}` with `*` and `{name=pattern}` with the pattern.
fn without_names(template: &str) -> String {
    let mut plain = String::new();
    let mut rest = template;
    while let Some((before, slot)) = rest.split_once('{') {
        let Some((slot, after)) = slot.split_once('}') else { break };
        plain += before;
        plain += slot.split_once('=').map_or("*", |(_, pattern)| pattern);
        rest = after;
    }
    plain + rest
}

fn starred(segment: &str) -> Segment {
    let mut pieces = Vec::new();
    for (index, text) in segment.split('*').enumerate() {
        if index > 0 {
            pieces.push(Piece::Some);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
    }
    pieces
}

/// A condition on the method.
#[derive(Debug)]
pub(super) struct MethodMatch {
    test: Test,
    invert: bool,
}

#[derive(Debug)]
enum Test {
    Exact(String),
    Regex(Regex),
    /// Always true: every request has a method.
    Present,
    /// Not supported.
    Unknown,
}

impl MethodMatch {
    /// Reads a `HeaderMatcher` of `:method`.
    pub(super) fn read(header: &Value) -> Self {
        let invert = member(header, "invert_match") == Some(&Value::Bool(true));
        let string = member(header, "string_match");
        let any_case = string.and_then(|string| member(string, "ignore_case")) == Some(&Value::Bool(true));
        let text = |name: &str, old: &str| {
            let text = string.and_then(|string| member(string, name)).or_else(|| member(header, old));
            text.and_then(|value| value.as_text().or_else(|| value.text("regex")))
        };
        let case = if any_case { "(?i)" } else { "" };
        let pattern = |pattern: String| whole(&format!("{case}{pattern}")).map_or(Test::Unknown, Test::Regex);
        let test = if let Some(exact) = text("exact", "exact_match") {
            if any_case { pattern(regex::escape(exact)) } else { Test::Exact(exact.to_owned()) }
        } else if let Some(prefix) = text("prefix", "prefix_match") {
            pattern(format!("{}.*", regex::escape(prefix)))
        } else if let Some(suffix) = text("suffix", "suffix_match") {
            pattern(format!(".*{}", regex::escape(suffix)))
        } else if let Some(part) = text("contains", "contains_match") {
            pattern(format!(".*{}.*", regex::escape(part)))
        } else if let Some(regex) =
            text("safe_regex", "safe_regex_match").filter(|regex| regex.len() <= REGEX_BYTES_MAX)
        {
            whole(regex).map_or(Test::Unknown, Test::Regex)
        } else if member(header, "range_match").is_some() || string.is_some() {
            Test::Unknown
        } else {
            Test::Present
        };
        Self { test, invert }
    }

    /// The only method that it allows, if there is just one.
    pub(super) fn only(&self) -> Option<&str> {
        match &self.test {
            Test::Exact(method) if !self.invert => Some(method),
            _ => None,
        }
    }

    pub(super) fn holds(&self, method: &str) -> bool {
        match &self.test {
            Test::Exact(exact) => (exact == method) != self.invert,
            Test::Regex(regex) => regex.is_match(method) != self.invert,
            Test::Present => !self.invert,
            Test::Unknown => true,
        }
    }

    /// Whether the methods it allows are known exactly.
    pub(super) fn is_certain(&self) -> bool {
        !matches!(self.test, Test::Unknown)
    }
}
