//! The format of a backup: JSON lines, of which the first says what it is and the last how many there are.

use crate::approvals::AccessRequest;
use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::held::HeldSignal;
use crate::issuers::KnownIssuer;
use crate::narrowings::Narrowing;
use crate::revocations::Revocation;
use crate::store::{Lead, Record};
use crate::usage::Used;
use portcullis_contract::SessionId;
use serde::{Deserialize, Serialize};

/// The format that this version writes. A later one is refused: what it adds could be an end. Format 1 has no attributes, no
/// held signals and no scopes that signals have taken, format 2 no counts of what is used, format 3 no requests for access,
/// format 4 no grants for one request.
pub(super) const FORMAT: u32 = 5;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The format.
    pub(super) portcullis_backup: u32,
    /// The id of the store, for people: a restored store has an id of its own.
    pub(super) store: String,
    /// The version of the service that wrote it, for people.
    pub(super) version: String,
}

impl Header {
    pub(super) fn of(store: &str) -> Self {
        Self { portcullis_backup: FORMAT, store: store.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// Reads the first line. The error says what is wrong with the file.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let header: Self = serde_json::from_str(line)
            .map_err(|_| "is not the header of a backup: name a file that `store backup` has written".to_owned())?;
        match header.portcullis_backup {
            1..=FORMAT => Ok(header),
            later => Err(format!(
                "its format is {later}, and this version reads formats up to {FORMAT}: restore it with portcullis-session \
                 {} or newer",
                header.version
            )),
        }
    }
}

/// Any other line. There is none that takes back an end or a rule: a file can only add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A live session.
    Session(Record),
    /// An ended one.
    Tombstone(Record),
    /// The id of an ended session that nobody can read.
    UnreadableTombstone(String),
    Issuer(KnownIssuer),
    Lead(Lead),
    Revocation(Revocation),
    Block(Block),
    Narrowing(Narrowing),
    Attribute(Attribute),
    Held(HeldSignal),
    Request(Box<AccessRequest>),
    Used(Used),
    /// The last line: how many are before it, without the header. A file that was cut off has none.
    End(u64),
}

impl Line {
    /// Reads a line. The error says what is wrong with it.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(line).map_err(|e| format!("cannot be read: {e}"))?;
        match &read {
            Self::Session(record) if record.ended.is_some() => Err("is a live session that has ended".to_owned()),
            Self::Tombstone(record) if record.ended.is_none() => Err("is an ended session without its end".to_owned()),
            Self::Attribute(attribute) if attribute.fact.is_none() => {
                Err("is an attribute without its value".to_owned())
            }
            Self::UnreadableTombstone(id) if id.parse::<SessionId>().is_err() => Err("has no session id".to_owned()),
            _ => Ok(read),
        }
    }

    /// Whether it holds for a party. These are restored first: a restore that fails halfway must not leave sessions
    /// without what is held against them.
    pub(super) fn is_rule(&self) -> bool {
        matches!(
            self,
            Self::Revocation(_)
                | Self::Block(_)
                | Self::Narrowing(_)
                | Self::Attribute(_)
                | Self::Held(_)
                | Self::Request(_)
        )
    }
}
