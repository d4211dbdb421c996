//! Envoy with the shipped bootstrap.

use crate::{
    Client, Faults, paths,
    policy::PLACE,
    process::{Process, local},
    wait::until,
};
use rustix::process::Signal;
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
    /// Where Envoy watches a file, so that the policy can be replaced.
    pub(crate) watch: Option<Watch>,
    /// Whether Envoy runs on a machine whose faults the caller orders.
    pub(crate) faulty: bool,
}

/// What Envoy reads from a file that it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The listener, with the filter in it (LDS).
    Listener,
    /// The filter alone (ECDS), as Istio gives it.
    Filter,
}

/// A running Envoy.
pub struct Envoy {
    /// Where clients go.
    pub address: SocketAddr,
    /// Envoy's admin.
    pub admin: SocketAddr,
    dir: PathBuf,
    /// What Envoy watches, and what the file holds.
    watched: Mutex<(Option<Watch>, Value)>,
    process: Mutex<Process>,
    faults: Option<Faults>,
}

/// The workers of an Envoy.
pub(crate) const WORKERS: usize = 2;
/// How long connections of a replaced listener may take to end.
const DRAIN_S: &str = "1";
const WATCHED: &str = "watched.json";

impl Envoy {
    pub(crate) async fn start(dir: &Path, changes: Changes, credential: &str) -> Self {
        paths::dist("portcullis.wasm");
        let (watch, faulty) = (changes.watch, changes.faulty);
        let (bootstrap, watched) = bootstrap(changes, dir);
        let faults = faulty.then(|| Faults::build(&folder(dir, "envoy-machine")));
        let envoy = Self::launch_on(faults, dir, &bootstrap, WORKERS, credential).await;
        Self { watched: Mutex::new((watch, watched)), ..envoy }
    }

    /// Starts another one with a bootstrap that one was started with, on a machine whose faults the caller orders. It reaches
    /// the session service at these local ports.
    pub(crate) async fn start_like(mut bootstrap: Value, session: &[u16], dir: &Path, credential: &str) -> Self {
        set_endpoints(&mut bootstrap, "session", session);
        let faults = Faults::build(&folder(dir, "envoy-machine"));
        Self::launch_on(Some(faults), dir, &bootstrap, WORKERS, credential).await
    }

    /// Starts Envoy with the caller's bootstrap: one listener and an admin, each on any port. Its paths are
    /// relative to the root of the repository.
    pub async fn launch(dir: &Path, bootstrap: &Value, workers: usize, credential: &str) -> Self {
        Self::launch_on(None, dir, bootstrap, workers, credential).await
    }

    async fn launch_on(
        faults: Option<Faults>,
        dir: &Path,
        bootstrap: &Value,
        workers: usize,
        credential: &str,
    ) -> Self {
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
        if let Some(faults) = &faults {
            faults.befall(&mut command);
        }
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
        Self { address, admin, dir: dir.to_owned(), watched: Mutex::default(), process, faults }
    }

    /// The faults of its machine; panics unless [`crate::Builder::faulty_envoy`] asked for it.
    pub fn faults(&self) -> &Faults {
        self.faults.as_ref().expect("a machine with faults")
    }

    /// Replaces the policy while Envoy runs, and waits until Envoy has accepted it. Needs something that is watched.
    pub async fn replace_policy(&self, policy: &Value) {
        self.offer_policy(policy, "update_success").await;
    }

    /// Replaces the policy by one that Envoy must reject, and waits until it has.
    pub async fn offer_invalid_policy(&self, policy: &Value) {
        self.offer_policy(policy, "update_rejected").await;
    }

    /// Offers a policy, and waits until the counter of updates with this outcome has moved.
    async fn offer_policy(&self, policy: &Value, outcome: &str) {
        let counter = {
            let (watch, _) = &*self.watched.lock().expect("not poisoned");
            format!("{}.{outcome}", watch.expect("a watched file").counters())
        };
        let before = self.stat(&counter).await;
        {
            let (watch, resource) = &mut *self.watched.lock().expect("not poisoned");
            *at(resource, watch.expect("a watched file").place()) = policy.clone();
            let (file, next) = (self.dir.join(WATCHED), self.dir.join("next.json"));
            paths::write(&next, &json!({"resources": [resource]}));
            std::fs::rename(next, file).expect("a file can be moved");
        }
        until(&counter, async || {
            self.process.lock().expect("not poisoned").must_live();
            (self.stat(&counter).await > before).then_some(())
        })
        .await;
    }

    /// Stops it in the middle of whatever it does, until [`Envoy::resume`].
    pub fn pause(&self) {
        self.process.lock().expect("not poisoned").signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.lock().expect("not poisoned").signal(Signal::CONT);
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

/// A new folder in `dir`.
fn folder(dir: &Path, name: &str) -> PathBuf {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).expect("a folder can be made");
    folder
}

const FIRST_LISTENER: &str = "/static_resources/listeners/0";
/// The place of the filter in its listener, and that of the policy in the filter.
const FILTER: &str = "/filter_chains/0/filters/0/typed_config/http_filters/0";
const POLICY: &str = "/typed_config/config/configuration/value";

impl Watch {
    /// Where the policy is in what the file holds.
    fn place(self) -> &'static str {
        match self {
            Self::Listener => &PLACE[FIRST_LISTENER.len()..],
            Self::Filter => POLICY,
        }
    }

    /// The prefix of Envoy's counters of updates.
    const fn counters(self) -> &'static str {
        match self {
            Self::Listener => "listener_manager.lds",
            Self::Filter => "extension_config_discovery.http_filter.portcullis",
        }
    }
}

/// Envoy's routes in the shipped bootstrap.
const ROUTES: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";

/// Adds endpoints on local ports to a cluster.
pub(crate) fn add_endpoints(all: &mut Value, cluster: &str, ports: &[u16]) {
    let endpoints = endpoints(all, cluster);
    for port in ports {
        let mut endpoint = endpoints[0].clone();
        *at(&mut endpoint, "/endpoint/address/socket_address/port_value") = json!(port);
        endpoints.push(endpoint);
    }
}

/// Replaces the endpoints of a cluster by local ports.
pub fn set_endpoints(all: &mut Value, cluster: &str, ports: &[u16]) {
    add_endpoints(all, cluster, ports);
    let endpoints = endpoints(all, cluster);
    endpoints.drain(..endpoints.len() - ports.len());
}

fn endpoints<'a>(all: &'a mut Value, cluster: &str) -> &'a mut Vec<Value> {
    let clusters = at(all, "/static_resources/clusters").as_array_mut().expect("a list of clusters");
    let index = position(clusters, cluster).expect("the cluster is there");
    let endpoints = at(&mut clusters[index], "/load_assignment/endpoints/0/lb_endpoints");
    endpoints.as_array_mut().expect("a list of endpoints")
}

/// The bootstrap, and what Envoy watches.
fn bootstrap(changes: Changes, dir: &Path) -> (Value, Value) {
    let mut all = paths::shipped_file("envoy.yaml");
    *at(&mut all, "/static_resources/listeners/0/address/socket_address/port_value") = json!(changes.listener);
    *at(&mut all, "/admin/address/socket_address/port_value") = json!(changes.admin);
    if let Some(oauth) = changes.policy.get("oauth") {
        let route = json!({"match": {"prefix": "/oauth2/"}, "route": {"cluster": oauth["cluster"]}});
        at(&mut all, ROUTES).as_array_mut().expect("a list of routes").insert(0, route);
    }
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
    let watched = changes.watch.map_or(Value::Null, |watch| watched(&mut all, watch, &dir.join(WATCHED)));
    (all, watched)
}

/// Moves what is watched from the bootstrap into a file, and returns it.
fn watched(all: &mut Value, watch: Watch, path: &Path) -> Value {
    let source = json!({"path_config_source": {"path": path}});
    all["node"] = json!({"id": "edge", "cluster": "edge"});
    let mut resource = match watch {
        Watch::Listener => {
            let listener = at(all, FIRST_LISTENER).clone();
            *at(all, "/static_resources/listeners") = json!([]);
            all["dynamic_resources"] = json!({"lds_config": source});
            listener
        }
        Watch::Filter => {
            let type_url = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
            let place = at(all, &format!("{FIRST_LISTENER}{FILTER}"));
            let discovery = json!({"config_source": source, "type_urls": [type_url]});
            let discovered = json!({"name": place["name"], "config_discovery": discovery});
            std::mem::replace(place, discovered)
        }
    };
    resource["@type"] = json!(match watch {
        Watch::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
        Watch::Filter => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
    });
    paths::write(path, &json!({"resources": [resource]}));
    resource
}

fn position(clusters: &[Value], name: &str) -> Option<usize> {
    clusters.iter().position(|cluster| cluster["name"] == name)
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("the shipped bootstrap has nothing at {pointer}"))
}
