//! Checks of the whole policy: its mode, its issuers, and its behaviour during an outage.

use super::{linter::Linter, warning::Warning};
use portcullis_engine::policy::{Mode, Outage};
use serde_json::Value;
use std::time::Duration;

impl Linter<'_> {
    pub(super) fn whole(&mut self) {
        if self.loaded.policy.mode == Mode::Shadow {
            let message = "in shadow mode every request is released, whatever the decision";
            let help = "write `enforce` as soon as the counters show that no legitimate request would be refused";
            self.warn(Warning::ShadowMode, "$.mode", message, help);
        }
        self.outage("$.session.on_outage", self.default_outage());
        self.token_types();
    }

    /// The default for rules without their own setting.
    fn default_outage(&self) -> Outage {
        match self.written.get("/session/on_outage") {
            Some(Value::Object(_)) => Outage::Grace(Duration::ZERO),
            Some(Value::String(word)) if word == "read_only" => Outage::ReadOnly,
            _ => Outage::Deny,
        }
    }

    fn token_types(&mut self) {
        let loaded = self.loaded;
        for (index, issuer) in loaded.policy.issuers.iter().enumerate() {
            if !issuer.token_types.iter().any(|kind| kind == "jwt") {
                continue;
            }
            let types = self.written.get(&format!("/issuers/{index}/token_types")).and_then(Value::as_array);
            let at = types.and_then(|types| types.iter().position(is_jwt)).unwrap_or_default();
            let path = format!("$.issuers[{index}].token_types[{at}]");
            let message = "accepts tokens of type `JWT`, which may not be access tokens (an ID token, for example)";
            let help = "configure the issuer to use `at+jwt` (RFC 9068) and accept only that, or use an audience that only this API has";
            self.warn(Warning::TokenTypeJwt, &path, message, help);
        }
    }
}

fn is_jwt(given: &Value) -> bool {
    given.as_str().is_some_and(|kind| ["jwt", "application/jwt"].iter().any(|jwt| kind.eq_ignore_ascii_case(jwt)))
}
