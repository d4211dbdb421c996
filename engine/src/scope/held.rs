//! The scopes of a token or a session, as far as the registry knows them.

use super::ScopeId;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of scopes of one registry.
///
/// Only meaningful together with the registry that created it: the ids of another policy's registry are other scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// One bit per scope. The last word is never zero, so that equal sets compare equal and small ones take little
    /// memory.
    words: Box<[u64]>,
}

impl Held {
    /// Whether the scope is in the set.
    pub fn holds(&self, id: ScopeId) -> bool {
        let (word, bit) = place(id);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The intersection: a session narrows a token's scopes and never widens them.
    #[must_use]
    pub fn and(&self, other: &Held) -> Held {
        Held::from_words(self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect())
    }

    /// Its scopes, in declaration order.
    pub(super) fn ids(&self) -> impl Iterator<Item = ScopeId> {
        let bits = |(index, word): (usize, &u64)| {
            let (base, word) = (index * WORD_BITS, *word);
            (0..WORD_BITS).filter(move |bit| word >> bit & 1 != 0).map(move |bit| base + bit)
        };
        self.words.iter().enumerate().flat_map(bits).filter_map(|id| u32::try_from(id).ok()).map(ScopeId)
    }

    /// Its heap size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    fn from_words(mut words: Vec<u64>) -> Held {
        while words.last() == Some(&0) {
            words.pop();
        }
        Held { words: words.into() }
    }
}

impl FromIterator<ScopeId> for Held {
    fn from_iter<I: IntoIterator<Item = ScopeId>>(ids: I) -> Held {
        let mut words = Vec::new();
        for id in ids {
            let (word, bit) = place(id);
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
        Held::from_words(words)
    }
}

fn place(ScopeId(id): ScopeId) -> (usize, u64) {
    let id = id as usize;
    (id / WORD_BITS, 1 << (id % WORD_BITS))
}
