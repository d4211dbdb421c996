//! Browsers: they hold a cookie with a handle, and no token.
//!
//! The filter shows the digest of the handle, and is given the access token that the service holds for it. A handle does not change
//! while its login lasts: a browser sends it with many requests at a time. So nothing here notices reuse; the cookie is out of the
//! reach of scripts, and its family ends with its session.
//!
//! - `cookie` makes handles, and reads and sets cookies;
//! - `login` opens a family, `logout` ends it and its session;
//! - `renewal` says when a token is renewed, and is pure; so is `pause`, for an issuer that does not answer;
//! - `renew` renews a token: once at a time, ahead of need;
//! - `redeem` answers filters.

mod cookie;
mod find;
mod login;
mod logout;
mod pause;
mod redeem;
mod renew;
mod renewal;

pub(super) use cookie::{COOKIE, CookieRequest, is_through_proxy, requested};
pub(super) use login::log_in;
pub(super) use logout::log_out;
pub(super) use pause::Pause;
pub use redeem::Redemption;
pub(crate) use redeem::redeem;
pub(super) use renew::Renewals;

/// The longest access token that is held: as long as a policy may accept one.
const ACCESS_BYTES_MAX: usize = 61_440;
