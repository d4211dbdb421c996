//! Where Redis is, and how it is reached.

use crate::store::postgres::Secret;
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::PathBuf;

/// The port of Redis, and that of Sentinel.
const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// How many replicas there can be.
pub const REPLICAS_MAX: u32 = 16;

/// What the configuration says about Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which server has the data.
    pub at: At,
    /// What all keys begin with.
    pub prefix: String,
    /// A PEM file with the certificates that the servers' are checked against. With it, only TLS is spoken.
    pub ca: Option<String>,
    /// The password, when it is not in the URL.
    pub password: Option<Secret>,
    /// The folder of this replica's own copy of the store.
    pub journal: PathBuf,
    /// How many replicas there are.
    pub replicas: u32,
}

/// Which server has the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// One server, or a name that leads to the primary: `redis://user@host:port/database`.
    Url(Secret),
    /// Whichever Sentinel calls the primary of that name.
    Sentinel {
        /// The Sentinels, as `host:port`.
        nodes: Vec<String>,
        /// The name of the primary.
        primary: String,
    },
    /// The node of a cluster that has the keys.
    Cluster(Vec<String>),
}

/// Servers that can be connected to.
#[derive(Clone)]
pub struct Target {
    pub(super) route: Route,
    pub(super) prefix: String,
    settings: RedisConnectionInfo,
    root: Option<Vec<u8>>,
}

/// The way to the server that has the data.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Direct(Node),
    Sentinel(Vec<Node>, String),
    Cluster(Vec<Node>),
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Node {
    /// Reads `host`, `host:port` or `[address]:port`.
    fn read(text: &str, port: u16) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) => digits.parse().ok()?,
            None if rest.is_empty() => port,
            None => return None,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        (!host.is_empty() && host.chars().all(is_name)).then(|| Self { host: host.to_owned(), port })
    }
}

impl Target {
    /// Reads a source. The error says which key is wrong, and what to do.
    pub fn read(source: &Source) -> Result<Self, String> {
        check_prefix(&source.prefix)?;
        if !(1..=REPLICAS_MAX).contains(&source.replicas) {
            return Err(format!("replicas: {} is not between 1 and {REPLICAS_MAX}", source.replicas));
        }
        let mut settings = RedisConnectionInfo::default();
        let route = match &source.at {
            At::Url(url) => {
                // The parser's own words could show a part of the password.
                let wrong =
                    || "url: is not a Redis URL: use one like `redis://portcullis@redis.internal:6379`".to_owned();
                let info: ConnectionInfo = url.0.as_str().into_connection_info().map_err(|_| wrong())?;
                settings = info.redis_settings().clone();
                match info.addr() {
                    ConnectionAddr::Tcp(host, port) => Route::Direct(Node { host: host.clone(), port: *port }),
                    ConnectionAddr::TcpTls { host, port, .. } if source.ca.is_some() => {
                        Route::Direct(Node { host: host.clone(), port: *port })
                    }
                    ConnectionAddr::TcpTls { .. } => {
                        return Err(
                            "url: begins with `rediss://`, but there is no `ca` to check the server's certificate \
                                    against"
                                .to_owned(),
                        );
                    }
                    _ => return Err(wrong()),
                }
            }
            At::Sentinel { nodes, primary } => {
                if primary.is_empty() {
                    return Err("sentinel.primary: is empty: name the primary as Sentinel knows it".to_owned());
                }
                Route::Sentinel(nodes_of(nodes, "sentinel.nodes", SENTINEL_PORT)?, primary.clone())
            }
            At::Cluster(nodes) => Route::Cluster(nodes_of(nodes, "cluster", PORT)?),
        };
        if let Some(password) = &source.password {
            settings = settings.set_password(&password.0);
        }
        let root = source.ca.as_deref().map(root).transpose().map_err(|fault| format!("ca: {fault}"))?;
        let settings = settings.set_lib_name("portcullis", env!("CARGO_PKG_VERSION"));
        Ok(Self { route, prefix: source.prefix.clone(), settings, root })
    }

    /// Whether passwords and sessions cross a network in the clear.
    pub fn is_open(&self) -> bool {
        let nodes = match &self.route {
            Route::Direct(node) => std::slice::from_ref(node),
            Route::Sentinel(nodes, _) | Route::Cluster(nodes) => nodes,
        };
        let is_here = |node: &Node| {
            node.host == "localhost" || node.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        self.root.is_none() && !nodes.iter().all(is_here)
    }

    /// A client of one node.
    pub(super) fn client(&self, node: &Node, is_sentinel: bool) -> Result<redis::Client, redis::RedisError> {
        let host = node.host.clone();
        let addr = match &self.root {
            Some(_) => ConnectionAddr::TcpTls { host, port: node.port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, node.port),
        };
        let settings = if is_sentinel { RedisConnectionInfo::default() } else { self.settings.clone() };
        let info = addr.into_connection_info()?.set_redis_settings(settings);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        match &self.root {
            Some(root) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(root.clone()) };
                redis::Client::build_with_tls(info, certificates)
            }
            None => redis::Client::open(info),
        }
    }
}

fn nodes_of(texts: &[String], key: &str, port: u16) -> Result<Vec<Node>, String> {
    if texts.is_empty() {
        return Err(format!("{key}: is empty: name at least one node, as `host:port`"));
    }
    let node = |text: &String| Node::read(text, port).ok_or_else(|| format!("{key}: `{text}` is not a `host:port`"));
    texts.iter().map(node).collect()
}

/// Whether all keys can begin with this.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    match (1..=64).contains(&prefix.len()) && prefix.chars().all(is_inner) {
        true => Ok(()),
        false => {
            Err(format!("prefix: `{prefix}` is not a plain name: use up to 64 letters, digits, `-`, `_`, `.` and `:`"))
        }
    }
}

fn root(path: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|e| format!("cannot read `{path}`: {e}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates.map_err(|e| format!("cannot read certificates from `{path}`: {e}"))?.is_empty() {
        true => Err(format!("no certificate in `{path}`")),
        false => Ok(pem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(at: At) -> Source {
        Source { at, prefix: "portcullis".to_owned(), ca: None, password: None, journal: "data".into(), replicas: 3 }
    }

    fn url(text: &str) -> Source {
        source(At::Url(Secret(text.to_owned())))
    }

    fn fault(source: &Source) -> String {
        Target::read(source).err().expect("it was read")
    }

    #[test]
    fn a_fault_names_its_key_and_never_shows_the_password() {
        for text in ["redis://:hunter2@", "hunter2", "postgres://db", "unix:///run/redis"] {
            let wrong = fault(&url(text));
            assert!(wrong.starts_with("url: ") && !wrong.contains("hunter2"), "{wrong}");
        }
        assert!(fault(&url("rediss://db")).contains("`ca`"));
        assert!(fault(&Source { prefix: "a{b".to_owned(), ..url("redis://db") }).starts_with("prefix: "));
        for replicas in [0, REPLICAS_MAX + 1] {
            assert!(fault(&Source { replicas, ..url("redis://db") }).starts_with("replicas: "));
        }
        assert!(fault(&source(At::Cluster(Vec::new()))).starts_with("cluster: "));
        let sentinel = |nodes: &[&str], primary: &str| {
            let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
            source(At::Sentinel { nodes, primary: primary.to_owned() })
        };
        assert!(fault(&sentinel(&["a:b"], "main")).starts_with("sentinel.nodes: `a:b`"));
        assert!(fault(&sentinel(&["a"], "")).starts_with("sentinel.primary: "));
        assert!(Target::read(&sentinel(&["a", "b:1", "[::1]:2"], "main")).is_ok());
    }

    #[test]
    fn only_a_plain_connection_to_another_machine_is_open() {
        let is_open = |text: &str| Target::read(&url(text)).ok().map(|target| target.is_open());
        assert_eq!(is_open("redis://db.internal"), Some(true));
        assert_eq!(is_open("redis://127.0.0.1:7000/1"), Some(false));
        assert_eq!(is_open("redis://localhost"), Some(false));
    }

    #[test]
    fn a_node_is_a_host_with_or_without_a_port() {
        let node = |host: &str, port| Some(Node { host: host.to_owned(), port });
        assert_eq!(Node::read("a.b", 1), node("a.b", 1));
        assert_eq!(Node::read("a:2", 1), node("a", 2));
        assert_eq!(Node::read("[::1]:2", 1), node("::1", 2));
        for text in ["", ":1", "a:", "a:x", "[::1]x", "a b"] {
            assert_eq!(Node::read(text, 1), None, "{text}");
        }
    }
}
