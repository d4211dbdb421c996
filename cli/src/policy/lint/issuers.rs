//! Checks of issuers: which tokens are accepted, and where their scopes are.

use super::{linter::Linter, warning::Warning};
use crate::policy::claim_pointer::meant_by;
use portcullis_engine::{
    policy::{BoundTokens, Issuer},
    token::ScopeClaim,
};

impl Linter<'_> {
    pub(super) fn issuers(&mut self) {
        let loaded = self.loaded;
        for (index, issuer) in loaded.policy.issuers.iter().enumerate() {
            self.token_types(index, issuer);
            self.audience(index, issuer);
            self.bound_tokens(index, issuer);
            self.scope_claims(index, issuer);
        }
    }

    /// The place of an item of a list: the policy keeps lists in one spelling and without repetition.
    fn item_path(&self, list: &str, is_it: impl Fn(&str) -> bool) -> String {
        let document = &self.loaded.document;
        let mut paths = (0..ITEMS_MAX).map(|item| format!("{list}[{item}]"));
        let bare = |path: &String| document.text().get(document.span(path)).map(|text| text.trim_matches(['"', '\'']));
        paths.find(|path| bare(path).is_some_and(&is_it)).unwrap_or_else(|| list.to_owned())
    }

    /// An ID token has the type `JWT`, too, and a client as its audience. That many providers have no other type is no reason to
    /// warn: the audience of an API that is not a client, or a claim, tells the two apart.
    fn token_types(&mut self, index: usize, issuer: &Issuer) {
        let is_client = |audience: &&String| issuer.clients.contains(audience);
        let Some(client) = issuer.audiences.iter().find(is_client) else { return };
        if !issuer.claims.is_empty() || !issuer.token_types.iter().any(|kind| kind == "jwt") {
            return;
        }
        let path = self.item_path(&format!("$.issuers[{index}].token_types"), is_jwt);
        let client = client.escape_debug();
        let message =
            format!("accepts tokens of type `JWT` for the client `{client}`, and so the ID tokens of that client");
        let help = "use an audience that only this API has, demand a claim that only access tokens have (`claims`), or configure the issuer to use `at+jwt` (RFC 9068) and accept only that";
        self.warn(Warning::TokenTypeJwt, &path, message, help);
    }

    fn audience(&mut self, index: usize, issuer: &Issuer) {
        if !issuer.audiences.is_empty() || !issuer.claims.is_empty() {
            return;
        }
        let path = format!("$.issuers[{index}].clients");
        let message = "accepts every token of these clients, including ID tokens and tokens for other APIs";
        let help =
            "demand a claim that only access tokens have, such as `claims: {token_use: access}`, or list `audiences`";
        self.warn_of_key(Warning::AudienceOpen, &path, message, help);
    }

    fn bound_tokens(&mut self, index: usize, issuer: &Issuer) {
        if issuer.bound_tokens != BoundTokens::Bearer {
            return;
        }
        let path = format!("$.issuers[{index}].bound_tokens");
        let message = "accepts tokens that are bound to a key without checking the proof of possession";
        let help = "a stolen token can be used here; use `verify`, or omit the key as soon as clients can send unbound tokens to this API";
        self.warn(Warning::BoundTokensBearer, &path, message, help);
    }

    fn scope_claims(&mut self, index: usize, issuer: &Issuer) {
        for name in issuer.claim_names.scopes.iter().map(ScopeClaim::as_str) {
            let Some(pointer) = meant_by(name) else { continue };
            let path = self.item_path(&format!("$.issuers[{index}].scope_claims"), |text| text == name);
            let message = format!("`{name}` is the name of a claim with a dot in it; it does not reach inside a claim");
            let help = format!("to reach inside, write the JSON Pointer `{pointer}`");
            self.warn(Warning::ScopeClaimDotted, &path, message, help);
        }
    }
}

/// The most items of a list in a policy.
const ITEMS_MAX: usize = 1_000;

fn is_jwt(text: &str) -> bool {
    ["jwt", "application/jwt"].iter().any(|jwt| text.eq_ignore_ascii_case(jwt))
}
