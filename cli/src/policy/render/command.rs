//! The run of `portcullis policy render`.

use super::{
    args::{Args, Form},
    envoy, gateway, istio,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::load::Loaded,
};
use portcullis_engine::policy::{Policy, Protocol};
use serde::Serialize;

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        self.fits()?;
        let loaded = Loaded::read(&self.file)?;
        output::write(&self.text(&loaded)?)?;
        Ok(Exit::Done)
    }

    pub(super) fn text(&self, loaded: &Loaded) -> Result<String, Error> {
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
}

/// The environment variables from which the filter reads its secrets.
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

/// YAML whose plain scalars mean the same in YAML 1.1 (Envoy, Kubernetes) and 1.2.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, yaml_12: false };
    serde_saphyr::to_string_with_options(value, options).map_err(unwritable)
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(unwritable)
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::failed(format_args!("cannot write the manifest: {error}"))
}
