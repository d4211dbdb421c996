//! Envoy with the shipped bootstrap.

use crate::{
    Client, paths,
    policy::PLACE,
    process::{Process, local},
    wait::until,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// A change to a configuration.
pub(crate) type Edit = Box<dyn FnOnce(&mut Value) + Send>;

/// Changes to the shipped bootstrap.
pub(crate) struct Changes {
    /// The port of the listener; 0 for any.
    pub(crate) listener: u16,
    /// The port of Envoy's admin; 0 for any.
    pub(crate) admin: u16,
    /// The ports of the clusters; a cluster that the shipped bootstrap lacks is copied from `id`.
    pub(crate) clusters: Vec<(&'static str, u16)>,
    /// The filter's policy.
    pub(crate) policy: Value,
    /// Further changes, made last.
    pub(crate) edit: Edit,
    /// Whether Envoy reads its listener from a file that it watches, so that the policy can be replaced.
    pub(crate) watch: bool,
}

/// A running Envoy.
pub struct Envoy {
    /// Where clients go.
    pub address: SocketAddr,
    /// Envoy's admin.
    pub admin: SocketAddr,
    dir: PathBuf,
    /// The listener, from the bootstrap or from the file that the bootstrap names.
    listeners: Mutex<Value>,
    process: Mutex<Process>,
}

const WORKERS: usize = 2;
/// How long connections of a replaced listener may take to end.
const DRAIN_S: &str = "1";
const LISTENERS: &str = "listeners.json";

impl Envoy {
    pub(crate) async fn start(dir: &Path, changes: Changes, credential: &str) -> Self {
        paths::dist("portcullis.wasm");
        let (bootstrap, listeners) = bootstrap(changes, dir);
        Self { listeners: Mutex::new(listeners), ..Self::launch(dir, &bootstrap, WORKERS, credential).await }
    }

    /// Starts Envoy with the caller's bootstrap: one listener and an admin, each on any port. Its paths are
    /// relative to the root of the repository.
    pub async fn launch(dir: &Path, bootstrap: &Value, workers: usize, credential: &str) -> Self {
        let config = dir.join("envoy.json");
        paths::write(&config, bootstrap);
        let admin_path = dir.join("admin-address");
        let mut command = Command::new(paths::envoy_program());
        command
            .args(["--concurrency", &workers.to_string(), "--disable-hot-restart"])
            .args(["--file-flush-interval-msec", "50"])
            .args(["--drain-time-s", DRAIN_S, "--drain-strategy", "immediate"])
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
        Self { address, admin, dir: dir.to_owned(), listeners: Mutex::default(), process }
    }

    /// Replaces the policy while Envoy runs, and waits until Envoy has accepted it. Needs a watched listener.
    pub async fn replace_policy(&self, policy: &Value) {
        let before = self.stat(UPDATES).await;
        {
            let mut listener = self.listeners.lock().expect("not poisoned");
            *at(&mut listener, &PLACE[FIRST_LISTENER.len()..]) = policy.clone();
            let (file, next) = (self.dir.join(LISTENERS), self.dir.join("next.json"));
            paths::write(&next, &resources(&listener));
            std::fs::rename(next, file).expect("a file can be moved");
        }
        until("Envoy has the new policy", async || {
            self.process.lock().expect("not poisoned").must_live();
            (self.stat(UPDATES).await > before).then_some(())
        })
        .await;
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.lock().expect("not poisoned").id()
    }

    /// The memory that the process holds.
    pub fn resident_bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 4_096;
        let id = self.id();
        let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("Linux tells");
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("a number of pages") * PAGE_BYTES
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

    /// How often a VM failed and was restarted.
    pub async fn vm_reloads(&self) -> u64 {
        self.stat("vm_reload").await
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("envoy.out")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Envoy's own log so far, including the filter's lines.
    pub fn log(&self) -> String {
        self.process.lock().expect("not poisoned").err()
    }
}

const FIRST_LISTENER: &str = "/static_resources/listeners/0";
/// Counts the listener updates that Envoy has accepted.
const UPDATES: &str = "listener_manager.lds.update_success";

/// The bootstrap, and its listener.
fn bootstrap(changes: Changes, dir: &Path) -> (Value, Value) {
    let mut all = paths::shipped_file("envoy.yaml");
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
    let listener = at(&mut all, FIRST_LISTENER).clone();
    if changes.watch {
        // The same listener, in a file that Envoy watches.
        let path = dir.join(LISTENERS);
        paths::write(&path, &resources(&listener));
        *at(&mut all, "/static_resources/listeners") = json!([]);
        all["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": path}}});
        all["node"] = json!({"id": "edge", "cluster": "edge"});
    }
    (all, listener)
}

/// What Envoy reads from the file that it watches.
fn resources(listener: &Value) -> Value {
    let mut listener = listener.clone();
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    json!({"resources": [listener]})
}

fn position(clusters: &[Value], name: &str) -> Option<usize> {
    clusters.iter().position(|cluster| cluster["name"] == name)
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("the shipped bootstrap has nothing at {pointer}"))
}
