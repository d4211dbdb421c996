//! A session service that says anything at all releases nothing but what it was asked.
#![no_main]

use portcullis_engine::{
    authorize::{Act, Gate, Head, Step},
    policy::Policy,
};

const POLICY: &str = r#"{
  "session": {"cluster": "session"},
  "routes": [{"name": "open", "match": {"path": "/"}, "public": true}]
}"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let policy = Policy::parse(POLICY.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let Ok(mut gate) = Gate::new(policy, |_| None, 1) else { return };
    assert_eq!(gate.act(0), Some(Act::Open));
    gate.opened(Some(7), 0);
    while gate.act(0).is_some() {}
    for (now_ms, message) in (1..).zip(bytes.split(|byte| *byte == 0xfe)) {
        for (_, step) in gate.message(7, message, now_ms) {
            assert!(!matches!(step, Step::Release(_)), "released what nobody asked for");
        }
        while gate.act(now_ms).is_some() {}
        gate.tick(now_ms);
    }
    let headers = [(":path".to_owned(), bytes.to_vec()), ("authorization".to_owned(), bytes.to_vec())];
    gate.arrive(1, &Head::read(&headers), String::new, 0);
});
