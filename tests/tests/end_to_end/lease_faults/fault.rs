//! What goes wrong while something is revoked.

use super::{LEASE, stage::Stage};
use portcullis_tests::{Break, Envoy, Link};
use std::time::Duration;

/// How far clocks are set, in seconds: as far as they may be.
const STEP_S: i64 = 20;

/// A fault of one revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    None,
    /// The connections of Envoys to the service.
    Broken(Break),
    /// They are slow: faster and slower than a lease.
    Slow,
    /// For shorter and for longer than a lease.
    ServicePaused,
    /// For longer than a lease, and beyond the answer.
    EnvoyPaused,
    KilledBefore,
    /// The filters do not notice that, and go on with their leases.
    KilledUnnoticed,
    KilledDuring,
    KilledAfter,
    ServiceClock(i64),
    EnvoyClock(i64),
}

pub(super) const OF_CONNECTIONS: [Fault; 8] = [
    Fault::None,
    Fault::Broken(Break::ClosedAtNear),
    Fault::Broken(Break::ClosedAtFar),
    Fault::Broken(Break::DeadFromNear),
    Fault::Broken(Break::DeadFromFar),
    Fault::Broken(Break::Dead),
    Fault::Broken(Break::Closed),
    Fault::Slow,
];

pub(super) const OF_PROCESSES: [Fault; 7] = [
    Fault::ServicePaused,
    Fault::EnvoyPaused,
    Fault::KilledUnnoticed,
    Fault::ServicePaused,
    Fault::KilledBefore,
    Fault::KilledDuring,
    Fault::KilledAfter,
];

pub(super) const OF_CLOCKS: [Fault; 5] = [
    Fault::ServiceClock(STEP_S),
    Fault::EnvoyClock(STEP_S),
    Fault::ServiceClock(-STEP_S),
    Fault::EnvoyClock(-STEP_S),
    Fault::None,
];

/// A fault that befalls a stage.
pub(super) struct Occurrence<'a> {
    pub(super) fault: Fault,
    stage: &'a Stage,
    /// Which of several services, Envoys and lengths.
    number: usize,
}

impl<'a> Occurrence<'a> {
    pub(super) fn new(fault: Fault, stage: &'a Stage, number: usize) -> Self {
        Self { fault, stage, number }
    }

    /// The service that it befalls.
    pub(super) fn service(&self) -> usize {
        self.number % self.stage.services().len()
    }

    /// Whether answers are waited for no longer than leases run.
    pub(super) fn leaves_the_service(&self) -> bool {
        matches!(
            self.fault,
            Fault::None
                | Fault::Broken(_)
                | Fault::Slow
                | Fault::EnvoyPaused
                | Fault::ServiceClock(_)
                | Fault::EnvoyClock(_)
        )
    }

    /// What comes before anything is revoked.
    pub(super) async fn begin(&self) {
        let service = self.stage.services()[self.service()];
        match self.fault {
            Fault::None | Fault::KilledDuring | Fault::KilledAfter => {}
            Fault::Broken(how) => self.links().iter().for_each(|link| link.break_all(how)),
            Fault::Slow => {
                let by = LEASE.mul_f64([0.1, 0.3, 0.8][self.number % 3]);
                self.links().iter().for_each(|link| link.delay(by));
            }
            Fault::ServicePaused => service.pause(),
            Fault::EnvoyPaused => self.envoy().pause(),
            Fault::KilledBefore => {
                service.kill();
                service.restart().await;
            }
            Fault::KilledUnnoticed => {
                self.stage.links_to(self.service()).for_each(|link| link.break_all(Break::ClosedAtFar));
                service.kill();
                service.restart().await;
            }
            Fault::ServiceClock(seconds) => service.faults().set_clock(seconds),
            Fault::EnvoyClock(seconds) => self.envoy().faults().set_clock(seconds),
        }
    }

    /// What comes while the answer is waited for.
    pub(super) async fn go_on(&self) {
        let service = self.stage.services()[self.service()];
        match self.fault {
            Fault::ServicePaused => {
                tokio::time::sleep(LEASE.mul_f64([0.3, 1.2, 2.1][self.number % 3])).await;
                service.resume();
            }
            Fault::KilledDuring => {
                tokio::time::sleep(Duration::from_millis(10 * (self.number as u64 % 8))).await;
                service.kill();
                service.restart().await;
            }
            _ => {}
        }
    }

    /// What comes after the answer.
    pub(super) async fn end(&self) {
        let service = self.stage.services()[self.service()];
        match self.fault {
            Fault::Slow => self.links().iter().for_each(|link| link.delay(Duration::ZERO)),
            Fault::EnvoyPaused => {
                tokio::time::sleep(LEASE / 2).await;
                self.envoy().resume();
            }
            Fault::KilledAfter => {
                service.kill();
                service.restart().await;
            }
            Fault::ServiceClock(_) => service.faults().set_clock(0),
            Fault::EnvoyClock(_) => self.envoy().faults().set_clock(0),
            _ => {}
        }
    }

    fn links(&self) -> Vec<&'a Link> {
        self.stage.links(self.number)
    }

    fn envoy(&self) -> &'a Envoy {
        self.stage.envoys()[self.number % 2]
    }
}
