//! The keys that checkpoints are verified with.

use crate::{error::Error, input};
use portcullis_audit::note::VerifierKey;
use std::path::{Path, PathBuf};

/// The largest file of keys, in bytes.
const KEYS_BYTES_MAX: u64 = 64 << 10;

/// The option.
#[derive(Debug, clap::Args)]
pub(super) struct Keys {
    /// Verifier key that `audit keygen` printed, or a file with one per line; can be repeated
    #[arg(long = "key", value_name = "KEY|FILE", required = true)]
    keys: Vec<String>,
}

impl Keys {
    /// Reads them.
    pub(super) fn read(&self) -> Result<Vec<VerifierKey>, Error> {
        let mut keys = Vec::new();
        for given in &self.keys {
            if given.starts_with("PRIVATE+KEY+") {
                // Not repeated: it may be a real one.
                return Err(Error::invalid("--key: this is a private key; pass the verifier key that belongs to it"));
            }
            if let Ok(key) = VerifierKey::read(given) {
                keys.push(key);
                continue;
            }
            if !PathBuf::from(given).exists() && given.contains('+') {
                let fault = VerifierKey::read(given).err();
                let fault = fault.map_or_else(String::new, |fault| fault.to_string());
                return Err(Error::invalid(format_args!("--key: `{given}` {fault}")));
            }
            let (name, text) = input::text_within(Path::new(given), KEYS_BYTES_MAX)?;
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let key = VerifierKey::read(line);
                keys.push(key.map_err(|fault| Error::invalid(format_args!("--key: a line of `{name}` {fault}")))?);
            }
        }
        if keys.is_empty() { Err(Error::invalid("--key: the file has no key")) } else { Ok(keys) }
    }
}
