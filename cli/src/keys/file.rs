//! Files of signing keys: only their owner can read them, and none is overwritten.

use crate::error::Error;
use clap::ValueEnum;
use portcullis_contract::signing::{SigningAlgorithm, SigningKey};
use std::{fs::OpenOptions, io::Write, path::Path};

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Algorithm {
    /// Ed25519 (`EdDSA`): fast and small
    #[default]
    Ed25519,
    /// ECDSA with P-256 (`ES256`): for upstreams that do not know Ed25519
    Es256,
}

impl From<Algorithm> for SigningAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::Es256 => Self::Es256,
        }
    }
}

/// The name of a key: the given one, or that of its file without its extension.
pub(super) fn kid_of(given: Option<String>, file: &Path) -> Result<String, Error> {
    let kid = given.or_else(|| file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned)).unwrap_or_default();
    let is_name = (1..=128).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then_some(kid).ok_or_else(|| Error::invalid("name the key with `--kid`: 1 to 128 visible ASCII characters"))
}

/// Writes a new key to a file that does not exist yet.
pub(super) fn write(key: &SigningKey, file: &Path) -> Result<(), Error> {
    let pem = key.to_pem().ok_or_else(|| Error::failed("the key cannot be encoded"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written = options.open(file).and_then(|mut file| file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Error::failed(format_args!("cannot write `{}`: {error}", file.display())))
}

/// A text in a flow mapping of YAML; quoted where it has to be.
pub(super) fn yaml(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.');
    match starts_plain && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_for_its_owner_only_and_never_over_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("k1.pem");
        let key = SigningKey::generate(SigningAlgorithm::Ed25519, "k1");
        write(&key, &file).expect("it is written");
        let text = std::fs::read_to_string(&file).expect("it can be read");
        assert_eq!(SigningKey::read(&text, "k1"), Ok(key));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let other = SigningKey::generate(SigningAlgorithm::Es256, "k1");
        assert!(matches!(write(&other, &file), Err(Error::Failed(_))));
        assert_eq!(std::fs::read_to_string(&file).expect("it can be read"), text);
    }

    #[test]
    fn a_key_has_the_name_of_its_file_unless_it_is_given_one() {
        let named = |given: Option<&str>, file: &str| kid_of(given.map(str::to_owned), Path::new(file)).ok();
        assert_eq!(named(None, "/etc/keys/2027-01.pem").as_deref(), Some("2027-01"));
        assert_eq!(named(Some("k1"), "x.pem").as_deref(), Some("k1"));
        assert_eq!((named(Some(""), "x.pem"), named(Some("a b"), "x.pem"), named(None, "/")), (None, None, None));
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_them_differently() {
        for (text, written) in [("k1.pem", "k1.pem"), ("2027", "'2027'"), ("a: b", "'a: b'"), ("it's", "'it''s'")] {
            assert_eq!(yaml(text), written);
        }
    }
}
