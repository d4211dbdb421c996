//! Signed notes (C2SP signed-note) with Ed25519: a text, an empty line, and a line for the signature. Its keys are texts
//! as well, which name themselves.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use sha2::{Digest, Sha256};
use std::fmt;

/// The signature type of Ed25519.
const ED25519: u8 = 1;
const DASH: &str = "\u{2014} ";
const PRIVATE: &str = "PRIVATE+KEY+";

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// It does not have the form of its kind.
    Form,
    /// It is not an Ed25519 key.
    Algorithm,
    /// Its id is not that of its name and key.
    Id,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "is not a key as `portcullis audit keygen` prints it",
            Self::Algorithm => "is not an Ed25519 key",
            Self::Id => "has another id than its name and key: it is cut or mistyped",
        })
    }
}

/// What a signature is verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: PublicKey,
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// `NAME+ID+KEY`.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, hex(self.id), encoded(&*self.key))
    }
}

impl VerifierKey {
    fn new(name: &str, key: PublicKey) -> Self {
        let digest = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(*key).finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(digest).for_each(|(to, byte)| *to = byte);
        Self { name: name.to_owned(), id, key }
    }

    /// Reads the text of a verifier key.
    pub fn read(text: &str) -> Result<Self, KeyFault> {
        let (name, id, key) = parts(text)?;
        let key = Self::new(name, PublicKey::from_slice(&key).map_err(|_| KeyFault::Form)?);
        if hex(key.id) == id { Ok(key) } else { Err(KeyFault::Id) }
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note if its one signature is of this key. Only the exact bytes of a note are accepted.
    pub fn open<'n>(&self, note: &'n str) -> Option<&'n str> {
        let (text, signature) = note.split_once("\n\n")?;
        let line = signature.strip_prefix(DASH)?.strip_suffix('\n')?;
        let (name, encoded) = line.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        let text = note.get(..=text.len())?;
        let is_ours = name == self.name && *id == self.id;
        let signature = Signature::from_slice(signature).ok().filter(|_| is_ours)?;
        self.key.verify(text, &signature).is_ok().then_some(text)
    }
}

/// What notes are signed with.
#[derive(Clone)]
pub struct SignerKey {
    pair: KeyPair,
    verifier: VerifierKey,
}

impl PartialEq for SignerKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifier == other.verifier
    }
}

/// The key itself is never shown.
impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.verifier)
    }
}

impl SignerKey {
    /// A new random key; `None` if the name is empty, or has white space or a `+`.
    pub fn generate(name: &str) -> Option<Self> {
        is_name(name).then(|| Self::new(name, KeyPair::generate()))
    }

    fn new(name: &str, pair: KeyPair) -> Self {
        Self { verifier: VerifierKey::new(name, pair.pk), pair }
    }

    /// Reads the text of a private key.
    pub fn read(text: &str) -> Result<Self, KeyFault> {
        let (name, id, seed) = parts(text.strip_prefix(PRIVATE).ok_or(KeyFault::Form)?)?;
        let seed = Seed::from_slice(&seed).map_err(|_| KeyFault::Form)?;
        let key = Self::new(name, KeyPair::try_from_seed(seed).map_err(|_| KeyFault::Form)?);
        if hex(key.verifier.id) == id { Ok(key) } else { Err(KeyFault::Id) }
    }

    /// The text of the private key: `PRIVATE+KEY+NAME+ID+SEED`.
    pub fn secret(&self) -> String {
        let VerifierKey { name, id, .. } = &self.verifier;
        format!("{PRIVATE}{name}+{}+{}", hex(*id), encoded(&*self.pair.sk.seed()))
    }

    /// What its signatures are verified with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text, which ends with a newline.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.verifier.id.to_vec();
        bytes.extend_from_slice(&*self.pair.sk.sign(text, None));
        format!("{text}\n{DASH}{} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// The name, the id and the key of a text.
fn parts(text: &str) -> Result<(&str, &str, Vec<u8>), KeyFault> {
    // base64 has a `+`, too.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyFault::Form);
    };
    if !is_name(name) || id.len() != 8 {
        return Err(KeyFault::Form);
    }
    let bytes = STANDARD.decode(key).map_err(|_| KeyFault::Form)?;
    match bytes.split_first() {
        Some((&ED25519, key)) => Ok((name, id, key.to_vec())),
        Some(_) => Err(KeyFault::Algorithm),
        None => Err(KeyFault::Form),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn encoded(key: &[u8]) -> String {
    STANDARD.encode([&[ED25519], key].concat())
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Go's sumdb/note, from which C2SP signed-note comes.
    const SIGNER: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn keys_and_notes_are_those_of_the_known_example() {
        let signer = SignerKey::read(SIGNER).unwrap();
        assert_eq!((signer.secret().as_str(), signer.verifier().to_string().as_str()), (SIGNER, VERIFIER));
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(signer.sign(TEXT), note);
        assert_eq!(VerifierKey::read(VERIFIER).unwrap().open(&note), Some(TEXT));
    }

    #[test]
    fn every_changed_bit_of_a_note_is_noticed() {
        let (key, note) = (VerifierKey::read(VERIFIER).unwrap(), format!("{TEXT}\n{SIGNATURE}"));
        for place in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert!(!String::from_utf8(bytes).is_ok_and(|note| key.open(&note).is_some()), "{place} {bit}");
            }
        }
    }

    #[test]
    fn a_new_key_is_read_back_and_is_no_other_key() {
        let [one, other] = [0, 1].map(|_| SignerKey::generate("logs.example.com/a").unwrap());
        assert_eq!(SignerKey::read(&one.secret()).unwrap(), one);
        assert_ne!(one, other);
        assert!(other.verifier().open(&one.sign("a\n")).is_none());
        assert!(!format!("{one:?}").contains(&one.secret()));
        assert!(["", "a b", "a+b"].iter().all(|name| SignerKey::generate(name).is_none()));
    }

    #[test]
    fn a_key_that_is_not_one_says_what_is_wrong() {
        for (text, fault) in [
            ("", KeyFault::Form),
            (VERIFIER, KeyFault::Form),
            ("PRIVATE+KEY+a+00000000+", KeyFault::Form),
            ("PRIVATE+KEY+PeterNeumann+c74f20a3+AoEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz", KeyFault::Algorithm),
            ("PRIVATE+KEY+PeterNeumann+c74f20a4+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz", KeyFault::Id),
            ("PRIVATE+KEY+PeterNeuman+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz", KeyFault::Id),
        ] {
            assert_eq!(SignerKey::read(text).map(drop), Err(fault), "{text}");
        }
        assert_eq!(VerifierKey::read(SIGNER).map(drop), Err(KeyFault::Form));
    }
}
