//! The stores that replicas share, and how they fail.

use super::Fault;
use portcullis_tests::{Link, Postgres, Redis, local, redis_at, redis_store, shared_store};
use serde_json::Value;

/// A store.
pub(super) enum Engine {
    Postgres(Postgres),
    /// A primary, and a server that replicates it.
    Redis(Redis, Redis),
}

impl Engine {
    pub(super) fn postgres(server: Postgres) -> Self {
        Self::Postgres(server)
    }

    pub(super) async fn redis() -> Self {
        let (primary, standby) = (Redis::start().await, Redis::start().await);
        standby.follow(&primary).await;
        Self::Redis(primary, standby)
    }

    /// The port of the server that is to be asked.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::Redis(primary, _) => primary.port(),
        }
    }

    /// The keys of `session.yaml` of a replica that reaches it by a local port.
    pub(super) fn store(&self, port: u16, replicas: usize) -> Value {
        match self {
            Self::Postgres(server) => shared_store(&server.url_through(port)),
            Self::Redis(..) => redis_store(redis_at(port), replicas),
        }
    }

    /// The faults that it must survive.
    pub(super) fn faults(&self) -> &'static [Fault] {
        const ALL: [Fault; 6] =
            [Fault::Kill, Fault::Pause, Fault::Crash, Fault::CutLink, Fault::DeadLink, Fault::FailOver];
        match self {
            // A standby of PostgreSQL that has everything is the same server to a replica, and one that has not is refused.
            Self::Postgres(_) => &ALL[..5],
            Self::Redis(..) => &ALL,
        }
    }

    /// Ends it as a crash does.
    pub(super) async fn crash(&self) {
        match self {
            Self::Postgres(server) => server.crash().await,
            Self::Redis(primary, _) => primary.kill(),
        }
    }

    /// Starts it again after a crash.
    pub(super) async fn restart(&self) {
        match self {
            Self::Postgres(server) => server.restart().await,
            Self::Redis(primary, _) => primary.restart().await,
        }
    }

    /// From now on, the standby lacks what is written.
    pub(super) fn part(&self) {
        if let Self::Redis(_, standby) = self {
            standby.promote();
        }
    }

    /// The standby takes over, and the former primary becomes its standby.
    pub(super) async fn fail_over(&mut self, links: impl Iterator<Item = &Link> + Clone) {
        let Self::Redis(primary, standby) = self else { return };
        primary.kill();
        for link in links.clone() {
            link.close();
            link.lead_to(local(standby.port()));
        }
        links.for_each(Link::accept_again);
        primary.restart().await;
        primary.follow(standby).await;
        std::mem::swap(primary, standby);
    }
}
