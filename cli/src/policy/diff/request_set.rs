//! The digest of a set of requests. It depends only on the requests in the set.
//!
//! Method, segments and host each have a default and exceptions from it. A name that makes no difference is no exception and
//! leaves no trace, so equal sets have equal digests however the policies divide the requests into kinds.

use sha2::{Digest as _, Sha256};

/// The digest of a set that is not empty.
pub(super) type Digest = [u8; 16];

/// The methods of a set: whether unnamed methods are in it, and the exceptions.
pub(super) fn methods(others: bool, exceptions: &[&str]) -> Option<Digest> {
    if !others && exceptions.is_empty() {
        return None;
    }
    let mut hash = Hash::new(if others { b"all methods but" } else { b"methods" });
    exceptions.iter().for_each(|method| hash.text(method));
    Some(hash.end())
}

/// Every path below this one, with these methods.
pub(super) fn below(methods: Option<Digest>) -> Option<Digest> {
    let mut hash = Hash::new(b"below");
    hash.digest(Some(methods?));
    Some(hash.end())
}

/// Paths that end here, paths that end with a `/` here, paths that continue with an unnamed segment, and the exceptions: paths
/// that continue with a named one.
pub(super) fn paths(
    end: Option<Digest>,
    slash: Option<Digest>,
    others: Option<Digest>,
    exceptions: &[(&str, Option<Digest>)],
) -> Option<Digest> {
    if exceptions.is_empty() {
        match (end, slash, others) {
            (None, None, None) => return None,
            _ if end == slash && others == below(end) => return others,
            _ => {}
        }
    }
    let mut hash = Hash::new(b"paths");
    [end, slash, others].into_iter().for_each(|digest| hash.digest(digest));
    each(&mut hash, exceptions);
    Some(hash.end())
}

/// Requests to unnamed hosts, and the exceptions: named hosts. A wildcard sorts before its own exceptions.
pub(super) fn hosts(others: Option<Digest>, exceptions: &[(&str, Option<Digest>)]) -> Digest {
    let mut hash = Hash::new(b"hosts");
    hash.digest(others);
    each(&mut hash, exceptions);
    hash.end()
}

fn each(hash: &mut Hash, exceptions: &[(&str, Option<Digest>)]) {
    for (name, digest) in exceptions {
        hash.text(name);
        hash.digest(*digest);
    }
}

/// A hash of fields. Each is hashed with its length, so that they cannot run into each other.
pub(super) struct Hash(Sha256);

impl Hash {
    pub(super) fn new(kind: &[u8]) -> Self {
        let mut hash = Self(Sha256::new());
        hash.bytes(kind);
        hash
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn digest(&mut self, digest: Option<Digest>) {
        self.bytes(digest.as_ref().map_or(&[], |digest| digest));
    }

    pub(super) fn end(self) -> Digest {
        let mut digest = Digest::default();
        digest.iter_mut().zip(self.0.finalize()).for_each(|(to, from)| *to = from);
        digest
    }
}

/// Lower-case hex, not shortened: the author of a change could search for two changes with the same short digest.
pub(super) fn hex(digest: Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
