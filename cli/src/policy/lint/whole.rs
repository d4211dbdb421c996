//! Checks of the whole policy: its mode, its issuers, and its behaviour during an outage.

use super::{linter::Linter, warning::Warning};
use portcullis_engine::policy::Mode;

impl Linter<'_> {
    pub(super) fn whole(&mut self) {
        if self.loaded.policy.mode == Mode::Shadow {
            let message = "in shadow mode every request is released, whatever the decision";
            let help = "write `enforce` as soon as the counters show that no legitimate request would be refused";
            self.warn(Warning::ShadowMode, "$.mode", message, help);
        }
        self.outage("$.session.on_outage", self.loaded.policy.source.on_outage);
        self.token_types();
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

    /// The place of the type `JWT`: the policy keeps the types in one spelling and without repetition.
    fn jwt_path(&self, issuer: usize) -> String {
        let document = &self.loaded.document;
        let mut paths = (0..ITEMS_MAX).map(|item| format!("$.issuers[{issuer}].token_types[{item}]"));
        let path = paths.find(|path| document.text().get(document.span(path)).is_some_and(is_jwt));
        path.unwrap_or_else(|| format!("$.issuers[{issuer}].token_types"))
    }

    fn token_types(&mut self) {
        let loaded = self.loaded;
        for (index, issuer) in loaded.policy.issuers.iter().enumerate() {
            if !issuer.token_types.iter().any(|kind| kind == "jwt") {
                continue;
            }
            let path = self.jwt_path(index);
            let message = "accepts tokens of type `JWT`, which may not be access tokens (an ID token, for example)";
            let help = "configure the issuer to use `at+jwt` (RFC 9068) and accept only that, or use an audience that only this API has";
            self.warn(Warning::TokenTypeJwt, &path, message, help);
        }
    }
}

/// The most items of a list in a policy.
const ITEMS_MAX: usize = 1_000;

fn is_jwt(text: &str) -> bool {
    ["jwt", "application/jwt"].iter().any(|jwt| text.trim_matches(['"', '\'']).eq_ignore_ascii_case(jwt))
}
