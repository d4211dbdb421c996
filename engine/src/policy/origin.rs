//! The origin of a web page (RFC 6454), as policies list them and browsers send them.

use crate::route::Host;

/// An origin in one spelling: a default port is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads `https://app.example.com` or `http://localhost:3000`. `None` for anything else, such as `null`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (is_https, authority) = match text.split_once("://")? {
            (scheme, rest) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            (scheme, rest) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return None,
        };
        let (host, port) = host_and_port(authority.as_bytes(), is_https)?;
        Some(Self { is_https, host, port })
    }

    /// Whether this is the origin of a page at the host that a request asks for.
    ///
    /// Host and port must be equal, where the origin's scheme decides which port may be left out. `is_https` is whether
    /// the request is known to have come over TLS: a page without TLS is then another origin. Behind a proxy that ends
    /// TLS it is not known, and both schemes are accepted.
    pub fn is_of(&self, authority: &[u8], is_https: bool) -> bool {
        let asked = host_and_port(authority, self.is_https);
        let is_same = asked.is_some_and(|(host, port)| (host.as_str(), port) == (self.host.as_str(), self.port));
        is_same && (self.is_https || !is_https)
    }
}

/// The spelling that browsers send.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Host and port in one spelling; `None` for the default port.
fn host_and_port(authority: &[u8], is_https: bool) -> Option<(String, Option<u16>)> {
    let host = Host::parse(authority)?;
    let after = authority.rsplit(|byte| *byte == b']').next()?;
    let port = match after.iter().position(|byte| *byte == b':') {
        Some(colon) => std::str::from_utf8(after.get(colon + 1..)?).ok()?,
        None => "",
    };
    // `Host` has checked that it is a number.
    let port: Option<u16> = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    let default = if is_https { 443 } else { 80 };
    Some((host.as_str().to_owned(), port.filter(|port| *port != default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for (text, expected) in [
            ("https://app.example.com", Some("https://app.example.com")),
            ("HTTPS://App.Example.com.:443", Some("https://app.example.com")),
            ("http://app.example.com:80", Some("http://app.example.com")),
            ("http://app.example.com:443", Some("http://app.example.com:443")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("http://[::1]", Some("http://[::1]")),
            ("null", None),
            ("*", None),
            ("", None),
            ("app.example.com", None),
            ("https://", None),
            ("https://*.example.com", None),
            ("https://app.example.com/", None),
            ("https://app.example.com/x", None),
            ("https://user@app.example.com", None),
            ("chrome-extension://abc", None),
            ("https://a.example, https://b.example", None),
        ] {
            assert_eq!(Origin::parse(text.as_bytes()).map(|origin| origin.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_page_is_of_a_request_s_host_if_host_and_port_agree_and_it_is_no_less_secure() {
        for (origin, authority, is_https, expected) in [
            ("https://a.example", "a.example", true, true),
            ("https://a.example", "A.example.:443", true, true),
            // TLS has ended before Envoy.
            ("https://a.example", "a.example", false, true),
            ("http://a.example", "a.example", false, true),
            ("http://a.example", "a.example:80", false, true),
            // A page that anyone on the network can change.
            ("http://a.example", "a.example", true, false),
            ("https://a.example", "a.example:8443", true, false),
            ("https://a.example:8443", "a.example:8443", true, true),
            ("https://a.example:8443", "a.example", true, false),
            ("https://a.example", "a.example:80", false, false),
            ("https://b.example", "a.example", true, false),
            ("https://a.example.evil.example", "a.example", true, false),
            ("https://evil.a.example", "a.example", true, false),
            ("https://a.example", "", true, false),
        ] {
            let origin_of = Origin::parse(origin.as_bytes()).unwrap();
            assert_eq!(origin_of.is_of(authority.as_bytes(), is_https), expected, "{origin} {authority} {is_https}");
        }
    }
}
