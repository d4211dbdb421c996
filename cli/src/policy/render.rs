//! `portcullis policy render`: a policy as the manifest that loads it.

mod envoy;
mod gateway;
mod istio;
mod object;
mod place;

use super::load::Loaded;
use crate::{
    exit::{Exit, Outcome, Trouble},
    output,
};
use clap::ValueEnum;
use object::{dns_label, dns_name};
use place::{Label, ModuleUrl, TargetRef};
use portcullis_engine::policy::{Policy, Protocol};
use serde::Serialize;
use std::path::PathBuf;

/// The name of the filter and of the objects around it, where none is given.
const NAME: &str = "portcullis";
/// The module's file, where none is given: as in the shipped `envoy/envoy.yaml`.
const WASM: &str = "dist/portcullis.wasm";

const EXAMPLES: &str = "\
What is rendered never fails open. It reads the credential that the policy names from the
environment of the proxy.
Cluster names are the proxy's: Istio's are like `outbound|PORT||HOST`, Envoy Gateway's like
`httproute/NAMESPACE/NAME/rule/0`.

Examples:
  portcullis policy render policy.yaml --as envoy --wasm /etc/envoy/portcullis.wasm
  portcullis policy render policy.yaml --as istio --selector app=orders \\
      --url oci://registry.example.com/portcullis:0.1.0
  portcullis policy render policy.yaml --as istio --selector istio=ingressgateway --proxy gateway \\
      --namespace istio-system --url oci://registry.example.com/portcullis:0.1.0
  portcullis policy render policy.yaml --as envoy-gateway --target-ref HTTPRoute/orders \\
      --namespace orders --url registry.example.com/portcullis:0.1.0 | kubectl apply -f -";

/// Write a policy into a manifest that loads it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The policy, or a file that holds it (see `policy check`); `-` is standard input
    #[arg(value_name = "POLICY")]
    file: PathBuf,
    /// What to write
    #[arg(long = "as", value_name = "FORM")]
    form: Form,
    /// What the filter or the object is called [default: portcullis]
    #[arg(long)]
    name: Option<String>,
    /// The module's file, where Envoy finds it; for `envoy` [default: dist/portcullis.wasm]
    #[arg(long, value_name = "FILE")]
    wasm: Option<String>,
    /// Where the module is: an OCI image or an HTTP URL (Istio: or file://…); what runs in Kubernetes needs it
    #[arg(long)]
    url: Option<ModuleUrl>,
    /// The object's namespace; without it, the object goes where `kubectl` puts it
    #[arg(long, value_parser = dns_label)]
    namespace: Option<String>,
    /// For Istio: the pods whose proxies load it, by a label; may be repeated. Without it, all of the namespace
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "targets")]
    selector: Vec<Label>,
    /// What it is attached to, such as `Gateway/orders`; may be repeated. Envoy Gateway needs one
    #[arg(long = "target-ref", id = "targets", value_name = "KIND/NAME")]
    targets: Vec<TargetRef>,
    /// For Istio, unless it is attached to a target: what the proxies are [default: sidecar]
    #[arg(long, conflicts_with = "targets")]
    proxy: Option<Proxy>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The filter, as an entry of `http_filters` in Envoy's bootstrap or listener
    Envoy,
    /// Istio's WasmPlugin
    Istio,
    /// Istio's TrafficExtension
    IstioTrafficExtension,
    /// Envoy Gateway's EnvoyExtensionPolicy
    EnvoyGateway,
    /// The policy alone, as JSON
    Json,
}

/// Which traffic of Istio's proxies the filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Proxy {
    /// Beside an application: its inbound requests
    #[default]
    Sidecar,
    /// A gateway: all of its requests
    Gateway,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        self.fits()?;
        let loaded = Loaded::read(&self.file)?;
        output::write(&self.text(&loaded)?)?;
        Ok(Exit::Done)
    }

    fn text(&self, loaded: &Loaded) -> Result<String, Trouble> {
        let policy = loaded.document.value();
        let secrets = secrets(&loaded.policy);
        match self.form {
            Form::Envoy => yaml(&envoy::filter(self, policy, &secrets)),
            Form::Istio => yaml(&istio::wasm_plugin(self, policy, &secrets)?),
            Form::IstioTrafficExtension => yaml(&istio::traffic_extension(self, policy, &secrets)?),
            Form::EnvoyGateway => yaml(&gateway::extension_policy(self, policy, &secrets)?),
            Form::Json => json(&policy),
        }
    }

    /// Refuses an option that would have no effect: whoever gave it thinks that it has one.
    fn fits(&self) -> Result<(), Trouble> {
        use Form::{Envoy, EnvoyGateway, Istio, IstioTrafficExtension};
        let kubernetes: &[Form] = &[Istio, IstioTrafficExtension, EnvoyGateway];
        let istio: &[Form] = &[Istio, IstioTrafficExtension];
        let all: &[Form] = &[Envoy, Istio, IstioTrafficExtension, EnvoyGateway];
        let options = [
            ("--name", self.name.is_some(), all),
            ("--wasm", self.wasm.is_some(), &[Envoy]),
            ("--url", self.url.is_some(), kubernetes),
            ("--namespace", self.namespace.is_some(), kubernetes),
            ("--selector", !self.selector.is_empty(), istio),
            ("--target-ref", !self.targets.is_empty(), kubernetes),
            ("--proxy", self.proxy.is_some(), istio),
        ];
        for (option, is_given, forms) in options {
            if is_given && !forms.contains(&self.form) {
                return Err(Trouble::faulty(format_args!(
                    "`{option}` means nothing for `--as {}`; leave it out",
                    self.form.word()
                )));
            }
        }
        match &self.name {
            Some(name) if kubernetes.contains(&self.form) => {
                dns_name(name).map_err(|why| Trouble::faulty(format_args!("`--name`: {why}")))
            }
            Some(name) if name.is_empty() => Err(Trouble::faulty("`--name` may not be empty")),
            _ => Ok(()),
        }
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAME)
    }

    fn wasm(&self) -> &str {
        self.wasm.as_deref().unwrap_or(WASM)
    }

    fn url(&self) -> Result<&ModuleUrl, Trouble> {
        self.url.as_ref().ok_or_else(|| {
            Trouble::faulty(format_args!(
                "`--as {}` needs `--url`: where the module is, such as `oci://registry.example.com/portcullis:0.1.0`",
                self.form.word()
            ))
        })
    }
}

impl Form {
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The variables of the VM's environment from which the filter reads its secrets.
fn secrets(policy: &Policy) -> Vec<&str> {
    let Some(session) = &policy.session else {
        return Vec::new();
    };
    let client = match &session.protocol {
        Protocol::Introspection(endpoint) => endpoint.client.as_ref(),
        Protocol::Stream { .. } => None,
    };
    session.credential_env.as_deref().into_iter().chain(client.map(|client| &*client.secret_env)).collect()
}

/// YAML whose plain scalars mean the same to readers of 1.1 (Envoy, Kubernetes) and of 1.2.
fn yaml(value: &impl Serialize) -> Result<String, Trouble> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, yaml_12: false };
    serde_saphyr::to_string_with_options(value, options).map_err(not_written)
}

fn json(value: &impl Serialize) -> Result<String, Trouble> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(not_written)
}

fn not_written(error: impl std::fmt::Display) -> Trouble {
    Trouble::failed(format_args!("the policy can't be written: {error}"))
}

#[cfg(test)]
mod tests;
