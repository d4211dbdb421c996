//! Everything that a request passes through, started and stopped together.

use crate::{
    Call, Client, Envoy, Issuer, IssuerBehaviour, Kind, Refused, Service, Stream, Token, Upstream, envoy,
    envoy::{Changes, Edit, Watch},
    policy,
    process::{is_free, local},
    service::{Credentials, Ports},
    stream,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The documented ports of the shipped files.
const LISTENER: u16 = 10_000;
const ENVOY_ADMIN: u16 = 9_901;
const UPSTREAM: u16 = 8_080;
const CHECKS: u16 = 7_070;
const SERVICE_ADMIN: u16 = 7_071;
const ISSUER: u16 = 9_000;

/// `iss` of the shipped policy's issuer, and of the second one that tests may add to a policy.
const ISSUER_NAME: &str = "http://127.0.0.1:9000";
const PARTNER_NAME: &str = "https://partner.example.com";

/// New connections that must be answered in a row before every worker of Envoy counts as warm.
const WARM_ANSWERS: usize = 12;

/// New connections, so that every worker of Envoy is asked.
pub const FRESH: usize = 12;

/// A running testbed: Envoy, the session service, two issuers and an upstream. Dropping it ends everything in it.
pub struct Testbed {
    // Envoy is dropped first; otherwise it logs that the others are gone.
    /// The proxy.
    pub envoy: Envoy,
    /// The session service; of several replicas, the first.
    pub service: Service,
    /// The other replicas.
    pub others: Vec<Service>,
    /// The issuer of the shipped policy, Envoy's cluster `id`.
    pub issuer: Issuer,
    /// Another issuer, Envoy's cluster `partner`.
    pub partner: Issuer,
    /// Where released requests go.
    pub upstream: Upstream,
    /// Documented ports that were already in use, with [`Builder::documented_ports`].
    pub moved: Vec<u16>,
    /// The admin API's credential.
    pub admin_credential: String,
    client: Client,
    credentials: Credentials,
    dir: TempDir,
}

/// The configuration of a testbed.
pub struct Builder {
    policy: Value,
    session: Edit,
    keys: IssuerBehaviour,
    filter_credential: Option<String>,
    documented_ports: bool,
    clusters: Vec<(&'static str, u16)>,
    bootstrap: Edit,
    watch: Option<Watch>,
    faulty_envoy: bool,
    /// For each replica of the session service, what it needs in `session.yaml`; without any, there is one service.
    replicas: Vec<Value>,
}

impl Testbed {
    /// A testbed with the shipped files, free ports and generous timeouts.
    pub fn builder() -> Builder {
        Builder {
            policy: policy::patient(),
            session: Box::new(|_| ()),
            keys: IssuerBehaviour::Serve,
            filter_credential: None,
            documented_ports: false,
            clusters: Vec::new(),
            bootstrap: Box::new(|_| ()),
            watch: None,
            faulty_envoy: false,
            replicas: Vec::new(),
        }
    }

    /// A testbed with the defaults of [`Testbed::builder`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A testbed with a policy, and defaults otherwise.
    pub async fn with_policy(policy: Value) -> Self {
        Self::builder().policy(policy).start().await
    }

    /// A GET request to Envoy.
    pub fn get(&self, path: &str) -> Call {
        self.client.get(path)
    }

    /// Waits until a request with this token passes.
    pub async fn passes(&self, token: &Token) {
        self.get("/me").bearer(token).until("it passes", |answer| answer.status == 200).await;
    }

    /// The statuses of requests over new connections, so that every worker of Envoy is asked.
    pub async fn statuses(&self, token: &Token) -> [u16; FRESH] {
        let mut all = [0; FRESH];
        for status in &mut all {
            *status = self.get("/me").bearer(token).fresh().await.status.as_u16();
        }
        all
    }

    /// All replicas of the session service.
    pub fn replicas(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(&self.service).chain(&self.others)
    }

    /// Another Envoy with the same configuration, on ports of its own.
    pub async fn another_envoy(&self) -> Envoy {
        let (bootstrap, dir) = self.for_another_envoy();
        Envoy::launch(&dir, &bootstrap, envoy::WORKERS, &self.filter_credential()).await
    }

    /// The same, on a machine whose faults [`Envoy::faults`] orders. It reaches the session service at these local ports.
    pub async fn another_envoy_through(&self, session: &[u16]) -> Envoy {
        let (bootstrap, dir) = self.for_another_envoy();
        Envoy::start_like(bootstrap, session, &dir, &self.filter_credential()).await
    }

    /// The bootstrap, and a folder.
    fn for_another_envoy(&self) -> (Value, PathBuf) {
        let text = std::fs::read_to_string(self.dir.path().join("envoy.json")).expect("the bootstrap can be read");
        let bootstrap = serde_json::from_str(&text).expect("the bootstrap is JSON");
        let dir = self.dir.path().join("another-envoy");
        std::fs::create_dir(&dir).expect("a folder can be made");
        (bootstrap, dir)
    }

    /// A request to Envoy.
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.client.call(method, path)
    }

    /// Opens a stream for a token, and demands that it is released.
    pub async fn open(&self, kind: Kind, token: &Token) -> Stream {
        self.open_at(kind, "www.example.com", token).await
    }

    /// Opens a stream at one of the hosts of [`policy::streams`], and demands that it is released.
    pub async fn open_at(&self, kind: Kind, host: &str, token: &Token) -> Stream {
        let opened = self.try_open(kind, host, token).await;
        opened.unwrap_or_else(|refused| panic!("{kind:?} was not released: {refused:?}"))
    }

    /// Opens a stream, if it is released.
    pub async fn try_open(&self, kind: Kind, host: &str, token: &Token) -> Result<Stream, Refused> {
        Stream::open(self.envoy.address, kind, host, &token.text).await
    }

    /// Opens a stream at another path than its own, with these headers, if it is released.
    pub async fn try_open_with(
        &self,
        kind: Kind,
        host: &str,
        path: &str,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Result<Stream, Refused> {
        Stream::open_with(self.envoy.address, kind, host, path, headers).await
    }

    /// Makes a gRPC call that the upstream never answers; returns how it ended.
    pub async fn wait_for_rpc(&self, token: &Token) -> Refused {
        stream::wait(self.envoy.address, "www.example.com", &token.text).await
    }

    /// A client of Envoy with connections of its own.
    pub fn client(&self) -> Client {
        Client::new(self.envoy.address)
    }

    /// Waits until every worker of Envoy has keys and a check stream: `/me` answers on many new connections in a row.
    pub async fn ready(&self) -> &Self {
        let token = self.issuer.token().subject("warm-up").sign();
        for _ in 0..WARM_ANSWERS {
            let call = self.get("/me").bearer(&token);
            call.until("the filter is warm", |answer| answer.status != 503).await;
        }
        self
    }

    /// The credential that the filter presents to the session service.
    pub fn filter_credential(&self) -> String {
        self.credentials.filter.clone()
    }

    /// Starts another session service on a port, with the same credentials and a store of its own.
    pub async fn replica(&self, checks: u16) -> Service {
        let dir = self.dir.path().join("replica");
        std::fs::create_dir(&dir).expect("there is one replica");
        let ports = Ports { checks, ..Ports::free() };
        Service::start(&dir, ports, self.credentials.clone(), |_| ()).await
    }

    /// The session of a token, as the admin API reads it.
    pub async fn session(&self, token: &Token) -> Value {
        self.service.admin().session(&token.session).await
    }
}

impl Builder {
    /// Another policy.
    pub fn policy(mut self, policy: Value) -> Self {
        self.policy = policy;
        self
    }

    /// Changes the configuration of the session service.
    pub fn session(mut self, edit: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.session = Box::new(edit);
        self
    }

    /// How the issuer answers until it is changed.
    pub fn keys(mut self, behaviour: IssuerBehaviour) -> Self {
        self.keys = behaviour;
        self
    }

    /// Configures the filter with a credential that the service rejects.
    pub fn wrong_filter_credential(self) -> Self {
        self.filter_credential("not-the-right-one")
    }

    /// Configures the filter with this credential in place of the session service's.
    pub fn filter_credential(mut self, credential: &str) -> Self {
        self.filter_credential = Some(credential.to_owned());
        self
    }

    /// Points a cluster of Envoy at a local port, and adds the cluster if the shipped bootstrap lacks it.
    pub fn cluster(mut self, name: &'static str, port: u16) -> Self {
        self.clusters.push((name, port));
        self
    }

    /// Changes Envoy's bootstrap after all other changes.
    pub fn bootstrap(mut self, edit: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.bootstrap = Box::new(edit);
        self
    }

    /// Uses the ports that the shipped files document where they are free.
    pub fn documented_ports(mut self) -> Self {
        self.documented_ports = true;
        self
    }

    /// Makes Envoy watch a file, which [`Envoy::replace_policy`] needs.
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Runs Envoy on a machine whose faults [`Envoy::faults`] orders.
    pub fn faulty_envoy(mut self) -> Self {
        self.faulty_envoy = true;
        self
    }

    /// Runs several replicas, with these keys in their configuration, among them `store`. Envoy knows all of them.
    pub fn replicas(self, count: usize, keys: Value) -> Self {
        self.replicas_with(vec![keys; count])
    }

    /// The same, with keys for each.
    pub fn replicas_with(mut self, keys: Vec<Value>) -> Self {
        self.replicas = keys;
        self
    }

    /// Starts everything.
    pub async fn start(self) -> Testbed {
        let dir = tempfile::Builder::new().prefix("portcullis-").tempdir().expect("a temporary directory");
        let mut choice = Choice { documented: self.documented_ports, moved: Vec::new() };
        let issuer = Issuer::start(ISSUER_NAME, local(choice.port(ISSUER)), self.keys).await;
        let partner = Issuer::start(PARTNER_NAME, local(0), IssuerBehaviour::Serve).await;
        let upstream = Upstream::start(local(choice.port(UPSTREAM))).await;
        let free = Ports::free();
        let ports =
            Ports { checks: choice.port_or(CHECKS, free.checks), admin: choice.port_or(SERVICE_ADMIN, free.admin) };
        let credentials = Credentials::random();
        let (service, others) = match self.replicas.is_empty() {
            true => (Service::start(dir.path(), ports, credentials.clone(), self.session).await, Vec::new()),
            false => replicas(self.replicas, dir.path(), ports, &credentials, self.session).await,
        };
        let more: Vec<u16> = others.iter().map(|other| other.address().port()).collect();
        let edit = self.bootstrap;
        let bootstrap: Edit = Box::new(move |all| {
            envoy::add_endpoints(all, "session", &more);
            edit(all);
        });
        let mut clusters = vec![
            ("upstream", upstream.address.port()),
            ("session", ports.checks),
            ("id", issuer.address.port()),
            ("partner", partner.address.port()),
        ];
        clusters.extend(self.clusters);
        let changes = Changes {
            listener: choice.port(LISTENER),
            admin: choice.port(ENVOY_ADMIN),
            clusters,
            policy: self.policy,
            edit: bootstrap,
            watch: self.watch,
            faulty: self.faulty_envoy,
        };
        let credential = self.filter_credential.unwrap_or_else(|| credentials.filter.clone());
        let envoy = Envoy::start(dir.path(), changes, &credential).await;
        Testbed {
            client: Client::new(envoy.address),
            envoy,
            service,
            others,
            issuer,
            partner,
            upstream,
            moved: choice.moved,
            admin_credential: credentials.admin.clone(),
            credentials,
            dir,
        }
    }
}

/// Starts replicas of the session service, each in a folder of its own, all at once: they may wait for each other.
async fn replicas(
    keys: Vec<Value>,
    dir: &Path,
    first: Ports,
    credentials: &Credentials,
    edit: Edit,
) -> (Service, Vec<Service>) {
    let (mut starting, mut edit) = (Vec::new(), Some(edit));
    for (number, keys) in keys.into_iter().enumerate() {
        let folder = dir.join(format!("replica-{number}"));
        std::fs::create_dir(&folder).expect("a folder can be made");
        let edit = edit.take();
        let ports = if number == 0 { first } else { Ports::free() };
        let configure = move |config: &mut Value| {
            let keys = keys.as_object().expect("an object").clone();
            config.as_object_mut().expect("an object").extend(keys);
            if let Some(edit) = edit {
                edit(config);
            }
        };
        let credentials = credentials.clone();
        starting.push(async move { Service::start(&folder, ports, credentials, configure).await });
    }
    let mut started = futures_util::future::join_all(starting).await;
    let others = started.split_off(1);
    (started.pop().expect("there is one"), others)
}

/// Which ports to use.
struct Choice {
    documented: bool,
    moved: Vec<u16>,
}

impl Choice {
    /// The documented port, or 0 for any.
    fn port(&mut self, documented: u16) -> u16 {
        self.port_or(documented, 0)
    }

    fn port_or(&mut self, documented: u16, other: u16) -> u16 {
        if self.documented && is_free(documented) {
            return documented;
        }
        if self.documented {
            self.moved.push(documented);
        }
        other
    }
}
