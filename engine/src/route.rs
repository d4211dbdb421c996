//! Finds the rule that matches a request.
//!
//! Host and path are read strictly once, at the edge; the table only ever sees [`Host`] and [`Path`].

mod host;
pub(crate) mod method;
mod path;
mod table;
mod template;
mod tree;
mod trie;

pub use host::{BadPattern, Host, HostPattern};
pub use method::{BadMethod, Method};
pub use path::{Ambiguous, Path, lower_case};
pub use table::{Match, RouteTable};
pub use template::{BadTemplate, Segment, Template};
pub use tree::{Answer, Branch};
pub use trie::has_suffix;

#[cfg(test)]
mod model;

/// An index into the rules of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub usize);
