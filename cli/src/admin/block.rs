//! `portcullis block`: refuses whatever comes from a subject, a client or a session claim, until the block is lifted or runs
//! out.

use super::{
    blocks::until,
    client::Path,
    connection::Connection,
    party_rules::{body, party, text},
    plain::plain,
    seen,
    sessions::json_text,
    when,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use clap::{ArgGroup, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::Value;

const EXAMPLES: &str = "\
A block ends no session: the party's requests are answered with 403 `blocked`, and its open streams
are cut. When the block is over, its sessions continue as before. To end them for good, use
`portcullis revoke`. The block also covers sessions that the service has not seen yet. A later block
of the same party replaces this one, even if it is shorter.

Examples:
  portcullis block --issuer https://id.example.com --subject alice --reason 'ticket 4711'
  portcullis block --issuer https://id.example.com --client batch --until 2h
  portcullis block --issuer https://id.example.com --sid 5d41402a --until 2026-11-21T12:00:00Z";

/// Refuse whatever comes from a subject, a client or a session claim
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("party").required(true))]
pub(crate) struct Args {
    /// Issuer (`iss`), compared exactly
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    issuer: String,
    /// Block this subject (`sub`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), group = "party")]
    subject: Option<String>,
    /// Block this client (`client_id`)
    #[arg(long, alias = "client-id", value_parser = NonEmptyStringValueParser::new(), group = "party")]
    client: Option<String>,
    /// Block the sessions with this value of the session claim (`sid`), of every client
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), group = "party")]
    sid: Option<String>,
    /// When the block runs out: an instant (RFC 3339), or a duration from now such as `2h` [default: never, so
    /// it must be lifted]
    #[arg(long, value_name = "INSTANT|DURATION", value_parser = instant_or_duration)]
    until: Option<Timestamp>,
    /// Reason to record in the audit log and in `blocks list`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let answer: Value = self.service.client()?.post(&Path::new("/v1/blocks"), &self.body())?;
        seen::warn(&answer, &self.issuer, &party(&self.body()));
        output::write(match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => summary(&answer, Timestamp::now())?,
        })?;
        Ok(Exit::Done)
    }

    fn body(&self) -> Value {
        body([
            ("issuer", Some(self.issuer.clone())),
            ("subject", self.subject.clone()),
            ("client_id", self.client.clone()),
            ("sid", self.sid.clone()),
            ("until", self.until.map(|instant| instant.to_string())),
            ("reason", self.reason.clone()),
        ])
    }
}

fn summary(made: &Value, now: Timestamp) -> Result<String, Error> {
    let id = plain(text(made, "id"));
    if id.is_empty() {
        return Err(Error::failed("unexpected response: it does not contain what was blocked"));
    }
    let (party, issuer) = (party(made), plain(text(made, "issuer")));
    let until_now = made.get("replaced").map(|replaced| until(replaced, now)).transpose()?;
    let replaced = until_now.map(|until| format!("this replaces the block that stood {until}\n"));
    Ok(format!(
        "blocked {party} at `{issuer}` {}\n{}lift it with: portcullis blocks delete {id}\n",
        until(made, now)?,
        replaced.unwrap_or_default()
    ))
}

fn instant_or_duration(text: &str) -> Result<Timestamp, String> {
    until_from(text, Timestamp::now())
}

fn until_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let expected = || "expected an instant such as `2026-11-21T12:00:00Z`, or a duration such as `2h`".to_owned();
    when::after(text, now).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Option<Args> {
        let line = ["block"].iter().chain(line);
        Line::try_parse_from(line).ok().map(|line| line.args)
    }

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn the_body_is_what_was_given() {
        let body = |line: &[&str]| args(line).expect("arguments").body();
        assert_eq!(body(&["--issuer", "i", "--subject", "s"]), json!({"issuer": "i", "subject": "s"}));
        assert_eq!(
            body(&["--issuer", "i", "--sid", "s", "--reason", "r"]),
            json!({"issuer": "i", "sid": "s", "reason": "r"})
        );
        let client = body(&["--issuer", "i", "--client-id", "c", "--until", "2026-11-21T13:00:00.5+01:00"]);
        assert_eq!(client, json!({"issuer": "i", "client_id": "c", "until": "2026-11-21T12:00:00.5Z"}));
    }

    #[test]
    fn an_end_is_an_instant_or_a_duration_from_now() {
        let until = |text| until_from(text, now()).map(|instant| instant.to_string()).ok();
        assert_eq!(until("2h").as_deref(), Some("2026-11-21T14:00:00Z"));
        assert_eq!(until("2026-11-21T13:00:00+02:00").as_deref(), Some("2026-11-21T11:00:00Z"));
        for text in ["", "soon", "2", "-2h", "0s", "2h 3m"] {
            assert_eq!(until(text), None, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let lines: [&[&str]; 7] = [
            &[],
            &["--issuer", "i"],
            &["--subject", "s"],
            &["--issuer", "", "--subject", "s"],
            &["--issuer", "i", "--subject", "s", "--client", "c"],
            &["--issuer", "i", "--client", "s", "--sid", "c"],
            &["--issuer", "i", "--subject", "s", "--until", "soon"],
        ];
        for line in lines {
            assert!(args(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn what_was_blocked_is_said_and_what_it_replaces() {
        let made = json!({
            "id": "687e", "issuer": "i", "subject": "a\u{1b}", "until": "2026-11-21T14:00:00Z", "replaced": {"id": "687e"},
        });
        let expected = "blocked subject `a\\u{1b}` at `i` until 2026-11-21 14:00:00Z (in 2h)\nthis replaces the block that stood until it is lifted\nlift it with: portcullis blocks delete 687e\n";
        assert_eq!(summary(&made, now()).expect("a summary"), expected);
        let forever = json!({"id": "687e", "issuer": "i", "client_id": "web"});
        let expected = "blocked client `web` at `i` until it is lifted\nlift it with: portcullis blocks delete 687e\n";
        assert_eq!(summary(&forever, now()).expect("a summary"), expected);
        assert!(summary(&json!({}), now()).is_err());
    }
}
