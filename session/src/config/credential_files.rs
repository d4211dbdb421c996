//! The files that credentials are read from. A change of one has the configuration read again, as SIGHUP does.

use super::Settings;
use super::raw::{Raw, RawCredential, RawCredentials};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells two states of a file apart: a secret may be written in place, or another file may take its name.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The files of a running service's credentials, as they were when they were last looked at.
#[derive(Debug)]
pub struct CredentialFiles(Vec<(PathBuf, Stamp)>);

impl CredentialFiles {
    /// The files as they are.
    pub fn now(settings: &Settings) -> Self {
        let stamped = |path: &PathBuf| (path.clone(), stamp(path));
        Self(settings.credential_files.read().iter().map(stamped).collect())
    }

    /// Whether one is another than before, or if there are other ones. What it finds is what it compares with the next time:
    /// it is to be called before the files are read.
    pub fn have_changed(&mut self, settings: &Settings) -> bool {
        let now = Self::now(settings);
        let are_known = |path: &PathBuf| self.0.iter().any(|(known, _)| known == path);
        let is_new = |(path, stamp): &(PathBuf, Stamp)| self.0.iter().any(|(known, old)| known == path && old != stamp);
        let have_changed = now.0.iter().any(is_new) || !now.0.iter().all(|(path, _)| are_known(path));
        *self = now;
        have_changed
    }
}

/// `None` if it is not there, or cannot be read.
fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// The files that a configuration reads credentials of callers from.
pub(super) fn of(raw: &Raw) -> Vec<PathBuf> {
    let of_admins = raw.admins.iter().filter_map(|admin| admin.credential.as_ref());
    let of_metrics = raw.metrics.iter().filter_map(|metrics| metrics.credential.as_ref());
    let all = raw.filter_credential.iter().chain(&raw.admin_credential).chain(of_admins).chain(of_metrics);
    let files = all.flat_map(|sources| match sources {
        RawCredentials::One(source) => std::slice::from_ref(source),
        RawCredentials::Several(sources) => sources,
    });
    files.filter_map(|RawCredential { file, .. }| file.as_ref().map(PathBuf::from)).collect()
}
