//! The URL that a proof is for: compared after normalization by syntax and scheme (RFC 9449, section 4.3; RFC 3986, sections
//! 6.2.2 and 6.2.3), without query and fragment.

/// The maximum length of a URL in bytes.
pub const URL_BYTES_MAX: usize = 8_192;

/// An `http` or `https` URL without query and fragment, in one spelling: two that are equal here are the same resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Reads a URL. `None` if it is none, or one that could be read in more than one way: with user information, characters
    /// that must be encoded, or a `%` without two digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split(['?', '#']).next()?;
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut url = format!("{scheme}://");
        push_authority(&mut url, authority, scheme)?;
        push_path(&mut url, path)?;
        Some(Self(url))
    }

    /// Its only spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push_authority(url: &mut String, authority: &str, scheme: &str) -> Option<()> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let is_address = address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
            let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
            (format!("[{address}]"), if is_address && !address.is_empty() { port } else { return None })
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            (host.to_owned(), if is_name && !host.is_empty() { port } else { return None })
        }
    };
    url.push_str(&host.to_ascii_lowercase());
    if port.is_empty() {
        return Some(());
    }
    let number: u16 = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()?;
    let default = if scheme == "https" { 443 } else { 80 };
    if number != default {
        url.push_str(&format!(":{number}"));
    }
    Some(())
}

/// The path with every encoded byte in one spelling, and then without dot segments. None is `/`.
fn push_path(url: &mut String, path: &str) -> Option<()> {
    let path = respelt(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                // What a dot segment at the end leaves is a folder (RFC 3986, section 5.2.4).
                if is_last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    if segments.is_empty() {
        url.push('/');
    }
    for segment in segments {
        url.push('/');
        url.push_str(segment);
    }
    Some(())
}

/// What need not be encoded is not, and what is has upper-case digits.
fn respelt(path: &str) -> Option<String> {
    let mut spelt = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            spelt.push(char::from(byte));
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let meant = digit()? << 4 | digit()?;
        if meant.is_ascii_alphanumeric() || b"-._~".contains(&meant) {
            spelt.push(char::from(meant));
        } else {
            spelt.push_str(&format!("%{meant:02X}"));
        }
    }
    Some(spelt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        HttpUrl::parse(text).map(|url| url.as_str().to_owned())
    }

    #[test]
    fn a_url_has_one_spelling() {
        for (text, expected) in [
            ("https://api.example/orders", "https://api.example/orders"),
            ("HTTPS://API.Example/Orders", "https://api.example/Orders"),
            ("https://api.example:443/", "https://api.example/"),
            ("https://api.example:/", "https://api.example/"),
            ("https://api.example", "https://api.example/"),
            ("https://api.example?x=1", "https://api.example/"),
            ("https://api.example#x", "https://api.example/"),
            ("http://api.example:80/a", "http://api.example/a"),
            ("http://api.example:443/a", "http://api.example:443/a"),
            ("https://api.example:0443/a", "https://api.example/a"),
            ("https://api.example:8443/a", "https://api.example:8443/a"),
            ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
            ("https://a/b?c=d/../e#f?g", "https://a/b"),
            ("https://a/b#c?d", "https://a/b"),
            ("https://a/%7euser/%e4%2f%2F", "https://a/~user/%E4%2F%2F"),
            ("https://a/b/./c/../d", "https://a/b/d"),
            ("https://a/b/..", "https://a/"),
            ("https://a/b/c/.", "https://a/b/c/"),
            ("https://a/../../b", "https://a/b"),
            ("https://a/%2e%2E/b", "https://a/b"),
            ("https://a//b//", "https://a//b//"),
            ("https://a/b;c=d@:!$&'()*+,", "https://a/b;c=d@:!$&'()*+,"),
        ] {
            assert_eq!(of(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_url() {
        for text in [
            "",
            "/orders",
            "api.example/orders",
            "//api.example/orders",
            "ftp://api.example/",
            "https:/api.example/",
            "https:///orders",
            "https://:443/",
            "https://alice@api.example/",
            "https://api.example@evil.example/",
            "https://api.example:a/",
            "https://api.example:65536/",
            "https://api.example:+443/",
            "https://api.example:1:2/",
            "https://api%2eexample/",
            "https://[::1/",
            "https://[]/",
            "https://[::1]x/",
            "https://[g::]/",
            "https://a/b c",
            "https://a/\u{e4}",
            "https://a\\b/",
            "https://a/%",
            "https://a/%4",
            "https://a/%4g",
            "https://a/%+1",
        ] {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(of(&format!("https://a/{}", "b".repeat(URL_BYTES_MAX))), None);
    }

    proptest::proptest! {
        #[test]
        fn a_spelling_is_spelt_the_same_again(text in "[hH][tT][tT][pP][sS]?://[a-zA-Z0-9.:\\[\\]@-]{0,12}(/[!-~]{0,24})?") {
            if let Some(url) = HttpUrl::parse(&text) {
                proptest::prop_assert_eq!(HttpUrl::parse(url.as_str()), Some(url.clone()));
                proptest::prop_assert!(!url.as_str().contains(['?', '#']));
            }
        }

        #[test]
        fn query_and_fragment_never_count(path in "(/[a-z%20.]{0,6}){0,4}", rest in "[?#][!-~]{0,20}") {
            let plain = HttpUrl::parse(&format!("https://a{path}"));
            proptest::prop_assert_eq!(HttpUrl::parse(&format!("https://a{path}{rest}")), plain);
        }

        #[test]
        fn how_unreserved_characters_are_encoded_never_counts(path in "[a-zA-Z0-9~_-]{1,12}", every in 1_usize..4) {
            let encode = |(index, byte): (usize, u8)| match index % every {
                0 => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            };
            let encoded: String = path.bytes().enumerate().map(encode).collect();
            let plain = HttpUrl::parse(&format!("https://a/{path}"));
            proptest::prop_assert!(plain.is_some());
            proptest::prop_assert_eq!(HttpUrl::parse(&format!("https://A:443/{encoded}")), plain);
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,60}") {
            let _: Option<HttpUrl> = HttpUrl::parse(&text);
        }
    }
}
