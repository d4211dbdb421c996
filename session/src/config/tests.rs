//! What a configuration says when it is right, and what it is told when it is not.

use super::*;

/// The configuration of the design page, as it stands there.
const DESIGN: &str = r#"
listen: 127.0.0.1:7070           # checks
admin:  127.0.0.1:7071
filter_credential: {env: PORTCULLIS_FILTER_CREDENTIAL}
admin_credential:  {env: PORTCULLIS_ADMIN_CREDENTIAL}
store: {embedded: {path: ./portcullis-data}}
enrolment: first_use
access:
  - {name: admin-console, when: {scope: [admin]}, absolute: 30m, idle: 5m}
  - {name: machine, when: {grant: [client_credentials]}, absolute: 12h}
  - {name: interactive, absolute: 8h, idle: 30m}
"#;

const SHORT: &str = "
listen: 127.0.0.1:0
admin: 127.0.0.1:0
admin_credential: {env: ADMIN}
store: {embedded: {path: data}}
";

fn env(_: &str) -> Option<String> {
    Some("secret\n".to_owned())
}

fn faults(text: &str) -> String {
    read(text, &env).map(drop).unwrap_err().to_string()
}

#[test]
fn the_design_pages_configuration_is_taken() {
    let settings = read(DESIGN, &env).unwrap();
    let machine = settings.access.named("machine").unwrap();
    assert_eq!(machine.limits, Limits { absolute_ms: Some(12 * 3_600_000), idle_ms: None });
    assert_eq!(settings.enrolment, Enrolment::FirstUse);
    assert!(settings.filter_credential.is_some() && settings.tls.is_none());
}

#[test]
fn without_access_types_there_is_one_of_8h_and_30m() {
    let settings = read(SHORT, &env).unwrap();
    assert_eq!(settings.access.named("default").unwrap().limits, DEFAULT_LIMITS);
}

#[test]
fn an_unknown_key_is_a_fault_that_says_where() {
    for (text, wanted) in [
        (format!("{SHORT}lisen: x\n"), "unknown field `lisen`"),
        (format!("{SHORT}access: [{{name: a, idel: 5m}}]\n"), "access[0]: unknown field `idel`"),
        (format!("{SHORT}access: [{{name: a, when: {{scopes: [x]}}}}]\n"), "access[0].when: unknown field `scopes`"),
        (format!("{SHORT}enrolment: never\n"), "enrolment: unknown variant `never`"),
        (SHORT.replace("embedded", "redis"), "store: unknown field `redis`"),
        (SHORT.replace("admin_credential: {env: ADMIN}", ""), "missing field `admin_credential`"),
    ] {
        let told = faults(&text);
        assert!(told.contains(wanted) && (told.contains(" line ") || told.contains("missing")), "{wanted}: {told}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "
listen: nowhere
admin: 127.0.0.1:0
admin_credential: {}
store: {embedded: {path: ''}}
access:
  - {name: a, absolute: 8, idle: 0s, when: {scope: []}}
  - {name: a, absolute: 1d, idle: 1.5h}
";
    let told = faults(text);
    let wanted = [
        "listen: `nowhere` is not an address",
        "admin_credential: needs either `env` or `file`",
        "store.embedded.path: is empty",
        "access[0].absolute: `8` is not a duration",
        "access[0].idle: `0s` would end every session at once",
        "access[0].when.scope: is empty",
        "access[1].name: `a` is used twice",
        "access[1].absolute: `1d` is not a duration",
        "access[1].idle: `1.5h` is not a duration",
    ];
    for fault in wanted {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert_eq!(told.lines().count(), wanted.len(), "{told}");
}

#[test]
fn a_credential_that_is_not_there_is_a_fault() {
    let told = read(SHORT, &|_| None).map(drop).unwrap_err().to_string();
    assert_eq!(told, "admin_credential.env: the environment variable `ADMIN` is not set or empty");
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    let good = [("200ms", 200), ("30s", 30_000), ("15m", 900_000), ("8h", 28_800_000)];
    for (text, ms) in good {
        assert_eq!(duration_ms(text), Some(ms), "{text}");
    }
    for text in [
        "",
        "5",
        "s",
        "1d",
        "1.5h",
        "-1s",
        "+1s",
        " 1s",
        "1 s",
        "1S",
        "1h30m",
        "99999999999999999999h",
        "9999999999999999999h",
        "１s",
    ] {
        assert_eq!(duration_ms(text), None, "{text}");
    }
}
