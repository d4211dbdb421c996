//! Held signals: they are listed, released and dropped, in the order in which they came.

use crate::fake_api::FakeApi;
use serde_json::{Value, json};

const FIRST: &str = "687e64ce5abca15772c27966e0b823e8";
const SECOND: &str = "5d41402abc4b2a76b9719d911017c592";
const THIRD: &str = "687effff0000a15772c27966e0b823e8";

fn held(id: &str, event: &str, about: &Value) -> Value {
    let mut held = json!({
        "id": id, "transmitter": "okta", "event": event, "actions": ["end"], "received_at": "then",
    });
    if let (Some(held), Some(about)) = (held.as_object_mut(), about.as_object()) {
        held.extend(about.clone());
    }
    held
}

fn three() -> [Value; 3] {
    [
        held(FIRST, "session-revoked", &json!({"users": [{"issuer": "i", "subject": "alice"}]})),
        held(SECOND, "account-disabled", &json!({"sids": [{"issuer": "i", "sid": "s1"}], "reason": "left"})),
        held(THIRD, "logout", &json!({})),
    ]
}

fn not_found() -> (u16, Value) {
    (404, json!({"detail": "there is no held signal with that id", "code": "not_found"}))
}

/// A service that holds three signals in pages of two, of which the second is gone when something is to become of it.
fn service() -> FakeApi {
    FakeApi::start(|request| {
        let [first, second, third] = three();
        let fate = |of: &Value, fate: &str, ended: u64| {
            (200, json!({"id": of["id"], "transmitter": "okta", "event": of["event"], "fate": fate, "ended": ended}))
        };
        match request.split(['?', ' ']).nth(1).expect("a path").trim_start_matches("/v1/signals/held") {
            "" if request.contains("none") => (200, json!({"held": []})),
            "" if request.contains("cursor=more") => (200, json!({"held": [third]})),
            "" => (200, json!({"held": [first, second], "next": "more"})),
            path if path == format!("/{FIRST}/release") => fate(&first, "applied", 2),
            path if path == format!("/{THIRD}/release") => fate(&third, "unmatched", 0),
            path if path == format!("/{FIRST}/drop") => fate(&first, "dropped", 0),
            _ => not_found(),
        }
    })
}

#[test]
fn held_signals_are_listed_with_those_they_are_about() {
    let service = service();
    let list = service.run(&["signals", "held"]);
    assert_eq!(
        list.stdout,
        "ID            TRANSMITTER  EVENT             ACTIONS  ABOUT          RECEIVED\n\
         687e64ce5abc  okta         session-revoked   end      subject alice  then\n\
         5d41402abc4b  okta         account-disabled  end      sid s1         then\n\
         687effff0000  okta         logout            end      -              then\n"
    );
    let pages = ["GET /v1/signals/held?limit=1000", "GET /v1/signals/held?limit=1000&cursor=more"];
    assert_eq!((list.code, service.asked()), (Some(0), pages.map(str::to_owned).to_vec()));
    let list = service.run(&["signals", "held", "--transmitter", "ok ta", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&list.stdout).expect("JSON"), json!({"held": three()}));
    assert_eq!(service.asked()[0], "GET /v1/signals/held?transmitter=ok%20ta&limit=1000");
    let none = service.run(&["signals", "held", "--transmitter", "none"]);
    assert_eq!((none.code, &*none.stdout, &*none.stderr), (Some(0), "", "no signals of `none` are held\n"));
}

#[test]
fn all_signals_of_a_transmitter_are_released_the_oldest_first_and_one_that_is_gone_stops_no_other() {
    let service = service();
    let all = ["signals", "release", "--transmitter", "okta", "--all"];
    let released = service.run(&all);
    assert_eq!(
        released.stdout,
        format!(
            "released session-revoked of okta, {FIRST}: applied, 2 sessions ended\n\
             released logout of okta, {THIRD}: unmatched\n"
        )
    );
    let gone = format!("error: signal {SECOND}: there is no held signal with that id (`not_found`)\n");
    assert_eq!((released.code, released.stderr), (Some(1), gone));
    let asked = service.asked();
    let posts = [FIRST, SECOND, THIRD].map(|id| format!("POST /v1/signals/held/{id}/release {{}}"));
    assert_eq!(asked[2..], posts, "after the two pages");
    assert!(asked[..2].iter().all(|page| page.contains("transmitter=okta")), "{asked:?}");

    let json = service.run(&[&all[..], &["--output", "json"]].concat());
    let answer: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((json.code, &answer["gone"]), (Some(1), &json!([SECOND])));
    assert_eq!(answer["signals"][0]["ended"], 2);
    assert_eq!(answer["signals"].as_array().map(Vec::len), Some(2));

    let none = service.run(&["signals", "drop", "--transmitter", "none", "--all"]);
    assert_eq!((none.code, &*none.stdout, &*none.stderr), (Some(0), "", "no signals of `none` are held\n"));
}

#[test]
fn signals_are_named_by_the_first_digits_of_their_ids() {
    let service = service();
    // The order is that in which they came, and each is decided about once.
    let released = service.run(&["signals", "release", "687eff", "687e64ce", FIRST]);
    assert_eq!((released.code, released.stdout.lines().count()), (Some(0), 2), "{}", released.stderr);
    assert!(released.stdout.starts_with("released session-revoked"), "{}", released.stdout);
    let dropped = service.run(&["signals", "drop", "687e64ce5abc", "00000000"]);
    assert_eq!(dropped.stdout, format!("dropped session-revoked of okta, {FIRST}\n"));
    let gone = "error: there is no held signal whose id begins with `00000000`\n";
    assert_eq!((dropped.code, &*dropped.stderr), (Some(1), gone));
    service.asked();
    for (line, words) in [
        (["687eff", "687e"], "several held signals have an id that begins with `687e`; write more digits"),
        (["687eff", "68"], "`68` is too short: write at least 4 digits of the id"),
    ] {
        let refused = service.run(&[&["signals", "drop"], &line[..]].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(service.asked().iter().all(|asked| asked.starts_with("GET")), "nothing was decided");
    }
}

#[test]
fn a_service_that_fails_ends_it_and_what_was_done_is_printed() {
    let service = FakeApi::start(|request| match request {
        get if get.starts_with("GET") => (200, json!({"held": three()})),
        post if post.contains(FIRST) => {
            (200, json!({"id": FIRST, "event": "logout", "transmitter": "okta", "fate": "dropped"}))
        }
        _ => (503, json!({"detail": "the store cannot write", "code": "not_serving"})),
    });
    for form in ["text", "json"] {
        let dropped = service.run(&["signals", "drop", "--transmitter", "okta", "--all", "--output", form]);
        assert!(dropped.code == Some(1) && dropped.stdout.contains(FIRST), "{}", dropped.stdout);
        let failure = format!(
            "error: signal {SECOND}: the store cannot write (`not_serving`); nothing was decided about the 1 signal after it\n"
        );
        assert_eq!(dropped.stderr, failure);
        assert_eq!(service.asked().len(), 3, "the third was not tried");
    }
}
