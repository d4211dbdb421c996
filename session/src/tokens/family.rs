//! A family: all that follows from one login at the issuer, by one client.

use super::client::{Authentication, Client};
use super::rotation::{Rotation, Terms};
use super::said::Said;
use super::vault::{Sealed, Vault};
use portcullis_contract::wire::Outcome;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How long a family is kept that is over, so that its issuer and its browser learn of it.
const OVER_MS_MAX: u64 = 60 * 60 * 1_000;

/// Names a family. It is random, and says nothing: it may be seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FamilyId(pub [u8; Self::BYTES]);

impl FamilyId {
    /// Its length.
    pub const BYTES: usize = 16;
}

impl fmt::Display for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A family as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFamily {
    /// Its id.
    pub id: FamilyId,
    /// Counts its writes.
    pub version: u64,
    /// Until when it is kept.
    pub until_ms: u64,
    /// It is over, and its issuer is yet to be told.
    pub is_ended: bool,
    /// The rest.
    pub sealed: Vec<u8>,
}

/// What is sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Family {
    pub(super) issuer: String,
    pub(super) client_id: String,
    /// The thumbprint of the key that the client has shown at first.
    pub(super) key: Option<[u8; 32]>,
    /// The digest of the certificate that it has shown at first.
    pub(super) certificate: Option<[u8; 32]>,
    /// The issuer's refresh token. Only a browser's family can be without one.
    pub(super) refresh_token: Option<String>,
    /// What its first access token says, with the dates of the last one.
    pub(super) said: Said,
    /// What the issuer has granted, separated by spaces; empty: it did not say.
    pub(super) scope: String,
    pub(super) rotation: Rotation,
    /// What the last use was answered.
    pub(super) answer: Option<Kept>,
    pub(super) over: Option<Over>,
    /// What is held for a browser, whose handle does not change.
    #[serde(default)]
    pub(super) browser: Option<Browser>,
}

/// Written by hand because it is made of secrets.
impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

/// An answer that can be given once more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) body: String,
    /// Whom the issuer has authenticated for it, if that can be told.
    pub(super) by: Option<[u8; 32]>,
}

/// What is held for a browser: it never sees a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Browser {
    /// The issuer's current access token.
    pub(super) access: String,
    /// When it was obtained.
    pub(super) since_ms: u64,
    /// How many attempts to renew it have failed in a row.
    pub(super) failures: u32,
    /// When the next one may be made.
    pub(super) retry_at_ms: u64,
}

impl Browser {
    /// With an access token that was just obtained.
    pub(super) fn new(access: &str, now_ms: u64) -> Self {
        Self { access: access.to_owned(), since_ms: now_ms, failures: 0, retry_at_ms: 0 }
    }
}

/// A family is over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) at_ms: u64,
    /// What the issuer is told with: only its client can revoke a token.
    pub(super) authentication: Authentication,
    /// It knows, or need not.
    #[serde(default)]
    is_told: bool,
    /// What a browser's handle is answered, as on the check stream.
    #[serde(default)]
    outcome: i32,
}

impl Over {
    /// What a browser's handle is answered.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome::try_from(self.outcome).unwrap_or(Outcome::UnknownSession)
    }
}

impl Family {
    /// Whether it is this client's, with what it has shown at first.
    pub(super) fn is_of(&self, client: &Client) -> bool {
        self.client_id == client.id && self.key == client.key && self.certificate == client.certificate
    }

    /// Ends it. Its issuer is told by whoever shows it, or knows what it was shown with.
    pub(super) fn end(&mut self, client: &Client, outcome: Outcome, now_ms: u64) {
        self.answer = None;
        if let Some(browser) = &mut self.browser {
            browser.access.clear();
        }
        self.over = Some(Over {
            at_ms: now_ms,
            authentication: client.authentication.clone(),
            is_told: self.refresh_token.is_none(),
            outcome: outcome.into(),
        });
    }

    /// Its issuer knows that it is over, or need not.
    pub(super) fn told(&mut self) {
        self.refresh_token = None;
        self.over.iter_mut().for_each(|over| over.is_told = true);
    }

    /// When it ends if nobody uses it.
    pub(super) fn ends_at_ms(&self, terms: &Terms) -> u64 {
        self.rotation.ends_at_ms(terms).min(self.lasts_until_ms(terms))
    }

    /// When it ends in any case.
    pub(super) fn lasts_until_ms(&self, terms: &Terms) -> u64 {
        let absolute_ms = self.rotation.opened_at_ms.saturating_add(terms.absolute_ms);
        match self.refresh_token {
            Some(_) => absolute_ms,
            // Nothing can be had in place of its access token.
            None => absolute_ms.min(self.said.expires_at_ms()),
        }
    }

    /// As version `version` of the family.
    pub(super) fn seal(&self, vault: &Vault, terms: &Terms, id: FamilyId, version: u64) -> Option<StoredFamily> {
        let text = serde_json::to_vec(self).ok()?;
        let sealed = vault.seal(id, version, &text)?;
        let until_ms = match &self.over {
            Some(over) => over.at_ms.saturating_add(OVER_MS_MAX),
            None => self.ends_at_ms(terms),
        };
        let is_ended = self.over.as_ref().is_some_and(|over| !over.is_told);
        Some(StoredFamily { id, version, until_ms, is_ended, sealed })
    }

    pub(super) fn open(vault: &Vault, stored: &StoredFamily) -> Result<Self, Sealed> {
        let text = vault.open(stored.id, stored.version, &stored.sealed)?;
        serde_json::from_slice(&text).map_err(|_| Sealed::Damaged)
    }
}
