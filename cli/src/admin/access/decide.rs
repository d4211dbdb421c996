//! Decisions about requests for access: approve, deny, cancel, review, revoke.

use super::request::{REQUESTS, Which, print};
use crate::{
    admin::{
        client::Path,
        connection::Connection,
        party_rules::{body, text},
    },
    error::Error,
    exit::{Exit, Outcome},
    output::Format,
};
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

const APPROVE_EXAMPLES: &str = "\
Neither the one who asked nor the session's subject can approve a request, whatever they may do
otherwise. The access starts at once and ends by itself.

Examples:
  portcullis access approve 019abc7e64ce
  portcullis access approve 019abc7e64ce --for 15m --comment 'only for the restart'
  portcullis access approve 019abc7e64ce --once";

/// What every decision takes.
#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    which: Which,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Approve a request for access, or its next step
#[derive(Debug, clap::Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub(crate) struct Approve {
    #[command(flatten)]
    common: Common,
    /// Approve it for a shorter time than was asked for, such as `15m`
    #[arg(long = "for", value_name = "DURATION", value_parser = NonEmptyStringValueParser::new())]
    duration: Option<String>,
    /// Approve a refused escalation for as long as its session lasts
    #[arg(long, conflicts_with = "duration")]
    for_session: bool,
    /// Approve it for one request, which has to come within that time
    #[arg(long, conflicts_with = "for_session")]
    once: bool,
    /// A comment, for the audit and for the one who asked
    #[arg(long)]
    comment: Option<String>,
}

/// Deny a request for access
#[derive(Debug, clap::Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    common: Common,
    /// Why, for the audit and for the one who asked
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    comment: String,
}

/// Take back a request of your own
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    common: Common,
}

/// Close the review of an emergency
#[derive(Debug, clap::Args)]
pub(crate) struct Review {
    #[command(flatten)]
    common: Common,
    /// What the review has found
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    comment: String,
}

/// End the grant that a request has led to
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    common: Common,
    /// Why, for the audit
    #[arg(long)]
    comment: Option<String>,
}

impl Common {
    /// Sends a decision and prints what has become of the request.
    fn decide(&self, deed: &str, body: &Value) -> Outcome {
        let client = self.service.client()?;
        let path = Path::new(REQUESTS).segment(&self.which.id(&client)?).segment(deed);
        print(&client.post(&path, body)?, self.output)?;
        Ok(Exit::Done)
    }
}

impl Approve {
    pub(super) fn run(self) -> Outcome {
        let session = self.for_session.then(|| "session".to_owned());
        let mut body = body([("comment", self.comment), ("duration", self.duration), ("for", session)]);
        if let Some(members) = body.as_object_mut().filter(|_| self.once) {
            members.insert("once".to_owned(), true.into());
        }
        self.common.decide("approve", &body)
    }
}

impl Deny {
    pub(super) fn run(self) -> Outcome {
        self.common.decide("deny", &body([("comment", Some(self.comment))]))
    }
}

impl Cancel {
    pub(super) fn run(self) -> Outcome {
        self.common.decide("cancel", &body([]))
    }
}

impl Review {
    pub(super) fn run(self) -> Outcome {
        self.common.decide("review", &body([("comment", Some(self.comment))]))
    }
}

impl Revoke {
    pub(super) fn run(self) -> Outcome {
        let client = self.common.service.client()?;
        let request = self.common.which.find(&client)?;
        let grant = request.get("grant").map(|grant| text(grant, "id")).unwrap_or_default();
        if grant.is_empty() {
            return Err(Error::failed("the request has led to no grant"));
        }
        let path = Path::new("/v1/grants").segment(grant).segment("revoke");
        print(&client.post(&path, &body([("comment", self.comment)]))?, self.common.output)?;
        Ok(Exit::Done)
    }
}
