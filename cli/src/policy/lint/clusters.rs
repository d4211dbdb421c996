//! Checks of the Envoy clusters that the policy uses.

use super::{linter::Linter, warning::Warning};
use crate::{
    document::{Content, Node},
    policy::manifest::{field, has_type},
};
use portcullis_engine::{
    authorize::CALLS_MAX,
    policy::{KeySource, Protocol, SessionService, nearest},
};

/// The type of the options in which a cluster chooses its version of HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What a cluster's circuit breaker bounds, for all workers together, and Envoy's default for each.
const BREAKERS: [&str; 3] = ["max_connections", "max_pending_requests", "max_requests"];
const BREAKER_DEFAULT: u64 = 1_024;

impl Linter<'_> {
    pub(super) fn clusters(&mut self, clusters: &[&Node]) {
        let policy = &self.loaded.policy;
        if let Some(session) = &policy.session
            && let Some(cluster) = self.cluster("$.session.cluster", &session.cluster, clusters)
        {
            self.session_cluster(session, cluster);
        }
        if let Some(oauth) = &policy.oauth {
            self.cluster("$.oauth.cluster", &oauth.cluster, clusters);
        }
        for (index, issuer) in policy.issuers.iter().enumerate() {
            let KeySource::Remote { cluster: name, https, .. } = &issuer.keys else { continue };
            let path = format!("$.issuers[{index}].keys.cluster");
            if let Some(cluster) = self.cluster(&path, name, clusters)
                && *https
                && !has_tls(cluster)
            {
                let message = format!(
                    "the keys have an `https` URL, but cluster `{name}` has no TLS: Envoy would send the request in plain text"
                );
                let help =
                    "give the cluster a `transport_socket` of type `UpstreamTlsContext` that verifies the server";
                self.warn(Warning::KeysWithoutTls, &path, message, help);
            }
        }
    }

    fn session_cluster(&mut self, session: &SessionService, cluster: &Node) {
        let (name, is_http2) = (&session.cluster, is_http2(cluster));
        let takes_opaque = self.loaded.policy.issuers.iter().any(|issuer| issuer.is_opaque());
        match session.protocol {
            Protocol::Stream { .. } if !is_http2 => {
                let message = format!("cluster `{name}` does not use HTTP/2, which the check stream needs");
                let help =
                    "give the cluster `explicit_http_config: {http2_protocol_options: {…}}`, as envoy/envoy.yaml does";
                self.warn(Warning::SessionClusterHttp1, "$.session.cluster", message, help);
            }
            Protocol::Introspection(_) if takes_opaque => {
                // A connection of HTTP/2 takes many calls.
                let low = BREAKERS.iter().skip(usize::from(is_http2)).find_map(|breaker| low(cluster, breaker));
                let Some((breaker, max)) = low else { return };
                let message = format!(
                    "the circuit breaker of cluster `{name}` has `{breaker}: {max}` for all workers together: calls about \
                     opaque tokens that anyone makes up can use that up, and good tokens then get no verdict"
                );
                let limits = BREAKERS.map(|breaker| format!("{breaker}: {CALLS_MAX}")).join(", ");
                let help = format!("give the cluster `circuit_breakers: {{thresholds: [{{{limits}}}]}}`, or more");
                self.warn(Warning::CircuitBreakerLow, "$.session.cluster", message, help);
            }
            Protocol::Stream { .. } | Protocol::Introspection(_) => {}
        }
    }

    /// The cluster of a name that the policy uses; a warning if there is none.
    fn cluster<'n>(&mut self, path: &str, name: &str, clusters: &[&'n Node]) -> Option<&'n Node> {
        let is_named = |cluster: &&&Node| cluster.get("name").and_then(Node::text) == Some(name);
        if let Some(cluster) = clusters.iter().find(is_named) {
            return Some(cluster);
        }
        let names: Vec<_> = clusters.iter().filter_map(|cluster| cluster.get("name")?.text()).collect();
        let help = match nearest(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add a cluster of this name; there are {}", quoted(&names)),
        };
        self.warn(Warning::ClusterUnknown, path, format!("this Envoy has no cluster `{name}`"), help);
        None
    }
}

fn quoted(names: &[&str]) -> String {
    const NAMES_MAX: usize = 10;
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > NAMES_MAX => format!("{}, and {} more", shown.join(", "), count - NAMES_MAX),
        _ => shown.join(", "),
    }
}

fn is_http2(cluster: &Node) -> bool {
    const HTTP2: &str = "http2_protocol_options";
    let options = field(cluster, "typed_extension_protocol_options");
    let options = options.into_iter().flat_map(Node::parts).find(|options| has_type(options, HTTP_OPTIONS));
    let chosen = options.is_some_and(|options| {
        let explicit = field(options, "explicit_http_config").is_some_and(|config| field(config, HTTP2).is_some());
        // Whatever TLS (ALPN) or the caller's own connection says: the filter's check stream is HTTP/2.
        explicit
            || field(options, "auto_config").is_some()
            || field(options, "use_downstream_protocol_config").is_some()
    });
    chosen || field(cluster, HTTP2).is_some()
}

/// A breaker of the priority that the filter's calls have, if it allows fewer than one worker's calls.
fn low<'b>(cluster: &Node, breaker: &'b str) -> Option<(&'b str, u64)> {
    let thresholds = field(cluster, "circuit_breakers").and_then(|breakers| field(breakers, "thresholds"));
    let is_default = |threshold: &&Node| field(threshold, "priority").is_none_or(|of| of.text() == Some("DEFAULT"));
    let threshold = thresholds.into_iter().flat_map(Node::parts).find(is_default);
    let max = match threshold.and_then(|threshold| field(threshold, breaker)).map(|max| &max.content) {
        Some(Content::Number(max)) => max.as_u64()?,
        _ => BREAKER_DEFAULT,
    };
    (max < CALLS_MAX as u64).then_some((breaker, max))
}

fn has_tls(cluster: &Node) -> bool {
    ["transport_socket", "transport_socket_matches"].iter().any(|key| field(cluster, key).is_some())
}
