//! One Envoy under load, with the server that it asks.

use crate::{
    bootstrap::{bootstrap, routes},
    build::Build,
    child::Child,
    h2load,
    meter::{self, Cpu},
    mint::{Mint, path},
    options::Options,
    report::{Check, Sample},
    wrk,
};
use portcullis_tests::{Algorithm, Client, Envoy, Key, Service, sign_with};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// New connections that must be answered before every worker of an Envoy counts as ready.
const READY_ANSWERS: usize = 12;
/// Hosts of `base.yaml`: one that Envoy answers itself, and one with an upstream.
pub(crate) const DIRECT: &str = "direct.example.com";
pub(crate) const UPSTREAM: &str = "upstream.example.com";
/// The number of routes in a policy, unless a part varies it.
pub(crate) const ROUTES: usize = 100;

/// What Envoy runs, from the file of that name in `tests/bench/envoy/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Alone,
    Noop,
    Portcullis,
    PortcullisLease,
    PortcullisUpstreamToken,
    Introspection,
    ExtAuthzGrpc,
    ExtAuthzHttp,
    ExtAuthzGrpcUncached,
    JwtAuthnUncached,
}

impl Row {
    /// The rows of the main table.
    pub(crate) const MAIN: [Self; 8] = [
        Self::Alone,
        Self::Noop,
        Self::Portcullis,
        Self::PortcullisLease,
        Self::PortcullisUpstreamToken,
        Self::Introspection,
        Self::ExtAuthzGrpc,
        Self::ExtAuthzHttp,
    ];

    fn file(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Noop => "noop",
            Self::Portcullis => "portcullis",
            Self::PortcullisLease => "portcullis-lease",
            Self::PortcullisUpstreamToken => "portcullis-upstream-token",
            Self::Introspection => "introspection",
            Self::ExtAuthzGrpc => "ext-authz-grpc",
            Self::ExtAuthzHttp => "ext-authz-http",
            Self::ExtAuthzGrpcUncached => "ext-authz-grpc-uncached",
            Self::JwtAuthnUncached => "jwt-authn-uncached",
        }
    }

    /// As the tables name it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Alone => "Envoy alone",
            Self::Noop => "wasm filter that does nothing",
            Self::Portcullis => "Portcullis",
            Self::PortcullisLease => "Portcullis, leases of 500 ms",
            Self::PortcullisUpstreamToken => "Portcullis, a token for the upstream",
            Self::Introspection => "Portcullis, introspection",
            Self::ExtAuthzGrpc => "jwt_authn + ext_authz gRPC",
            Self::ExtAuthzHttp => "jwt_authn + ext_authz HTTP",
            Self::ExtAuthzGrpcUncached => "jwt_authn uncached + ext_authz gRPC",
            Self::JwtAuthnUncached => "jwt_authn uncached",
        }
    }

    /// The statuses for a forged token and for one without the scope. The first two rows refuse nothing, and the peers compare
    /// no scopes.
    fn refusals(self) -> (u16, u16) {
        match self {
            Self::Alone | Self::Noop => (200, 200),
            Self::Portcullis | Self::PortcullisLease | Self::PortcullisUpstreamToken | Self::Introspection => {
                (401, 403)
            }
            Self::ExtAuthzGrpc | Self::ExtAuthzHttp | Self::ExtAuthzGrpcUncached | Self::JwtAuthnUncached => (401, 200),
        }
    }

    async fn start_companion(self, build: &Build, dir: &Path) -> Companion {
        match self {
            Self::Alone | Self::Noop | Self::JwtAuthnUncached => Companion::Nothing,
            Self::Portcullis | Self::PortcullisLease | Self::Introspection => {
                Companion::Service(Box::new(Service::alone(&build.service, dir).await))
            }
            Self::PortcullisUpstreamToken => {
                let key = Key::new(Algorithm::ES256);
                let service = Service::alone_with(&build.service, dir, |config| drop(sign_with(config, &key))).await;
                Companion::Service(Box::new(service))
            }
            Self::ExtAuthzGrpc | Self::ExtAuthzHttp | Self::ExtAuthzGrpcUncached => {
                Companion::Authz(Child::start(dir, "authz").await)
            }
        }
    }
}

/// The server that Envoy asks about each request, if any.
enum Companion {
    Nothing,
    Service(Box<Service>),
    Authz(Child),
}

impl Companion {
    fn id(&self) -> Option<u32> {
        match self {
            Self::Nothing => None,
            Self::Service(service) => Some(service.id()),
            Self::Authz(child) => Some(child.id()),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Nothing => 0,
            Self::Service(service) => service.address().port(),
            Self::Authz(child) => child.port,
        }
    }
}

/// What all rows share: the options, the tokens and the upstream.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) mint: Mint,
    pub(crate) dir: TempDir,
    upstream: Child,
}

impl Bench {
    pub(crate) async fn open(options: Options) -> Self {
        let dir = temporary();
        let upstream = Child::start(dir.path(), "upstream").await;
        Self { options, mint: Mint::new(), dir, upstream }
    }
}

/// A running Envoy.
pub(crate) struct Subject {
    // Envoy is dropped first; otherwise it logs that the others are gone.
    pub(crate) envoy: Envoy,
    companion: Companion,
    pub(crate) row: Row,
    pub(crate) check: Check,
    _dir: TempDir,
}

/// How a subject is loaded.
#[derive(Clone)]
pub(crate) enum Load {
    /// wrk, with a list of tokens, for one of the hosts of `base.yaml`.
    Http1 { list: PathBuf, host: &'static str, connections: usize },
    /// h2load, with one token.
    Http2 { path: String, token: String, connections: usize },
}

impl Load {
    pub(crate) fn connections(&self) -> usize {
        match self {
            Self::Http1 { connections, .. } | Self::Http2 { connections, .. } => *connections,
        }
    }
}

impl Subject {
    /// Starts it with a policy of `routes_count` routes, and checks that it releases and refuses as it should.
    pub(crate) async fn start(bench: &Bench, row: Row, routes_count: usize, workers: usize) -> Self {
        Self::start_build(bench, row, &Build::current(), routes_count, workers).await
    }

    /// The same with the filter and the session service of any build.
    pub(crate) async fn start_build(
        bench: &Bench,
        row: Row,
        build: &Build,
        routes_count: usize,
        workers: usize,
    ) -> Self {
        let dir = temporary();
        let companion = row.start_companion(build, dir.path()).await;
        let mut values = bench.mint.values();
        values.insert("UPSTREAM".to_owned(), json!(bench.upstream.port));
        values.insert("SERVICE".to_owned(), json!(companion.port()));
        values.insert("AUTHZ".to_owned(), json!(companion.port()));
        values.insert("ROUTES".to_owned(), routes(routes_count));
        values.insert("FILTER".to_owned(), json!(build.filter));
        let credential = match &companion {
            Companion::Service(service) => service.filter_credential(),
            Companion::Nothing | Companion::Authz(_) => "",
        };
        let envoy = Envoy::launch(dir.path(), &bootstrap(row.file(), &values), workers, credential).await;
        let check = check(envoy.address, row, &bench.mint, routes_count).await;
        Self { envoy, companion, row, check, _dir: dir }
    }

    /// As the tables name it.
    pub(crate) fn title(&self) -> String {
        self.row.title().to_owned()
    }

    /// Measures it once.
    pub(crate) async fn measure(&self, load: &Load, sent: u64, time: Duration) -> Result<Sample, String> {
        let before = self.cpu();
        let mut sample = match load {
            Load::Http1 { list, host, connections } => {
                let seen = wrk::run(self.envoy.address, (list, host), sent, *connections, time).await?;
                if let Some(fault) = seen.fault() {
                    return Err(fault);
                }
                Sample::of(&seen)
            }
            Load::Http2 { path, token, connections } => {
                let rps = h2load::run(self.envoy.address, (path, token), *connections, time).await?;
                Sample { rps, requests: (rps * time.as_secs_f64()) as u64, ..Sample::default() }
            }
        };
        let after = self.cpu();
        sample.cpu = Cpu { envoy_s: after.envoy_s - before.envoy_s, service_s: after.service_s - before.service_s };
        Ok(sample)
    }

    /// The memory of Envoy and of its companion.
    pub(crate) fn memory(&self) -> (u64, Option<u64>) {
        (self.envoy.resident_bytes(), self.companion.id().map(meter::resident_bytes))
    }

    /// How often the filter found a token in its cache, and how often it did not.
    pub(crate) async fn cache(&self) -> (u64, u64) {
        let hits = self.envoy.stat("portcullis.token_cache.result.hit").await;
        (hits, self.envoy.stat("portcullis.token_cache.result.miss").await)
    }

    fn cpu(&self) -> Cpu {
        Cpu { envoy_s: meter::cpu_s(self.envoy.id()), service_s: self.companion.id().map_or(0.0, meter::cpu_s) }
    }
}

async fn check(address: SocketAddr, row: Row, mint: &Mint, routes: usize) -> Check {
    let client = Client::new(address);
    let path = path(1, routes);
    let good = client.get(&path).bearer(mint.token().sign());
    let mut answers = Vec::new();
    for _ in 0..READY_ANSWERS {
        let answer = good.clone().until("a row is ready", |answer| answer.status != 503).await;
        answers.push(answer.status.as_u16());
    }
    let status = async |token: String| client.get(&path).bearer(token).await.status.as_u16();
    let forged = status(mint.forged()).await;
    let no_scope = status(mint.token().scopes("orders:write").sign().text).await;
    let is_good = answers.iter().all(|status| *status == 200);
    let good = answers.into_iter().find(|status| *status != 200).unwrap_or(200);
    Check { row: row.title().to_owned(), good, forged, no_scope, ok: is_good && (forged, no_scope) == row.refusals() }
}

fn temporary() -> TempDir {
    tempfile::Builder::new().prefix("portcullis-bench-").tempdir().expect("a temporary directory")
}
