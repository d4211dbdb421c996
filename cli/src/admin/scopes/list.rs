//! `portcullis scopes usage`: how often each scope and each route was used.

use super::{Format, show};
use crate::{
    admin::{connection::Connection, usage::Usage},
    exit::{Exit, Outcome},
    output, plain,
};
use jiff::Timestamp;

const EXAMPLES: &str = "\
A request counts once for its route, and once for every scope that its route names: as asked; as
granted where the scope was needed to release it (those of `all_of`, and of the first entry of
`any_of` that was met); as refused where it was missing. Counts are kept by client and day.

Examples:
  portcullis scopes usage
  portcullis scopes usage --since 30d --output json > usage.json";

/// List how often each scope and each route was used, and by which clients
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How far to go back: a duration, or an instant (RFC 3339). Whole days are counted
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = super::since)]
    since: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let usage = Usage::of_service(&self.service.client()?, &self.since)?;
        match self.output {
            Format::Json => output::write(plain::json(&show::json_text(&usage)?).as_bytes())?,
            Format::Markdown => output::write(show::usage_markdown(&usage))?,
            Format::Text if usage.scopes.is_empty() && usage.routes.is_empty() => {
                output::message(&format!("nothing was used since {}", plain::plain(&usage.since)));
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&show::usage_text(&usage, Timestamp::now()))?,
        };
        Ok(Exit::Done)
    }
}
