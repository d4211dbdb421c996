//! The form that callers send, read strictly.

use super::fault::Fault;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;

/// Parameters of one call.
const PARAMETERS_MAX: usize = 64;

/// The parameters of a call, none of them twice (RFC 6749, section 3.2).
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Fault::InvalidRequest("a parameter is there twice".to_owned()));
            }
            if parameters.len() >= PARAMETERS_MAX {
                return Err(Fault::InvalidRequest(format!("more than {PARAMETERS_MAX} parameters")));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// A parameter. An empty one counts as left out (RFC 6749, section 3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The `token` that both endpoints are about.
    pub(super) fn token(&self) -> Result<&str, Fault> {
        self.get("token").ok_or_else(|| Fault::InvalidRequest("`token` is missing".to_owned()))
    }

    /// A parameter that is a duration in whole milliseconds.
    pub(super) fn millis(&self, name: &str) -> Result<Option<u64>, Fault> {
        let read = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        let invalid = || Fault::InvalidRequest(format!("`{name}` is not a whole number of milliseconds"));
        self.get(name).map(|text| read(text).ok_or_else(invalid)).transpose()
    }

    /// A parameter that is `true` or, when it is left out too, `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.get(name) {
            Some("true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(_) => Err(Fault::InvalidRequest(format!("`{name}` is neither `true` nor `false`"))),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let is_form = |value: &str| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        };
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_form) {
            return Err(Fault::InvalidRequest("the body is not `application/x-www-form-urlencoded`".to_owned()));
        }
        let body = Bytes::from_request(request, state).await.map_err(|unread| match unread.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
            _ => Fault::InvalidRequest("the body could not be read".to_owned()),
        })?;
        Self::read(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_and_decoded() {
        let form = Form::read(b"token=a%2Eb+c&x=&n=15&flag=true").unwrap();
        assert_eq!((form.token(), form.get("x"), form.get("y")), (Ok("a.b c"), None, None));
        assert_eq!((form.millis("n"), form.millis("y"), form.flag("flag")), (Ok(Some(15)), Ok(None), Ok(true)));
        assert!(form.millis("flag").is_err() && form.flag("n").is_err());
        assert!(Form::read(b"token=a&token=b").is_err());
        assert!(Form::read(b"").unwrap().token().is_err());
        for text in ["n=-1", "n=%2B1", "n=1.5", "n=99999999999999999999999"] {
            assert!(Form::read(text.as_bytes()).unwrap().millis("n").is_err(), "{text}");
        }
    }
}
