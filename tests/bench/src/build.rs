//! A build of Portcullis: the filter that Envoy loads, and the session service that it asks.

use portcullis_tests::dist;
use std::path::{Path, PathBuf};

const FILTER: &str = "portcullis.wasm";
const SERVICE: &str = "portcullis-session";

/// The files of a build, as absolute paths: Envoy and the service run in other directories.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) filter: PathBuf,
    pub(crate) service: PathBuf,
}

impl Build {
    /// The build that `make build` leaves in `dist/`.
    pub(crate) fn current() -> Self {
        Self { filter: dist(FILTER), service: dist(SERVICE) }
    }

    /// A build in another directory.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self, String> {
        let file = |name: &str| {
            let path = dir.join(name);
            path.canonicalize().map_err(|error| format!("`{}`: {error}", path.display()))
        };
        Ok(Self { filter: file(FILTER)?, service: file(SERVICE)? })
    }
}
