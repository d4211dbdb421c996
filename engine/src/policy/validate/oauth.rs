//! The token endpoint on the hosts of the policy, and the cookie that browsers get there.

use super::{ROOT, session::cluster};
use crate::{
    policy::{
        OAuth, TokenPlace,
        deserialize::Given,
        fault::{About, Faults, Wrong},
        raw::RawOAuth,
        text::quoted,
    },
    route::Path,
};

/// The path unless the policy has another one.
const PATH: &str = "/oauth2";
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// Reads `oauth`. `places`: what `token_from` says, if it could be read. `is_endpoint`: the session service is an introspection
/// endpoint, which knows no handles.
pub(super) fn oauth(
    raw: Given<RawOAuth>,
    places: Option<&[TokenPlace]>,
    is_endpoint: bool,
    faults: &mut Faults,
) -> Option<Option<OAuth>> {
    let at = ROOT.key("oauth");
    let is_absent = raw.is_absent();
    let mut cookies = places.into_iter().flatten().enumerate();
    if let Some((index, _)) = cookies.find(|(_, place)| matches!(place, TokenPlace::SessionCookie(_))) {
        if is_endpoint {
            let message = "only Portcullis's own session service knows the tokens of handles; use `cookie`, or \
                           `$.session.protocol: stream`";
            faults.add(&ROOT.key("token_from").item(index).key("session_cookie"), message);
        }
        if is_absent {
            let message =
                format_args!("this key is required: browsers get the cookie of `$.token_from[{index}]` there");
            faults.add(&at, Wrong::from(message).about(About::MissingKey));
        }
    }
    raw.or(None, |raw| {
        let path = raw.path.or(PATH.to_owned(), |text| faults.check(&at.key("path"), path(&text)));
        let cluster = cluster(raw.cluster, &at.key("cluster"), faults);
        Some(Some(OAuth { path: path?, cluster: cluster? }))
    })
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = Path::parse(text.as_bytes()).is_ok_and(|path| path.as_str() == text && !path.has_encoded_slash());
    match text {
        _ if text.len() > PATH_BYTES_MAX => Err(format!("must not be longer than {PATH_BYTES_MAX} bytes")),
        _ if !is_plain || text.contains(['?', '{', '}']) => {
            Err(format!("{} is not a path in its plain form, such as `{PATH}`", quoted(text)))
        }
        _ if text.ends_with('/') => Err(format!("{} must not end with `/`", quoted(text))),
        _ => Ok(text.to_owned()),
    }
}
