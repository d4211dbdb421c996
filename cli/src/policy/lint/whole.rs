//! Checks of the whole policy: its mode, its leases, and its behaviour during an outage.

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
        self.lease("$.session.freshness", self.loaded.policy.source.freshness);
        self.issuer_header();
        self.client_token();
    }

    /// What is minted for one upstream and ends within seconds is of little use to it beside what opens every other.
    fn client_token(&mut self) {
        let rules = &self.loaded.policy.rules;
        let Some(rule) = rules.iter().find(|rule| rule.upstream_token.is_some() && rule.forward_token) else { return };
        let message = format!(
            "the upstream of `{}` gets the client's token besides its `upstream_token`, and can use it elsewhere until it expires, whatever has been revoked",
            rule.name
        );
        let help = "omit `forward_token` (without it, routes with an `upstream_token` forward no other) as soon as these upstreams verify their own token";
        self.warn(Warning::ClientTokenForwarded, "$.forward_token", message, help);
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
