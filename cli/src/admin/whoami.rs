//! `portcullis whoami`: whom the session service takes the caller for, and what it lets the caller do.

use super::{
    client::{Failure, Path},
    connection::Connection,
    plain::plain,
    sessions::json_text,
};
use crate::{
    exit::{Exit, Outcome},
    output::{self, Format},
};
use serde::Deserialize;
use serde_json::Value;

const EXAMPLES: &str = "\
Scopes: `portcullis:view` reads, `portcullis:operate` changes sessions, revocations, blocks,
attributes and signals, `portcullis:approve` decides requests for access, and `portcullis:admin`
allows everything. No other scope includes another one.

Examples:
  portcullis whoami
  portcullis whoami --credential-file token.txt --output json | jq -r '.scopes[]'";

/// Show who you are at the admin API, and what you may do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

#[derive(Debug, Deserialize)]
struct Caller {
    name: String,
    scopes: Vec<String>,
    subject: Option<Subject>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    issuer: String,
    sub: String,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        let answer: Value = self.service.client()?.get(&Path::new("/v1/whoami"))?;
        match self.output {
            Format::Json => output::write(json_text(&answer)?)?,
            Format::Text => output::write(text(&caller(answer)?))?,
        };
        Ok(Exit::Done)
    }
}

fn caller(answer: Value) -> Result<Caller, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::lasting(format!("unexpected response: {}", plain(&error.to_string()))))
}

fn text(caller: &Caller) -> String {
    let scopes = if caller.scopes.is_empty() { "none".to_owned() } else { caller.scopes.join(" ") };
    let mut text = format!("name     {}\nscopes   {}\n", plain(&caller.name), plain(&scopes));
    if let Some(Subject { issuer, sub }) = &caller.subject {
        text += &format!("subject  {}\nissuer   {}\n", plain(sub), plain(issuer));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(answer: Value) -> String {
        text(&caller(answer).expect("a caller"))
    }

    #[test]
    fn a_caller_is_shown_with_what_is_known_of_it() {
        let anna = json!({"name": "anna", "scopes": ["portcullis:view", "portcullis:approve"]});
        assert_eq!(shown(anna), "name     anna\nscopes   portcullis:view portcullis:approve\n");
        let ben =
            json!({"name": "https://id#ben\u{1b}", "scopes": [], "subject": {"issuer": "https://id", "sub": "ben"}});
        assert_eq!(shown(ben), "name     https://id#ben\\u{1b}\nscopes   none\nsubject  ben\nissuer   https://id\n");
        assert!(caller(json!({"scopes": []})).is_err_and(|error| error.message.contains("`name`")));
    }
}
