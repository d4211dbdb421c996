//! Checks of the plugins that hold the policy: what their VMs are given, and the names that Istio gives to clusters.

use super::{linter::Linter, warning::Warning};
use crate::{
    document::Node,
    policy::manifest::{Holder, Plugin, field},
};
use portcullis_engine::policy::{KeySource, Protocol};

impl Linter<'_> {
    pub(super) fn plugins(&mut self, plugins: &[Plugin<'_>]) {
        self.credentials(plugins);
        if plugins.iter().any(|plugin| plugin.holder == Holder::Istio) {
            self.istio_clusters();
        }
    }

    fn credentials(&mut self, plugins: &[Plugin<'_>]) {
        let Some(session) = &self.loaded.policy.session else { return };
        let client = match &session.protocol {
            Protocol::Introspection(introspection) => introspection.client.as_ref(),
            Protocol::Stream { .. } => None,
        };
        let wanted = [
            (session.credential_env.as_deref(), "$.session.credential.env"),
            (client.map(|client| client.secret_env.as_str()), "$.session.client.secret.env"),
        ];
        for (name, path) in wanted {
            let Some(name) = name else { continue };
            let lacks = |plugin: &&Plugin<'_>| !variables(plugin).iter().any(|passed| passed == name);
            let Some(plugin) = plugins.iter().find(lacks) else { continue };
            let place = match plugin.holder {
                Holder::Envoy => format!("add `environment_variables: {{host_env_keys: [{name}]}}` to `vm_config`"),
                Holder::Istio => format!("add `{{name: {name}, valueFrom: HOST}}` to `vmConfig.env`"),
                Holder::Gateway => format!("add `env: {{hostKeys: [{name}]}}` beside `config`"),
            };
            let message =
                format!("the variable `{name}` is not passed to the filter, which refuses to load without it");
            let path = if self.loaded.document.has(path) { path } else { "$.session" };
            self.warn(Warning::CredentialNotPassed, path, message, place);
        }
    }

    fn istio_clusters(&mut self) {
        let policy = &self.loaded.policy;
        let session = policy.session.as_ref().map(|session| ("$.session.cluster".to_owned(), &session.cluster));
        let keys = policy.issuers.iter().enumerate().filter_map(|(index, issuer)| match &issuer.keys {
            KeySource::Remote { cluster, .. } => Some((format!("$.issuers[{index}].keys.cluster"), cluster)),
            _ => None,
        });
        for (path, name) in session.into_iter().chain(keys) {
            if is_istio_cluster(name) {
                continue;
            }
            let message = format!("`{name}` is not a cluster name of Istio, which are `outbound|PORT|SUBSET|HOST`");
            let help = "write `outbound|7070||portcullis-session.portcullis.svc.cluster.local`, for example; `istioctl proxy-config clusters POD` lists them";
            self.warn(Warning::IstioClusterName, &path, message, help);
        }
    }
}

/// The environment variables of the plugin's VM.
fn variables(plugin: &Plugin<'_>) -> Vec<String> {
    let Plugin { holder, around: plugin, .. } = *plugin;
    let texts = |list: Option<&Node>| -> Vec<String> {
        list.into_iter().flat_map(Node::parts).filter_map(|name| Some(name.text()?.to_owned())).collect()
    };
    match holder {
        Holder::Envoy => {
            let environment = field(plugin, "vm_config").and_then(|vm| field(vm, "environment_variables"));
            let mut names = texts(environment.and_then(|environment| field(environment, "host_env_keys")));
            names.extend(
                environment
                    .and_then(|environment| field(environment, "key_values"))
                    .map(Node::keys)
                    .unwrap_or_default(),
            );
            names
        }
        Holder::Istio => {
            let listed = plugin.get("vmConfig").and_then(|vm| vm.get("env")).into_iter().flat_map(Node::parts);
            listed.filter_map(|variable| Some(variable.get("name")?.text()?.to_owned())).collect()
        }
        Holder::Gateway => texts(plugin.get("env").and_then(|environment| environment.get("hostKeys"))),
    }
}

fn is_istio_cluster(name: &str) -> bool {
    let mut parts = name.split('|');
    let direction = parts.next().is_some_and(|direction| direction == "outbound");
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let subset = parts.next().is_some();
    let host = parts.next().is_some_and(|host| !host.is_empty());
    direction && port && subset && host && parts.next().is_none()
}
