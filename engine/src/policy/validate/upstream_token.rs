//! Tokens for the upstream: of the whole policy, and of a route.

use super::{ROOT, facts::header, word};
use crate::policy::{
    RequestContext, SessionService, TOKEN_HEADER, TokenScopes, UpstreamToken, WithoutToken,
    deserialize::Given,
    duration::duration_within,
    fault::Faults,
    json_path::At,
    raw::RawUpstreamToken,
    session::Protocol,
    text::{plain, quoted},
};
use portcullis_contract::wire::UPSTREAM_TOKEN_TYP;
use std::{sync::Arc, time::Duration};

const TTL: Duration = Duration::from_secs(30);
/// `exp` has no fractions of a second, so that less would hardly be a life.
const TTL_MIN: Duration = Duration::from_secs(2);
const TTL_MAX: Duration = Duration::from_secs(3_600);

/// The longest `typ` in bytes.
const TYP_BYTES_MAX: usize = 64;
/// The longest name of a workload in bytes: each token has it.
const WORKLOAD_BYTES_MAX: usize = 256;

/// The `upstream_token` of the policy, for all routes: what each leaves out is taken from here.
#[derive(Debug, Default)]
pub(super) struct OfPolicy {
    raw: Option<RawUpstreamToken>,
    names_audience: bool,
    /// Its meaning, for routes without one of their own; `None` if it has a fault.
    whole: Option<Arc<UpstreamToken>>,
    /// Whether somebody can mint.
    can_be_minted: bool,
}

impl OfPolicy {
    /// Checks the policy's own. `session` is `None` if it is faulty.
    pub(super) fn new(
        raw: Given<RawUpstreamToken>,
        session: Option<Option<&SessionService>>,
        faults: &mut Faults,
    ) -> Self {
        let is_stream = |session: &SessionService| matches!(session.protocol, Protocol::Stream { .. });
        let can_be_minted = session.is_none_or(|session| session.is_some_and(is_stream));
        let policy = Self { can_be_minted, ..Self::default() };
        let Some(raw) = raw.value() else { return policy };
        let at = ROOT.key("upstream_token");
        // Its audience may be left to the routes.
        let names_audience = !raw.audience.is_absent();
        let audience = if names_audience { raw.audience.clone() } else { Given::Value("-".to_owned()) };
        let whole = policy.read(RawUpstreamToken { audience, ..raw.clone() }, &at, faults);
        Self { raw: Some(raw), names_audience, whole, ..policy }
    }

    /// Whether the policy has one for all routes.
    pub(super) const fn is_there(&self) -> bool {
        self.raw.is_some()
    }

    /// The token of a route that is not public. `Some(None)`: none is wanted.
    pub(super) fn of_route(
        &self,
        own: Given<RawUpstreamToken>,
        at: &At<'_>,
        faults: &mut Faults,
    ) -> Option<Option<Arc<UpstreamToken>>> {
        let at = at.key("upstream_token");
        match (own, &self.raw) {
            (Given::Faulty, _) => None,
            (Given::Absent, None) => Some(None),
            (Given::Absent, Some(_)) if !self.names_audience => {
                faults.add(&at, "name the `audience` of the token for the upstream, here or in `$.upstream_token`");
                None
            }
            // Its faults have been reported with the policy's.
            (Given::Absent, Some(_)) => self.whole.clone().map(Some),
            (Given::Value(own), of_policy) => {
                let raw = merged(own, of_policy.clone().unwrap_or_default());
                self.read(raw, &at, faults).map(Some)
            }
        }
    }

    fn read(&self, raw: RawUpstreamToken, at: &At<'_>, faults: &mut Faults) -> Option<Arc<UpstreamToken>> {
        if !self.can_be_minted {
            let message =
                "only a session service on the check stream mints tokens; use `session` with `protocol: stream`";
            faults.add(at, message);
            return None;
        }
        let audience = raw.audience.required(&at.key("audience"), faults);
        let audience = audience.and_then(|text| faults.check(&at.key("audience"), plain(&text)));
        let ttl = raw.ttl.or(TTL, |text| faults.check(&at.key("ttl"), duration_within(&text, TTL_MIN, TTL_MAX)));
        let scopes = [("route", TokenScopes::Route), ("token", TokenScopes::Token)];
        let scopes =
            raw.scopes.or(TokenScopes::default(), |text| faults.check(&at.key("scopes"), word(&text, &scopes)));
        let header = raw.header.or(TOKEN_HEADER.to_owned(), |name| faults.check(&at.key("header"), header(&name)));
        let typ = raw.typ.or(UPSTREAM_TOKEN_TYP.to_owned(), |text| faults.check(&at.key("typ"), typ(&text)));
        let context = [("route", RequestContext::Route), ("address", RequestContext::Address)];
        let rctx = raw.rctx.or(RequestContext::default(), |text| faults.check(&at.key("rctx"), word(&text, &context)));
        let without = raw.on_outage.or(WithoutToken::Refuse, |text| faults.check(&at.key("on_outage"), omit(&text)));
        Some(Arc::new(UpstreamToken {
            audience: audience?,
            ttl: ttl?,
            scopes: scopes?,
            header: header?,
            typ: typ?,
            rctx: rctx?,
            without: without?,
        }))
    }
}

/// The name of the proxy in tokens for the upstream.
pub(super) fn workload(raw: Given<String>, faults: &mut Faults) -> Option<Option<String>> {
    let at = ROOT.key("workload");
    raw.or(None, |text| {
        let name = faults.check(&at, plain(&text))?;
        if name.len() > WORKLOAD_BYTES_MAX {
            faults.add(&at, format_args!("must not be longer than {WORKLOAD_BYTES_MAX} bytes"));
            return None;
        }
        Some(Some(name))
    })
}

/// The keys of a route, and the policy's where the route has none.
fn merged(own: RawUpstreamToken, policy: RawUpstreamToken) -> RawUpstreamToken {
    let either = |own: Given<String>, policy: Given<String>| if own.is_absent() { policy } else { own };
    RawUpstreamToken {
        audience: either(own.audience, policy.audience),
        ttl: either(own.ttl, policy.ttl),
        scopes: either(own.scopes, policy.scopes),
        header: either(own.header, policy.header),
        typ: either(own.typ, policy.typ),
        rctx: either(own.rctx, policy.rctx),
        on_outage: either(own.on_outage, policy.on_outage),
    }
}

fn typ(text: &str) -> Result<String, String> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
    match text {
        "" => Err("must not be empty".to_owned()),
        text if text.len() > TYP_BYTES_MAX => Err(format!("must not be longer than {TYP_BYTES_MAX} bytes")),
        text if text.bytes().all(is_byte) => Ok(text.to_owned()),
        text => Err(format!("{} is not a media type without `application/`", quoted(text))),
    }
}

fn omit(text: &str) -> Result<WithoutToken, String> {
    match text {
        "omit" => Ok(WithoutToken::Omit),
        _ => Err(format!(
            "the only value is `omit`, found {}; omit the key to answer with 503 where no token can be minted",
            quoted(text)
        )),
    }
}
