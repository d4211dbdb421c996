//! A transmitter: who sends signals, what shows that they are genuine, and what they may do.

use super::action::Actions;
use super::keys::{KeySettings, Keys};
use super::status::Status;
use crate::credential::Credentials;
use portcullis_contract::token::Demands;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Signals of one transmitter that are read at the same time. More are to be sent again.
const READ_AT_ONCE_MAX: usize = 256;

/// What a transmitter sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Security event tokens of the Shared Signals Framework.
    Ssf,
    /// Logout tokens.
    BackchannelLogout,
    /// Global token revocations.
    GlobalTokenRevocation,
}

impl Kind {
    /// All of them, by the names that a configuration uses.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("ssf", Self::Ssf),
        ("backchannel_logout", Self::BackchannelLogout),
        ("global_token_revocation", Self::GlobalTokenRevocation),
    ];

    /// The kind's name.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// How a transmitter differs from what the standards say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Profile {
    /// It does not.
    #[default]
    Ssf1,
    /// Okta: subjects stand inside events.
    Okta,
    /// Google: tokens may have the type `JWT`.
    GoogleRisc,
    /// Keycloak: the session `ALL` stands for every session of the user.
    Keycloak,
}

impl Profile {
    /// All of them, by the names that a configuration uses.
    pub(crate) const ALL: [(&'static str, Self); 4] =
        [("ssf1", Self::Ssf1), ("okta", Self::Okta), ("google_risc", Self::GoogleRisc), ("keycloak", Self::Keycloak)];

    /// The types of its tokens.
    pub(crate) fn types(self) -> Vec<String> {
        let types: &[&str] = match self {
            Self::Ssf1 | Self::Okta | Self::Keycloak => &["secevent+jwt"],
            Self::GoogleRisc => &["secevent+jwt", "jwt"],
        };
        types.iter().map(|&name| name.to_owned()).collect()
    }
}

/// What makes a signed signal genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// What its token must meet.
    pub(crate) demands: Demands,
    /// `aud` must contain one of these.
    pub(crate) audiences: Vec<String>,
    /// The keys that sign it.
    pub(crate) keys: KeySettings,
}

/// A transmitter as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransmitterSettings {
    /// Its name: the last segment of its path.
    pub(crate) name: String,
    /// What it sends.
    pub(crate) kind: Kind,
    /// The issuers whose sessions it may speak about.
    pub(crate) tokens_of: Vec<String>,
    /// The whole value of `authorization` that it presents.
    pub(crate) authorization: Option<Credentials>,
    /// Of signed signals.
    pub(crate) signed: Option<Signed>,
    /// How it differs.
    pub(crate) profile: Profile,
    /// What its events do.
    pub(crate) actions: Actions,
    /// Members of a subject that it must not be read without.
    pub(crate) critical: Vec<String>,
    /// After so long without a verification event it is said to be silent.
    pub(crate) stale_after: Option<Duration>,
}

/// A transmitter while the service runs.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(super) settings: TransmitterSettings,
    pub(super) keys: Option<Arc<Keys>>,
    pub(super) status: Status,
    pub(super) reading: Semaphore,
}

impl Transmitter {
    /// Its keys are fetched on the blocking threads of `blocking`. It has been silent since `now_ms`.
    pub(crate) fn new(settings: TransmitterSettings, blocking: &Handle, now_ms: u64) -> Result<Self, String> {
        let keys = match &settings.signed {
            None => None,
            Some(signed) => Some(Arc::new(Keys::new(&settings.name, signed, blocking.clone())?)),
        };
        let status = Status::new(now_ms);
        Ok(Self { settings, keys, status, reading: Semaphore::new(READ_AT_ONCE_MAX) })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// The issuers whose sessions a signal about a subject of `named` is about, as tokens spell them: some transmitters end
    /// an issuer with a slash where tokens do not. A transmitter that names itself means all of its issuers: that of an
    /// organization's tokens is often another one.
    pub(super) fn issuers_of(&self, named: &str) -> Vec<String> {
        let bare = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
        let is_named = |issuer: &&String| bare(issuer) == bare(named);
        let of = &self.settings.tokens_of;
        if let Some(issuer) = of.iter().find(|issuer| *issuer == named).or_else(|| of.iter().find(is_named)) {
            return vec![issuer.clone()];
        }
        let own = self.settings.signed.as_ref().map(|signed| &signed.demands.issuer);
        if own.is_some_and(|own| is_named(&own)) { of.clone() } else { Vec::new() }
    }
}
