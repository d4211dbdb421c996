//! Form encoding: `application/x-www-form-urlencoded` (WHATWG URL, section 5.2; RFC 6749, appendix B).

/// A form that is being filled in.
#[derive(Default)]
pub(super) struct Form(String);

impl Form {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// Appends `text`, escaped so that it cannot contain the form's own delimiters.
pub(super) fn encode(text: &str, into: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => into.push(char::from(byte)),
            b' ' => into.push('+'),
            byte => into.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(text: &str) -> String {
        let mut into = String::new();
        encode(text, &mut into);
        into
    }

    /// Decodes a form the way a server does.
    fn decoded(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&hex, 16).unwrap()
                }
                byte => byte,
            });
        }
        decoded
    }

    #[test]
    fn what_is_special_in_a_form_is_escaped() {
        for (text, expected) in [
            ("", ""),
            ("AZaz09*-._", "AZaz09*-._"),
            ("a b", "a+b"),
            ("a+b/c==", "a%2Bb%2Fc%3D%3D"),
            ("a&token=b", "a%26token%3Db"),
            ("~%:\r\n\0", "%7E%25%3A%0D%0A%00"),
            ("ü€", "%C3%BC%E2%82%AC"),
        ] {
            assert_eq!(encoded(text), expected, "{text:?}");
        }
    }

    #[test]
    fn parameters_are_joined() {
        let mut form = Form::default();
        form.add("a", "1");
        form.add("b c", "2&3");
        assert_eq!(form.into_bytes(), b"a=1&b+c=2%263");
    }

    proptest! {
        #[test]
        fn a_server_reads_back_what_was_meant(text: String) {
            let encoded = encoded(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"&=\"\\".contains(&byte)));
            prop_assert_eq!(decoded(&encoded), text.into_bytes());
        }
    }
}
