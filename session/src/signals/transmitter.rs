//! A transmitter: who sends signals, what shows that they are genuine, and what they may do.

use super::action::Actions;
use super::keys::{KeySettings, Keys};
use super::outbound::{Caller, Url};
use super::pace::Pace;
use super::status::Status;
use super::stream::{Manage, Managed};
use crate::credential::Credentials;
use crate::store::postgres::Secret;
use portcullis_contract::token::Demands;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Signals of one transmitter that are read at the same time. More are to be sent again.
const READ_AT_ONCE_MAX: usize = 64;

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

/// How a transmitter is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Polling {
    /// How long nothing is asked after an answer without tokens.
    pub(crate) every: Duration,
    /// Where; without it, where the transmitter's configuration says that our stream is.
    pub(crate) url: Option<Url>,
    /// The whole value of `authorization` that is presented.
    pub(crate) authorization: Option<Secret>,
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
    /// None where it sends by itself.
    pub(crate) polling: Option<Polling>,
    /// How its stream is managed; none where somebody else does that.
    pub(crate) stream: Option<Manage>,
    /// The whole value of `authorization` that it presents.
    pub(crate) authorization: Option<Credentials>,
    /// Of signed signals.
    pub(crate) signed: Option<Signed>,
    /// How it differs.
    pub(crate) profile: Profile,
    /// What its events do.
    pub(crate) actions: Actions,
    /// More signals than this within a minute are held.
    pub(crate) hold_above: Option<usize>,
    /// Members of a subject that it must not be read without.
    pub(crate) critical: Vec<String>,
    /// After so long without a verification event it is said to be silent.
    pub(crate) stale_after: Option<Duration>,
}

impl TransmitterSettings {
    /// What is called besides what has its keys.
    fn called(&self) -> Option<&Url> {
        let polled = self.polling.as_ref().and_then(|polling| polling.url.as_ref());
        polled.or(self.stream.as_ref().map(|stream| &stream.client.token_endpoint))
    }
}

/// A transmitter while the service runs.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(super) settings: TransmitterSettings,
    pub(super) keys: Option<Arc<Keys>>,
    pub(super) caller: Caller,
    pub(super) managed: Option<Arc<Managed>>,
    pub(super) status: Status,
    pub(super) reading: Semaphore,
    pub(super) pace: Pace,
}

impl Transmitter {
    /// It has been silent since `now_ms`.
    pub(crate) fn new(settings: TransmitterSettings, now_ms: u64) -> Result<Self, String> {
        let (keys, caller) = match &settings.signed {
            None => (None, Caller::new(None)),
            Some(signed) => {
                let caller = Caller::new(signed.keys.tls(settings.called())?);
                (
                    Some(Arc::new(Keys::new(&settings.name, &signed.demands.issuer, &signed.keys.at, caller.clone())?)),
                    caller,
                )
            }
        };
        let managed = Managed::of(&settings, &caller);
        let status = Status::new(now_ms);
        let pace = Pace::new(settings.hold_above);
        Ok(Self { settings, keys, caller, managed, status, reading: Semaphore::new(READ_AT_ONCE_MAX), pace })
    }

    /// Whether it is polled.
    pub(crate) fn is_polled(&self) -> bool {
        self.settings.polling.is_some()
    }

    /// Whether its stream is managed.
    pub(crate) fn is_managed(&self) -> bool {
        self.managed.is_some()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Members of a subject that it must not be read without.
    pub(super) fn critical_members(&self) -> Vec<String> {
        let discovered = self.keys.as_ref().map(|keys| keys.critical()).unwrap_or_default();
        self.settings.critical.iter().cloned().chain(discovered).collect()
    }

    /// The issuer whose sessions a signal about a subject of `named` is about, as tokens spell it: some transmitters end an
    /// issuer with a slash where tokens do not.
    pub(super) fn issuer_of(&self, named: &str) -> Option<&str> {
        let bare = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
        let of = &self.settings.tokens_of;
        let found = of.iter().find(|issuer| *issuer == named);
        found.or_else(|| of.iter().find(|issuer| bare(issuer) == bare(named))).map(String::as_str)
    }
}
