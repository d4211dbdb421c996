//! Bound tokens: what they are bound to is verified, and nonces are handed out.

use super::{ContextId, Gate};
use crate::{
    answer::Code,
    authorize::{
        bearer::{CredentialError, Scheme},
        head::Head,
        possession::{Unshown, UsedProof, verify},
        principal::Principal,
        question::Arrival,
        refused_tokens::RefusedToken,
        request::Denial,
        session_client::SessionClient,
    },
    token::{Claimed, Reason, dpop::NonceKey, dpop::ProofFault},
};
use std::hash::BuildHasher as _;

impl Gate {
    /// The nonce that the client of a request should use from now on, if the one that it has used is about to end (RFC 9449,
    /// section 8.2).
    pub fn newer_nonce(&self, context: ContextId, wall_ms: impl FnOnce() -> Option<u64>) -> Option<String> {
        self.requests.get(&context).filter(|entry| entry.needs_nonce && entry.request.is_released())?;
        Some(self.nonces()?.issue(wall_ms()?))
    }

    /// The scheme under which a request presents its token.
    pub(super) fn scheme(&self, head: &Head<'_>) -> Scheme {
        let has_other = head.dpop_token != Err(CredentialError::NoCredentials);
        if has_other && self.policy.possession.is_some() { Scheme::Dpop } else { Scheme::Bearer }
    }

    /// Verifies that a token comes with what it is bound to. Returns the proof, which must not have been used before.
    ///
    /// Whoever does not have it is not the party that the token is about, so the refusal names nobody.
    pub(super) fn possession(
        &mut self,
        principal: &Principal,
        arrival: &Arrival,
        wall_ms: u64,
    ) -> Result<Option<UsedProof>, Denial> {
        let Some((possession, presented)) = self.policy.possession.as_ref().zip(arrival.presented.as_deref()) else {
            return Ok(None);
        };
        let rule = Some(arrival.rule);
        let needs_proof = principal.facts.binding.as_deref().is_some_and(|binding| binding.key.is_some());
        let nonces = match possession.needs_nonce && needs_proof {
            // Without a service, there are no nonces, and no verdict that a proof could do without.
            true => Some(self.nonces().ok_or_else(|| Denial::new(Code::SessionUnavailable, rule))?),
            false => None,
        };
        let method = &arrival.attributes.method;
        let unshown = match verify(principal, presented, method, &possession.terms, nonces, self.host, wall_ms) {
            Ok(None) => return Ok(None),
            Ok(Some(proven)) => {
                self.asked_ever = self.asked_ever.wrapping_add(1);
                return Ok(Some(UsedProof { proven, asker: self.askers.hash_one(self.asked_ever) }));
            }
            Err(unshown) => unshown,
        };
        let nonce = nonces.filter(|_| unshown == Unshown::Proof(ProofFault::Nonce)).map(|key| key.issue(wall_ms));
        // That a client has to get a nonce first is nothing that an operator has to look at.
        if nonce.is_none() {
            let claimed = || Claimed { issuer: Some(principal.facts.issuer.to_string()), kid: None };
            self.refused_tokens.note(|| RefusedToken::new(Reason::Bound, unshown, claimed()));
        }
        Err(match unshown {
            Unshown::Binding(_) => Denial::new(Reason::Bound, rule),
            Unshown::Proof(ProofFault::Nonce) => Denial { nonce, ..Denial::new(Code::UseDpopNonce, rule) },
            Unshown::Proof(_) => Denial::new(Code::InvalidDpopProof, rule),
        })
    }

    fn nonces(&self) -> Option<&NonceKey> {
        match &self.client {
            Some(SessionClient::Stream(client)) => client.nonces(),
            Some(SessionClient::Introspection(_)) | None => None,
        }
    }
}
