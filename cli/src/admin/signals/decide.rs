//! `portcullis signals release` and `drop`: what becomes of held signals.

use super::held;
use crate::{
    admin::{
        client::{Client, Failure, Path},
        connection::Connection,
        party_rules::text,
        plain::plain,
        sessions::{id::PREFIX_MIN, json_text},
    },
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    report::{self, counted},
};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

/// How many signals are listed whose ids begin with an ambiguous prefix.
const SHOWN_MAX: usize = 10;

const RELEASE_EXAMPLES: &str = "\
A released signal acts as if it had just arrived: on later sessions too. The oldest goes first.
--all releases those that are held when the command starts. A signal that is no longer held is
reported, and does not stop the others.

Examples:
  portcullis signals release 687e64ce5abc 5d41402abc4b
  portcullis signals release --transmitter okta --all";

const DROP_EXAMPLES: &str = "\
A dropped signal has no effect, and the transmitter does not send it again. Sessions that it would
have ended stay live: revoke them if they should not. --all drops those that are held when the
command starts. A signal that is no longer held is reported, and does not stop the others.

Examples:
  portcullis signals drop 687e64ce5abc
  portcullis signals drop --transmitter okta --all --output json | jq '.signals | length'";

/// Which held signals to decide about.
#[derive(Debug, clap::Args)]
struct Choice {
    /// Ids of signals, as in `signals held`, or their first digits
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new(), required_unless_present = "all", conflicts_with_all = ["all", "transmitter"])]
    ids: Vec<String>,
    /// With --all: name of the transmitter
    #[arg(long, value_name = "NAME", requires = "all", value_parser = NonEmptyStringValueParser::new())]
    transmitter: Option<String>,
    /// Take all held signals of the transmitter
    #[arg(long, requires = "transmitter")]
    all: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Put held signals into effect
#[derive(Debug, clap::Args)]
#[command(after_help = RELEASE_EXAMPLES)]
pub(crate) struct Release {
    #[command(flatten)]
    choice: Choice,
}

/// Discard held signals without effect
#[derive(Debug, clap::Args)]
#[command(after_help = DROP_EXAMPLES)]
pub(crate) struct Drop {
    #[command(flatten)]
    choice: Choice,
}

impl Release {
    pub(super) fn run(self) -> Outcome {
        self.choice.decide("release", "released")
    }
}

impl Drop {
    pub(super) fn run(self) -> Outcome {
        self.choice.decide("drop", "dropped")
    }
}

/// What became of the signals that were chosen.
#[derive(Debug, Default)]
struct Decided {
    /// The answers of the service.
    signals: Vec<Value>,
    /// The ids of those that are not held, or not any more.
    gone: Vec<String>,
}

impl Choice {
    fn decide(&self, verb: &'static str, done: &str) -> Outcome {
        let client = self.service.client()?;
        let held = held::all(&client, self.transmitter.as_deref())?;
        if held.iter().any(|of| text(of, "id").is_empty()) {
            return Err(Error::failed("unexpected response: a held signal has no `id`"));
        }
        let mut decided = Decided::default();
        let ids = match self.all {
            true => held.iter().map(|of| text(of, "id").to_owned()).collect(),
            false => self.chosen(&held, &mut decided)?,
        };
        let end = self.decide_each(&client, &ids, verb, done, &mut decided);
        match self.output {
            Format::Json => {
                output::write(json_text(&json!({"signals": decided.signals, "gone": decided.gone}))?)?;
            }
            Format::Text if self.all && held.is_empty() => output::message(&held::none(self.transmitter.as_deref())),
            Format::Text => {}
        }
        end?;
        Ok(if decided.gone.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// The ids of the signals that were named, the oldest first. What no held signal is called is gone.
    fn chosen(&self, held: &[Value], decided: &mut Decided) -> Result<Vec<String>, Error> {
        for given in &self.ids {
            let named = named(held, given)?;
            if named.is_none() {
                let message = format!("there is no held signal whose id begins with `{}`", plain(given));
                report::error(&Error::failed(message));
                decided.gone.push(given.clone());
            }
        }
        let is_chosen = |id: &&str| self.ids.iter().any(|given| id.starts_with(given.as_str()));
        Ok(held.iter().map(|of| text(of, "id")).filter(is_chosen).map(str::to_owned).collect())
    }

    /// Decides about one after the other, and prints each at once: there can be thousands. A failure that is not about one
    /// signal ends it.
    fn decide_each(
        &self,
        client: &Client,
        ids: &[String],
        verb: &'static str,
        done: &str,
        decided: &mut Decided,
    ) -> Result<(), Error> {
        for (index, id) in ids.iter().enumerate() {
            let path = Path::new(held::PATH).segment(id).segment(verb);
            match client.post::<Value>(&path, &json!({})).and_then(with_fate) {
                Ok(answer) => {
                    if self.output == Format::Text {
                        output::write(words(&answer, id, done))?;
                    }
                    decided.signals.push(answer);
                }
                Err(failure) if failure.is_not_found => {
                    report::error(&Error::failed(format_args!("signal {}: {}", plain(id), failure.message)));
                    decided.gone.push(id.clone());
                }
                Err(failure) => return Err(broken_off(id, &failure, ids.len() - index - 1)),
            }
        }
        Ok(())
    }
}

/// The only held signal whose id begins with `given`, if there is one.
fn named<'v>(held: &'v [Value], given: &str) -> Result<Option<&'v str>, Error> {
    let shown = plain(given);
    if given.len() < PREFIX_MIN {
        return Err(Error::invalid(format_args!(
            "`{shown}` is too short: write at least {PREFIX_MIN} digits of the id"
        )));
    }
    let found: Vec<_> = held.iter().filter(|of| text(of, "id").starts_with(given)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(text(only, "id"))),
        several => {
            let line = |of: &&Value| {
                format!("\n  {}  {}, {}", plain(text(of, "id")), plain(text(of, "event")), held::about(of))
            };
            let lines: String = several.iter().take(SHOWN_MAX).map(line).collect();
            let more = if several.len() > SHOWN_MAX { "\n  and more" } else { "" };
            Err(Error::invalid(format_args!(
                "several held signals have an id that begins with `{shown}`; write more digits{lines}{more}"
            )))
        }
    }
}

fn with_fate(answer: Value) -> Result<Value, Failure> {
    match text(&answer, "fate") {
        "" => Err(Failure::lasting("unexpected response: it does not contain what became of the signal".to_owned())),
        _ => Ok(answer),
    }
}

/// `released session-revoked of okta, 687e64ce…: applied, 2 sessions ended`
fn words(answer: &Value, id: &str, done: &str) -> String {
    let [event, transmitter, fate] = ["event", "transmitter", "fate"].map(|key| plain(text(answer, key)));
    // `dropped …: dropped` would say it twice.
    let fate = if fate == done { String::new() } else { format!(": {fate}") };
    let ended = match answer.get("ended").and_then(Value::as_u64).unwrap_or_default() {
        0 => String::new(),
        ended => format!(", {} ended", counted(usize::try_from(ended).unwrap_or(usize::MAX), "session")),
    };
    format!("{done} {event} of {transmitter}, {}{fate}{ended}\n", plain(id))
}

fn broken_off(id: &str, failure: &Failure, rest: usize) -> Error {
    let rest = match rest {
        0 => String::new(),
        rest => format!("; nothing was decided about the {} after it", counted(rest, "signal")),
    };
    Error::failed(format_args!("signal {}: {}{rest}", plain(id), failure.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Release,
    }

    fn choice(line: &[&str]) -> Option<Choice> {
        let line = ["release"].iter().chain(line);
        Line::try_parse_from(line).ok().map(|line| line.args.choice)
    }

    #[test]
    fn signals_are_chosen_by_ids_or_are_all_of_a_transmitter() {
        let some = choice(&["687e", "5d41"]).expect("arguments");
        assert_eq!((some.ids.as_slice(), some.all), (&["687e".to_owned(), "5d41".to_owned()][..], false));
        let all = choice(&["--transmitter", "okta", "--all"]).expect("arguments");
        assert_eq!((all.transmitter.as_deref(), all.all), (Some("okta"), true));
        let lines: [&[&str]; 7] = [
            &[],
            &[""],
            &["--all"],
            &["--transmitter", "okta"],
            &["--transmitter", "", "--all"],
            &["687e", "--transmitter", "okta"],
            &["687e", "--transmitter", "okta", "--all"],
        ];
        for line in lines {
            assert!(choice(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn only_a_prefix_of_one_signal_names_it() {
        let held = ["687e64", "687e75", "5d4140"]
            .map(|id| json!({"id": id, "event": "logout\u{1b}", "users": [{"issuer": "i", "subject": "alice"}]}));
        assert_eq!(named(&held, "5d41").expect("one"), Some("5d4140"));
        assert_eq!(named(&held, "687e64").expect("one"), Some("687e64"));
        assert_eq!(named(&held, "0000").expect("none"), None);
        assert!(matches!(named(&held, "5d4"), Err(Error::Invalid(why)) if why.contains("too short")));
        let several = named(&held, "687e");
        let lines = "write more digits\n  687e64  logout\\u{1b}, subject alice\n  687e75  ";
        assert!(matches!(&several, Err(Error::Invalid(why)) if why.contains(lines)), "{several:?}");
    }

    #[test]
    fn what_became_of_a_signal_is_said() {
        let answer = |fate: &str, ended: u64| json!({"id": "687e", "transmitter": "okta\u{1b}", "event": "logout", "fate": fate, "ended": ended});
        for (answer, done, expected) in [
            (answer("applied", 2), "released", "released logout of okta\\u{1b}, 687e: applied, 2 sessions ended\n"),
            (answer("applied", 1), "released", "released logout of okta\\u{1b}, 687e: applied, 1 session ended\n"),
            (answer("unmatched", 0), "released", "released logout of okta\\u{1b}, 687e: unmatched\n"),
            (answer("dropped", 0), "dropped", "dropped logout of okta\\u{1b}, 687e\n"),
        ] {
            assert_eq!(words(&answer, "687e", done), expected);
        }
    }
}
