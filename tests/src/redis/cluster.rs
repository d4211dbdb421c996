//! A Redis Cluster.

use super::{Redis, ask};
use crate::{process::free_port, wait::until};
use serde_json::{Value, json};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// Three primaries and a replica of each.
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts them.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..2 * PRIMARIES {
            let bus = free_port().to_string();
            let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
            let node = Redis::start_with(settings.map(str::to_owned).into()).await;
            if let Some(Redis { port, .. }) = nodes.first() {
                assert_eq!(said(&node, &format!("CLUSTER MEET 127.0.0.1 {port} {}", bus_of(&nodes[0]))), "+OK");
            }
            nodes.push(node);
        }
        let cluster = Self { nodes };
        let (primaries, replicas) = cluster.nodes.split_at(PRIMARIES);
        for (number, primary) in primaries.iter().enumerate() {
            let (first, end) = (SLOTS * number / PRIMARIES, SLOTS * (number + 1) / PRIMARIES);
            assert_eq!(said(primary, &format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1)), "+OK");
        }
        for (primary, replica) in primaries.iter().zip(replicas) {
            let answer = ask(primary.port(), "CLUSTER MYID").expect("Redis answers");
            let id = answer.lines().nth(1).expect("an id");
            let command = format!("CLUSTER REPLICATE {id}");
            until("a node knows its primary", async || (said(replica, &command) == "+OK").then_some(())).await;
            replica.is_level().await;
        }
        for node in &cluster.nodes {
            let is_ok = async || ask(node.port(), "CLUSTER INFO")?.contains("cluster_state:ok").then_some(());
            until("the cluster has all slots", is_ok).await;
        }
        cluster
    }

    /// Where the store is, for `session.yaml`.
    pub fn at(&self) -> Value {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        json!({"cluster": nodes})
    }

    /// Kills the primary that has the keys, and waits until its replica has taken its place.
    pub async fn fail_over(&self) {
        let (primaries, replicas) = self.nodes.split_at(PRIMARIES);
        let has_keys = |node: &&Redis| said(node, "DBSIZE") != ":0";
        let at = primaries.iter().position(|node| has_keys(&node)).expect("somebody has the keys");
        primaries[at].kill();
        let is_primary = async || ask(replicas[at].port(), "INFO replication")?.contains("role:master").then_some(());
        until("its replica has taken its place", is_primary).await;
    }
}

/// The port of its bus.
fn bus_of(node: &Redis) -> &str {
    node.settings.last().expect("the cluster's settings")
}

/// The first line of an answer.
fn said(node: &Redis, command: &str) -> String {
    let answer = ask(node.port(), command).unwrap_or_default();
    answer.lines().next().unwrap_or_default().to_owned()
}
