//! The proofs of possession that were used, so that none is accepted again after a restart.
//!
//! They are appended to one of two files beside the store, and are not forced to disk: what was written is there after the
//! process has died, however it did. Only when the machine itself dies may the last of them be gone, and with them the
//! certainty that a proof of that moment, which is good for a minute or so, is not used again.

use super::file::private_file;
use crate::proofs::UsedProof;
use crate::store::StoreError;
use portcullis_contract::token::dpop::ProofId;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::mem::swap;
use std::path::{Path, PathBuf};

/// The id, the asker and the end of a proof.
const RECORD_BYTES: usize = ProofId::BYTES + 16;

/// The files. While one grows, the other's proofs end, and then it begins anew.
#[derive(Debug)]
pub(super) struct ProofLog {
    current: Part,
    other: Part,
}

/// One file.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: Option<File>,
    /// When the last of its proofs ends; 0 without any.
    end_ms: u64,
}

impl ProofLog {
    /// The files in a folder.
    pub(super) fn new(folder: &Path) -> Self {
        let part = |name| Part { path: folder.join(name), file: None, end_ms: 0 };
        Self { current: part("proofs.0"), other: part("proofs.1") }
    }

    /// Calls `each` with the proofs that end after `now_ms`.
    pub(super) fn read(&mut self, now_ms: u64, each: &mut dyn FnMut(UsedProof)) -> Result<(), StoreError> {
        for part in [&mut self.current, &mut self.other] {
            let bytes = match std::fs::read(&part.path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(part.failed(&error)),
            };
            // What the process died in the middle of was never acknowledged.
            for record in bytes.as_chunks::<RECORD_BYTES>().0 {
                let proof = parse(record);
                part.end_ms = part.end_ms.max(proof.until_ms);
                if proof.until_ms >= now_ms {
                    each(proof);
                }
            }
        }
        Ok(())
    }

    /// Notes proofs as used at `now_ms`.
    pub(super) fn append(&mut self, proofs: &[UsedProof], now_ms: u64) -> Result<(), StoreError> {
        if self.other.end_ms < now_ms && self.current.end_ms > 0 {
            self.other.clear()?;
            swap(&mut self.current, &mut self.other);
        }
        self.current.append(proofs)
    }
}

impl Part {
    fn clear(&mut self) -> Result<(), StoreError> {
        self.file = None;
        let file = self.open()?;
        file.set_len(0).map_err(|error| self.failed(&error))?;
        (self.file, self.end_ms) = (Some(file), 0);
        Ok(())
    }

    fn append(&mut self, proofs: &[UsedProof]) -> Result<(), StoreError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let bytes: Vec<u8> = proofs.iter().flat_map(record).collect();
        // After a failure it is opened again, which cuts off what was half written.
        file.write_all(&bytes).map_err(|error| self.failed(&error))?;
        self.file = Some(file);
        self.end_ms = proofs.iter().map(|proof| proof.until_ms).max().unwrap_or_default().max(self.end_ms);
        Ok(())
    }

    fn open(&self) -> Result<File, StoreError> {
        let opened = || {
            private_file(&self.path)?;
            let file = OpenOptions::new().append(true).open(&self.path)?;
            let bytes = file.metadata()?.len();
            file.set_len(bytes - bytes % RECORD_BYTES as u64)?;
            Ok(file)
        };
        opened().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        StoreError(format!("`{}`: {error}", self.path.display()))
    }
}

fn record(proof: &UsedProof) -> impl Iterator<Item = u8> + use<> {
    proof.id.0.into_iter().chain(proof.asker.to_be_bytes()).chain(proof.until_ms.to_be_bytes())
}

fn parse(record: &[u8; RECORD_BYTES]) -> UsedProof {
    let mut parts = record.as_chunks::<8>().0.iter().map(|part| u64::from_be_bytes(*part));
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, asker, until_ms) = (next(), next(), next(), next());
    let id = (u128::from(first) << 64 | u128::from(second)).to_be_bytes();
    UsedProof { id: ProofId(id), asker, until_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(id: u8, until_ms: u64) -> UsedProof {
        UsedProof { id: ProofId([id; ProofId::BYTES]), asker: u64::from(id), until_ms }
    }

    fn read(log: &mut ProofLog, now_ms: u64) -> Vec<UsedProof> {
        let mut all = Vec::new();
        log.read(now_ms, &mut |proof| all.push(proof)).unwrap();
        all.sort_by_key(|proof| proof.asker);
        all
    }

    #[test]
    fn what_was_noted_is_read_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = ProofLog::new(folder.path());
        log.append(&[proof(1, 10), proof(2, 20)], 5).unwrap();
        log.append(&[proof(3, 30)], 6).unwrap();
        let mut reopened = ProofLog::new(folder.path());
        assert_eq!(read(&mut reopened, 7), [proof(1, 10), proof(2, 20), proof(3, 30)]);
        assert_eq!(read(&mut reopened, 11), [proof(2, 20), proof(3, 30)]);
    }

    #[test]
    fn the_files_do_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = ProofLog::new(folder.path());
        for now_ms in 0..1_000 {
            log.append(&[proof(1, now_ms + 10)], now_ms).unwrap();
        }
        let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(bytes("proofs.0") + bytes("proofs.1") <= 30 * RECORD_BYTES as u64);
        assert_eq!(read(&mut ProofLog::new(folder.path()), 1_000).len(), 10);
    }

    #[test]
    fn what_was_half_written_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        ProofLog::new(folder.path()).append(&[proof(1, 10)], 5).unwrap();
        let path = folder.path().join("proofs.0");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([0xff; 7]);
        std::fs::write(&path, bytes).unwrap();
        ProofLog::new(folder.path()).append(&[proof(2, 20)], 6).unwrap();
        assert_eq!(read(&mut ProofLog::new(folder.path()), 7), [proof(1, 10), proof(2, 20)]);
    }
}
