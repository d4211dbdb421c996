//! What stands for conditions in a build without them: nothing has values of these types.

use super::{Asking, Decided, InForce, Mode, Of, Slot};
use crate::audit::Actor;
use crate::service::Service;
use std::sync::Arc;
use tokio::sync::watch;

/// `conditions` in `session.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionSettings {}

/// The conditions of the service.
#[derive(Debug)]
pub enum Conditions {}

/// What concerns the routes of one table.
#[derive(Debug)]
pub(crate) enum OnRoutes {}

/// What conditions say about a token on some routes.
#[derive(Debug, Default)]
pub(crate) struct Marks(());

impl ConditionSettings {
    pub(crate) fn stated(&self) -> String {
        match *self {}
    }
}

impl OnRoutes {
    pub(crate) fn number(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn mode(&self) -> Mode {
        match *self {}
    }
}

impl Conditions {
    /// There are none.
    pub fn start(settings: ConditionSettings, _: Arc<crate::metrics::Metrics>, _: u64) -> Self {
        match settings {}
    }

    pub(crate) fn number(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn are_enforced(&self) -> bool {
        match *self {}
    }

    pub(crate) fn in_force(&self) -> InForce {
        match *self {}
    }

    pub(crate) fn settings(&self) -> ConditionSettings {
        match *self {}
    }

    pub(crate) fn count_kept(&self) {
        match *self {}
    }

    pub(super) fn on(&self, _: &Slot, _: usize) -> Arc<OnRoutes> {
        match *self {}
    }
}

impl Asking<'_> {
    pub(crate) fn decide(&self, _: &mut Marks, _: &Of<'_>, _: u64) -> Decided {
        match *self.conditions {}
    }

    pub(crate) fn is_free(&self) -> bool {
        match *self.conditions {}
    }

    pub(crate) fn leasable(&self, _: &mut Marks, _: &Of<'_>, _: u64) -> Option<Option<u64>> {
        match *self.conditions {}
    }
}

/// There is nothing to read.
pub(crate) async fn reload(_: &Arc<Service>, _: Actor) -> Result<InForce, Vec<String>> {
    Err(Vec::new())
}

/// Nothing is to be kept.
pub(crate) async fn keep(_: Arc<Service>, _: watch::Receiver<Option<ConditionSettings>>) {}
