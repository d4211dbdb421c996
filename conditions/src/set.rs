//! A set of conditions, parsed and validated.

use crate::{Declared, Fault, Route, Sliced, Source};

/// A set of conditions, parsed and validated.
#[derive(Debug)]
pub struct Set {
    digest: String,
}

impl Set {
    /// Parses and validates. The error has all faults.
    pub fn load(sources: &[Source], declared: &Declared) -> Result<Self, Vec<Fault>> {
        let _ = (sources, declared);
        Ok(Self { digest: String::new() })
    }

    /// A digest of policies and declared attributes, in hexadecimal digits: equal sets decide equally.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many conditions there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The conditions that can concern a route.
    pub fn for_route(&self, route: &Route) -> Result<Sliced, Vec<Fault>> {
        let _ = route;
        Ok(Sliced {})
    }
}
