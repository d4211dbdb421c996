//! What is right by the rules of a policy, and should be looked at all the same.

mod overlap;
mod routes;
mod scopes;
mod shadow;
mod whole;
mod written;

use super::load::Loaded;
use crate::report::Diagnostic;
use portcullis_engine::scope::Date;
use written::Written;

/// A reason to look at a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Warning {
    /// A scope is past its `review_by`
    ScopeReviewOverdue,
    /// No rule asks for a scope of the register
    ScopeUnused,
    /// No rule asks for a set
    SetUnused,
    /// A scope alone opens more rules than the limit
    ScopeTooCoarse,
    /// A more specific rule answers a part of what a rule matches, and is easier to pass
    RouteShadowed,
    /// A public rule covers whatever is put under a path
    PublicSubtree,
    /// A rule's session limit is above what NIST SP 800-63B-4 recommends at AAL2
    SessionLimitLoose,
    /// Requests pass without a verdict of the session service
    OutageNotDenied,
    /// Nothing is refused
    ShadowMode,
    /// Tokens of the type `JWT` are accepted, which may be no access tokens
    TokenTypeJwt,
}

impl Warning {
    /// Its stable name.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::ScopeReviewOverdue => "scope_review_overdue",
            Self::ScopeUnused => "scope_unused",
            Self::SetUnused => "set_unused",
            Self::ScopeTooCoarse => "scope_too_coarse",
            Self::RouteShadowed => "route_shadowed",
            Self::PublicSubtree => "public_subtree",
            Self::SessionLimitLoose => "session_limit_loose",
            Self::OutageNotDenied => "outage_not_denied",
            Self::ShadowMode => "shadow_mode",
            Self::TokenTypeJwt => "token_type_jwt",
        }
    }
}

/// How much is too much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most rules that one scope alone may open.
    pub(super) routes_per_scope_max: usize,
}

/// Everything about a policy that somebody should look at, by the order of the checks.
pub(super) fn lint(loaded: &Loaded, today: Date, bounds: Bounds) -> Vec<(Warning, Diagnostic)> {
    let Some(written) = Written::of(&loaded.document) else {
        return Vec::new();
    };
    let mut linter = Linter { loaded, written: &written, found: Vec::new() };
    linter.scopes(today, bounds);
    linter.routes();
    linter.shadows();
    linter.whole();
    linter.found
}

struct Linter<'p> {
    loaded: &'p Loaded,
    written: &'p Written,
    found: Vec<(Warning, Diagnostic)>,
}

impl Linter<'_> {
    /// Warns of a value, in an operator's words: what, and what to do.
    fn warn(&mut self, warning: Warning, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let span = self.loaded.document.span(path);
        let diagnostic = Diagnostic::warning(warning.code(), message, path, span).help(help);
        self.found.push((warning, diagnostic));
    }

    /// Warns of a key.
    fn warn_of_key(&mut self, warning: Warning, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let span = self.loaded.document.key_span(path);
        let diagnostic = Diagnostic::warning(warning.code(), message, path, span).help(help);
        self.found.push((warning, diagnostic));
    }
}

#[cfg(test)]
mod tests;
