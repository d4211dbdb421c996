//! The JWS cases of Project Wycheproof, as far as they concern our algorithms.

use crate::token::{KeySet, compact::Compact, header::Header};
use serde_json::{Value, json};
use wycheproof_ng_kdf_jose::json_web::TestName;

/// The payloads of these cases are no claims, so no token as a whole is valid here. What is asked is whether the form, the
/// header, the key and the signature pass.
fn signature_holds(keys: &KeySet, jws: &str) -> bool {
    let Ok(compact) = Compact::parse(jws) else {
        return false;
    };
    let Ok(header) = Header::parse(&compact.header) else {
        return false;
    };
    let signed = compact.signed(header.algorithm);
    let mut keys = keys.named(header.kid.as_deref());
    keys.any(|key| key.imported(signed.algorithm).is_some_and(|key| key.verify(&signed)))
}

/// Valid there, refused here: the signature is PS384, and the key says that it is for PS256 only (RFC 8725, section 3.1).
const FOR_ANOTHER_ALGORITHM: [u64; 2] = [346, 350];

#[test]
fn every_case_of_our_algorithms_is_judged_as_it_should_be() {
    let cases = TestName::JsonWebSignature.json_data();
    let cases: Value = serde_json::from_str(cases).unwrap();
    let (mut held, mut refused, mut unsupported) = (0, 0, 0);
    for group in cases["testGroups"].as_array().unwrap() {
        let key = group.get("public").or(group.get("private")).unwrap();
        let keys = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes());
        for case in group["tests"].as_array().unwrap() {
            let jws = case["jws"].as_str().unwrap();
            let Ok(keys) = &keys else {
                unsupported += 1;
                continue;
            };
            let id = case["tcId"].as_u64().unwrap();
            let valid = case["result"] == "valid" && !FOR_ANOTHER_ALGORITHM.contains(&id);
            assert_eq!(signature_holds(keys, jws), valid, "{case}");
            *(if valid { &mut held } else { &mut refused }) += 1;
        }
    }
    // Unsupported: symmetric keys, and keys for encryption.
    assert_eq!((held, refused, unsupported), (32, 323, 46));
}
