//! The filter's own credentials at the session service: an OAuth client, or a bearer token.

use super::form::encode;
use crate::policy::{Introspection, Protocol, SessionService};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// The value of `authorization` for the session service, whatever its protocol, from the environment of the VM; `None`
/// if the policy configures no credentials.
///
/// # Errors
/// Returns which variable is missing or unusable and where the policy names it, but never its content.
pub fn authorization(
    session: &SessionService,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let read = |key: &str, name: &str| {
        variable(name).ok_or_else(|| {
            format!(
                "$.session.{key}.env: `{name}` is not set in the VM's environment (Envoy: vm_config.environment_variables)"
            )
        })
    };
    if let Protocol::Introspection(Introspection { client: Some(client), .. }) = &session.protocol {
        let secret = read("client.secret", &client.secret_env)?;
        if secret.is_empty() {
            return Err(format!("$.session.client.secret.env: `{}` is empty", client.secret_env));
        }
        return Ok(Some(basic(&client.id, &secret)));
    }
    let Some(name) = &session.credential_env else { return Ok(None) };
    let principal = read("credential", name)?;
    if principal.is_empty() || !principal.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("$.session.credential.env: `{name}` must hold visible ASCII characters"));
    }
    Ok(Some(format!("Bearer {principal}")))
}

/// `client_secret_basic`: both parts are form-encoded first (RFC 6749, section 2.3.1), so that a `:` in the id does not
/// end it.
fn basic(id: &str, secret: &str) -> String {
    let mut pair = String::new();
    encode(id, &mut pair);
    pair.push(':');
    encode(secret, &mut pair);
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Client;
    use std::time::Duration;

    fn session(client: Option<&str>, principal: bool) -> SessionService {
        let client = client.map(|id| Client { id: id.into(), secret_env: "SECRET".into() });
        SessionService {
            cluster: "id".into(),
            timeout: Duration::from_millis(200),
            credential_env: principal.then(|| "CREDENTIAL".into()),
            protocol: Protocol::Introspection(Introspection { path: "/i".into(), authority: "id".into(), client }),
        }
    }

    fn of(session: &SessionService, value: Option<&str>) -> Result<Option<String>, String> {
        authorization(session, &|_| value.map(str::to_owned))
    }

    #[test]
    fn a_client_s_id_and_secret_are_encoded_before_they_are_joined() {
        for (id, secret, expected) in [
            ("filter", "s3cret", "filter:s3cret"),
            ("a:b", "c d+/%", "a%3Ab:c+d%2B%2F%25"),
            ("ü", "\u{20ac}", "%C3%BC:%E2%82%AC"),
        ] {
            let expected = format!("Basic {}", BASE64_STANDARD.encode(expected));
            assert_eq!(of(&session(Some(id), false), Some(secret)), Ok(Some(expected)), "{id}");
        }
    }

    #[test]
    fn a_credential_is_a_bearer_token_and_none_is_none() {
        assert_eq!(of(&session(None, true), Some("c")), Ok(Some("Bearer c".into())));
        assert_eq!(of(&session(None, false), Some("c")), Ok(None));
        let stream =
            SessionService { protocol: Protocol::Stream { lease: Duration::from_secs(2) }, ..session(None, true) };
        assert_eq!(of(&stream, Some("c")), Ok(Some("Bearer c".into())));
    }

    #[test]
    fn what_is_missing_or_unusable_is_named_and_not_repeated() {
        for (client, value, starts) in [
            (Some("f"), None, "$.session.client.secret.env: `SECRET` is not set"),
            (Some("f"), Some(""), "$.session.client.secret.env: `SECRET` is empty"),
            (None, None, "$.session.credential.env: `CREDENTIAL` is not set"),
            (None, Some(""), "$.session.credential.env: `CREDENTIAL` must hold"),
            (None, Some("hunter2\r\nx: y"), "$.session.credential.env: `CREDENTIAL` must hold"),
        ] {
            let fault = of(&session(client, client.is_none()), value).unwrap_err();
            assert!(fault.starts_with(starts) && !fault.contains("hunter2"), "{fault}");
        }
    }
}
