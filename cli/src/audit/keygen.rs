//! `portcullis audit keygen`: the key that signs checkpoints.

use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use portcullis_audit::note::SignerKey;
use serde_json::json;

const EXAMPLES: &str = "\
The private key goes to the session service (`audit.signing_key` in session.yaml), and the
verifier key to those who verify. Give each replica a key of its own, with a name of its own.

Examples:
  portcullis audit keygen audit.example.com/session-0
  portcullis audit keygen audit.example.com/session-0 --output json | jq -r .private_key";

/// Generate the key that signs checkpoints
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the log: a host name and a path by convention, without white space or `+`
    name: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let key = SignerKey::generate(&self.name)
            .ok_or_else(|| Error::invalid("the name must have 1 to 128 bytes, and neither white space nor `+`"))?;
        let (private, verifier) = (key.secret(), key.verifier().to_string());
        match self.output {
            Format::Text => output::write(format!("private key:  {private}\nverifier key: {verifier}\n"))?,
            Format::Json => output::write_json(&json!({"private_key": private, "verifier_key": verifier}))?,
        };
        Ok(Exit::Done)
    }
}
