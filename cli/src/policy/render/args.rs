//! The arguments of `portcullis policy render`.

use super::{
    names::{dns_label, dns_name},
    place::{Label, ModuleUrl, TargetRef},
};
use crate::error::Error;
use clap::ValueEnum;
use std::path::PathBuf;

/// The default name of the filter and of the objects around it.
const NAME: &str = "portcullis";
/// The default path of the module, as in `envoy/envoy.yaml`.
const WASM: &str = "dist/portcullis.wasm";

const EXAMPLES: &str = "\
The rendered filter never fails open. It reads the credential that the policy names from the
environment of the proxy. The cluster names in the policy must be those of the proxy: in Istio they
have the form `outbound|PORT||HOST`, in Envoy Gateway `httproute/NAMESPACE/NAME/rule/0`.

Examples:
  portcullis policy render policy.yaml --as envoy --wasm /etc/envoy/portcullis.wasm
  portcullis policy render policy.yaml --as istio --selector app=orders \\
      --url oci://registry.example.com/portcullis:0.1.0
  portcullis policy render policy.yaml --as istio --selector istio=ingressgateway --proxy gateway \\
      --namespace istio-system --url oci://registry.example.com/portcullis:0.1.0
  portcullis policy render policy.yaml --as envoy-gateway --target-ref HTTPRoute/orders \\
      --namespace orders --url registry.example.com/portcullis:0.1.0 | kubectl apply -f -";

/// Render a policy as a manifest that loads it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Policy, or a manifest that contains it (see `policy check`); `-` reads standard input
    #[arg(value_name = "POLICY")]
    pub(super) file: PathBuf,
    /// Manifest format
    #[arg(long = "as", value_name = "FORM")]
    pub(super) form: Form,
    /// Name of the filter or the object [default: portcullis]
    #[arg(long)]
    name: Option<String>,
    /// For `envoy`: path of the wasm module as the proxy sees it [default: dist/portcullis.wasm]
    #[arg(long, value_name = "FILE")]
    wasm: Option<String>,
    /// For Kubernetes: URL of the wasm module, an OCI image or an HTTP URL (for Istio also file://…)
    #[arg(long)]
    url: Option<ModuleUrl>,
    /// For Kubernetes: namespace of the object [default: the namespace that `kubectl` uses]
    #[arg(long, value_parser = dns_label)]
    pub(super) namespace: Option<String>,
    /// For Istio: label of the pods whose proxies load the filter; can be repeated [default: all pods of the namespace]
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "targets")]
    pub(super) selector: Vec<Label>,
    /// For Kubernetes: target to attach the filter to, such as `Gateway/orders`; can be repeated, required for `envoy-gateway`
    #[arg(long = "target-ref", id = "targets", value_name = "KIND/NAME")]
    pub(super) targets: Vec<TargetRef>,
    /// For Istio without `--target-ref`: kind of the proxies [default: sidecar]
    #[arg(long, conflicts_with = "targets")]
    pub(super) proxy: Option<Proxy>,
}

/// The form of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// The filter as an entry of `http_filters` in an Envoy configuration
    Envoy,
    /// Istio WasmPlugin
    Istio,
    /// Istio TrafficExtension
    IstioTrafficExtension,
    /// Envoy Gateway EnvoyExtensionPolicy
    EnvoyGateway,
    /// Only the policy, as JSON
    Json,
}

/// The kind of Istio proxies, which determines the traffic that the filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Proxy {
    /// Sidecars: the inbound requests of an application
    #[default]
    Sidecar,
    /// Gateways: all requests
    Gateway,
}

impl Args {
    /// Rejects options that would have no effect: the user expects one.
    pub(super) fn fits(&self) -> Result<(), Error> {
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
                return Err(Error::invalid(format_args!(
                    "`{option}` has no effect with `--as {}`; remove it",
                    self.form.word()
                )));
            }
        }
        match &self.name {
            Some(name) if kubernetes.contains(&self.form) => {
                dns_name(name).map_err(|why| Error::invalid(format_args!("`--name`: {why}")))
            }
            Some(name) if name.is_empty() => Err(Error::invalid("`--name` must not be empty")),
            _ => Ok(()),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAME)
    }

    pub(super) fn wasm(&self) -> &str {
        self.wasm.as_deref().unwrap_or(WASM)
    }

    pub(super) fn url(&self) -> Result<&ModuleUrl, Error> {
        self.url.as_ref().ok_or_else(|| {
            Error::invalid(format_args!(
                "`--as {}` requires `--url`, the URL of the module, such as `oci://registry.example.com/portcullis:0.1.0`",
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
