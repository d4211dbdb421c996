//! Comparing the scopes that are held with the scopes that are required.

/// Every scope that the policy knows.
#[derive(Debug)]
pub struct Register {}

/// What a rule requires.
#[derive(Debug)]
pub struct Requirement {}
