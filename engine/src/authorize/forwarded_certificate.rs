//! The client's certificate as a trusted hop reports it, in `x-forwarded-client-cert`.
//!
//! Each hop appends an element about the certificate of the connection that it received. So the last element about a party
//! that is not a hop itself is the client's; what is further left, the client may have written.

/// The header.
pub(super) const HEADER: &str = "x-forwarded-client-cert";

/// The digest of the client's certificate. `own` is the digest of the hop's, for which this Envoy may have appended an element.
/// `None` where the element that counts has none, or cannot be read.
pub(super) fn client_digest(header: &str, own: Option<&str>, is_hop: impl Fn(&str) -> bool) -> Option<String> {
    let mut elements = split(header, ',').into_iter().rev().map(Element::read);
    let client = elements.find(|element| {
        let is_own = element.hash.is_some() && element.hash.as_deref() == own;
        !is_own && !element.names.iter().any(|name| is_hop(name))
    })?;
    client.hash
}

/// A SHA-256 in hex, in lower case.
pub(super) fn digest(text: &str) -> Option<String> {
    const HEX_BYTES: usize = 64;
    (text.len() == HEX_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// What one hop says of one certificate.
#[derive(Debug, Default)]
struct Element {
    hash: Option<String>,
    /// URI and DNS SANs.
    names: Vec<String>,
}

impl Element {
    fn read(text: &str) -> Self {
        let mut element = Self::default();
        for pair in split(text, ';') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            match key.trim().to_ascii_lowercase().as_str() {
                "hash" => element.hash = digest(&unquoted(value)),
                "uri" | "dns" => element.names.push(unquoted(value)),
                _ => {}
            }
        }
        element
    }
}

/// The parts between separators that are not within quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_end = |char: char| {
        let ends = char == separator && !is_quoted;
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_quoted,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        ends
    };
    text.split(is_end).collect()
}

/// A value without its quotes, in which quotes are escaped.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\""),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(of: char) -> String {
        of.to_string().repeat(64)
    }

    #[test]
    fn the_last_element_that_is_about_no_hop_is_the_clients() {
        let (client, forged, hop, own) = (hash('a'), hash('f'), hash('b'), hash('c'));
        let is_hop = |name: &str| name == "spiffe://edge" || name == "inner.example";
        for (header, expected) in [
            (format!("Hash={client};Subject=\"CN=x, O=\\\"y\\\"; z\";URI=spiffe://laptop"), Some(&client)),
            (format!("Hash={forged};URI=spiffe://laptop,By=spiffe://edge;Hash={client};URI="), Some(&client)),
            (format!("Hash={client},Hash={hop};URI=spiffe://edge"), Some(&client)),
            (format!("Hash={client}, Hash={hop};DNS=x;DNS=inner.example,Hash={own}"), Some(&client)),
            (format!("hash={}", client.to_uppercase()), Some(&client)),
            // A hop that does not say which certificate it saw says nothing, whatever is before it.
            (format!("Hash={forged},By=spiffe://edge;Subject=\"\""), None),
            (format!("Hash={hop};URI=spiffe://edge,Hash={own}"), None),
            ("Hash=abc".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(client_digest(&header, Some(&own), is_hop).as_ref(), expected, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_a_panic(header in "[a-zA-Z=;,\"\\\\ ü]{0,80}") {
            let _: Option<String> = client_digest(&header, None, |_| false);
        }
    }
}
