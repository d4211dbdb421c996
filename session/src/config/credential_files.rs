//! The files that credentials are read from. A change of one has the configuration read again, as SIGHUP does.

use super::Settings;
use super::raw::{Raw, RawCredential, RawCredentials};
use super::signing::RawSigning;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells two states of a file apart: a secret may be written in place, or another file may take its name.
type Stamp = Option<(SystemTime, u64, u64)>;

/// How many times it is looked before a configuration that could not be read is read again, doubled with each failure, up to
/// the most.
const PAUSES_MAX: u32 = 32;

/// The files of a running service's credentials, as they were when they were last looked at.
#[derive(Debug)]
pub struct CredentialFiles {
    files: Vec<(PathBuf, Stamp)>,
    /// A change of one has led to a configuration that could not be read: it may have been half written.
    retry: Option<Retry>,
}

/// When a configuration is read again that could not be read.
#[derive(Debug, Clone, Copy)]
struct Retry {
    pauses: u32,
    left: u32,
}

impl CredentialFiles {
    /// The files as they are.
    pub fn now(settings: &Settings) -> Self {
        let stamped = |path: &PathBuf| (path.clone(), stamp(path));
        Self { files: settings.credential_files.read().iter().map(stamped).collect(), retry: None }
    }

    /// Whether one is another than before, if there are other ones, or if the configuration could not be read after a change and
    /// it is time to try again. What it finds is what it compares with the next time: it is to be called before the files are
    /// read.
    pub fn have_changed(&mut self, settings: &Settings) -> bool {
        let now = Self::now(settings);
        let are_known = |path: &PathBuf| self.files.iter().any(|(known, _)| known == path);
        let is_new =
            |(path, stamp): &(PathBuf, Stamp)| self.files.iter().any(|(known, old)| known == path && old != stamp);
        let have_changed = now.files.iter().any(is_new) || !now.files.iter().all(|(path, _)| are_known(path));
        self.files = now.files;
        let is_time = match &mut self.retry {
            Some(retry) => {
                retry.left = retry.left.saturating_sub(1);
                retry.left == 0
            }
            None => false,
        };
        have_changed || is_time
    }

    /// Notes whether the configuration could be read after a change of one. Without that, a secret that was half written when it
    /// was read would only be taken with the next change.
    pub fn were_read(&mut self, could_be_read: bool) {
        self.retry = match (could_be_read, self.retry) {
            (true, _) => None,
            (false, before) => {
                let pauses = before.map_or(1, |before| before.pauses.saturating_mul(2).min(PAUSES_MAX));
                Some(Retry { pauses, left: pauses })
            }
        };
    }
}

/// `None` if it is not there, or cannot be read.
fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// The files that a configuration reads credentials of callers and signing keys from.
pub(super) fn of(raw: &Raw) -> Vec<PathBuf> {
    let of_admins = raw.admins.iter().filter_map(|admin| admin.credential.as_ref());
    let of_metrics = raw.metrics.iter().filter_map(|metrics| metrics.credential.as_ref());
    let all = raw.filter_credential.iter().chain(&raw.admin_credential).chain(of_admins).chain(of_metrics);
    let files = all.flat_map(|sources| match sources {
        RawCredentials::One(source) => std::slice::from_ref(source),
        RawCredentials::Several(sources) => sources,
    });
    let files = files.filter_map(|RawCredential { file, .. }| file.as_ref().map(PathBuf::from));
    files.chain(raw.signing.iter().flat_map(RawSigning::files)).collect()
}
