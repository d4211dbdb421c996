//! `portcullis why`: explains a decision after the fact, from a line of the access log and what the session service knows.

mod advice;
mod command;
mod explanation;
mod given;
mod login;
mod reason;
mod session;
mod text;

#[cfg(test)]
mod tests;

use super::{
    client::{Client, Failure, Path},
    connection::Connection,
    history::History,
    pages,
    plain::plain,
    sessions::{id, json_text},
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    policy::{load::Loaded, of_route},
};
use explanation::{Answered, Explanation, Known};
use given::{Given, Logged};
use jiff::Timestamp;
use serde_json::Value;
use session::Session;
use std::path::PathBuf;

const HELP: &str = "\
The access log must have the filter's field, `%FILTER_STATE(wasm.portcullis:PLAIN)%`, in JSON or in
text; envoy/envoy.yaml has it. If there are several lines, the last decision is explained. With a
credential for the admin API, the command asks the session service about the session; without one,
it explains the line alone.

Examples:
  portcullis why 'code=no_route route=- session=-'
  tail -n 1 access.log | portcullis why -
  kubectl logs deploy/gateway | grep /orders/7 | portcullis why - --policy policy.yaml
  portcullis why b9a6d29c-7f0e-4f4b-8a1c-2f6c5a1f4d3e --log access.log
  portcullis why 5d41402abc4b --output json | jq -r '.commands[]'";

/// Explain why a request was refused, and what to do about it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Line of the access log, `-` to read it from standard input, a session id or its first digits; with --log, a request id
    #[arg(value_name = "LINE|SESSION|REQUEST", allow_hyphen_values = true)]
    subject: String,
    /// Find the request with this `x-request-id` in an access log; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Policy, or a manifest that contains it, to say what the route requires
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let known = match Given::read(&self.subject, self.log.as_deref())? {
            Given::Decision(logged) => self.decision(*logged)?,
            Given::Session(given) => {
                let client = self.service.client()?;
                let id = id::resolve(&client, &given)?;
                let mut known = Known::default();
                known.ask(&client, &id).map_err(without_service)?;
                known
            }
        };
        let explanation = Explanation::of(known);
        match self.output {
            Format::Text => output::write_styled(&text::text(&explanation, Timestamp::now()))?,
            Format::Json => output::write(json_text(&explanation.json())?)?,
        };
        Ok(Exit::Done)
    }

    fn decision(&self, logged: Logged) -> Result<Known, Error> {
        let mut known = Known::default();
        if logged.earlier > 0 {
            known.notes.push(format!("this is the last decision; {} earlier in the input", logged.earlier));
        }
        if let Some(file) = &self.policy {
            known.read_policy(&Loaded::read(file)?, logged.decision.route.as_deref());
        }
        if let Some(id) = logged.decision.session.clone() {
            match self.service.client_if_given()? {
                // What the line says is true without the service.
                Some(client) => match known.ask(&client, &id) {
                    Ok(()) => {}
                    Err(failure) if failure.is_not_found => {
                        known.answered = Answered::Unseen;
                        known.notes.push(UNSEEN.to_owned());
                    }
                    Err(failure) => {
                        known.answered = Answered::Failed;
                        let message = failure.message;
                        known.notes.push(format!("the session service could not be asked, so this is what the log line says: {message}"));
                    }
                },
                None => known.notes.push(format!(
                    "the session service was not asked, so this is what the log line says: set {} and {} to learn about the session",
                    super::URL_ENV,
                    super::CREDENTIAL_ENV
                )),
            }
        }
        known.logged = Some(logged);
        Ok(known)
    }
}

/// What is noted of a session that the service does not show.
const UNSEEN: &str = "the session service does not know this session: no token has opened it, or it ended so long ago that it was forgotten (`retention`)";

/// A failure to ask about a session, which is all that is known of it.
fn without_service(failure: Failure) -> Error {
    if failure.is_not_found {
        return failure.into();
    }
    Error::failed(format_args!(
        "the session service could not be asked: {}; a line of the access log can be explained without it",
        failure.message
    ))
}

impl Known {
    /// Asks the session service about a session.
    fn ask(&mut self, client: &Client, id: &str) -> Result<(), Failure> {
        let history = History::read(client, id);
        let view: Result<Value, Failure> = client.get(&Path::new("/v1/sessions").segment(id));
        // A token that names no session was refused all the same, which the history has.
        if let Ok(history) = history {
            self.history = history;
        }
        let view = match view {
            Err(failure) if failure.is_not_found && !self.history.events.is_empty() => {
                self.answered = Answered::Unseen;
                self.notes.push(UNSEEN.to_owned());
                self.set_blocks(blocks(client, &self.history)?);
                return Ok(());
            }
            view => view?,
        };
        let session: Session =
            serde_json::from_value(view.clone()).map_err(|error| super::sessions::not_a_session(&error))?;
        if session.reason.as_deref() == Some("revoked") && self.history.latest("session_revoked", |_| true).is_none() {
            self.revocation = revocation(client, &session)?;
        }
        self.set_blocks(view.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default());
        (self.session, self.view, self.answered) = (Some(session), Some(view), Answered::Shown);
        Ok(())
    }

    fn set_blocks(&mut self, blocks: Vec<Value>) {
        self.history.add_blocks(&blocks);
        self.blocks = blocks;
    }

    fn read_policy(&mut self, loaded: &Loaded, route: Option<&str>) {
        let file = loaded.document.name().to_owned();
        if let Some(route) = route {
            self.requires = of_route(&loaded.policy, route);
            if self.requires.is_none() {
                self.notes.push(format!(
                    "`{}` has no route `{}`: compare `portcullis policy digest` with `portcullis filters list`",
                    plain(&file),
                    plain(route)
                ));
            }
        }
        self.policy_file = Some(file);
    }
}

/// The blocks of whom the refusals of an unknown session name. Its session claim is not known: a block of that is not among them.
fn blocks(client: &Client, history: &History) -> Result<Vec<Value>, Failure> {
    let Some(refused) = history.latest("refused", |_| true) else { return Ok(Vec::new()) };
    let all = pages::all(client, &Path::new("/v1/blocks"), "blocks");
    let all = all.map_err(|error| Failure::lasting(crate::report::text(&error)))?;
    let is_same = |block: &Value, key: &str| block.get(key).is_some_and(|value| Some(value) == refused.get(key));
    let is_theirs =
        |block: &Value| is_same(block, "issuer") && (is_same(block, "subject") || is_same(block, "client_id"));
    Ok(all.into_iter().filter(is_theirs).collect())
}

/// The latest revocation of a party that covers a session.
fn revocation(client: &Client, session: &Session) -> Result<Option<Value>, Failure> {
    let all = pages::all(client, &Path::new("/v1/revocations"), "revocations");
    let all = all.map_err(|error| Failure::lasting(crate::report::text(&error)))?;
    let covers = |of: &Value| {
        let text = |key: &str| of.get(key).and_then(Value::as_str);
        let is = |key: &str, value: &str| text(key).is_none_or(|named| named == value);
        text("issuer") == Some(&session.issuer)
            && is("subject", &session.subject)
            && is("client_id", &session.client_id)
            && is("sid", &session.key)
            && text("except_sid") != Some(&session.key)
            && (of["without_sid"] != true || session.kind != "claim")
    };
    let made = |of: &Value| of.get("made_at").and_then(Value::as_str).map(str::to_owned);
    Ok(all.into_iter().filter(covers).max_by_key(made))
}
