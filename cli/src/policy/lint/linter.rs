//! Runs every check over a policy and collects the warnings.

use super::warning::Warning;
use crate::{
    diagnostic::Diagnostic,
    document::Node,
    policy::{load::Loaded, manifest::Surroundings},
};
use portcullis_engine::scope::Date;

/// Configurable limits of the checks.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Bounds {
    /// The most routes that one scope alone may grant access to.
    pub(in crate::policy) routes_per_scope_max: usize,
}

/// All warnings about a policy, in the order of the checks.
pub(in crate::policy) fn lint(loaded: &Loaded, today: Date, bounds: Bounds) -> Vec<(Warning, Diagnostic)> {
    let mut linter = Linter { loaded, found: Vec::new() };
    linter.scopes(today, bounds);
    linter.routes();
    linter.shadows();
    linter.falls();
    linter.prefixes();
    linter.upstream();
    linter.whole();
    linter.issuers();
    linter.oauth();
    linter.surroundings();
    linter.found
}

pub(super) struct Linter<'p> {
    pub(super) loaded: &'p Loaded,
    pub(super) found: Vec<(Warning, Diagnostic)>,
}

impl Linter<'_> {
    /// Adds a warning about a value: what is wrong, and what to do.
    pub(super) fn warn(&mut self, warning: Warning, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let span = self.loaded.document.span(path);
        let diagnostic = Diagnostic::warning(warning.code(), message, path, span).help(help);
        self.found.push((warning, diagnostic));
    }

    /// Checks what stands around the policy in a manifest.
    fn surroundings(&mut self) {
        let Some(surroundings) = Surroundings::of(self.loaded) else { return };
        let managers = surroundings.managers();
        managers.iter().for_each(|manager| self.envoy(manager));
        let tables = surroundings.route_tables(&managers);
        tables.iter().for_each(|table| self.rewrites(table));
        self.oauth_routes(&tables);
        if let Some(clusters) = surroundings.clusters() {
            self.clusters(&clusters);
        }
        self.plugins(&surroundings.plugins());
    }

    /// Adds a warning about a part of the manifest that is not the policy.
    pub(super) fn warn_around(
        &mut self,
        warning: Warning,
        part: &Node,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::warning(warning.code(), message, "$", part.span.clone()).help(help);
        self.found.push((warning, diagnostic));
    }

    /// Adds a warning about a key.
    pub(super) fn warn_of_key(
        &mut self,
        warning: Warning,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let span = self.loaded.document.key_span(path);
        let diagnostic = Diagnostic::warning(warning.code(), message, path, span).help(help);
        self.found.push((warning, diagnostic));
    }
}
