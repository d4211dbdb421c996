//! `portcullis keys new`: generates a signing key.

use super::file::{Algorithm, kid_of, write, yaml};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use portcullis_contract::signing::SigningKey;
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
The file is in PKCS #8 (PEM) and can only be read by its owner. The entry that is printed goes to
`signing.keys` in session.yaml, the same at every replica.

Examples:
  portcullis keys new k1.pem
  portcullis keys new signing.pem --kid 2027-01 --algorithm es256";

/// Generate a signing key
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// File to write; it must not exist
    file: PathBuf,
    /// Name of the key, which verifiers see (`kid`) [default: the file's name without its extension]
    #[arg(long)]
    kid: Option<String>,
    /// Signature algorithm
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let kid = kid_of(self.kid, &self.file)?;
        let key = SigningKey::generate(self.algorithm.into(), &kid);
        let file = self.file.to_str().ok_or_else(|| Error::invalid("the file's name is not text"))?;
        write(&key, &self.file)?;
        match self.output {
            Format::Text => output::write(format!("- {{file: {}, kid: {}}}\n", yaml(file), yaml(&kid)))?,
            Format::Json => output::write_json(&json!({"file": file, "kid": kid, "jwk": key.public_jwk()}))?,
        };
        Ok(Exit::Done)
    }
}
