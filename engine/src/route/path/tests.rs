//! Tests of which paths are refused, and how the others are spelled.

use super::*;
use proptest::prelude::*;

fn spelt(raw: &str) -> String {
    Path::parse(raw.as_bytes()).unwrap_or_else(|fault| panic!("{raw}: {fault}")).as_str().to_owned()
}

#[test]
fn ambiguous_paths_are_refused() {
    use Ambiguous::*;
    for (raw, fault) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("?/x", NotAbsolute),
        ("http://example.com/x", NotAbsolute),
        ("admin", NotAbsolute),
        ("//", EmptySegment),
        ("//admin", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("/.", DotSegment),
        ("/..", DotSegment),
        ("/a/./b", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/..?x", DotSegment),
        ("/a\\b", Byte(b'\\')),
        ("/a;v=1", Byte(b';')),
        ("/a#b", Byte(b'#')),
        ("/a b", Byte(b' ')),
        ("/a\tb", Byte(b'\t')),
        ("/a\0", Byte(0)),
        ("/a\x7f", Byte(0x7f)),
        ("/ü", Byte(0xc3)),
        ("/%", Encoding),
        ("/%4", Encoding),
        ("/%4/", Encoding),
        ("/%zz", Encoding),
        ("/%+1", Encoding),
        ("/%ff", Encoding),
        ("/%c0%af", Encoding),
        ("/%e0%80%af", Encoding),
        ("/a%2f", EmptySegment),
        ("/a%2f/b", EmptySegment),
        ("/%2fa", EmptySegment),
        ("/a%2f%2Fb", EmptySegment),
        ("/a%2f..", DotSegment),
        ("/..%2fa", DotSegment),
        ("/a%2f.%2fb", DotSegment),
        ("/a%20%2fb", TrailingSpace),
        ("/a%2f%2e%2e", EncodedDelimiter),
        ("/a%5cb", EncodedDelimiter),
        ("/a%5C", EncodedDelimiter),
        ("/a%00", EncodedDelimiter),
        ("/%2e%2E/", EncodedDelimiter),
        ("/.%2e/", EncodedDelimiter),
        ("/a%2ejson", EncodedDelimiter),
        ("/a%3bv", EncodedDelimiter),
        ("/a%3f", EncodedDelimiter),
        ("/a%23b", EncodedDelimiter),
        ("/a%0a", EncodedDelimiter),
        ("/a%1F", EncodedDelimiter),
        ("/a%7f", EncodedDelimiter),
        ("/a%20", TrailingSpace),
        ("/a%20/b", TrailingSpace),
        ("/a%2520", TrailingSpace),
        ("/a%253fb", DoubleEncoding),
        ("/a%252fb", DoubleEncoding),
        ("/a%255C", DoubleEncoding),
        ("/%252e%252E", DoubleEncoding),
        ("/a%2500", DoubleEncoding),
        ("/a%253b", DoubleEncoding),
        ("/a%25252f", DoubleEncoding),
        ("/a%2525252F", DoubleEncoding),
        ("/a%25%32f", DoubleEncoding),
        ("/a%25%32%66", DoubleEncoding),
    ] {
        assert_eq!(Path::parse(raw.as_bytes()), Err(fault), "{raw}");
    }
}

#[test]
fn every_spelling_of_a_path_becomes_one() {
    for (raw, one) in [
        ("/", "/"),
        ("/?q=//../%2f\\", "/"),
        ("/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/%41%5a%61%7A%30%2d%5F%7e", "/AZaz0-_~"),
        ("/admin/", "/admin/"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/users/%40me", "/users/@me"),
        ("/users/@me", "/users/@me"),
        ("/a{b}", "/a%7Bb%7D"),
        ("/a%7bb%7D", "/a%7Bb%7D"),
        ("/50%25", "/50%25"),
        ("/%25zz", "/%25zz"),
        ("/@scope%2fname", "/@scope%2Fname"),
        ("/a%2Fb/", "/a%2Fb/"),
        ("/...", "/..."),
        ("/.well-known/x.json", "/.well-known/x.json"),
    ] {
        assert_eq!(spelt(raw), one, "{raw}");
    }
}

#[test]
fn a_path_in_its_one_spelling_is_not_copied() {
    for raw in ["/", "/orders/17/lines?x=%2f", "/a.b/~c@d:e=f"] {
        assert!(matches!(Path::parse(raw.as_bytes()), Ok(Path(Cow::Borrowed(_)))), "{raw}");
    }
}

/// What a careful server makes of a path, written another way than the code above.
fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = path.split('%');
    out.extend(parts.next().unwrap().bytes());
    for part in parts {
        let (digits, text) = part.split_at(2);
        out.push(u8::from_str_radix(digits, 16).unwrap());
        out.extend(text.bytes());
    }
    out
}

fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z/.]",
        2 => "[ -~]",
        3 => "%[0-9a-fA-F]{2}",
        2 => "%25|%2f|%2E|%c3%a9|%40|%7b",
        // Parts that make up delimiters which are encoded twice or more.
        2 => "%25|25|%32|%35|%66|2f|2E|5c|3B|00",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_make_it_fall(raw: Vec<u8>) {
        let _ = Path::parse(&raw);
    }

    #[test]
    fn the_one_spelling_means_the_same_and_stays(raw in raw_path()) {
        if let Ok(path) = Path::parse(raw.as_bytes()) {
            let before = raw.split('?').next().unwrap();
            prop_assert_eq!(decoded(before), decoded(path.as_str()));
            prop_assert_eq!(spelt(path.as_str()), path.as_str());
        }
    }

    #[test]
    fn paths_that_decode_alike_are_spelt_alike(a in raw_path()) {
        // Encode every second byte, which must change nothing.
        let Ok(path) = Path::parse(a.as_bytes()) else { return Ok(()) };
        prop_assume!(!path.has_encoded_slash());
        let other: String = decoded(path.as_str()).iter().enumerate().map(|(i, byte)| match byte {
            b'/' | b'.' => char::from(*byte).to_string(),
            byte if i % 2 == 0 || !byte.is_ascii_graphic() || *byte == b'%' || b";#?\\".contains(byte) => format!("%{byte:02x}"),
            byte => char::from(*byte).to_string(),
        }).collect();
        prop_assert_eq!(spelt(&other), path.as_str());
    }

    #[test]
    fn what_passes_holds_no_delimiter_however_often_it_is_decoded(raw in raw_path()) {
        let Ok(path) = Path::parse(raw.as_bytes()) else { return Ok(()) };
        // The one delimiter that can pass is a slash inside a segment, encoded once.
        let hidden = path.as_str().matches(ENCODED_SLASH).count();
        prop_assert_eq!(hidden > 0, path.has_encoded_slash());
        let (slashes, dots) = (path.as_str().matches('/').count(), path.as_str().matches('.').count());
        let mut bytes = path.as_str().as_bytes().to_vec();
        for round in 0..4 {
            let expected = if round == 0 { slashes } else { slashes + hidden };
            prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'/').count(), expected);
            let plain = String::from_utf8_lossy(&bytes);
            prop_assert!(!plain.contains("//") && !plain.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'.').count(), dots);
            prop_assert!(!bytes.iter().any(|byte| matches!(byte, b'\\' | b';' | b'?' | b'#') || byte.is_ascii_control()));
            bytes = loosely_decoded(&bytes);
        }
    }
}

/// Decodes what can be decoded and leaves the rest, as careless servers do.
fn loosely_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        match hex_pair(tail).filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = &tail[2..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}
