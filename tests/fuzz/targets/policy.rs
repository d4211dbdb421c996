//! Any bytes are a policy or a list of faults.
#![no_main]

use portcullis_engine::policy::Policy;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(faults) = Policy::parse(bytes) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(!faults.is_empty(), "refused without a reason");
        assert!(faults.iter().all(|fault| fault.starts_with('$')), "a fault without its place: {faults:?}");
    }
});
