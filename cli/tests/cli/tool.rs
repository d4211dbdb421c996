//! How the tests run the program `portcullis`, and the repository's own files that they give to it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where `envoy/envoy.yaml` has the filter.
pub(crate) const FILTER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
const POLICY: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0\
    /typed_config/config/configuration/value";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ is in the repository")
}

/// `portcullis` at the root of the repository, without what this machine's environment configures for it.
pub(crate) fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(root()).env_remove("PORTCULLIS_ADMIN_URL").env_remove("PORTCULLIS_ADMIN_CREDENTIAL");
    command
}

/// Runs a command that must succeed; returns its standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The value of a YAML file.
pub(crate) fn yaml(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The policy inside `envoy/envoy.yaml`.
pub(crate) fn shipped_policy() -> serde_json::Value {
    let policy = yaml(&root().join("envoy/envoy.yaml")).pointer(POLICY).cloned();
    policy.expect("the bootstrap has a policy")
}

/// Every policy that the repository ships: those of the examples, and that of `envoy/envoy.yaml`, which is written to `dir`.
pub(crate) fn policies(dir: &Path) -> Vec<PathBuf> {
    let shipped = dir.join("shipped.json");
    std::fs::write(&shipped, shipped_policy().to_string()).expect("a temporary file can be written");
    let examples = std::fs::read_dir(root().join("examples")).expect("there are examples");
    let examples = examples.map(|entry| entry.expect("an example").path().join("policy.yaml"));
    let mut policies: Vec<_> = examples.filter(|policy| policy.exists()).collect();
    assert!(!policies.is_empty(), "the examples have policies");
    policies.sort();
    policies.push(shipped);
    policies
}
