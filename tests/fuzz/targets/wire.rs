//! A session service that says anything at all releases nothing but what it was asked.
#![no_main]

use portcullis_engine::{
    authorize::{Act, Gate, Head, Step},
    policy::Policy,
    time::{Monotonic, Now},
};

const POLICY: &str = r#"{
  "session": {"cluster": "session"},
  "routes": [{"name": "open", "match": {"path": "/"}, "public": true}]
}"#;

const fn at(ms: u64) -> Now {
    Now { wall_ms: Some(ms), instant: Monotonic(ms) }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let policy = Policy::parse(POLICY.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let Ok(mut gate) = Gate::new(policy, |_| None, 1) else { return };
    assert_eq!(gate.act(at(0).instant), Some(Act::Open));
    gate.opened(Some(7), at(0).instant);
    while gate.act(at(0).instant).is_some() {}
    for (ms, message) in (1..).zip(bytes.split(|byte| *byte == 0xfe)) {
        for (_, step) in gate.message(7, message, at(ms)) {
            assert!(!matches!(step, Step::Release(_)), "released what nobody asked for");
        }
        while gate.act(at(ms).instant).is_some() {}
        gate.tick(at(ms));
    }
    let headers = [(":path".to_owned(), bytes.to_vec()), ("authorization".to_owned(), bytes.to_vec())];
    gate.arrive(1, &Head::read(&headers), |_| None, at(0));
});
