//! What faults befall: Envoys of two workers each, the session service or its replicas, and the links between all of them.

use portcullis_tests::{Builder, Client, Envoy, FRESH, Link, Load, Service, Testbed, set_endpoints};
use std::sync::{Arc, atomic::Ordering};
use tokio::task::JoinHandle;

const CONNECTIONS: usize = 64;

/// Two Envoys, each with a link of its own to each service.
pub(super) struct Stage {
    pub(super) testbed: Testbed,
    another: Envoy,
    links: [Vec<Link>; 2],
}

impl Stage {
    pub(super) async fn start(builder: Builder, replicas: usize) -> Self {
        let links = [open(replicas).await, open(replicas).await];
        let ports = |links: &[Link]| links.iter().map(|link| link.port).collect::<Vec<_>>();
        let first = ports(&links[0]);
        let builder = builder.bootstrap(move |all| set_endpoints(all, "session", &first)).faulty_envoy();
        let testbed = builder.start().await;
        for service in testbed.replicas() {
            service.restart_with_faults().await;
        }
        for links in &links {
            links.iter().zip(testbed.replicas()).for_each(|(link, service)| link.lead_to(service.address()));
        }
        let another = testbed.another_envoy_through(&ports(&links[1])).await;
        let stage = Self { testbed, another, links };
        let token = stage.testbed.issuer.token().subject("warm-up").sign();
        for client in stage.clients().iter().cycle().take(2 * FRESH) {
            client.get("/me").bearer(&token).until("every worker is warm", |answer| answer.status == 200).await;
        }
        stage
    }

    pub(super) fn envoys(&self) -> [&Envoy; 2] {
        [&self.testbed.envoy, &self.another]
    }

    /// A client of each Envoy.
    pub(super) fn clients(&self) -> [Client; 2] {
        self.envoys().map(|envoy| Client::new(envoy.address))
    }

    pub(super) fn services(&self) -> Vec<&Service> {
        self.testbed.replicas().collect()
    }

    /// The links of one of the Envoys; of both, two times in six. Six in a row meet each of them.
    pub(super) fn links(&self, number: usize) -> Vec<&Link> {
        match number % 3 {
            2 => self.links.iter().flatten().collect(),
            one => self.links[one].iter().collect(),
        }
    }

    /// All links to a service.
    pub(super) fn links_to(&self, service: usize) -> impl Iterator<Item = &Link> {
        self.links.iter().map(move |links| &links[service])
    }

    /// Sends requests to both Envoys until [`Load::over`].
    pub(super) fn drive(&self, load: &Arc<Load>) -> Vec<JoinHandle<()>> {
        let client = |offset: usize| Client::new(self.envoys()[offset % 2].address);
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(client(offset), offset))).collect()
    }

    /// Ends that, and demands that all went as it should; returns how many requests leases have released.
    pub(super) async fn end(&self, load: &Load, drivers: Vec<JoinHandle<()>>) -> u64 {
        load.over.store(true, Ordering::Relaxed);
        for driver in drivers {
            driver.await.expect("a connection ends well");
        }
        load.demand_no_violation();
        load.demand_nothing_strange();
        let mut released = 0;
        for envoy in self.envoys() {
            assert_eq!(envoy.vm_reloads().await, 0);
            released += envoy.stat("portcullis.leases.event.released").await;
        }
        released
    }
}

async fn open(count: usize) -> Vec<Link> {
    let mut links = Vec::new();
    for _ in 0..count {
        links.push(Link::open().await);
    }
    links
}
