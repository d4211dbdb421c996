//! `portcullis scopes stale`: what nobody uses.

use super::{Format, findings, instant, show};
use crate::{
    admin::{connection::Connection, usage::Usage},
    error::Error,
    exit::{Exit, Outcome},
    output, plain,
    policy::{date, load::Loaded},
};
use jiff::Timestamp;
use portcullis_engine::scope::Date;
use std::path::PathBuf;

/// How far to go back by default.
const SINCE_DEFAULT: &str = "90d";

const EXAMPLES: &str = "\
With --policy: scopes of the registry that no request needed, sets that no request has met, routes
without requests, and reviews that are overdue. In any case: scopes that live sessions of a client
were granted and that no request of that client needed; with --policy, only those of its registry.

Examples:
  portcullis scopes stale --policy policy.yaml
  portcullis scopes stale --policy policy.yaml --since 30d --output markdown
  portcullis scopes stale --policy policy.yaml --usage usage.json

Exit codes:
  0  nothing is stale
  1  a file cannot be read, or the service does not answer
  2  an argument, the policy or the file is invalid
  4  something is stale";

/// Find scopes, sets and routes that nobody uses, and overdue reviews
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How far to go back: a duration, or an instant (RFC 3339) [default: 90d, or as far as FILE of --usage]
    #[arg(long, value_name = "TIME", value_parser = super::since)]
    since: Option<String>,
    /// Policy, or manifest that contains one; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Read what was used from this output of `scopes usage --output json` instead of the service
    #[arg(long, value_name = "FILE")]
    usage: Option<PathBuf>,
    /// Date to compare the `review_by` of scopes with [default: today in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date::date)]
    today: Option<Date>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let policy = self.policy.as_deref().map(Loaded::read).transpose()?;
        let usage = self.read()?;
        if usage.has_unnamed() {
            return Err(Error::failed(
                "there were more scopes, routes and clients than the service keeps apart, so it cannot tell what was \
                 not used",
            ));
        }
        let findings = findings::of(&usage, policy.as_ref(), date::or_today(self.today)?);
        let since = &*usage.since;
        match self.output {
            Format::Json => {
                output::write(plain::json(&show::json_text(&show::Stale { since, stale: &findings })?).as_bytes())?
            }
            Format::Markdown => output::write(show::stale_markdown(&findings, since))?,
            Format::Text if findings.is_empty() => {
                output::message(&format!("nothing is stale since {}", plain::plain(since)));
                return Ok(Exit::Done);
            }
            Format::Text => output::write(show::stale_text(&findings, since))?,
        };
        Ok(if findings.is_empty() { Exit::Done } else { Exit::Stale })
    }

    fn read(&self) -> Result<Usage, Error> {
        let Some(file) = &self.usage else {
            let since = self.since.as_deref().unwrap_or(SINCE_DEFAULT);
            return Usage::of_service(&self.service.client()?, since);
        };
        let usage = Usage::of_file(file)?;
        match self.since.as_deref().map(|since| instant(since, Timestamp::now())) {
            None => Ok(usage),
            Some(Some(since)) => usage.since(since),
            Some(None) => Err(Error::invalid("`--since`: there is no such instant")),
        }
    }
}
