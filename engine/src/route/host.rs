//! The host of a request, and the patterns that match it.

use std::{borrow::Cow, fmt, net::Ipv6Addr};

/// The maximum length of a host name (RFC 1035, section 2.3.4), without a trailing dot.
const HOST_BYTES_MAX: usize = 253;
/// The maximum length of a label.
const LABEL_BYTES_MAX: usize = 63;

/// A host in its canonical spelling: lower-case, without port and trailing dot; an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host<'a>(Cow<'a, str>);

impl<'a> Host<'a> {
    /// Reads `:authority` or `Host`.
    ///
    /// `None` means that the upstream could read the host differently from this filter. The request must be refused:
    /// treated as "no host", it would reach rules that are meant for other hosts.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let raw = str::from_utf8(raw).ok().filter(|raw| raw.is_ascii())?;
        if let Some(rest) = raw.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            is_port(port).then_some(())?;
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Self(Cow::Owned(format!("[{address}]"))));
        }
        let (name, port) = raw.split_at_checked(raw.find(':').unwrap_or(raw.len()))?;
        is_port(port).then_some(())?;
        let name = name.strip_suffix('.').unwrap_or(name);
        is_name(name).then(|| Self(lower_case(name)))
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows each dot, longest first: the suffixes that a wildcard can name.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            rest = rest.split_once('.')?.1;
            Some(rest)
        })
    }
}

/// Whether the text is empty, or a colon and a port.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label)
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// A host of a rule, in its canonical spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Box<str>),
    /// Every host with one or more labels before `.suffix`, but not the suffix itself.
    Under(Box<str>),
}

/// What is wrong with a host of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPattern {
    /// `*` alone.
    Everything,
    /// `*` elsewhere than as the whole first label.
    Wildcard,
    /// A port.
    Port,
    /// Neither a host name nor an IP address.
    NoHost,
}

impl HostPattern {
    /// Reads a host or `*.suffix`.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text == "*" {
            return Err(BadPattern::Everything);
        }
        let (name, under) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(BadPattern::Wildcard);
        }
        let host = Host::parse(name.as_bytes()).ok_or(BadPattern::NoHost)?;
        match (under, name.starts_with('['), name.ends_with(']'), name.contains(':')) {
            (true, true, ..) => Err(BadPattern::Wildcard),
            (_, true, false, _) | (_, false, _, true) => Err(BadPattern::Port),
            (true, ..) => Ok(Self::Under(host.as_str().into())),
            (false, ..) => Ok(Self::Exact(host.as_str().into())),
        }
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "`*` is not a host; omit `hosts` to match every host",
            Self::Wildcard => "`*` can only be the whole first label of a name, as in `*.example.com`",
            Self::Port => "ports are not compared; specify the host without one",
            Self::NoHost => "expected a host name, an IP address, or `*.` followed by a name",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(raw: &str) -> Option<String> {
        Host::parse(raw.as_bytes()).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn every_spelling_of_a_host_becomes_one() {
        for raw in
            ["example.com", "EXAMPLE.com", "example.com.", "example.com:443", "Example.Com.:8443", "example.com:"]
        {
            assert_eq!(host(raw).as_deref(), Some("example.com"), "{raw}");
        }
        for raw in ["[::1]", "[::1]:443", "[0:0:0:0:0:0:0:1]", "[::0001]:"] {
            assert_eq!(host(raw).as_deref(), Some("[::1]"), "{raw}");
        }
        assert_eq!(host("10.0.0.1:80").as_deref(), Some("10.0.0.1"));
        assert_eq!(host("_dmarc.Example-1.com").as_deref(), Some("_dmarc.example-1.com"));
    }

    #[test]
    fn garbage_is_no_host() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = "a.".repeat(127) + "com";
        for raw in [
            "",
            ".",
            "..",
            "example.com..",
            ".example.com",
            "a..b",
            "example.com:x",
            "example.com:+1",
            "example.com:65536",
            "example.com:80:80",
            "user@example.com",
            "example.com/x",
            "exa mple.com",
            "example.com\t",
            "*.example.com",
            "ex%61mple.com",
            "bücher.example",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "[1.2.3.4]",
            "::1",
            "a,b",
            "a\0b",
            &long_label,
            &long_name,
        ] {
            assert_eq!(host(raw), None, "{raw}");
        }
        assert_eq!(Host::parse(b"\xff.example.com"), None);
    }

    #[test]
    fn a_host_in_its_one_spelling_is_not_copied() {
        assert!(matches!(Host::parse(b"example.com.:80"), Some(Host(Cow::Borrowed("example.com")))));
    }

    #[test]
    fn suffixes_come_longest_first() {
        let host = Host::parse(b"a.b.example.com").unwrap();
        assert_eq!(host.suffixes().collect::<Vec<_>>(), ["b.example.com", "example.com", "com"]);
    }

    #[test]
    fn patterns_are_exact_or_one_leading_wildcard() {
        assert_eq!(HostPattern::parse("A.example.com."), Ok(HostPattern::Exact("a.example.com".into())));
        assert_eq!(HostPattern::parse("*.Example.com"), Ok(HostPattern::Under("example.com".into())));
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for (text, fault) in [
            ("*", BadPattern::Everything),
            ("a.*.com", BadPattern::Wildcard),
            ("*a.com", BadPattern::Wildcard),
            ("*.*.com", BadPattern::Wildcard),
            ("*.[::1]", BadPattern::Wildcard),
            ("a.com:80", BadPattern::Port),
            ("*.a.com:80", BadPattern::Port),
            ("[::1]:80", BadPattern::Port),
            ("", BadPattern::NoHost),
            ("*.", BadPattern::NoHost),
            ("https://a.com", BadPattern::NoHost),
        ] {
            assert_eq!(HostPattern::parse(text), Err(fault), "{text}");
        }
    }
}
