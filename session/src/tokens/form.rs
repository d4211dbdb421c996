//! The form that clients send, read strictly.

/// Parameters of one request.
const PARAMETERS_MAX: usize = 64;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadForm {
    /// A parameter is there twice (RFC 6749, section 3.2).
    Twice,
    /// There are more than anybody needs.
    TooMany,
    /// It is not text.
    NotText,
}

impl BadForm {
    /// What is wrong, for the client.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Twice => "a parameter is there twice",
            Self::TooMany => "there are too many parameters",
            Self::NotText => "a parameter is not text",
        }
    }
}

/// The parameters of a request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Written by hand because it has secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads a body (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// What RFC 6749 refuses, and what is not text: it could be read in two ways here and at the issuer.
    pub fn read(body: &[u8]) -> Result<Self, BadForm> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if !is_text(&name) || !is_text(&value) {
                return Err(BadForm::NotText);
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(BadForm::Twice);
            }
            if parameters.len() >= PARAMETERS_MAX {
                return Err(BadForm::TooMany);
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// A parameter. An empty one counts as left out (RFC 6749, section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The same with another value of a parameter; `None` takes it out.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// Only these parameters.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// The form as it is sent on.
    pub fn text(&self) -> String {
        let mut serializer = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            serializer.append_pair(name, value);
        }
        serializer.finish()
    }
}

/// No control character, and nothing that was not UTF-8.
fn is_text(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() || letter == char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_read_once_and_decoded() {
        let form = Form::read(b"grant_type=a%2Eb+c&x=&n=15").unwrap();
        assert_eq!((form.get("grant_type"), form.get("x"), form.get("y")), (Some("a.b c"), None, None));
        assert!(!format!("{form:?}").contains("a.b"));
        assert_eq!(Form::read(b"").unwrap(), Form::default());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        assert_eq!(Form::read(b"a=1&b=2&a=3"), Err(BadForm::Twice));
        assert_eq!(Form::read(b"a=1&%61=3"), Err(BadForm::Twice));
        assert_eq!(Form::read(b"a=%ff"), Err(BadForm::NotText));
        assert_eq!(Form::read(b"a=%00"), Err(BadForm::NotText));
        assert_eq!(Form::read(b"a=1%0d%0ab"), Err(BadForm::NotText));
        let many: String = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=x&")).collect();
        assert_eq!(Form::read(many.as_bytes()), Err(BadForm::TooMany));
    }

    #[test]
    fn parameters_are_replaced_and_taken_out() {
        let form = Form::read(b"a=1&b=2&c=3").unwrap().with("a", Some("&")).with("b", None);
        assert_eq!((form.text(), form.only(&["a"]).text()), ("c=3&a=%26".to_owned(), "a=%26".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_sent_on_reads_as_what_was_received(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(form) = Form::read(&body) {
                prop_assert_eq!(Form::read(form.text().as_bytes()), Ok(form));
            }
        }
    }
}
