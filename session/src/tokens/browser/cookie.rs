//! The cookie of a browser, and the handle in it.

use crate::tokens::family::FamilyId;
use crate::tokens::fault::Fault;
use crate::tokens::form::Form;
use crate::tokens::handle::HandleDigest;
use crate::tokens::vault::random;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::wire::COOKIE_HEADER;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The parameter of a request for tokens by which a browser gets a cookie. It is not passed on.
pub(in crate::tokens) const COOKIE: &str = "portcullis_cookie";

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Values of one name that are looked at: browsers send several where cookies were set for several paths.
const VALUES_MAX: usize = 4;

const SECRET_BYTES: usize = 32;

/// The length of a handle's text.
const TEXT_BYTES: usize = 43;

/// What the ids of browsers' families are derived from, besides the digests of their handles.
const OF_BROWSER: &[u8] = b"portcullis browser family";

/// The name of a cookie (RFC 6265, section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tokens) struct CookieName(String);

/// A request that is about a browser's cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tokens) struct CookieRequest {
    pub(super) name: CookieName,
    /// The digests of the handles that it came with.
    pub(super) shown: Vec<HandleDigest>,
}

/// Whether a proxy has passed a request on: it sets that header, in place of the client's. Its connection is the proxy's.
pub(in crate::tokens) fn is_through_proxy(headers: &HeaderMap) -> bool {
    headers.contains_key(COOKIE_HEADER)
}

/// Whether a request for tokens is the login of a browser, which can have no secret and no key.
pub(in crate::tokens) fn requested(headers: &HeaderMap, form: &Form) -> Result<Option<CookieRequest>, Fault> {
    match form.get(COOKIE) {
        None => return Ok(None),
        Some("1") => {}
        Some(_) => return Err(Fault::InvalidRequest("`portcullis_cookie` is not `1`")),
    }
    let is_authenticated = headers.contains_key(AUTHORIZATION)
        || ["client_secret", "client_assertion"].iter().any(|name| form.get(name).is_some());
    if is_authenticated || headers.contains_key("dpop") {
        return Err(Fault::InvalidRequest("`portcullis_cookie` is for public clients, which prove nothing"));
    }
    CookieRequest::read(headers).map(Some)
}

impl CookieRequest {
    /// Reads the name of the cookie, and what there is under it.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut names = headers.get_all(COOKIE_HEADER).iter();
        let name = match (names.next(), names.next()) {
            (Some(name), None) => name.to_str().ok().filter(|name| is_name(name)).ok_or(BAD_NAME)?,
            (None, _) => return Err(NOBODY_VOUCHES),
            (Some(_), Some(_)) => return Err(BAD_NAME),
        };
        let cookies = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let values = pairs.filter(|(shown, value)| *shown == name && is_handle(value)).map(|(_, value)| value);
        let shown = values.take(VALUES_MAX).map(digest_of).collect();
        Ok(Self { name: CookieName(name.to_owned()), shown })
    }
}

const NOBODY_VOUCHES: Fault = Fault::InvalidRequest("no proxy vouches for the origin of the request");
const BAD_NAME: Fault = Fault::InvalidRequest("`x-portcullis-cookie` is not the name of a cookie");

fn is_name(name: &str) -> bool {
    let is_separator = |byte: &u8| br#"()<>@,;:\"/[]?={}"#.contains(byte);
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !is_separator(&byte))
}

fn is_handle(text: &str) -> bool {
    text.len() == TEXT_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn digest_of(text: &str) -> HandleDigest {
    HandleDigest(Sha256::digest(text).into())
}

/// The family of a handle. It is named by the handle's digest, so that a filter need not know its id, and its id, which may be seen,
/// says nothing of the digest.
pub(super) fn family_of(digest: HandleDigest) -> FamilyId {
    let all: [u8; 32] = Sha256::new().chain_update(OF_BROWSER).chain_update(digest.0).finalize().into();
    FamilyId(std::array::from_fn(|at| all.get(at).copied().unwrap_or_default()))
}

impl CookieName {
    /// The header that has the browser forget the cookie.
    pub(super) fn clear(&self) -> Option<HeaderValue> {
        self.set("", 0)
    }

    fn set(&self, value: &str, max_age_s: u64) -> Option<HeaderValue> {
        let Self(name) = self;
        let cookie = format!("{name}={value}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age={max_age_s}");
        let mut cookie = HeaderValue::try_from(cookie).ok()?;
        cookie.set_sensitive(true);
        Some(cookie)
    }
}

/// A browser's handle.
pub(super) struct CookieHandle(String);

/// Written by hand because whoever has the handle can use it.
impl fmt::Debug for CookieHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieHandle")
    }
}

impl CookieHandle {
    /// A new one. `None`: the system has no random numbers.
    pub(super) fn make() -> Option<Self> {
        random::<SECRET_BYTES>().map(|secret| Self(BASE64_URL_SAFE_NO_PAD.encode(secret)))
    }

    /// What is kept of it, and what a filter shows.
    pub(super) fn digest(&self) -> HandleDigest {
        digest_of(&self.0)
    }

    /// The header that gives it to the browser.
    pub(super) fn cookie(&self, name: &CookieName, max_age_s: u64) -> Option<HeaderValue> {
        name.set(&self.0, max_age_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn shown(cookie: &str) -> Vec<HandleDigest> {
        CookieRequest::read(&headers(&[(COOKIE_HEADER, "n"), ("cookie", cookie)])).unwrap().shown
    }

    #[test]
    fn a_handle_has_256_random_bits_and_names_a_family_that_says_nothing_of_it() {
        let (one, two) = (CookieHandle::make().unwrap(), CookieHandle::make().unwrap());
        assert_ne!(one.0, two.0);
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(&one.0).unwrap().len(), SECRET_BYTES);
        assert!(is_handle(&one.0) && shown(&format!("n={}", one.0)) == [one.digest()]);
        let family = family_of(one.digest());
        assert_ne!(family, family_of(two.digest()));
        assert!(!one.digest().0.windows(4).any(|part| family.0.windows(4).any(|seen| seen == part)));
        assert!(!format!("{one:?}").contains(&one.0));
    }

    #[test]
    fn a_cookie_is_for_its_host_alone_and_out_of_the_reach_of_scripts() {
        let (handle, name) = (CookieHandle("h".repeat(43)), CookieName("__Host-portcullis".to_owned()));
        let set = handle.cookie(&name, 600).unwrap();
        let expected =
            format!("__Host-portcullis={}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=600", "h".repeat(43));
        assert_eq!(set.to_str().unwrap(), expected);
        assert!(set.is_sensitive() && !format!("{set:?}").contains("hhh"));
        let clear = name.clear().unwrap();
        assert_eq!(clear.to_str().unwrap(), "__Host-portcullis=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0");
    }

    #[test]
    fn a_proxy_names_the_cookie_once_and_by_a_name() {
        let named = |names: &[&str]| {
            let pairs: Vec<_> = names.iter().map(|name| (COOKIE_HEADER, *name)).collect();
            CookieRequest::read(&headers(&pairs)).map(|request| request.name.0)
        };
        assert_eq!(named(&["__Host-portcullis"]).unwrap(), "__Host-portcullis");
        assert_eq!(named(&[]), Err(NOBODY_VOUCHES));
        for bad in ["", "a b", "a=b", "a;b", "a,b", "é", "\"a\"", &"n".repeat(129)] {
            assert!(named(&[bad]).is_err(), "{bad}");
        }
        assert!(named(&["a", "a"]).is_err());
    }

    #[test]
    fn only_what_has_the_form_of_a_handle_is_looked_up() {
        let (a, b) = ("a".repeat(43), "b".repeat(43));
        assert_eq!(shown(&format!("x=1; n={a};m={b}; n={b}")), [digest_of(&a), digest_of(&b)]);
        for other in [
            String::new(),
            format!("m={a}"),
            format!("N={a}"),
            format!("n=\"{a}\""),
            format!("n={a}a"),
            format!("n={}", a.split_at(1).1),
            format!("n={}!", a.split_at(1).1),
            "n".to_owned(),
        ] {
            assert!(shown(&other).is_empty(), "{other}");
        }
        assert_eq!(shown(&format!("n={a}; ").repeat(10)).len(), VALUES_MAX);
    }

    #[test]
    fn a_browser_is_a_public_client_without_a_key() {
        let requested = |pairs: &[(&'static str, &str)], form: &str| {
            requested(&headers(pairs), &Form::read(form.as_bytes()).unwrap()).map(|request| request.is_some())
        };
        assert_eq!(requested(&[], "client_id=spa"), Ok(false));
        assert_eq!(requested(&[], "client_id=spa&portcullis_cookie="), Ok(false));
        assert_eq!(requested(&[(COOKIE_HEADER, "n")], "client_id=spa&portcullis_cookie=1"), Ok(true));
        let refused: [(&[(&'static str, &str)], &str); 8] = [
            (&[], "portcullis_cookie=1"),
            (&[(COOKIE_HEADER, "n")], "portcullis_cookie=0"),
            (&[(COOKIE_HEADER, "n")], "portcullis_cookie=true"),
            (&[(COOKIE_HEADER, "n"), ("authorization", "Basic x")], "portcullis_cookie=1"),
            (&[(COOKIE_HEADER, "n"), ("dpop", "x")], "portcullis_cookie=1"),
            (&[(COOKIE_HEADER, "n")], "portcullis_cookie=1&client_secret=s"),
            (&[(COOKIE_HEADER, "n")], "portcullis_cookie=1&client_assertion=s"),
            (&[(COOKIE_HEADER, "a b")], "portcullis_cookie=1"),
        ];
        for (pairs, form) in refused {
            assert!(matches!(requested(pairs, form), Err(Fault::InvalidRequest(_))), "{pairs:?} {form}");
        }
    }

    proptest! {
        #[test]
        fn no_cookie_header_is_a_panic_and_at_most_four_are_looked_up(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert("cookie", value.clone());
                headers.insert(COOKIE_HEADER, HeaderValue::from_static("n"));
                prop_assert!(CookieRequest::read(&headers).unwrap().shown.len() <= VALUES_MAX);
                headers.insert(COOKIE_HEADER, value);
                let _: Result<CookieRequest, Fault> = CookieRequest::read(&headers);
            }
        }
    }
}
