//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the repository")
}

/// The Envoy to run: `PORTCULLIS_ENVOY`, relative to the root of the repository, or else `dist/envoy`.
pub fn envoy_program() -> PathBuf {
    let chosen = std::env::var_os("PORTCULLIS_ENVOY").unwrap_or_else(|| "dist/envoy".into());
    built(&root().join(chosen))
}

/// A file that `make build` leaves in `dist/`.
pub fn dist(name: &str) -> PathBuf {
    built(&root().join("dist").join(name))
}

fn built(path: &Path) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `make build`", path.display());
    path.to_owned()
}

/// A shipped YAML file of `envoy/`, for editing.
pub fn shipped_file(name: &str) -> serde_json::Value {
    yaml(&root().join("envoy").join(name))
}

/// A YAML file.
pub(crate) fn yaml(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).expect("a shipped file can be read");
    serde_saphyr::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Writes JSON, which is YAML too.
pub(crate) fn write(path: &Path, value: &serde_json::Value) {
    let text = serde_json::to_string_pretty(value).expect("JSON can be written");
    std::fs::write(path, text).expect("a temporary file can be written");
}
