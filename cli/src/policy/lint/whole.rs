//! Checks of the whole policy: its mode, and its behaviour during an outage.

use super::{linter::Linter, warning::Warning};
use portcullis_engine::policy::Mode;

impl Linter<'_> {
    pub(super) fn whole(&mut self) {
        if self.loaded.policy.mode == Mode::Shadow {
            let message =
                "in shadow mode requests are released, whatever the decision, except on routes with `mode: enforce`";
            let help = "write `enforce` as soon as the counters show that no legitimate request would be refused";
            self.warn(Warning::ShadowMode, "$.mode", message, help);
        }
        self.outage("$.session.on_outage", self.loaded.policy.source.on_outage);
        self.issuer_header();
    }

    /// A subject or a client is only unique within its issuer.
    fn issuer_header(&mut self) {
        let policy = &self.loaded.policy;
        let sent = policy.identity_headers;
        if policy.issuers.len() < 2 || sent.issuer || !(sent.subject || sent.client) {
            return;
        }
        let message = format!(
            "{} issuers are accepted, and the upstream is not told which one a subject belongs to: two of them can name different people alike",
            policy.issuers.len()
        );
        let help = "add `issuer` to `identity_headers`, and let the upstream read subjects together with `x-portcullis-issuer`";
        let path = if self.loaded.document.has("$.identity_headers") { "$.identity_headers" } else { "$.issuers" };
        self.warn_of_key(Warning::IssuerNotSent, path, message, help);
    }
}
