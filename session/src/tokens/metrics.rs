//! The metrics of the token endpoint.

use portcullis_contract::wire::Outcome;
use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Buckets of the time that an issuer takes, in seconds.
const SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    AuthorizationCode,
    RefreshToken,
    DeviceCode,
    ClientCredentials,
    Exchange,
    /// It cannot be told, or there is none.
    Other,
}

impl Grant {
    const ALL: [Self; 6] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::ClientCredentials,
        Self::Exchange,
        Self::Other,
    ];

    /// By its `grant_type`.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "authorization_code" => Self::AuthorizationCode,
            "refresh_token" => Self::RefreshToken,
            "urn:ietf:params:oauth:grant-type:device_code" => Self::DeviceCode,
            "client_credentials" => Self::ClientCredentials,
            "urn:ietf:params:oauth:grant-type:token-exchange" => Self::Exchange,
            _ => Self::Other,
        }
    }

    /// Whether it is the login of a person.
    pub(super) const fn is_login(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::DeviceCode)
    }

    const fn label(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::DeviceCode => "device_code",
            Self::ClientCredentials => "client_credentials",
            Self::Exchange => "token_exchange",
            Self::Other => "other",
        }
    }
}

/// What has become of the renewal of a browser's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Renewed,
    /// The issuer has ended the login.
    Ended,
    /// The issuer has refused it for another reason, or has answered what cannot be used.
    Refused,
    /// The issuer or the store is away.
    Unavailable,
}

impl Renewal {
    const ALL: [Self; 4] = [Self::Renewed, Self::Ended, Self::Refused, Self::Unavailable];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Ended => "ended",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Counters of the token endpoint.
#[derive(Debug)]
pub(crate) struct TokenMetrics {
    requests: IntCounterVec,
    reused: IntCounter,
    issuer: Histogram,
    redeemed: IntCounterVec,
    renewed: IntCounterVec,
}

impl TokenMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Requests at the token endpoint, by grant, and whether they were answered with tokens.";
        let requests = IntCounterVec::new(Opts::new("portcullis_token_requests_total", help), &["grant", "outcome"])?;
        registry.register(Box::new(requests.clone()))?;
        for (grant, outcome) in Grant::ALL.iter().flat_map(|grant| OUTCOMES.map(|outcome| (grant, outcome))) {
            requests.with_label_values(&[grant.label(), outcome]);
        }
        let help = "Refresh handles that were used again, for which their sessions were ended.";
        let reused = IntCounter::new("portcullis_refresh_reuse_total", help)?;
        registry.register(Box::new(reused.clone()))?;
        let help = "Time that issuers took to answer requests for tokens.";
        let issuer = HistogramOpts::new("portcullis_token_issuer_seconds", help).buckets(SECONDS.to_vec());
        let issuer = Histogram::with_opts(issuer)?;
        registry.register(Box::new(issuer.clone()))?;
        let help = "Handles of browsers that filters have shown, by what they were answered.";
        let redeemed = IntCounterVec::new(Opts::new("portcullis_browser_tokens_total", help), &["outcome"])?;
        registry.register(Box::new(redeemed.clone()))?;
        REDEEMED.iter().for_each(|outcome| drop(redeemed.with_label_values(&[outcome])));
        let help = "Renewals of the tokens that are held for browsers, by what has become of them.";
        let renewed = IntCounterVec::new(Opts::new("portcullis_browser_renewals_total", help), &["outcome"])?;
        registry.register(Box::new(renewed.clone()))?;
        Renewal::ALL.iter().for_each(|renewal| drop(renewed.with_label_values(&[renewal.label()])));
        Ok(Self { requests, reused, issuer, redeemed, renewed })
    }

    /// A request was answered with this status.
    pub(super) fn answered(&self, grant: Grant, status: u16) {
        let outcome = match status {
            200 => "issued",
            500.. => "unavailable",
            _ => "refused",
        };
        self.requests.with_label_values(&[grant.label(), outcome]).inc();
    }

    pub(super) fn reused(&self) {
        self.reused.inc();
    }

    /// A filter that has shown a handle was answered.
    pub(super) fn redeemed(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Active => "given",
            Outcome::UnknownSession => "unknown",
            Outcome::Unavailable => "unavailable",
            _ => "refused",
        };
        self.redeemed.with_label_values(&[outcome]).inc();
    }

    pub(super) fn renewed(&self, renewal: Renewal) {
        self.renewed.with_label_values(&[renewal.label()]).inc();
    }

    pub(super) fn issuer_took(&self, took: Duration) {
        self.issuer.observe(took.as_secs_f64());
    }
}

/// What redemptions are answered.
const REDEEMED: [&str; 4] = ["given", "refused", "unknown", "unavailable"];

/// What requests are answered.
const OUTCOMES: [&str; 3] = ["issued", "refused", "unavailable"];
