//! What the audit says of the service itself, of its configuration, and of the policies of its filters.

use super::Actor;
use crate::conditions::{Cause, InForce};
use crate::filters::Filter;
use tracing::info;

/// The service gives verdicts from now on.
pub(crate) fn started() {
    info!(target: "audit", event = "started", version = env!("CARGO_PKG_VERSION"));
}

/// The service was stopped by a signal, and everything is written.
pub(crate) fn stopped() {
    info!(target: "audit", event = "stopped", version = env!("CARGO_PKG_VERSION"));
}

/// The service runs with a configuration.
pub(crate) fn configuration_loaded(digest: &str) {
    info!(target: "audit", event = "configuration_loaded", digest);
}

/// The configuration was read again; what is in `needs_restart` is not in force.
pub(crate) fn configuration_reloaded(digest: &str, reloaded: &[&str], needs_restart: &[&str]) {
    let (changed, needs_restart) = (reloaded.join(" "), needs_restart.join(" "));
    info!(target: "audit", event = "configuration_reloaded", digest, changed, needs_restart);
}

/// The configuration was read again, and has faults: the one before stays in force.
pub(crate) fn configuration_refused(faults: usize) {
    info!(target: "audit", event = "configuration_refused", faults);
}

/// Conditions were read again, and are in force.
#[cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "there are none"))]
pub(crate) fn conditions_reloaded(in_force: &InForce, cause: Cause, by: &Actor) {
    let InForce { digest, policies, mode, .. } = in_force;
    let (mode, by, admin) = (mode.as_str(), cause.as_str(), by.admin());
    info!(target: "audit", event = "conditions_reloaded", digest, policies, mode, by, admin);
}

/// Conditions were read again, and have faults: those before them stay in force.
#[cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "there are none"))]
pub(crate) fn conditions_refused(faults: usize, cause: Cause, by: &Actor) {
    info!(target: "audit", event = "conditions_refused", faults, by = cause.as_str(), admin = by.admin());
}

/// The first proxy with a policy has connected.
pub(crate) fn policy_seen(filter: &Filter) {
    let Filter { address, version, policy_digest } = filter;
    info!(target: "audit", event = "policy_seen", digest = policy_digest, proxy = %address, filter_version = version);
}

/// The last proxy with a policy has disconnected.
pub(crate) fn policy_gone(filter: &Filter) {
    let Filter { address, version, policy_digest } = filter;
    info!(target: "audit", event = "policy_gone", digest = policy_digest, proxy = %address, filter_version = version);
}
