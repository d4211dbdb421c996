//! The metrics of webhooks, by the webhooks of the configuration.

use prometheus::{Error, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What can become of an attempt, or of a message that is not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// It was delivered.
    Delivered,
    /// The attempt failed; there will be another one.
    Failed,
    /// It is not tried any more.
    GivenUp,
    /// There was no room for it.
    Dropped,
}

impl Became {
    const ALL: [Self; 4] = [Self::Delivered, Self::Failed, Self::GivenUp, Self::Dropped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Dropped => "dropped",
        }
    }
}

/// Counters of deliveries.
#[derive(Debug)]
pub(crate) struct WebhookMetrics {
    deliveries: IntCounterVec,
    undelivered: IntGaugeVec,
}

impl WebhookMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let help = "Attempts to deliver a message, by outcome; `dropped` ones were never tried.";
        let deliveries =
            IntCounterVec::new(Opts::new("portcullis_webhook_deliveries_total", help), &["webhook", "outcome"])?;
        let help = "Messages that are not delivered: those that wait, and those that were given up.";
        let undelivered = IntGaugeVec::new(Opts::new("portcullis_webhook_undelivered", help), &["webhook"])?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(undelivered.clone()))?;
        Ok(Self { deliveries, undelivered })
    }

    /// Shows the counts of a webhook, also while nothing was sent.
    pub(crate) fn expect(&self, webhook: &str) {
        for became in Became::ALL {
            self.deliveries.with_label_values(&[webhook, became.as_str()]);
        }
        self.undelivered(webhook, 0);
    }

    /// Counts an attempt.
    pub(crate) fn count(&self, webhook: &str, became: Became) {
        self.deliveries.with_label_values(&[webhook, became.as_str()]).inc();
    }

    /// Notes how many messages are not delivered now.
    pub(crate) fn undelivered(&self, webhook: &str, count: usize) {
        self.undelivered.with_label_values(&[webhook]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
