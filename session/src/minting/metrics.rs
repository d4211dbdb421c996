//! The metrics of tokens for upstreams.

use prometheus::{Error, IntCounter, IntCounterVec, Opts, Registry};

/// Why there was no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No key signs at this time.
    NoKey,
    /// The client's token, the session or the key is about to end.
    NoLife,
}

/// Counters of tokens.
#[derive(Debug)]
pub(crate) struct MintingMetrics {
    minted: IntCounter,
    no_key: IntCounter,
    no_life: IntCounter,
}

impl MintingMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let minted = IntCounter::new("portcullis_upstream_tokens_minted_total", "Tokens minted for upstreams.")?;
        registry.register(Box::new(minted.clone()))?;
        let help = "Questions for which no token for the upstream could be minted, by reason.";
        let refused = IntCounterVec::new(Opts::new("portcullis_upstream_tokens_refused_total", help), &["reason"])?;
        registry.register(Box::new(refused.clone()))?;
        let [no_key, no_life] = ["no_key", "no_life"].map(|reason| refused.with_label_values(&[reason]));
        Ok(Self { minted, no_key, no_life })
    }

    pub(super) fn minted(&self) {
        self.minted.inc();
    }

    pub(super) fn refused(&self, why: Refused) {
        match why {
            Refused::NoKey => self.no_key.inc(),
            Refused::NoLife => self.no_life.inc(),
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> [u64; 3] {
        [self.minted.get(), self.no_key.get(), self.no_life.get()]
    }
}
