//! What a reload (SIGHUP, or a change of a credential's file) changes without a restart: admins, credentials, certificates,
//! signing keys, approval rules and conditions. The rest waits for the next start.

use super::{Settings, load_again, webhooks};
use crate::audit;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// A value that a reload may replace, for all of its clones.
#[derive(Debug, Clone)]
pub struct Reloadable<T>(Arc<watch::Sender<T>>);

impl<T: Clone + PartialEq> Reloadable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(watch::Sender::new(value)))
    }

    /// The current value. The guard must not be held across an await.
    pub(crate) fn read(&self) -> watch::Ref<'_, T> {
        self.0.borrow()
    }

    /// Another value for all clones.
    #[cfg(test)]
    pub(crate) fn replace(&self, value: T) {
        self.0.send_replace(value);
    }

    /// Learns of every later value.
    pub(crate) fn watch(&self) -> watch::Receiver<T> {
        self.0.subscribe()
    }

    /// Takes over another's value; returns whether it is different.
    fn take_over(&self, new: &Self) -> bool {
        let new = new.read().clone();
        self.0.send_if_modified(|value| {
            let is_different = *value != new;
            *value = new;
            is_different
        })
    }
}

/// The keys whose values differ between the previous configuration and the new one.
#[derive(Debug, PartialEq, Eq)]
pub struct Reload {
    /// Applied at once.
    pub reloaded: Vec<&'static str>,
    /// Applied at the next start.
    pub needs_restart: Vec<&'static str>,
}

impl Settings {
    /// Applies what can change while the service runs.
    pub fn take_over(&self, new: &Self) -> Reload {
        let named = |differing: &[(&'static str, bool)]| {
            differing.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
        };
        let [is_admin_credential_new, are_admins_new] = self.take_over_admins(new);
        self.credential_files.take_over(&new.credential_files);
        // Filters are told at the start of their streams whether there are conditions, and whether tokens are minted.
        let is_there = |settings: &Self| settings.conditions.read().is_some();
        let are_added = is_there(self) != is_there(new);
        let signs = |settings: &Self| settings.signing.read().is_some();
        let is_signing_added = signs(self) != signs(new);
        let are_keys_new = !is_signing_added && self.signing.take_over(&new.signing);
        // Webhooks are read at the start only: a rule must not count on one that is not there yet.
        let tells_new = webhooks::missing(&self.webhooks, &new.approvals.read()).next().is_some();
        let are_rules_new = !tells_new && self.approvals.take_over(&new.approvals);
        let are_conditions_new = !are_added && self.conditions.take_over(&new.conditions);
        Reload {
            reloaded: named(&[
                ("filter_credential", self.filter_credential.take_over(&new.filter_credential)),
                ("admin_credential", is_admin_credential_new),
                ("admins", are_admins_new),
                ("metrics", self.metrics.take_over(&new.metrics)),
                ("tls", self.tls.take_over(&new.tls)),
                ("admin_tls", self.admin_tls.take_over(&new.admin_tls)),
                ("signals_tls", self.signals_tls.take_over(&new.signals_tls)),
                ("tokens_tls", self.tokens_tls.take_over(&new.tokens_tls)),
                ("approvals", are_rules_new),
                ("conditions", are_conditions_new),
                ("signing", are_keys_new),
            ]),
            needs_restart: named(&[
                ("listen", self.listen != new.listen),
                ("admin", self.admin != new.admin),
                ("store", self.store != new.store),
                ("enrolment", self.enrolment != new.enrolment),
                ("undated_logins", self.undated_logins != new.undated_logins),
                ("retention", self.retention_ms != new.retention_ms),
                ("usage", self.usage_retained_ms != new.usage_retained_ms),
                ("access", self.access != new.access),
                ("signals_listen", self.signals_listen != new.signals_listen),
                ("signals", self.signals != new.signals),
                ("external_url", self.external_url != new.external_url),
                ("webhooks", self.webhooks != new.webhooks),
                ("approvals", tells_new),
                ("audit", self.audit != new.audit),
                ("geoip", self.geoip != new.geoip),
                ("anomalies", self.anomalies != new.anomalies),
                ("conditions", are_added || self.pdp != new.pdp),
                ("signing", is_signing_added),
                ("tokens", self.tokens != new.tokens),
                ("tokens_listen", self.tokens_listen != new.tokens_listen),
            ]),
        }
    }
}

impl Settings {
    /// Takes over who may call the admin API; returns whether `admin_credential` and `admins` are different. The keys of issuers
    /// that stay are kept: without them, nobody could come in while they cannot be fetched.
    fn take_over_admins(&self, new: &Self) -> [bool; 2] {
        let old = self.admins.read().clone();
        let new = new.admins.read().clone().with_keys_of(&old);
        let is_credential_new = old.admin_credential() != new.admin_credential();
        let are_people_new = !old.people().eq(new.people()) || old.oauth != new.oauth;
        self.admins.0.send_if_modified(|value| std::mem::replace(value, new) != old);
        [is_credential_new, are_people_new]
    }
}

/// Reads the configuration again and applies it to `running`; returns whether it could. A configuration with a fault changes
/// nothing.
pub fn reload(file: &Path, running: &Settings) -> bool {
    let new = match load_again(file) {
        Ok(new) => new,
        Err(faults) => {
            audit::configuration_refused(faults.0.len());
            for fault in faults.0 {
                error!(fault, "the configuration was not reloaded: the previous one stays in force");
            }
            return false;
        }
    };
    let Reload { reloaded, needs_restart } = running.take_over(&new);
    audit::configuration_reloaded(&new.digest, &reloaded, &needs_restart);
    info!(changed = reloaded.join(", "), "reloaded the configuration");
    if !needs_restart.is_empty() {
        warn!(changed = needs_restart.join(", "), "the configuration has changes that need a restart");
    }
    running.warn_of_open_doors();
    true
}
