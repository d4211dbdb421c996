//! The program `portcullis`, and the files of the repository that it is given.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ stands in the repository")
}

/// The program.
pub(crate) fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(root()).env_remove("PORTCULLIS_ADMIN_URL").env_remove("PORTCULLIS_ADMIN_CREDENTIAL");
    command
}

/// Runs it: what it wrote, if it was done.
#[track_caller]
pub(crate) fn done(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// What it said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A shipped YAML file, as its value.
pub(crate) fn yaml(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every policy that the repository ships: those of the examples, and that of `envoy/envoy.yaml`, which is put into a file.
pub(crate) fn policies(dir: &Path) -> Vec<PathBuf> {
    let shipped = dir.join("shipped.json");
    std::fs::write(&shipped, portcullis_tests::policy::shipped().to_string()).expect("a temporary file can be written");
    let examples = std::fs::read_dir(root().join("examples")).expect("there are examples");
    let examples = examples.map(|entry| entry.expect("an example").path().join("policy.yaml"));
    let mut policies: Vec<_> = examples.filter(|policy| policy.exists()).collect();
    assert!(!policies.is_empty(), "the examples have policies");
    policies.sort();
    policies.push(shipped);
    policies
}
