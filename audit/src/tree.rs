//! The Merkle tree of RFC 6962 (section 2.1), as far as a log that only grows needs it: what is kept of it is its frontier,
//! one hash for each bit that is set in its size.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of a node above two others.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The right edge of a tree: the roots of the perfect subtrees that it consists of, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // As many subtrees are completed as the size has ones at its end.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root hash. That of a tree without leaves is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else { return Sha256::digest([]).into() };
        hashes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The subtrees with the leaves that each covers: the first, and the one after the last.
    fn subtrees(&self) -> impl Iterator<Item = (u64, u64, &Hash)> {
        let mut first = 0;
        let ones = (0..u64::BITS).rev().map(|bit| 1_u64 << bit).filter(|bit| self.size & bit != 0);
        ones.zip(&self.hashes).map(move |(size, hash)| {
            let start = first;
            first += size;
            (start, first, hash)
        })
    }
}

/// A frontier as the first record of a file states it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stated {
    /// The number of leaves before that record.
    pub size: u64,
    /// The hashes, base64.
    pub hashes: Vec<String>,
}

impl From<&Frontier> for Stated {
    fn from(frontier: &Frontier) -> Self {
        Self { size: frontier.size, hashes: frontier.hashes.iter().map(|hash| STANDARD.encode(hash)).collect() }
    }
}

impl Stated {
    /// The frontier; `None` if there is none with so many hashes.
    pub fn frontier(&self) -> Option<Frontier> {
        let hashes = self.hashes.iter().map(|text| STANDARD.decode(text).ok()?.try_into().ok());
        let hashes: Vec<Hash> = hashes.collect::<Option<_>>()?;
        (hashes.len() == self.size.count_ones() as usize).then_some(Frontier { size: self.size, hashes })
    }
}

/// The part of a tree that follows a frontier: what inclusion can be proved with.
#[derive(Debug)]
pub struct Range<'t> {
    /// What came before.
    pub before: &'t Frontier,
    /// The hashes of the leaves after it.
    pub leaves: &'t [Hash],
}

impl Range<'_> {
    /// The audit path (RFC 6962, section 2.1.1) of the leaf `index` in the tree of the first `size` leaves, the sibling of the
    /// leaf first. `None` if the leaf, or the tree, is not in the range.
    pub fn path(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index < self.before.size || index >= size {
            return None;
        }
        let (mut start, mut end, mut path) = (0, size, Vec::new());
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.hash(middle, end)?);
                end = middle;
            } else {
                path.push(self.hash(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The hash of the subtree with the leaves from `start` up to `end`. Those beside a path into the range are in the range,
    /// or are subtrees of the frontier, or are made of such.
    fn hash(&self, start: u64, end: u64) -> Option<Hash> {
        if let Some((.., hash)) = self.before.subtrees().find(|(first, after, _)| (*first, *after) == (start, end)) {
            return Some(*hash);
        }
        if end - start == 1 {
            return self.leaves.get(usize::try_from(start.checked_sub(self.before.size)?).ok()?).copied();
        }
        let middle = start + split(end - start);
        Some(node_hash(&self.hash(start, middle)?, &self.hash(middle, end)?))
    }
}

/// The largest power of two that is less than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root that a leaf and its audit path lead to (RFC 9162, section 2.1.3.2); `None` if the path does not fit the numbers.
pub fn root_of(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The leaves of the tests of RFC 6962's reference implementation.
    const LEAVES: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];

    /// Their roots, from no leaf to eight.
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 6962, section 2.1, as it is written.
    fn model(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&model(left), &model(right))
            }
        }
    }

    fn some(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn the_roots_are_those_of_the_reference_implementation() {
        let mut frontier = Frontier::default();
        assert_eq!(hex(frontier.root()), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            frontier.push(leaf_hash(leaf));
            assert_eq!(hex(frontier.root()), *root);
        }
    }

    #[test]
    fn every_path_of_every_small_tree_leads_to_its_root_from_every_beginning() {
        let leaves = some(34);
        for first in 0..leaves.len() {
            let mut before = Frontier::default();
            leaves[..first].iter().for_each(|leaf| before.push(*leaf));
            let range = Range { before: &before, leaves: &leaves[first..] };
            for size in first..=leaves.len() {
                let root = model(&leaves[..size]);
                for (index, leaf) in leaves[..size].iter().enumerate() {
                    let path = range.path(index as u64, size as u64);
                    assert_eq!(path.is_some(), index >= first, "{first} {index} {size}");
                    let Some(path) = path else { continue };
                    assert_eq!(root_of(*leaf, index as u64, size as u64, &path), Some(root));
                    assert_ne!(root_of(leaf_hash(b"other"), index as u64, size as u64, &path), Some(root));
                    if size > 1 {
                        assert_eq!(root_of(*leaf, index as u64, size as u64, &path[1..]), None);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_frontier_knows_the_root_and_survives_being_stated(count in 0_u64..700) {
            let leaves = some(count);
            let mut frontier = Frontier::default();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            prop_assert_eq!(frontier.root(), model(&leaves));
            prop_assert_eq!(frontier.subtrees().last().map_or(0, |(_, end, _)| end), count);
            let mut stated = Stated::from(&frontier);
            prop_assert_eq!(stated.frontier(), Some(frontier));
            stated.size += 1;
            prop_assert!(stated.frontier().is_none_or(|other| other.size() != count));
        }
    }
}
