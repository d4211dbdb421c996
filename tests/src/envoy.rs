//! Envoy, with the shipped bootstrap.

use crate::{
    Client, paths,
    policy::PLACE,
    process::{Process, local},
    wait::until,
    world::Edit,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// What is changed in the shipped bootstrap.
pub(crate) struct Changes {
    /// The port of the listener; 0 for any.
    pub(crate) listener: u16,
    /// The port of Envoy's admin; 0 for any.
    pub(crate) admin: u16,
    /// The ports of the clusters; one that the shipped bootstrap lacks is made like `id`.
    pub(crate) clusters: Vec<(&'static str, u16)>,
    /// The filter's policy.
    pub(crate) policy: Value,
    /// What else is changed, at last.
    pub(crate) edit: Edit,
}

/// A running Envoy.
pub struct Envoy {
    /// Where clients go.
    pub address: SocketAddr,
    /// Envoy's admin.
    pub admin: SocketAddr,
    dir: PathBuf,
    process: Mutex<Process>,
}

impl Envoy {
    pub(crate) async fn start(dir: &Path, changes: Changes, credential: &str) -> Self {
        paths::dist("portcullis.wasm");
        let config = dir.join("envoy.json");
        paths::write(&config, &bootstrap(changes));
        let admin_path = dir.join("admin-address");
        let mut command = Command::new(paths::envoy());
        command
            .args(["--concurrency", "2", "--disable-hot-restart"])
            .args(["--file-flush-interval-msec", "50"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .arg("-c")
            .arg(config)
            .arg("--admin-address-path")
            .arg(&admin_path)
            .env("PORTCULLIS_FILTER_CREDENTIAL", credential)
            .current_dir(paths::root());
        let process = Mutex::new(Process::start(&mut command, dir, "envoy"));
        let admin = until("Envoy's admin listens", async || {
            process.lock().expect("not poisoned").must_live();
            let text = std::fs::read_to_string(&admin_path).ok()?;
            text.trim().parse::<SocketAddr>().ok()
        })
        .await;
        let client = Client::new(admin);
        let address = until("Envoy is ready", async || {
            process.lock().expect("not poisoned").must_live();
            let ready = client.get("/ready").try_send().await.ok()?;
            if !ready.status.is_success() {
                return None;
            }
            let listeners = client.get("/listeners?format=json").try_send().await.ok()?.json();
            let port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some(local(u16::try_from(port).ok()?))
        })
        .await;
        Self { address, admin, dir: dir.to_owned(), process }
    }

    /// The counters and gauges whose names contain a text.
    pub async fn stats(&self, containing: &str) -> Vec<(String, u64)> {
        let answer = Client::new(self.admin).get("/stats?format=json").await.json();
        let stats = answer["stats"].as_array().expect("a list of statistics").clone();
        stats
            .iter()
            .filter_map(|stat| Some((stat["name"].as_str()?.to_owned(), stat["value"].as_u64()?)))
            .filter(|(name, _)| name.contains(containing))
            .collect()
    }

    /// The sum of the counters whose names contain a text.
    pub async fn stat(&self, containing: &str) -> u64 {
        let stats = self.stats(containing).await;
        stats.iter().map(|(_, value)| value).sum()
    }

    /// How often a VM died and was started again.
    pub async fn vm_reloads(&self) -> u64 {
        self.stat("vm_reload").await
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("envoy.out")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Envoy's own log so far, with the filter's lines in it.
    pub fn log(&self) -> String {
        self.process.lock().expect("not poisoned").err()
    }
}

fn bootstrap(changes: Changes) -> Value {
    let mut all = paths::shipped("envoy.yaml");
    *at(&mut all, "/static_resources/listeners/0/address/socket_address/port_value") = json!(changes.listener);
    *at(&mut all, "/admin/address/socket_address/port_value") = json!(changes.admin);
    *at(&mut all, PLACE) = changes.policy;
    let clusters = at(&mut all, "/static_resources/clusters");
    let clusters = clusters.as_array_mut().expect("a list of clusters");
    for (name, port) in changes.clusters {
        let index = position(clusters, name).unwrap_or_else(|| {
            let like = position(clusters, "id").expect("a cluster `id`");
            let mut cluster = clusters[like].clone();
            cluster["name"] = json!(name);
            cluster["load_assignment"]["cluster_name"] = json!(name);
            clusters.push(cluster);
            clusters.len() - 1
        });
        let port_value = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        *at(&mut clusters[index], port_value) = json!(port);
    }
    (changes.edit)(&mut all);
    all
}

fn position(clusters: &[Value], name: &str) -> Option<usize> {
    clusters.iter().position(|cluster| cluster["name"] == name)
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("the shipped bootstrap has nothing at {pointer}"))
}
