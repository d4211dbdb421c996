//! A party as callers name it, for what is decided about whole parties.

use super::problem::Problem;
use crate::revocations::RevokedParty;
use serde::Serialize;

/// The party that a caller names by at most one of these; without any, everybody at the issuer.
pub(super) fn named(
    issuer: &str,
    subject: Option<&String>,
    client_id: Option<&String>,
    sid: Option<&String>,
) -> Result<RevokedParty, Problem> {
    let party = match (subject, client_id, sid) {
        (None, None, None) => RevokedParty::Everyone,
        (Some(subject), None, None) => RevokedParty::Subject(subject.clone()),
        (None, Some(client), None) => RevokedParty::Client(client.clone()),
        (None, None, Some(sid)) => RevokedParty::Sid(sid.clone()),
        _ => return Err(Problem::invalid("body: specify at most one of `subject`, `client_id` and `sid`")),
    };
    let is_named = match &party {
        RevokedParty::Everyone | RevokedParty::Session(_) | RevokedParty::Others { .. } | RevokedParty::Unnamed(_) => {
            true
        }
        RevokedParty::Subject(name) | RevokedParty::Client(name) | RevokedParty::Sid(name) => !name.is_empty(),
    };
    if issuer.is_empty() || !is_named {
        return Err(Problem::invalid("body: `issuer`, `subject`, `client_id` and `sid` must not be empty"));
    }
    Ok(party)
}

/// A party as the admin API shows it, beside its issuer.
#[derive(Default, Serialize)]
pub(super) struct PartyView {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    except_sid: Option<String>,
    /// Only sessions that no session claim names.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_sid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
}

impl From<RevokedParty> for PartyView {
    fn from(party: RevokedParty) -> Self {
        match party {
            RevokedParty::Everyone => Self::default(),
            RevokedParty::Subject(name) => Self { subject: Some(name), ..Self::default() },
            RevokedParty::Client(name) => Self { client_id: Some(name), ..Self::default() },
            RevokedParty::Sid(name) => Self { sid: Some(name), ..Self::default() },
            RevokedParty::Others { subject, sid } => {
                Self { subject: Some(subject), except_sid: Some(sid), ..Self::default() }
            }
            RevokedParty::Unnamed(subject) => {
                Self { subject: Some(subject), without_sid: Some(true), ..Self::default() }
            }
            RevokedParty::Session(id) => Self { session_id: Some(id.to_string()), ..Self::default() },
        }
    }
}
