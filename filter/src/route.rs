//! Finding the one rule that answers a request.

/// An index into the rules of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleId(pub usize);

/// Finds the rule for host, method and path.
#[derive(Debug)]
pub struct RouteTable {}
