//! The path of a request in its canonical spelling.

mod fold;

pub use fold::lower_case;

use std::{borrow::Cow, fmt};

/// A path that every server reads the same way: two paths have the same bytes here exactly if they are equal once
/// decoded.
///
/// It is absolute, has no dot segments and no empty segments except the last, and spells each byte in one way: plain
/// where RFC 3986 allows that in a segment, otherwise `%` and two upper-case digits. That goes slightly beyond section
/// 6.2.2: `%40` becomes `@`, because the upstream will most likely read it that way.
///
/// An encoded `/` inside a segment stays `%2F`. Only rules that say so match it, see [`super::RouteTable::find`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path<'a>(Cow<'a, str>);

/// Why a path is refused: some server between here and the resource could read it as another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    /// It does not start with `/`.
    NotAbsolute,
    /// `//`.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A byte that is not allowed in a path: `\`, `;`, `#`, a space, a control character or a byte beyond ASCII.
    Byte(u8),
    /// `%` without two hexadecimal digits, or encoded bytes that are not UTF-8.
    Encoding,
    /// An encoded `\`, `.`, `;`, `?`, `#` or control character, or an encoded `/` that no rule lets through.
    EncodedDelimiter,
    /// An encoded space at the end of a segment.
    TrailingSpace,
    /// One of these, encoded twice or more.
    DoubleEncoding,
}

impl<'a> Path<'a> {
    /// Reads `:path`. The query is cut off because no rule looks at it.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Ambiguous> {
        let path = raw.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path.first() != Some(&b'/') {
            return Err(Ambiguous::NotAbsolute);
        }
        if let Some(byte) = path.iter().find(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b';' | b'#')) {
            return Err(Ambiguous::Byte(*byte));
        }
        let path = str::from_utf8(path).map_err(|_| Ambiguous::Encoding)?;
        segments_are_plain(path)?;
        if path.bytes().all(|byte| byte == b'/' || is_segment_byte(byte)) {
            return Ok(Self(Cow::Borrowed(path)));
        }
        respell(path).map(|path| Self(Cow::Owned(path)))
    }

    /// The canonical spelling; it starts with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a segment contains an encoded `/`.
    pub fn has_encoded_slash(&self) -> bool {
        // A path that is spelt as it came contains no `%`.
        matches!(self.0, Cow::Owned(_)) && self.0.contains(ENCODED_SLASH)
    }

    /// The same path in lower case: two paths that differ only in case become one.
    pub(super) fn without_case(&self) -> Cow<'_, str> {
        lower_case(&self.0)
    }
}

/// An encoded `/` in its canonical spelling.
pub(super) const ENCODED_SLASH: &str = "%2F";

fn segments_are_plain(path: &str) -> Result<(), Ambiguous> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err(Ambiguous::EmptySegment),
            "." | ".." => return Err(Ambiguous::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// Bytes that can stay unencoded in a segment: `pchar` of RFC 3986 without `;`, at which some servers cut off
/// parameters.
fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

fn respell(path: &str) -> Result<String, Ambiguous> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut spelt = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let mut meant = byte;
        if byte == b'%' {
            meant = hex_pair(tail).ok_or(Ambiguous::Encoding)?;
            rest = tail.get(2..).unwrap_or_default();
            if meant != b'/' && is_dangerous(meant) {
                return Err(Ambiguous::EncodedDelimiter);
            }
        }
        decoded.push(meant);
        if is_segment_byte(meant) || byte == b'/' {
            spelt.push(char::from(meant));
        } else {
            spelt.extend(['%', hex_digit(meant >> 4), hex_digit(meant & 15)]);
        }
    }
    refuse_hidden_delimiters(&decoded)?;
    // Careless decoders read overlong forms such as `%C0%AF` as `/`.
    let decoded = str::from_utf8(&decoded).map_err(|_| Ambiguous::Encoding)?;
    // A server that decodes first sees further segments, which must not be `..` or empty either. The path itself was
    // looked at before, so that an empty last segment is one behind an encoded slash.
    if spelt.contains(ENCODED_SLASH) {
        segments_are_plain(decoded)?;
        if spelt.ends_with(ENCODED_SLASH) {
            return Err(Ambiguous::EmptySegment);
        }
    }
    Ok(spelt)
}

/// Bytes that some servers treat specially after decoding: delimiters, the start of a query or fragment, and control
/// characters, which end C strings and break logs.
fn is_dangerous(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | b'.' | b';' | b'?' | b'#') || byte.is_ascii_control()
}

/// Refuses what becomes a delimiter after further decoding, however often (`%252f`, `%25252f`, `%25%32f`).
fn refuse_hidden_delimiters(decoded: &[u8]) -> Result<(), Ambiguous> {
    // One pass covers all rounds of decoding: as soon as `seen` ends with an encoded byte, it is replaced by that byte.
    let mut seen = Vec::with_capacity(decoded.len());
    for &byte in decoded {
        seen.push(byte);
        while let [.., b'%', high, low] = seen.as_slice()
            && let Some(meant) = hex_pair(&[*high, *low])
        {
            if is_dangerous(meant) {
                return Err(Ambiguous::DoubleEncoding);
            }
            seen.truncate(seen.len() - 3);
            seen.push(meant);
        }
    }
    // Some servers trim white space at the end of a segment, and would read `/admin%20` as `/admin`.
    match seen.split(|byte| *byte == b'/').any(|segment| segment.ends_with(b" ")) {
        true => Err(Ambiguous::TrailingSpace),
        false => Ok(()),
    }
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(bytes.first()?)? << 4 | digit(bytes.get(1)?)?)
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("a path must start with `/`"),
            Self::EmptySegment => f.write_str("`//` is ambiguous"),
            Self::DotSegment => f.write_str("the segments `.` and `..` are ambiguous"),
            Self::Byte(byte) => write!(f, "`{}` is not allowed in a path", byte.escape_ascii()),
            Self::Encoding => f.write_str("`%` needs two hexadecimal digits, and encoded text must be UTF-8"),
            Self::EncodedDelimiter => {
                f.write_str("an encoded `/`, `\\`, `.`, `;`, `?`, `#` or control character is ambiguous")
            }
            Self::TrailingSpace => f.write_str("an encoded space at the end of a segment is ambiguous"),
            Self::DoubleEncoding => f.write_str("a delimiter that is encoded twice is ambiguous"),
        }
    }
}

#[cfg(test)]
mod tests;
