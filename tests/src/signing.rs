//! The key with which the session service of a testbed signs tokens for upstreams.

use crate::Key;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Lets a session service sign with a P-256 key, in a file beside its data. Returns the file.
pub fn sign_with(config: &mut Value, key: &Key) -> PathBuf {
    let data = config["store"]["embedded"]["path"].as_str().expect("an embedded store").to_owned();
    let file = Path::new(&data).parent().expect("a folder").join("signing.pem");
    let (private, _) = key.pem();
    std::fs::write(&file, private).expect("the key can be written");
    config["signing"] = json!({
        "issuer": "https://portcullis.example.com",
        "keys": [{"file": file, "kid": key.id}],
    });
    file
}
