//! The signature of a message, as the Standard Webhooks specification says: HMAC-SHA-256 of `id.timestamp.body`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// The bytes of a secret.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// A secret that messages are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Box<[u8]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads a secret. The error does not repeat it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| BASE64_STANDARD.decode(rest).ok());
        match bytes {
            Some(bytes) if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) => Ok(Self(bytes.into())),
            _ => Err(format!(
                "is not a secret as Standard Webhooks has them, `{PREFIX}` and {BYTES_MIN} to {BYTES_MAX} bytes in base64: \
                 use one from `echo {PREFIX}$(openssl rand -base64 32)`"
            )),
        }
    }

    /// The signature of a message.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        // A key may have any length, so there is always one.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// The value of `webhook-signature`: a signature for each key, so that a receiver can change to a new one.
pub(super) fn signatures(keys: &[Key], id: &str, timestamp: u64, body: &[u8]) -> String {
    let all: Vec<String> = keys.iter().filter_map(|key| key.sign(id, timestamp, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_is_signed_as_it_says() {
        let key = Key::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            |keys: &[Key]| signatures(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed(std::slice::from_ref(&key)), expected);
        let other = Key::read(&format!("whsec_{}", BASE64_STANDARD.encode([7; 32]))).unwrap();
        let both = signed(&[other, key]);
        assert!(both.split(' ').count() == 2 && both.ends_with(expected), "{both}");
    }

    #[test]
    fn a_secret_has_its_prefix_and_a_sound_length_and_is_never_repeated() {
        let of = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![1; bytes]));
        for good in [24, 32, 64] {
            assert!(Key::read(&of(good)).is_ok(), "{good}");
        }
        for bad in [of(23), of(65), of(32).replace("whsec_", ""), "whsec_%%%".to_owned(), String::new()] {
            let fault = Key::read(&bad).unwrap_err();
            assert!(bad.is_empty() || !fault.contains(&bad), "{fault}");
        }
        assert_eq!(format!("{:?}", Key::read(&of(32)).unwrap()), "Key");
    }
}
