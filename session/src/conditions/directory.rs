//! The directory of the policies: read, and looked at for changes.

use portcullis_conditions::{Declared, Set, read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long files have to rest before they are read: whoever writes several of them is not done after the first.
const REST: Duration = Duration::from_millis(200);

/// Reads and validates the policies of a directory. Those that are known already are not parsed again. The error has all faults,
/// each with the path of its file.
pub(super) fn load(directory: &Path, declared: &Declared, known: Option<&Arc<Set>>) -> Result<Arc<Set>, Vec<String>> {
    let said = |faults: Vec<portcullis_conditions::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let sources = read(directory).map_err(said)?;
    match known.filter(|known| known.digest() == Set::digest_of(&sources, declared)) {
        Some(known) => Ok(Arc::clone(known)),
        None => Set::load(&sources, declared).map(Arc::new).map_err(said),
    }
}

/// What tells two states of a file apart.
type Stamp = (PathBuf, Option<(SystemTime, u64, u64)>);

/// A directory, as it was when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Watched {
    seen: Vec<Stamp>,
    /// Since when it is as it is, if that has not been read.
    changed: Option<Instant>,
}

impl Watched {
    /// Looks at the directory; whether it is time to read it. The first look says so as well: what has changed since it was
    /// read for the start is not known.
    pub(super) fn is_due(&mut self, directory: &Path, now: Instant) -> bool {
        let seen = stamps(directory);
        if seen != self.seen {
            self.seen = seen;
            self.changed = Some(now);
        }
        let is_due = self.changed.is_some_and(|since| now.saturating_duration_since(since) >= REST);
        if is_due {
            self.changed = None;
        }
        is_due
    }
}

/// The directory itself and its policies, in order. One that is away is a state of its own.
fn stamps(directory: &Path) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let found = std::fs::metadata(&path).ok();
        let found = found.and_then(|found| Some((found.modified().ok()?, found.len(), found.ino())));
        (path, found)
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let policies = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "cedar"));
    let mut stamps: Vec<Stamp> = policies.chain([directory.to_owned()]).map(stamp).collect();
    stamps.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    stamps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_due_once_the_files_have_rested() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.cedar");
        let (mut watched, start) = (Watched::default(), Instant::now());
        let mut looks = |after_ms| watched.is_due(folder.path(), start + Duration::from_millis(after_ms));
        assert_eq!((looks(0), looks(199), looks(200), looks(1_000)), (false, false, true, false));
        std::fs::write(&file, "a").unwrap();
        assert!(!looks(2_000));
        std::fs::write(&file, "a and more").unwrap();
        assert_eq!((looks(2_150), looks(2_340), looks(2_350), looks(2_360)), (false, false, true, false));
        std::fs::remove_file(&file).unwrap();
        assert_eq!((looks(3_000), looks(3_200)), (false, true));
    }

    #[test]
    fn only_policies_that_are_not_known_are_parsed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let load = |declared: &Declared, known| load(folder.path(), declared, known);
        let (one, other) =
            ("@id(\"a\") forbid (principal, action, resource);", "@id(\"b\") forbid (principal, action, resource);");
        write("a.cedar", one);
        let none = Declared::default();
        let known = load(&none, None).unwrap();
        let is_known = |declared: &Declared| load(declared, Some(&known)).is_ok_and(|set| Arc::ptr_eq(&set, &known));
        assert!(is_known(&none));
        write("a.cedar", &format!("// A comment.\n\n{one}\n"));
        assert!(is_known(&none));
        let ticket = Declared([("ticket".to_owned(), portcullis_conditions::Kind::String)].into());
        assert!(!is_known(&ticket), "policies can see more");
        write("b.cedar", other);
        assert!(!is_known(&none));
        assert_eq!(load(&none, Some(&known)).unwrap().len(), 2);
        write("b.cedar", "@id(\"b\") forbid");
        assert!(load(&none, Some(&known)).is_err());
    }

    #[test]
    fn the_file_of_another_kind_changes_nothing_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.cedar"), "").unwrap();
        let names = |stamps: Vec<Stamp>| stamps.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        let before = names(stamps(folder.path()));
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(names(stamps(folder.path())), before);
    }
}
