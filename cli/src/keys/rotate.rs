//! `portcullis keys rotate`: generates the successor of a signing key, and says when which of them signs.

use super::file::{Algorithm, kid_of, write, yaml};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    input,
    output::{self, Format},
};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use portcullis_contract::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The largest file of a key that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Verifiers keep the published keys for five minutes at most, and must know a key before it signs.
const LEAD_MIN: SignedDuration = SignedDuration::from_mins(5);

/// The longest life of a token: an overlap that is as long cuts none short.
const OVERLAP_MIN: SignedDuration = SignedDuration::from_mins(2);

const HELP: &str = "\
Nothing else is changed: put the two entries that are printed in the place of the old key's in
`signing.keys`, at every replica, before the new key starts to sign. Remove the old key's entry
after its `until`. If a key has leaked, do not rotate it: replace its entry by that of a new key.

Examples:
  portcullis keys rotate k1.pem k2.pem
  portcullis keys rotate k1.pem k2.pem --old-kid 2026 --kid 2027 --lead 1h --overlap 2h";

/// Generate the successor of a signing key, with the times at which it takes over
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// File of the key that signs now
    old: PathBuf,
    /// File of the new key to write; it must not exist
    new: PathBuf,
    /// Name of the key that signs now [default: its file's name without its extension]
    #[arg(long, value_name = "KID")]
    old_kid: Option<String>,
    /// Name of the new key [default: its file's name without its extension]
    #[arg(long)]
    kid: Option<String>,
    /// Signature algorithm [default: that of the key that signs now]
    #[arg(long, value_enum)]
    algorithm: Option<Algorithm>,
    /// Time until the new key signs, so that verifiers learn of it before: at least 5m
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    lead: SignedDuration,
    /// Time for which the old key is still published after that: at least 2m
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    overlap: SignedDuration,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let plan = self.plan(Timestamp::now())?;
        write(&plan.key, &self.new)?;
        match self.output {
            Format::Text => output::write(plan.text())?,
            Format::Json => output::write_json(&plan.json())?,
        };
        Ok(Exit::Done)
    }

    fn plan(&self, now: Timestamp) -> Result<Plan, Error> {
        for (option, given, least) in [("--lead", self.lead, LEAD_MIN), ("--overlap", self.overlap, OVERLAP_MIN)] {
            if given < least {
                return Err(Error::invalid(format_args!("`{option}` must be at least {}m", least.as_mins())));
            }
        }
        let (old_kid, kid) = (kid_of(self.old_kid.clone(), &self.old)?, kid_of(self.kid.clone(), &self.new)?);
        if old_kid == kid {
            return Err(Error::invalid("both keys have the same name: give the new one another with `--kid`"));
        }
        let (name, text) = input::text_within(&self.old, FILE_BYTES_MAX)?;
        let old =
            SigningKey::read(&text, &old_kid).map_err(|fault| Error::invalid(format_args!("`{name}` {fault}")))?;
        let algorithm = self.algorithm.map_or(old.algorithm(), SigningAlgorithm::from);
        let after = |by: SignedDuration| {
            let at = now.checked_add(by).ok().and_then(|at| Timestamp::from_second(at.as_second()).ok());
            at.ok_or_else(|| Error::invalid("the times are too far away"))
        };
        Ok(Plan {
            old: (path(&self.old)?, old_kid),
            until: after(self.lead.saturating_add(self.overlap))?,
            new: (path(&self.new)?, kid.clone()),
            from: after(self.lead)?,
            key: SigningKey::generate(algorithm, &kid),
        })
    }
}

/// Both keys, each with its file and its name.
#[derive(Debug)]
struct Plan {
    old: (String, String),
    until: Timestamp,
    new: (String, String),
    from: Timestamp,
    key: SigningKey,
}

impl Plan {
    fn text(&self) -> String {
        let entry = |(file, kid): &(String, String)| format!("file: {}, kid: {}", yaml(file), yaml(kid));
        let Self { old, until, new, from, .. } = self;
        format!("- {{{}, until: {until}}}\n- {{{}, from: {from}}}\n", entry(old), entry(new))
    }

    fn json(&self) -> Value {
        let Self { old, until, new, from, key } = self;
        json!([
            {"file": old.0, "kid": old.1, "until": until.to_string()},
            {"file": new.0, "kid": new.1, "from": from.to_string(), "jwk": key.public_jwk()},
        ])
    }
}

fn path(file: &Path) -> Result<String, Error> {
    file.to_str().map(str::to_owned).ok_or_else(|| Error::invalid("a file's name is not text"))
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    duration
        .filter(|duration| duration.is_positive())
        .ok_or_else(|| "expected a duration such as `10m` or `1h`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(old: &Path, change: impl FnOnce(&mut Args)) -> Args {
        let mut args = Args {
            old: old.to_owned(),
            new: "k2.pem".into(),
            old_kid: None,
            kid: None,
            algorithm: None,
            lead: SignedDuration::from_mins(10),
            overlap: SignedDuration::from_hours(1),
            output: Format::Text,
        };
        change(&mut args);
        args
    }

    #[test]
    fn the_new_key_signs_after_the_lead_and_the_old_one_is_published_for_the_overlap() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("k1.pem");
        write(&SigningKey::generate(SigningAlgorithm::Es256, "k1"), &old).expect("it is written");
        let now: Timestamp = "2026-11-27T12:00:00.5Z".parse().expect("an instant");
        let plan = args(&old, |_| ()).plan(now).expect("a plan");
        let expected = format!(
            "- {{file: {}, kid: k1, until: 2026-11-27T13:10:00Z}}\n- {{file: k2.pem, kid: k2, from: 2026-11-27T12:10:00Z}}\n",
            yaml(old.to_str().expect("text"))
        );
        assert_eq!((plan.text(), plan.key.algorithm()), (expected, SigningAlgorithm::Es256));
        let other = args(&old, |args| args.algorithm = Some(Algorithm::Ed25519)).plan(now).expect("a plan");
        assert_eq!(other.key.algorithm(), SigningAlgorithm::Ed25519);
        for wrong in [
            args(&old, |args| args.lead = SignedDuration::from_mins(4)),
            args(&old, |args| args.overlap = SignedDuration::from_secs(60)),
            args(&old, |args| args.kid = Some("k1".to_owned())),
        ] {
            assert!(matches!(wrong.plan(now), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_named_without_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("k1.pem");
        std::fs::write(&old, "hunter2").expect("it is written");
        let Err(Error::Invalid(fault)) = args(&old, |_| ()).plan(Timestamp::now()) else { panic!("a key") };
        assert!(fault.contains("k1.pem` is not a private key") && !fault.contains("hunter2"), "{fault}");
    }
}
