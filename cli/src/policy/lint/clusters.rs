//! Checks of the Envoy clusters that the policy uses.

use super::{linter::Linter, warning::Warning};
use crate::{
    document::Node,
    policy::manifest::{field, has_type},
};
use portcullis_engine::policy::{KeySource, Protocol, nearest};

/// The type of the options in which a cluster chooses its version of HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

impl Linter<'_> {
    pub(super) fn clusters(&mut self, clusters: &[&Node]) {
        let policy = &self.loaded.policy;
        if let Some(session) = &policy.session
            && let Some(cluster) = self.cluster("$.session.cluster", &session.cluster, clusters)
            && matches!(session.protocol, Protocol::Stream { .. })
            && !is_http2(cluster)
        {
            let message = format!("cluster `{}` does not use HTTP/2, which the check stream needs", session.cluster);
            let help =
                "give the cluster `explicit_http_config: {http2_protocol_options: {…}}`, as envoy/envoy.yaml does";
            self.warn(Warning::SessionClusterHttp1, "$.session.cluster", message, help);
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

fn has_tls(cluster: &Node) -> bool {
    ["transport_socket", "transport_socket_matches"].iter().any(|key| field(cluster, key).is_some())
}
