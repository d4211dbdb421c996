//! The path of a rule: literal segments, `{name}` for one segment, `{name}:literal` for one that ends so, a final `{*name}`
//! for the rest.

use super::path::{Ambiguous, Path, lower_case};
use std::fmt;

/// The maximum number of segments in a template; a lookup goes as deep as the deepest template.
const SEGMENTS_MAX: usize = 64;
/// The maximum length of a template in bytes.
const TEMPLATE_BYTES_MAX: usize = 2048;

/// A path template. Parameter names are dropped because they do not affect matching.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template(pub(super) Vec<Segment>);

/// A segment of a template, ordered by precedence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Exactly this segment, in its canonical spelling; empty after a final `/`.
    Literal(Box<str>),
    /// Any single segment that ends with this text, which starts with `:`, and has something before it.
    Suffixed(Box<str>),
    /// Any single non-empty segment.
    One,
    /// One or more segments, the first of them non-empty; always last.
    Rest,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTemplate {
    /// No path would match its literal parts.
    Path(Ambiguous),
    /// It has a query, or `?` as a pattern.
    Query,
    /// It is longer than any legitimate template.
    TooLong,
    /// An unmatched brace, or a parameter combined with other text in one segment.
    Mixed(String),
    /// A parameter with an invalid name.
    Name(String),
    /// Two parameters with the same name.
    Twice(String),
    /// `{*name}` before the end.
    RestNotLast(String),
    /// What is a pattern elsewhere, and would be literal text here.
    Foreign(String),
}

impl Template {
    /// Its segments, at least one; only the last can be [`Segment::Rest`].
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The same template for paths in lower case.
    #[must_use]
    pub fn without_case(self) -> Self {
        let folded = |text: Box<str>| lower_case(&text).into();
        let segments = self.0.into_iter().map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(folded(text)),
            Segment::Suffixed(text) => Segment::Suffixed(folded(text)),
            other => other,
        });
        Self(segments.collect())
    }

    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let Some(text) = text.strip_prefix('/') else {
            return Err(BadTemplate::Path(Ambiguous::NotAbsolute));
        };
        if text.contains('?') {
            return Err(BadTemplate::Query);
        }
        let count = text.split('/').count();
        if text.len() >= TEMPLATE_BYTES_MAX || count > SEGMENTS_MAX {
            return Err(BadTemplate::TooLong);
        }
        let mut names = Vec::new();
        let mut segments = Vec::with_capacity(count);
        for (position, segment) in text.split('/').enumerate() {
            let last = position + 1 == count;
            segments.push(match parameter(segment)? {
                None if segment.is_empty() && !last => {
                    return Err(BadTemplate::Path(Ambiguous::EmptySegment));
                }
                None if is_foreign(segment) => return Err(BadTemplate::Foreign(segment.to_owned())),
                None => Segment::Literal(spelt(segment)?),
                Some((name, _)) if names.contains(&name) => {
                    return Err(BadTemplate::Twice(name.to_owned()));
                }
                Some((name, suffix)) => {
                    names.push(name);
                    if has_foreign_part(suffix) {
                        return Err(BadTemplate::Foreign(segment.to_owned()));
                    }
                    match (segment.starts_with("{*"), suffix) {
                        (false, "") => Segment::One,
                        (false, suffix) => Segment::Suffixed(spelt(suffix)?),
                        (true, _) if last => Segment::Rest,
                        (true, _) => return Err(BadTemplate::RestNotLast(segment.to_owned())),
                    }
                }
            });
        }
        Ok(Self(segments))
    }
}

/// The name in `{name}` or `{*name}`, and what follows it; `None` for a literal segment.
fn parameter(segment: &str) -> Result<Option<(&str, &str)>, BadTemplate> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let mixed = || BadTemplate::Mixed(segment.to_owned());
    let (inner, suffix) = segment.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(mixed)?;
    let is_rest = inner.starts_with('*');
    let is_suffix = suffix.is_empty() || !is_rest && suffix.len() > 1 && suffix.starts_with(':');
    if inner.contains('{') || suffix.contains(['{', '}']) || !is_suffix {
        return Err(mixed());
    }
    let name = inner.strip_prefix('*').unwrap_or(inner);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { Ok(Some((name, suffix))) } else { Err(BadTemplate::Name(segment.to_owned())) }
}

/// Whether a literal segment looks like a pattern of another tool: Ant, Spring, Envoy and shells (`*`), Express (`:id`), Flask
/// (`<id>`), Next.js (`[id]`), regular expressions (`[0-9]+`, `.+`, `^a$`). As literal text it would match no request that its
/// author means, and those would fall to a less specific rule. What is percent-encoded is meant.
fn is_foreign(segment: &str) -> bool {
    segment.starts_with(':') || (segment.len() > 1 && segment.ends_with('$')) || has_foreign_part(segment)
}

fn has_foreign_part(text: &str) -> bool {
    text.contains(['*', '<', '>', '[', ']', '^', '|']) || text.contains(".+")
}

/// Literal text in its canonical spelling.
fn spelt(text: &str) -> Result<Box<str>, BadTemplate> {
    let path = format!("/{text}");
    let path = Path::parse(path.as_bytes()).map_err(BadTemplate::Path)?;
    if path.has_encoded_slash() {
        return Err(BadTemplate::Path(Ambiguous::EncodedDelimiter));
    }
    Ok(path.as_str().strip_prefix('/').unwrap_or_default().into())
}

/// The only patterns that there are.
const PATTERNS: &str = "write `{name}` or `{name}:text` for one segment, and `{*rest}` at the end for one or more";

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Whoever writes this means a regular expression.
            Self::Path(ambiguous @ Ambiguous::Byte(b'\\')) => {
                write!(f, "{ambiguous}; no request would match; {PATTERNS}")
            }
            Self::Path(ambiguous) => write!(f, "{ambiguous}; no request would match"),
            Self::Query => write!(f, "`?` begins a query, and queries are not compared; {PATTERNS}"),
            Self::TooLong => write!(f, "must not be longer than {TEMPLATE_BYTES_MAX} bytes or {SEGMENTS_MAX} segments"),
            Self::Mixed(segment) => {
                write!(f, "`{}` is neither literal text nor a parameter; {PATTERNS}", segment.escape_debug())
            }
            Self::Name(segment) => {
                write!(
                    f,
                    "`{}` needs a name of letters, digits and `_` that does not start with a digit; {PATTERNS}",
                    segment.escape_debug()
                )
            }
            Self::Twice(name) => write!(f, "two parameters are named `{name}`"),
            Self::RestNotLast(segment) => write!(f, "`{segment}` matches the rest of the path and must come last"),
            Self::Foreign(segment) => write!(
                f,
                "`{}` would be literal text; {PATTERNS}, or percent-encode what is meant literally",
                segment.escape_debug()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.into())
    }

    fn suffixed(text: &str) -> Segment {
        Segment::Suffixed(text.into())
    }

    #[test]
    fn templates_are_literals_parameters_and_a_rest() {
        for (text, segments) in [
            ("/", vec![literal("")]),
            ("/orders", vec![literal("orders")]),
            ("/orders/", vec![literal("orders"), literal("")]),
            ("/orders/{id}", vec![literal("orders"), Segment::One]),
            ("/{a}/{b_2}/", vec![Segment::One, Segment::One, literal("")]),
            ("/admin/{*rest}", vec![literal("admin"), Segment::Rest]),
            ("/{*_}", vec![Segment::Rest]),
            ("/orders/{id}:suspend", vec![literal("orders"), suffixed(":suspend")]),
            ("/{id}:%61:b%20c/x:y", vec![suffixed(":a:b%20c"), literal("x:y")]),
            ("/%61/%40x/caf%c3%a9", vec![literal("a"), literal("@x"), literal("caf%C3%A9")]),
            ("/%2A/%3Aid/%5B1%5D", vec![literal("*"), literal(":id"), literal("%5B1%5D")]),
            ("/$metadata/Orders(1)/a:b/a+b/a.b", ["$metadata", "Orders(1)", "a:b", "a+b", "a.b"].map(literal).to_vec()),
        ] {
            assert_eq!(Template::parse(text), Ok(Template(segments)), "{text}");
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        use BadTemplate::*;
        let owned = str::to_owned;
        for (text, fault) in [
            ("", Path(Ambiguous::NotAbsolute)),
            ("orders", Path(Ambiguous::NotAbsolute)),
            ("*", Path(Ambiguous::NotAbsolute)),
            ("//", Path(Ambiguous::EmptySegment)),
            ("/a//{b}", Path(Ambiguous::EmptySegment)),
            ("/a/../{b}", Path(Ambiguous::DotSegment)),
            ("/a%2fb", Path(Ambiguous::EncodedDelimiter)),
            ("/a b", Path(Ambiguous::Byte(b' '))),
            ("/ä", Path(Ambiguous::Byte(0xc3))),
            ("/a#b", Path(Ambiguous::Byte(b'#'))),
            ("/a?b=c", Query),
            ("/a{b}", Mixed(owned("a{b}"))),
            ("/x-{id}.json", Mixed(owned("x-{id}.json"))),
            ("/{a}{b}", Mixed(owned("{a}{b}"))),
            ("/{a", Mixed(owned("{a"))),
            ("/a}", Mixed(owned("a}"))),
            ("/{{a}}", Mixed(owned("{{a}}"))),
            ("/{a}b", Mixed(owned("{a}b"))),
            ("/{a}:", Mixed(owned("{a}:"))),
            ("/{a}:{b}", Mixed(owned("{a}:{b}"))),
            ("/{a}:b}", Mixed(owned("{a}:b}"))),
            ("/{*a}:b", Mixed(owned("{*a}:b"))),
            ("/{a-b}:c", Name(owned("{a-b}:c"))),
            ("/{a}/{a}:b", Twice(owned("a"))),
            ("/{a}:b%2fc", Path(Ambiguous::EncodedDelimiter)),
            ("/{a}:b;c", Path(Ambiguous::Byte(b';'))),
            ("/{a/b}", Mixed(owned("{a"))),
            ("/{}", Name(owned("{}"))),
            ("/{*}", Name(owned("{*}"))),
            ("/{**a}", Name(owned("{**a}"))),
            ("/{a-b}", Name(owned("{a-b}"))),
            ("/{1}", Name(owned("{1}"))),
            ("/{a}/{a}", Twice(owned("a"))),
            ("/{a}/{*a}", Twice(owned("a"))),
            ("/{*a}/b", RestNotLast(owned("{*a}"))),
            ("/{*a}/", RestNotLast(owned("{*a}"))),
            ("/admin/**", Foreign(owned("**"))),
            ("/*/orders", Foreign(owned("*"))),
            ("/files/*.json", Foreign(owned("*.json"))),
            ("/orders/:id", Foreign(owned(":id"))),
            ("/orders/:id/items", Foreign(owned(":id"))),
            ("/x/<id>", Foreign(owned("<id>"))),
            ("/x/<int:id>", Foreign(owned("<int:id>"))),
            ("/x/[id]", Foreign(owned("[id]"))),
            ("/orders/[0-9]+", Foreign(owned("[0-9]+"))),
            ("/orders/.+", Foreign(owned(".+"))),
            ("/orders/(a|b)", Foreign(owned("(a|b)"))),
            ("/^orders", Foreign(owned("^orders"))),
            ("/orders$", Foreign(owned("orders$"))),
            ("/{id}:[a-z]+", Foreign(owned("{id}:[a-z]+"))),
            ("/{id}:*", Foreign(owned("{id}:*"))),
            ("/{proxy+}", Name(owned("{proxy+}"))),
            ("/{path...}", Name(owned("{path...}"))),
            ("/{id:int}", Name(owned("{id:int}"))),
            (&"/a".repeat(65), TooLong),
            (&"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(40), TooLong),
        ] {
            assert_eq!(Template::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_pattern_of_another_tool_is_answered_with_those_of_a_policy() {
        for text in [
            "/admin/**",
            "/files/*.json",
            "/orders/:id",
            "/orders/:id?",
            "/users{/:id}",
            "/files/*splat",
            "/x/<id>",
            "/x/<int:id>",
            "/x/[id]",
            "/x/[...rest]",
            "/item?.html",
            "/x/{id}?",
            "/x/{id}+",
            "/x/{id:int}",
            "/x/{id=*}",
            "/x/{proxy+}",
            "/x/{path...}",
            "/x/{{id}}",
            "/x/#{id}",
            "/x/prefix-{id}",
            "/orders/{id:[0-9]{3}}",
            "/files/{name}.{ext}",
            "/orders/\\d+",
            "/orders/(\\w+)",
            "/orders/[0-9]+",
            "/orders/.+",
            "/(?P<id>x)",
            "/orders/(a|b)",
            "/^orders",
            "/orders$",
        ] {
            let fault = Template::parse(text).unwrap_err().to_string();
            assert!(fault.contains("`{name}`") && fault.contains("`{*rest}`"), "{text}: {fault}");
        }
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "/?([a-z{}*:%2fF/._-]|\\PC){0,30}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn a_suffix_is_read_as_it_is_written(suffix in "[a-zA-Z0-9:@!$,=~-]{1,8}") {
            let template = Template::parse(&format!("/x/{{id}}:{suffix}")).unwrap();
            prop_assert_eq!(template.segments().last(), Some(&Segment::Suffixed(format!(":{suffix}").into())));
        }
    }
}
