//! The metrics of `/metrics`. Every label has a fixed set of values.

use crate::anomalies::AnomalyMetrics;
use crate::authzen::AuthZenMetrics;
use crate::conditions::ConditionMetrics;
use crate::geoip::GeoIpMetrics;
use crate::judge::Reason;
use crate::leases::LeaseMetrics;
use crate::minting::MintingMetrics;
use crate::pdp::PdpMetrics;
use crate::replica::{Beaten, Failovers, State};
use crate::revocations::RevokedParty;
use crate::tokens::TokenMetrics;
use crate::usage::UsageMetrics;
use crate::webhooks::WebhookMetrics;
use portcullis_contract::wire::Outcome;
use prometheus::{
    Encoder, Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the commit times: a commit with fsync takes a fraction of a millisecond on a good disk.
const COMMIT_SECONDS: [f64; 10] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0];

/// Upper bounds of the time from an event to its effect: transmitters send at once, or every half a minute.
const LAG_SECONDS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0, 3600.0];

/// The outcomes that are counted, by the label they are counted under.
pub const OUTCOMES: [(Outcome, &str); 13] = [
    (Outcome::Active, "active"),
    (Outcome::IdleTimeout, "idle_timeout"),
    (Outcome::LifetimeExceeded, "lifetime_exceeded"),
    (Outcome::Revoked, "revoked"),
    (Outcome::UnknownSession, "unknown_session"),
    (Outcome::ScopeEscalation, "scope_escalation"),
    (Outcome::StepUpRequired, "step_up_required"),
    (Outcome::Undated, "undated"),
    (Outcome::Blocked, "blocked"),
    (Outcome::ApprovalRequired, "approval_required"),
    (Outcome::ConditionFailed, "condition_failed"),
    (Outcome::ProofUsed, "proof_used"),
    (Outcome::Unavailable, "unavailable"),
];

/// How a session opened.
#[derive(Debug, Clone, Copy)]
pub enum Opened {
    /// By the first use of a token.
    FirstUse,
    /// By the admin API.
    Explicit,
}

impl Opened {
    /// The value of the label, and of `by` in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstUse => "first_use",
            Self::Explicit => "admin",
        }
    }
}

/// The counters, gauges and histograms of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    questions: Vec<(Outcome, IntCounter)>,
    opened_first_use: IntCounter,
    opened_explicit: IntCounter,
    ended: [(Reason, IntCounter); 3],
    /// Check streams that are open.
    pub streams: IntGauge,
    /// Follows that are open.
    pub follows_open: IntGauge,
    /// Follows opened.
    pub follows: IntCounter,
    cuts: Vec<(Outcome, IntCounter)>,
    /// Sessions that are live.
    pub sessions: IntGauge,
    revocations: Revocations,
    /// Blocks that stand; counted when the metrics are read, because a block runs out without anybody's doing.
    pub blocks: IntGauge,
    /// Requests for access that wait for a decision.
    pub requests_pending: IntGauge,
    /// Grants that hold.
    pub grants_live: IntGauge,
    /// Callers of the check listener with a missing or wrong credential.
    pub unauthenticated_checks: IntCounter,
    /// Callers of the admin listener with a missing or wrong credential.
    pub unauthenticated_admin: IntCounter,
    /// Commits that failed.
    pub store_failures: IntCounter,
    /// How often the store was opened again after a failure.
    pub store_reopened: IntCounter,
    /// 1 while the wall clock and the steady one disagree.
    pub clocks_parted: IntGauge,
    /// 1 while undated logins are accepted.
    pub undated_logins: IntGauge,
    /// Look-ups that failed.
    pub store_unreadable: IntCounter,
    log_dropped: IntCounter,
    audit_records: IntCounter,
    audit_dropped: IntCounter,
    audit_exported: IntCounter,
    audit_not_exported: IntCounter,
    commits: Histogram,
    replicas: Replicas,
    /// Leases of filters.
    pub(crate) leases: LeaseMetrics,
    /// Signals of identity providers.
    pub(crate) signals: Signals,
    /// Conditions.
    pub(crate) conditions: ConditionMetrics,
    /// What is used.
    pub(crate) usage: UsageMetrics,
    /// What webhooks are told.
    pub(crate) webhooks: WebhookMetrics,
    /// The databases of places.
    pub(crate) geoip: GeoIpMetrics,
    /// Decisions of another decision point.
    pub(crate) pdp: Arc<PdpMetrics>,
    /// Tokens for upstreams.
    pub(crate) minting: Arc<MintingMetrics>,
    /// The token endpoint.
    pub(crate) tokens: Arc<TokenMetrics>,
    /// Decisions for other enforcement points.
    pub(crate) authzen: AuthZenMetrics,
    /// What is unusual about sessions.
    pub(crate) anomalies: Arc<AnomalyMetrics>,
}

/// Signals of identity providers, by the transmitters of the configuration.
#[derive(Debug)]
pub(crate) struct Signals {
    received: IntCounterVec,
    refused: IntCounterVec,
    applied: IntCounterVec,
    unmatched: IntCounterVec,
    ignored: IntCounterVec,
    held: IntCounterVec,
    waiting: IntGaugeVec,
    lag: Histogram,
    stale: IntGaugeVec,
}

impl Signals {
    /// Shows the counts of a transmitter, also while nothing has come.
    pub(crate) fn expect<'e>(&self, transmitter: &str, errs: impl IntoIterator<Item = &'e str>) {
        for counter in [&self.received, &self.applied, &self.unmatched, &self.ignored, &self.held] {
            counter.with_label_values(&[transmitter]);
        }
        for err in errs {
            self.refused.with_label_values(&[transmitter, err]);
        }
        self.stale(transmitter, false);
        self.waiting(transmitter, 0);
    }

    /// Counts a signal that was acknowledged.
    pub(crate) fn accepted(&self, transmitter: &str, fate: &str) {
        self.received.with_label_values(&[transmitter]).inc();
        self.became(transmitter, fate);
    }

    /// Counts a held signal that was released.
    pub(crate) fn released(&self, transmitter: &str, fate: &str) {
        self.became(transmitter, fate);
    }

    fn became(&self, transmitter: &str, fate: &str) {
        let of = [
            ("applied", &self.applied),
            ("unmatched", &self.unmatched),
            ("ignored", &self.ignored),
            ("held", &self.held),
        ];
        for (_, counter) in of.into_iter().filter(|(name, _)| *name == fate) {
            counter.with_label_values(&[transmitter]).inc();
        }
    }

    /// Notes how many signals are held now.
    pub(crate) fn waiting(&self, transmitter: &str, count: usize) {
        self.waiting.with_label_values(&[transmitter]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts one that was not.
    pub(crate) fn refused(&self, transmitter: &str, err: &str) {
        self.received.with_label_values(&[transmitter]).inc();
        self.refused.with_label_values(&[transmitter, err]).inc();
    }

    /// Notes how long after its event a signal had its effect.
    pub(crate) fn lag(&self, ms: u64) {
        self.lag.observe(Duration::from_millis(ms).as_secs_f64());
    }

    /// Notes whether verification events are missing.
    pub(crate) fn stale(&self, transmitter: &str, is_stale: bool) {
        self.stale.with_label_values(&[transmitter]).set(is_stale.into());
    }
}

/// This replica among the others.
#[derive(Debug)]
struct Replicas {
    serving: IntGauge,
    lease_ms: IntGauge,
    listed: IntGauge,
    behind: IntGauge,
    clock_lead_ms: IntGauge,
    epoch: IntGauge,
    given_back: IntGauge,
}

/// Revocations made, by what they revoke.
#[derive(Debug)]
struct Revocations {
    session: IntCounter,
    subject: IntCounter,
    client: IntCounter,
    sid: IntCounter,
    issuer: IntCounter,
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let family = |name: &str, help: &str, label: &str| {
            let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, Error>(family)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let questions = family("portcullis_questions_total", "Questions answered, by outcome.", "outcome")?;
        let cuts = family("portcullis_cuts_total", "Followed requests that a verdict cut, by outcome.", "outcome")?;
        let opened =
            family("portcullis_sessions_opened_total", "Sessions opened, by first use or by the admin API.", "by")?;
        let ended = family("portcullis_sessions_ended_total", "Sessions ended, by reason.", "reason")?;
        let unauthenticated = family(
            "portcullis_unauthenticated_total",
            "Callers with a missing or wrong credential, by listener.",
            "listener",
        )?;
        let revocations = family("portcullis_revocations_total", "Revocations made, by what they revoke.", "of")?;
        let commits = Histogram::with_opts(
            HistogramOpts::new("portcullis_store_commit_seconds", "Duration of a durable commit.")
                .buckets(COMMIT_SECONDS.to_vec()),
        )?;
        registry.register(Box::new(commits.clone()))?;
        Ok(Self {
            questions: OUTCOMES.map(|(outcome, label)| (outcome, questions.with_label_values(&[label]))).to_vec(),
            opened_first_use: opened.with_label_values(&[Opened::FirstUse.as_str()]),
            opened_explicit: opened.with_label_values(&[Opened::Explicit.as_str()]),
            ended: [Reason::IdleTimeout, Reason::LifetimeExceeded, Reason::Revoked]
                .map(|reason| (reason, ended.with_label_values(&[reason.as_str()]))),
            streams: gauge("portcullis_streams_open", "Open check streams.")?,
            follows_open: gauge("portcullis_follows_open", "Open requests whose sessions are followed.")?,
            follows: counter("portcullis_follows_total", "Open requests whose sessions were followed.")?,
            cuts: OUTCOMES
                .into_iter()
                .filter(|(outcome, _)| *outcome != Outcome::Active)
                .map(|(outcome, label)| (outcome, cuts.with_label_values(&[label])))
                .collect(),
            sessions: gauge("portcullis_sessions_live", "Live sessions.")?,
            revocations: Revocations {
                session: revocations.with_label_values(&["session"]),
                subject: revocations.with_label_values(&["subject"]),
                client: revocations.with_label_values(&["client"]),
                sid: revocations.with_label_values(&["sid"]),
                issuer: revocations.with_label_values(&["issuer"]),
            },
            blocks: gauge("portcullis_blocks", "Blocks that are in force.")?,
            requests_pending: gauge("portcullis_access_requests_pending", "Requests for access that wait.")?,
            grants_live: gauge("portcullis_grants_live", "Grants that have not ended and are not used up.")?,
            unauthenticated_checks: unauthenticated.with_label_values(&["checks"]),
            unauthenticated_admin: unauthenticated.with_label_values(&["admin"]),
            store_failures: counter(
                "portcullis_store_failures_total",
                "Failed commits, and failed attempts to reopen the store.",
            )?,
            clocks_parted: gauge("portcullis_clocks_parted", "1 while the wall clock and the steady clock disagree.")?,
            undated_logins: gauge(
                "portcullis_undated_logins_accepted",
                "1 while people's tokens that have neither a session claim nor auth_time are accepted.",
            )?,
            store_reopened: counter("portcullis_store_reopened_total", "Times that the store was reopened.")?,
            store_unreadable: counter("portcullis_store_unreadable_total", "Failed look-ups in the store.")?,
            audit_records: counter("portcullis_audit_records_total", "Records written to the file of the audit log.")?,
            audit_dropped: counter(
                "portcullis_audit_dropped_total",
                "Records that the file of the audit log lacks: its disk failed, or was too slow.",
            )?,
            audit_exported: counter(
                "portcullis_audit_otlp_records_total",
                "Records of the audit log that the OpenTelemetry collector took.",
            )?,
            audit_not_exported: counter(
                "portcullis_audit_otlp_dropped_total",
                "Records of the audit log that the OpenTelemetry collector lacks: it refused them, or was too slow.",
            )?,
            log_dropped: counter(
                "portcullis_log_lines_dropped_total",
                "Log lines dropped because standard output was not read in time.",
            )?,
            commits,
            replicas: Replicas {
                serving: gauge("portcullis_serving", "1 while this service may give verdicts.")?,
                lease_ms: gauge("portcullis_serve_lease_left_milliseconds", "Time left of the serve lease.")?,
                listed: gauge("portcullis_replicas", "Replicas that share the store, this one included.")?,
                behind: gauge(
                    "portcullis_log_entries_behind",
                    "Changes of other replicas not yet applied at the last beat.",
                )?,
                clock_lead_ms: gauge("portcullis_clock_lead_milliseconds", "This machine's clock minus the store's.")?,
                epoch: gauge(
                    "portcullis_store_epoch",
                    "Lives of the Redis server that replicas have seen; 0 without Redis.",
                )?,
                given_back: gauge(
                    "portcullis_log_entries_given_back",
                    "Changes that Redis had lost and got again from this process.",
                )?,
            },
            signals: signals(&registry)?,
            leases: LeaseMetrics::new(&registry)?,
            conditions: ConditionMetrics::new(&registry)?,
            usage: UsageMetrics::new(&registry)?,
            webhooks: WebhookMetrics::new(&registry)?,
            geoip: GeoIpMetrics::new(&registry)?,
            pdp: Arc::new(PdpMetrics::new(&registry)?),
            minting: Arc::new(MintingMetrics::new(&registry)?),
            tokens: Arc::new(TokenMetrics::new(&registry)?),
            authzen: AuthZenMetrics::new(&registry)?,
            anomalies: Arc::new(AnomalyMetrics::new(&registry)?),
            registry,
        })
    }

    /// Counts answered questions, by outcome.
    pub fn answered(&self, tally: &Tally) {
        for ((_, counter), count) in self.questions.iter().zip(tally.0) {
            if count > 0 {
                counter.inc_by(count);
            }
        }
    }

    /// Counts a follow that a verdict cut.
    pub fn cut(&self, outcome: Outcome) {
        for (_, counter) in self.cuts.iter().filter(|(of, _)| *of == outcome) {
            counter.inc();
        }
    }

    /// Counts a session that opened.
    pub fn opened(&self, by: Opened) {
        self.sessions.inc();
        match by {
            Opened::FirstUse => self.opened_first_use.inc(),
            Opened::Explicit => self.opened_explicit.inc(),
        }
    }

    /// Counts a session that ended.
    pub fn ended(&self, reason: Reason) {
        self.sessions.dec();
        for (_, counter) in self.ended.iter().filter(|(of, _)| *of == reason) {
            counter.inc();
        }
    }

    /// Counts the revocation of one session.
    pub fn revoked_session(&self) {
        self.revocations.session.inc();
    }

    /// Counts a revocation of a party.
    pub fn revoked(&self, party: &RevokedParty) {
        match party {
            RevokedParty::Everyone => self.revocations.issuer.inc(),
            RevokedParty::Subject(_) | RevokedParty::Others { .. } | RevokedParty::Unnamed(_) => {
                self.revocations.subject.inc();
            }
            RevokedParty::Client(_) => self.revocations.client.inc(),
            RevokedParty::Sid(_) => self.revocations.sid.inc(),
            RevokedParty::Session(_) => self.revoked_session(),
        }
    }

    /// Notes how long a commit took.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// Notes what a beat has seen, when everything up to `settled` was applied.
    pub fn beaten(&self, settled: u64, beaten: &Beaten) {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.replicas.listed.set(i64::try_from(beaten.peers.len()).unwrap_or(i64::MAX));
        self.replicas.behind.set(count(beaten.head.saturating_sub(settled)));
        self.replicas.clock_lead_ms.set(beaten.clock_lead_ms);
        if let Some(Failovers { epoch, given_back }) = beaten.failovers {
            self.replicas.epoch.set(count(epoch));
            self.replicas.given_back.set(count(given_back));
        }
    }

    /// Notes whether this service may give verdicts.
    pub fn serve_lease(&self, state: &State) {
        let (serving, left_ms) = match state {
            State::Serving(left_ms) => (1, left_ms.unwrap_or_default()),
            State::Out(_) => (0, 0),
        };
        self.replicas.serving.set(serving);
        self.replicas.lease_ms.set(i64::try_from(left_ms).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> Result<String, Error> {
        self.log_dropped.inc_by(crate::log::dropped().saturating_sub(self.log_dropped.get()));
        self.audit_records.inc_by(crate::audit_log::written().saturating_sub(self.audit_records.get()));
        self.audit_dropped.inc_by(crate::audit_log::dropped().saturating_sub(self.audit_dropped.get()));
        self.audit_exported.inc_by(crate::audit_log::exported().saturating_sub(self.audit_exported.get()));
        self.audit_not_exported.inc_by(crate::audit_log::not_exported().saturating_sub(self.audit_not_exported.get()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn signals(registry: &Registry) -> Result<Signals, Error> {
    let family = |name: &str, help: &str, labels: &[&str]| {
        let family = IntCounterVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok::<_, Error>(family)
    };
    let of = &["transmitter"];
    let stale = IntGaugeVec::new(
        Opts::new("portcullis_signals_stale", "1 while verification events of a transmitter are missing."),
        of,
    )?;
    registry.register(Box::new(stale.clone()))?;
    let waiting = IntGaugeVec::new(
        Opts::new("portcullis_signals_waiting", "Held signals that wait for somebody to release or drop them."),
        of,
    )?;
    registry.register(Box::new(waiting.clone()))?;
    let lag = Histogram::with_opts(
        HistogramOpts::new("portcullis_signals_lag_seconds", "Time from a signal's event to its effect.")
            .buckets(LAG_SECONDS.to_vec()),
    )?;
    registry.register(Box::new(lag.clone()))?;
    Ok(Signals {
        received: family("portcullis_signals_received_total", "Signals received.", of)?,
        refused: family("portcullis_signals_refused_total", "Signals refused, by reason.", &["transmitter", "err"])?,
        applied: family("portcullis_signals_applied_total", "Signals that were put into effect.", of)?,
        unmatched: family("portcullis_signals_unmatched_total", "Signals in effect that met no live session.", of)?,
        ignored: family("portcullis_signals_ignored_total", "Signals acknowledged without effect.", of)?,
        held: family("portcullis_signals_held_total", "Signals held because there were too many.", of)?,
        lag,
        stale,
        waiting,
    })
}

/// Outcomes that one stream counts while it answers a message, so that streams do not contend for one counter.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally([u64; OUTCOMES.len()]);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, outcome: Outcome) {
        for ((of, _), count) in OUTCOMES.iter().zip(&mut self.0) {
            *count += u64::from(*of == outcome);
        }
    }
}
