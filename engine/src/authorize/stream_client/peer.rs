//! What a session service says about itself when it welcomes a stream, and what of it belongs into the log.

use crate::wire::{LEASES, Welcome};
use std::fmt;

/// What an operator should know about the session service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerNews {
    /// It answers, for the first time or with other terms than before.
    Welcomed {
        /// Its version.
        version: String,
        /// Whether tokens of people with neither a session claim nor `auth_time` are accepted.
        reopens_undated_logins: bool,
    },
    /// It has another store than the one before it.
    OtherStore,
    /// It gives no leases, which the policy wants.
    WithoutLeases {
        /// Its version.
        version: String,
    },
    /// It lacks something that the policy relies on, so its stream was left.
    Unfit {
        /// Its version.
        version: String,
        /// What it lacks.
        lack: Lack,
    },
}

/// What a session service cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It sends no beats.
    Beats,
    /// It knows nothing of approvals.
    Approvals,
    /// It does not know which proofs of possession were used.
    Proofs,
    /// It mints no tokens for upstreams.
    UpstreamTokens,
    /// It keeps no tokens of browsers.
    Cookies,
}

impl PeerNews {
    /// Whether something that the policy relies on may not hold.
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::Welcomed { reopens_undated_logins, .. } => *reopens_undated_logins,
            Self::OtherStore | Self::WithoutLeases { .. } | Self::Unfit { .. } => true,
        }
    }
}

impl fmt::Display for PeerNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcomed { version, reopens_undated_logins } => {
                let terms = match reopens_undated_logins {
                    true => {
                        "accepts tokens of people with neither a session claim nor `auth_time`: a refreshed token undoes \
                         their limits, and later their revocations"
                    }
                    false => "refuses tokens of people with neither a session claim nor `auth_time`",
                };
                write!(f, "session service {} answers; it {terms} (`undated_logins`)", version.escape_debug())
            }
            Self::Unfit { version, lack: Lack::Approvals } => write!(
                f,
                "session service {} is not used, because it would not hold back the scopes of this policy that need an approval \
                 (it has no capability `approvals`): update it",
                version.escape_debug()
            ),
            Self::Unfit { version, lack: Lack::Proofs } => write!(
                f,
                "session service {} is not used, because it does not keep proofs of possession from being used twice (it has no \
                 capability `proofs`), and this policy verifies bound tokens: update it",
                version.escape_debug()
            ),
            Self::Unfit { version, lack: Lack::UpstreamTokens } => write!(
                f,
                "session service {} is not used, because it mints no tokens for upstreams, which this policy has (it has no \
                 capability `upstream_tokens`): give it `signing` keys, or update it",
                version.escape_debug()
            ),
            Self::Unfit { version, lack: Lack::Cookies } => write!(
                f,
                "session service {} is not used, because it keeps no tokens for the handles of browsers, which this policy \
                 reads from a cookie (it has no capability `cookies`): configure its token endpoint, or update it",
                version.escape_debug()
            ),
            Self::Unfit { version, lack: Lack::Beats } => write!(
                f,
                "session service {} is not used, because it cannot show that it is alive (it has no capability `beat`), \
                 and open requests of routes with `on_outage: deny` have to end when it is not: update it",
                version.escape_debug()
            ),
            Self::WithoutLeases { version } => write!(
                f,
                "session service {} is asked about each request, also on routes with `freshness: {{lease: …}}`, because it gives \
                 no leases (it has no capability `leases`): update it",
                version.escape_debug()
            ),
            Self::OtherStore => f.write_str(
                "the session service has a different store than before, which may lack sessions and revocations of the previous one",
            ),
        }
    }
}

/// The services that have welcomed a stream of this worker.
#[derive(Debug, Default)]
pub(super) struct Peers {
    last: Option<Welcome>,
    news: Vec<PeerNews>,
}

impl Peers {
    /// A service has welcomed a stream. `wants_leases`: the policy has routes with leases.
    pub(super) fn note(&mut self, welcome: Welcome, wants_leases: bool) {
        let last = self.last.as_ref();
        let terms = |welcome: &Welcome| (welcome.service_version.clone(), welcome.reopens_undated_logins);
        let (version, reopens_undated_logins) = terms(&welcome);
        let gives_leases = |welcome: &Welcome| welcome.capabilities.iter().any(|name| name == LEASES);
        if wants_leases && !gives_leases(&welcome) && last.is_none_or(gives_leases) {
            self.news.push(PeerNews::WithoutLeases { version: version.clone() });
        }
        if last.is_some_and(|last| last.store_id != welcome.store_id) {
            self.news.push(PeerNews::OtherStore);
        }
        if last.is_none_or(|last| terms(last) != terms(&welcome)) {
            self.news.push(PeerNews::Welcomed { version, reopens_undated_logins });
        }
        self.last = Some(welcome);
    }

    /// A service is of no use. Said of each of its streams: the log counts them.
    pub(super) fn refuse(&mut self, welcome: Welcome, lack: Lack) {
        self.news.push(PeerNews::Unfit { version: welcome.service_version, lack });
    }

    /// What is yet to be logged.
    pub(super) fn take_news(&mut self) -> Vec<PeerNews> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_news() {
        let welcome = |version: &str, store: &str, reopens_undated_logins| Welcome {
            service_version: version.to_owned(),
            store_id: store.to_owned(),
            reopens_undated_logins,
            ..Welcome::default()
        };
        let welcomed = |version: &str, reopens_undated_logins| PeerNews::Welcomed {
            version: version.to_owned(),
            reopens_undated_logins,
        };
        let mut peers = Peers::default();
        for (said, news) in [
            (welcome("1", "a", false), vec![welcomed("1", false)]),
            (welcome("1", "a", false), vec![]),
            (welcome("2", "a", false), vec![welcomed("2", false)]),
            (welcome("2", "b", false), vec![PeerNews::OtherStore]),
            (welcome("2", "b", true), vec![welcomed("2", true)]),
            (welcome("2", "b", true), vec![]),
        ] {
            peers.note(said, false);
            assert_eq!(peers.take_news(), news);
        }
        // Said once, unless another one gave some in between.
        let with = |capabilities: &[&str]| Welcome {
            capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
            ..welcome("2", "b", true)
        };
        let without = PeerNews::WithoutLeases { version: "2".to_owned() };
        for (said, news) in [(with(&[LEASES]), vec![]), (with(&[]), vec![without.clone()]), (with(&[]), vec![])] {
            peers.note(said, true);
            assert_eq!(peers.take_news(), news);
        }
        assert!(without.is_warning());
        assert!(welcomed("2", true).is_warning() && !welcomed("2", false).is_warning());
        assert!(welcomed("\n", true).to_string().starts_with("session service \\n answers; it accepts tokens"));
    }
}
