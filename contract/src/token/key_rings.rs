//! The keys of all issuers of a policy. Issuers whose keys come from the same place share one ring, and so its fetches.

use super::{IssuerId, KeyRing, KeySet, KeySetError, KeySource};
use std::collections::HashMap;

/// The key rings of a policy's issuers.
#[derive(Debug, Clone, Default)]
pub struct KeyRings {
    rings: Vec<KeyRing>,
    /// For each issuer, the index of its ring.
    of: Vec<usize>,
}

impl KeyRings {
    /// The rings for the key sources of issuers, in their order. Those that share a place are fetched as often as the most
    /// impatient of them demands.
    ///
    /// # Errors
    /// An inline key set is unusable; returns its issuer.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a KeySource>) -> Result<Self, (IssuerId, KeySetError)> {
        let (mut rings, mut of): (Vec<KeyRing>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut by_place = HashMap::new();
        for (index, source) in sources.into_iter().enumerate() {
            let shared = place(source).map(|place| *by_place.entry(place).or_insert(rings.len()));
            match (shared.and_then(|ring| rings.get_mut(ring)), source) {
                (Some(ring), KeySource::Remote { refresh, .. }) => ring.refresh_within(*refresh),
                _ => rings.push(KeyRing::new(source).map_err(|error| (IssuerId(index), error))?),
            }
            of.push(shared.unwrap_or(rings.len() - 1));
        }
        Ok(Self { rings, of })
    }

    /// Spreads the retries of all rings; see [`KeyRing::spread`].
    #[must_use]
    pub fn spread(self, seed: u64) -> Self {
        let rings = (0..).zip(self.rings).map(|(index, ring)| ring.spread(seed.wrapping_add(index)));
        Self { rings: rings.collect(), ..self }
    }

    /// The ring of an issuer.
    pub fn ring_mut(&mut self, issuer: IssuerId) -> Option<&mut KeyRing> {
        self.of.get(issuer.0).and_then(|ring| self.rings.get_mut(*ring))
    }

    /// The current keys of an issuer, if any.
    pub fn keys(&self, issuer: IssuerId) -> Option<&KeySet> {
        self.of.get(issuer.0).and_then(|ring| self.rings.get(*ring)).and_then(KeyRing::keys)
    }

    /// Whether two issuers have the same ring.
    pub fn is_shared(&self, one: IssuerId, other: IssuerId) -> bool {
        self.of.get(one.0).is_some_and(|ring| self.of.get(other.0) == Some(ring))
    }

    /// Starts at most `max` of the fetches that are due, as [`KeyRing::due`]: returns one issuer for each.
    pub fn due(&mut self, max: usize, now_ms: u64) -> Vec<IssuerId> {
        let due = self.rings.iter_mut().enumerate().filter_map(|(ring, keys)| keys.due(now_ms).then_some(ring));
        let due: Vec<usize> = due.take(max).collect();
        let first = |ring| self.of.iter().position(|of| *of == ring).map(IssuerId);
        due.into_iter().filter_map(first).collect()
    }
}

/// Where a key set is fetched; `None` if it is not.
fn place(source: &KeySource) -> Option<(&str, &str, bool, &str)> {
    match source {
        KeySource::Remote { authority, path, https, cluster, .. } => Some((authority, path, *https, cluster)),
        KeySource::Inline(_) | KeySource::Opaque => None,
    }
}
