//! `portcullis revoke`: ends all sessions of a subject, a client, a session claim or an issuer that began before an instant.

use super::{client::Path, connection::Connection, party_rules::body, plain::plain, seen, sessions::json_text, when};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

const EXAMPLES: &str = "\
Use at most one of --subject, --client and --sid. With none of them, the command revokes the
sessions of everybody at the issuer, without asking for confirmation. The revocation also covers
sessions that the service has not seen yet: a token of a session that began before the instant
opens no session. With --sid, it covers the sessions of every client that shares the login, until
the user logs in again.

Examples:
  portcullis revoke --issuer https://id.example.com --subject alice --reason 'lost laptop'
  portcullis revoke --issuer https://id.example.com --sid 5d41402a
  portcullis revoke --issuer https://id.example.com --client batch --before 2026-11-21T12:00:00Z";

/// Revoke all sessions of a subject, a client, a session claim or an issuer
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Issuer (`iss`), compared exactly
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    issuer: String,
    /// Only revoke sessions of this subject (`sub`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["client", "sid"])]
    subject: Option<String>,
    /// Only revoke sessions of this client (`client_id`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    client: Option<String>,
    /// Only revoke sessions with this value of the session claim (`sid`), of every client
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), conflicts_with = "client")]
    sid: Option<String>,
    /// Only revoke sessions that began before this instant (RFC 3339) [default: just after now, allowing for
    /// the lead of the issuer's clock]
    #[arg(long, value_name = "INSTANT", value_parser = when::instant)]
    before: Option<Timestamp>,
    /// Reason to record in the audit log and in `revocations list`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// The response of the admin API.
#[derive(Debug, Deserialize)]
struct Made {
    revoked: u64,
    before: String,
    #[serde(default)]
    id: String,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let answer: Value = self.service.client()?.post(&Path::new("/v1/revocations"), &self.body())?;
        seen::warn(&answer, &self.issuer, &self.party());
        let text = match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => {
                let made = serde_json::from_value(answer);
                let made =
                    made.map_err(|_| Error::failed("unexpected response: it does not contain what was revoked"))?;
                self.summary(&made, Timestamp::now())
            }
        };
        output::write(&text)?;
        Ok(Exit::Done)
    }

    fn body(&self) -> Value {
        body([
            ("issuer", Some(self.issuer.clone())),
            ("subject", self.subject.clone()),
            ("client_id", self.client.clone()),
            ("sid", self.sid.clone()),
            ("before", self.before.map(|instant| instant.to_string())),
            ("reason", self.reason.clone()),
        ])
    }

    fn summary(&self, made: &Made, now: Timestamp) -> String {
        let issuer = plain(&self.issuer);
        let whose = format!("of {} at `{issuer}`", self.party());
        let count = match made.revoked {
            1 => "1 live session".to_owned(),
            count => format!("{count} live sessions"),
        };
        let before = when::both(&made.before, now);
        let id = plain(&made.id);
        let undo = if id.is_empty() {
            String::new()
        } else {
            format!("take it back with: portcullis revocations delete {id}\n")
        };
        format!("revoked every session {whose} that began before {before}; {count} ended\n{undo}")
    }

    fn party(&self) -> String {
        match (&self.subject, &self.client, &self.sid) {
            (Some(subject), ..) => format!("subject `{}`", plain(subject)),
            (None, Some(client), _) => format!("client `{}`", plain(client)),
            (None, None, Some(sid)) => format!("session claim `{}`", plain(sid)),
            (None, None, None) => "everybody".to_owned(),
        }
    }
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
        let line = ["revoke"].iter().chain(line);
        Line::try_parse_from(line).ok().map(|line| line.args)
    }

    #[test]
    fn the_body_is_what_was_given() {
        let body = |line: &[&str]| args(line).expect("arguments").body();
        assert_eq!(body(&["--issuer", "i"]), json!({"issuer": "i"}));
        assert_eq!(body(&["--issuer", "i", "--subject", "s"]), json!({"issuer": "i", "subject": "s"}));
        assert_eq!(body(&["--issuer", "i", "--sid", "s"]), json!({"issuer": "i", "sid": "s"}));
        let client = body(&["--issuer", "i", "--client", "c", "--before", "2026-11-21T13:00:00.5+01:00"]);
        assert_eq!(client, json!({"issuer": "i", "client_id": "c", "before": "2026-11-21T12:00:00.5Z"}));
        assert_eq!(body(&["--issuer", "i", "--reason", "r"]), json!({"issuer": "i", "reason": "r"}));
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let lines: [&[&str]; 7] = [
            &[],
            &["--subject", "s"],
            &["--issuer", ""],
            &["--issuer", "i", "--subject", "s", "--client", "c"],
            &["--issuer", "i", "--subject", "s", "--sid", "c"],
            &["--issuer", "i", "--client", "s", "--sid", "c"],
            &["--issuer", "i", "--before", "yesterday"],
        ];
        for line in lines {
            assert!(args(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn what_was_revoked_is_said() {
        let now = "2026-11-21T12:00:10Z".parse().expect("an instant");
        let made = |revoked| Made { revoked, before: "2026-11-21T12:00:00.000Z".to_owned(), id: "687e".to_owned() };
        let subject = args(&["--issuer", "i", "--subject", "a\u{1b}"]).expect("arguments");
        let expected = "revoked every session of subject `a\\u{1b}` at `i` that began before 2026-11-21 12:00:00Z (10s ago); 1 live session ended\ntake it back with: portcullis revocations delete 687e\n";
        assert_eq!(subject.summary(&made(1), now), expected);
        let everybody = args(&["--issuer", "i"]).expect("arguments").summary(&made(0), now);
        assert!(everybody.contains("every session of everybody at `i`") && everybody.contains("0 live sessions"));
    }
}
