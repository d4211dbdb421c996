//! Checks of the Envoy configuration around the policy: the order of the HTTP filters.

use super::{linter::Linter, warning::Warning};
use crate::{
    diagnostic::Diagnostic,
    policy::manifest::{Outer, misplaced},
};

impl Linter<'_> {
    pub(super) fn envoy(&mut self) {
        for (outer, span) in misplaced(&self.loaded.document) {
            let (name, why) = match outer {
                Outer::Cors => ("cors", "refusals lack its headers, so a browser hides them from the page"),
                Outer::GrpcWeb => ("grpc_web", "it never sees refusals, so they reach gRPC-Web callers untranslated"),
            };
            let message = format!("`{name}` stands behind the filter: {why}");
            let help = format!("move `{name}` in front of the filter");
            let diagnostic = Diagnostic::warning(Warning::FilterOrder.code(), message, "$", span).help(help);
            self.found.push((Warning::FilterOrder, diagnostic));
        }
    }
}
