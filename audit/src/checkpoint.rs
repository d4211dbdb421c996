//! Checkpoints (C2SP tlog-checkpoint): what a tree was, signed. A file of checkpoints has one note after the other, with
//! an empty line between two.

use crate::note::{SignerKey, VerifierKey};
use crate::tree::{Frontier, Hash};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The lines of a checkpoint in a file: origin, size, root, an empty one, a signature, an empty one.
const LINES: usize = 6;

/// A tree at one of its sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, which is that of its key.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs the tree.
    pub fn sign(tree: &Frontier, key: &SignerKey) -> String {
        let origin = key.verifier().name();
        key.sign(&format!("{origin}\n{}\n{}\n", tree.size(), STANDARD.encode(tree.root())))
    }

    /// What a note says that one of the keys has signed; `None` if none has, or it is not a checkpoint of that key's log.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Option<Self> {
        let (key, text) = keys.iter().find_map(|key| Some((key, key.open(note)?)))?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let is_decimal = size.bytes().all(|byte| byte.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let is_whole = is_decimal && origin == key.name() && lines.next().is_none();
        is_whole.then_some(Self { origin: origin.to_owned(), size: size.parse().ok()?, root })
    }
}

/// A note as it stands in a file of checkpoints.
pub fn entry(note: &str) -> String {
    format!("{note}\n")
}

/// The notes of a file, each with the number of its first line, and whatever follows the last whole one.
pub fn notes(text: &str) -> (Vec<(usize, &str)>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        let mut ends = rest.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let entry = ends.nth(LINES - 1).and_then(|end| Some((rest.get(..end)?, rest.get(end..)?)));
        let whole =
            entry.and_then(|(entry, after)| Some((entry.strip_suffix("\n\n").and(entry.strip_suffix('\n'))?, after)));
        let Some((note, after)) = whole else { return (found, rest) };
        found.push((found.len() * LINES + 1, note));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    #[test]
    fn a_checkpoint_is_read_back_with_its_key_only() {
        let [key, other] = ["a.example/1", "a.example/1"].map(|name| SignerKey::generate(name).unwrap());
        let mut tree = Frontier::default();
        for size in 0..4 {
            let note = Checkpoint::sign(&tree, &key);
            let opened = Checkpoint::open(&note, &[other.verifier().clone(), key.verifier().clone()]).unwrap();
            assert_eq!((opened.origin.as_str(), opened.size, opened.root), ("a.example/1", size, tree.root()));
            assert_eq!(Checkpoint::open(&note, &[other.verifier().clone()]), None);
            tree.push(leaf_hash(b"x"));
        }
        for text in ["a.example/2\n0\nAA==\n", "a.example/1\n007\n", "a.example/1\nx\n\n", "a\n"] {
            assert_eq!(Checkpoint::open(&key.sign(text), &[key.verifier().clone()]), None, "{text}");
        }
    }

    #[test]
    fn a_file_has_its_notes_and_what_a_crash_has_left() {
        let key = SignerKey::generate("a").unwrap();
        let note = Checkpoint::sign(&Frontier::default(), &key);
        let two = entry(&note).repeat(2);
        assert_eq!(notes(&two), (vec![(1, note.as_str()), (7, note.as_str())], ""));
        let torn = entry(&note) + note.trim_end();
        assert_eq!(notes(&torn), (vec![(1, note.as_str())], note.trim_end()));
        assert_eq!(notes(""), (vec![], ""));
    }
}
