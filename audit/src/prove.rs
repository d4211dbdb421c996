//! Shows that one record is in the tree of a checkpoint, to somebody who has nothing else of the log.

use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::tree::{Hash, Range, leaf_hash, root_of};
use crate::verify::{Walked, checkpoints};
use base64::{Engine, engine::general_purpose::STANDARD};

/// A proof of inclusion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The number of the record.
    pub seq: u64,
    /// Its audit path.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// The proof of a record of a file that was verified; `None` if no checkpoint of the file has it yet. `notes` is the text of
/// its checkpoints.
pub fn prove(walked: &Walked, notes: &str, keys: &[VerifierKey], seq: u64) -> Option<Inclusion> {
    let before = walked.header.as_ref()?.tree.frontier()?;
    let signed = checkpoints(&walked.name, notes, keys).ok()?;
    let (checkpoint, note) = signed.iter().find(|(checkpoint, _)| checkpoint.size > seq)?;
    let path = Range { before: &before, leaves: &walked.leaves }.path(seq, checkpoint.size)?;
    Some(Inclusion { seq, path, checkpoint: (*note).to_owned() })
}

impl Inclusion {
    /// Whether the record is in the tree.
    pub fn holds(&self, record: &[u8], keys: &[VerifierKey]) -> bool {
        let Some(checkpoint) = Checkpoint::open(&self.checkpoint, keys) else { return false };
        root_of(leaf_hash(record), self.seq, checkpoint.size, &self.path) == Some(checkpoint.root)
    }

    /// The path as text.
    pub fn hashes(&self) -> Vec<String> {
        self.path.iter().map(|hash| STANDARD.encode(hash)).collect()
    }
}

/// As C2SP tlog-proof writes it.
impl std::fmt::Display for Inclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "c2sp.org/tlog-proof@v1\nindex {}", self.seq)?;
        self.hashes().iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
