//! What the reasons of refused tokens mean, and what to do about each.

use portcullis_engine::token::Reason;

/// The reason with that name.
pub(super) fn named(name: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| reason.name() == name)
}

/// What is wrong with the token.
pub(super) const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Issuer => {
            "its `iss` is not an issuer of the policy, or the introspection endpoint does not vouch for it"
        }
        Reason::Audience => "its `aud` contains none of the issuer's `audiences`",
        Reason::Client => "it was issued to a client that is not accepted",
        Reason::Claim => "it lacks a required claim, or a claim has the wrong value",
        Reason::Type => "its `typ` is not one of the issuer's `token_types`",
        Reason::Algorithm => "its `alg` is not one of the issuer's `algorithms`",
        Reason::Key => {
            "its `kid` is not in the issuer's key set, its key is not for its `alg`, or it brings its own key"
        }
        Reason::Signature => "its signature is wrong",
        Reason::NotYetValid => "its `nbf`, `iat` or `auth_time` is in the future",
        Reason::Malformed => "it cannot be read: it is not a signed JWT in its strict form",
        Reason::TooLong => "it is longer than the limit",
        Reason::Undated => "it has neither a session claim nor `auth_time`, and the session service requires one",
        Reason::Bound => {
            "it is bound to its client (`cnf`), and was not presented with what it is bound to, or that is not verified"
        }
        Reason::Handle => "the handle in its place, in a browser's cookie, is none, or none any more",
    }
}

/// What to do about it.
pub(super) const fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::Issuer => {
            "The client uses a token of another issuer, or the policy spells this one differently: `issuer` is compared exactly."
        }
        Reason::Audience => {
            "The client must request a token for this API, or the policy must list the token's `aud` in `audiences`."
        }
        Reason::Client => "Add the client to `clients` of the issuer, if it may call this API.",
        Reason::Claim => "Compare the token's claims with `claims` of the issuer in the policy.",
        Reason::Type => {
            "The client may be sending an ID token: it must send its access token. Otherwise, add the token's `typ` to `token_types`."
        }
        Reason::Algorithm => "Add the token's `alg` to `algorithms` of the issuer, if its keys are made for that.",
        Reason::Key => {
            "The token may be of another environment, or the issuer's key set at `jwks_url` does not have its key yet."
        }
        Reason::Signature => "The token was changed, or signed with another key of the same `kid`: get a new one.",
        Reason::NotYetValid => {
            "Compare the clocks of the proxy and the identity provider, or raise `clock_skew` of the issuer (at most 60s)."
        }
        Reason::Malformed => {
            "The client may be sending an opaque or encrypted token: request a signed JWT, or describe the issuer as opaque."
        }
        Reason::TooLong => "Request fewer claims (groups, for example), or raise `limits.token_bytes` of the policy.",
        Reason::Undated => {
            "Configure the identity provider to send `sid` or `auth_time`, or accept such logins with `undated_logins` in session.yaml."
        }
        Reason::Bound => {
            "The client must present it under the scheme `DPoP`, or on a connection with its certificate, and the issuer must have `bound_tokens: verify`; or it must request a bearer token."
        }
        Reason::Handle => {
            "The person must log in again: the handle is not of this session service, its store was lost, or its time is over."
        }
    }
}
