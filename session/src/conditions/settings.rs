//! Where conditions come from: `conditions` in `session.yaml`.

use super::{Classes, Mode, directory};
use portcullis_conditions::{Declared, Set};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `conditions` in `session.yaml`, with the policies as they were when it was read.
#[derive(Debug, Clone)]
pub struct ConditionSettings {
    /// The directory of the policies.
    pub directory: PathBuf,
    /// Whether what they refuse is refused.
    pub mode: Mode,
    /// The attributes that policies can see.
    pub declared: Declared,
    /// The routes that they decide about.
    pub classes: Classes,
    pub(super) set: Arc<Set>,
}

impl ConditionSettings {
    /// Reads the policies. The error has all faults.
    pub fn load(directory: &Path, mode: Mode, declared: Declared) -> Result<Self, Vec<String>> {
        let set = directory::load(directory, &declared, None)?;
        Ok(Self { directory: directory.to_owned(), mode, declared, classes: Classes::default(), set })
    }

    /// The same, for these routes.
    #[must_use]
    pub fn about(self, classes: Classes) -> Self {
        Self { classes, ..self }
    }

    /// What is valid in the policies and is perhaps not meant.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.set.warnings().iter().map(ToString::to_string)
    }

    /// The same with the policies as they are now.
    pub(super) fn read_again(&self) -> Result<Self, Vec<String>> {
        let set = directory::load(&self.directory, &self.declared, Some(&self.set))?;
        Ok(Self { set, ..self.clone() })
    }

    /// What tells replicas that decide alike from others.
    pub(crate) fn stated(&self) -> String {
        match self.mode {
            Mode::Enforce => self.set.digest().to_owned(),
            Mode::Shadow => format!("{}-shadow", self.set.digest()),
        }
    }
}

/// Equal ones decide equally, and watch the same files.
impl PartialEq for ConditionSettings {
    fn eq(&self, other: &Self) -> bool {
        self.directory == other.directory
            && self.mode == other.mode
            && self.declared == other.declared
            && self.classes == other.classes
            && self.set.digest() == other.set.digest()
    }
}
