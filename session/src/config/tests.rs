//! What a configuration says when it is right, and what it is told when it is not.

use super::access::{DEFAULT_LIMITS, duration_ms};
use super::*;
use crate::judge::Limits;
use crate::signals::Delivery;
use crate::store::postgres::{Secret, Source};
use axum::http::HeaderMap;

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

fn env(name: &str) -> Option<String> {
    Some(format!("the secret of {name}\n"))
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
    assert!(settings.filter_credential.read().is_some() && settings.tls.read().is_none());
}

#[test]
fn without_access_types_there_is_one_of_8h_and_30m() {
    let settings = read(SHORT, &env).unwrap();
    assert_eq!(settings.access.named("default").unwrap().limits, DEFAULT_LIMITS);
}

#[test]
fn an_unknown_key_is_a_fault_that_says_where() {
    for (text, wanted) in [
        (format!("{SHORT}lisen: x\n"), "lisen: unknown key; expected one of"),
        (format!("{SHORT}access: [{{name: a, idel: 5m}}]\n"), "access[0].idel: unknown key"),
        (format!("{SHORT}access: [{{name: a, when: {{scopes: [x]}}}}]\n"), "access[0].when.scopes: unknown key"),
        (format!("{SHORT}enrolment: never\n"), "enrolment: unknown variant `never`"),
        (format!("{SHORT}undated_logins: never\n"), "unknown variant `never`"),
        (format!("{SHORT}undated_logins: {{reopen: {{}}}}\n"), "revoked_for: is missing"),
        (format!("{SHORT}access: [{{name: a, idle: 5m, growth: some}}]\n"), "`refuse`, `allow` or a list of scopes"),
        (SHORT.replace("embedded", "mysql"), "store.mysql: unknown key"),
        (SHORT.replace("admin_credential: {env: ADMIN}", ""), "admin_credential: is missing: set it, or name"),
    ] {
        let told = faults(&text);
        assert!(told.contains(wanted) && (told.contains(" line ") || told.contains("missing")), "{wanted}: {told}");
    }
}

#[test]
fn faults_of_the_shape_and_of_the_values_are_told_together() {
    let text = "
listen: nowhere
admin: 127.0.0.1:0
admin_credential: {env: ADMIN, value: hunter2}
store: {embedded: {path: data}}
retention: {ended: 1h}
access:
  - {name: a, idel: 5m}
";
    let told = faults(text);
    for fault in [
        "admin_credential.value: unknown key; expected `env` or `file`, at line 4",
        "access[0].idel: unknown key; expected one of `name`, ",
        "listen: `nowhere` is not an address",
        "retention.ended: `1h` is less than a day",
    ] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    // That the type has no limit follows from the misspelt one.
    assert!(!told.contains("hunter2") && told.lines().count() == 4, "{told}");
}

#[test]
fn an_access_type_that_hides_those_after_it_is_warned_of() {
    let warned = |access: &str| read(&format!("{SHORT}access: [{access}]\n"), &env).unwrap().warnings;
    let (any, some) = ("{name: any, idle: 5m}", "{name: admin, idle: 5m, when: {scope: [admin]}}");
    assert_eq!(warned(&format!("{some}, {any}")), [""; 0]);
    let told = warned(&format!("{any}, {some}")).concat();
    assert!(told.starts_with("access[0]: `any` has no `when`") && told.ends_with("put it last"), "{told}");
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
  - {name: a, absolute: 1w, idle: 1.5h}
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
        "access[1].absolute: `1w` is not a duration",
        "access[1].idle: `1.5h` is not a duration",
    ];
    for fault in wanted {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert_eq!(told.lines().count(), wanted.len(), "{told}");
}

/// The configuration of a replica, with more keys and with another object under `postgres`.
fn replica(postgres: &str, more: &str) -> String {
    SHORT.replace("{embedded: {path: data}}", &format!("{{postgres: {postgres}}}")) + more
}

#[test]
fn a_replica_is_configured_by_a_url_and_has_defaults_for_the_rest() {
    let read = |text: &str| match read(text, &env).unwrap().store {
        StoreSettings::Postgres(source, sharing) => (source, sharing),
        other => panic!("{other:?}"),
    };
    let url = "postgres://db/x";
    let (source, sharing) = read(&replica(&format!("{{url: '{url}'}}"), ""));
    assert_eq!(
        source,
        Source { url: Secret(url.to_owned()), schema: "portcullis".to_owned(), ca: None, password: None }
    );
    assert_eq!(sharing, Sharing { serve_lease_ms: 3_000, activity_interval_ms: 5_000 });
    let given = format!("{{url: '{url}', schema: other, password: {{env: DB}}}}");
    let (source, sharing) = read(&replica(&given, "serve_lease: 200ms\nactivity_interval: 2200ms\n"));
    assert_eq!((source.schema.as_str(), source.password), ("other", Some(Secret("the secret of DB".to_owned()))));
    assert_eq!(sharing, Sharing { serve_lease_ms: 200, activity_interval_ms: 2_200 });
    let (_, sharing) = read(&replica(&given, "serve_lease: 60s\nactivity_interval: 62s\n"));
    assert_eq!(sharing, Sharing { serve_lease_ms: 60_000, activity_interval_ms: 62_000 });
}

#[test]
fn replicas_over_redis_name_the_server_and_a_journal() {
    use crate::store::redis::At;
    let over = |redis: &str| SHORT.replace("{embedded: {path: data}}", &format!("{{redis: {redis}}}"));
    let rest = "journal: j, replicas: 3";
    let read = |keys: &str| match read(&over(&format!("{{{keys}, {rest}}}")), &env).unwrap().store {
        StoreSettings::Redis(source, _) => source,
        other => panic!("{other:?}"),
    };
    let url = "redis://db:7000/1";
    let source = read(&format!("url: '{url}', password: {{env: DB}}"));
    assert_eq!(
        (source.at, source.prefix.as_str(), source.replicas),
        (At::Url(Secret(url.to_owned())), "portcullis", 3)
    );
    assert_eq!((source.journal, source.password), ("j".into(), Some(Secret("the secret of DB".to_owned()))));
    let nodes = vec!["a".to_owned(), "b:1".to_owned()];
    let sentinel = read("sentinel: {nodes: [a, 'b:1'], primary: main}").at;
    assert_eq!(sentinel, At::Sentinel { nodes: nodes.clone(), primary: "main".to_owned() });
    assert_eq!(read("cluster: [a, 'b:1'], prefix: p").at, At::Cluster(nodes));
    for (redis, wanted) in [
        (format!("{{{rest}}}"), "store.redis: needs one of `url`, `sentinel` and `cluster`"),
        (
            format!("{{url: 'redis://a', cluster: [a], {rest}}}"),
            "store.redis: needs one of `url`, `sentinel` and `cluster`",
        ),
        ("{url: 'redis://a', journal: '', replicas: 1}".to_owned(), "store.redis.journal: is empty: name a folder"),
        ("{url: 'redis://a', journal: j, replicas: 0}".to_owned(), "store.redis.replicas: 0 is not between 1 and 16"),
        ("{url: 'redis://a', replicas: 1}".to_owned(), "journal: is missing"),
    ] {
        let told = faults(&over(&redis));
        assert!(told.contains(wanted), "{redis}: {told}");
    }
}

#[test]
fn each_fault_of_a_store_is_told_in_its_words() {
    let url = "{url: 'postgres://db/x'}";
    let with = |more: &str| format!("{{url: 'postgres://db/x', {more}}}");
    let idle = "access: [{name: brief, idle: 5s}, {name: long, idle: 6s}]\n";
    let schema = |name: &str| {
        format!(
            "store.postgres.schema: `{name}` is not a plain name: use up to 40 lower-case letters, digits and `_`, beginning with a letter"
        )
    };
    let no_duration = "is not a duration: use one like `200ms`, `30s`, `15m`, `8h` or `30d`";
    let interval = |text: &str, least: &str| {
        format!(
            "activity_interval: `{text}` is less than serve_lease plus 2s: activity may take that long to reach another replica; use `{least}` or more"
        )
    };
    let alone = |key: &str| format!("{key}: is only for replicas, and an embedded store has none");
    let neither = "store: needs one of `embedded`, `postgres` and `redis`";
    for (text, wanted) in [
        (SHORT.replace("{embedded: {path: data}}", "{}"), neither.to_owned()),
        (
            SHORT.replace("{path: data}}", &format!("{{path: data}}, postgres: {url}}}")),
            neither.to_owned(),
        ),
        (
            SHORT.replace("{path: data}", "{path: ''}"),
            "store.embedded.path: is empty: name a folder".to_owned(),
        ),
        (format!("{SHORT}serve_lease: 3s\n"), alone("serve_lease")),
        (format!("{SHORT}activity_interval: 5s\n"), alone("activity_interval")),
        (
            replica("{url: 'mysql://db'}", ""),
            "store.postgres.url: is not a PostgreSQL URL: use one like `postgres://portcullis@db.internal:5432/portcullis`"
                .to_owned(),
        ),
        (
            replica("{url: 'postgres://db/x?sslmode=require'}", ""),
            "store.postgres.url: has `sslmode=require`, but there is no `ca` to check the server's certificate against"
                .to_owned(),
        ),
        (replica(&with("schema: A"), ""), schema("A")),
        (replica(&with("schema: ''"), ""), schema("")),
        (
            replica(&with("ca: /nowhere"), ""),
            "store.postgres.ca: cannot read certificates from `/nowhere`".to_owned(),
        ),
        (replica(&with("password: {}"), ""), "store.postgres.password: needs either `env` or `file`".to_owned()),
        (replica(url, "serve_lease: 199ms\n"), "serve_lease: `199ms` is not between 200ms and 60s".to_owned()),
        (
            replica(url, "serve_lease: 61s\nactivity_interval: 63s\naccess: [{name: a, absolute: 8h}]\n"),
            "serve_lease: `61s` is not between 200ms and 60s".to_owned(),
        ),
        (replica(url, "serve_lease: soon\n"), format!("serve_lease: `soon` {no_duration}")),
        (replica(url, "activity_interval: 5\n"), format!("activity_interval: `5` {no_duration}")),
        (replica(url, "activity_interval: 4999ms\n"), interval("4999ms", "5000ms")),
        (replica(url, "serve_lease: 4s\n"), interval("5s", "6000ms")),
        (
            replica(url, idle),
            "access: `brief` has an idle limit that is not longer than activity_interval (`5s`): a session that moves between replicas could end at once"
                .to_owned(),
        ),
    ] {
        let told = faults(&text);
        let is_told = if wanted.contains("/nowhere") { told.starts_with("store.postgres.ca: cannot read") } else { told == wanted };
        assert!(is_told, "{text}\n{wanted}\n{told}");
    }
}

#[test]
fn a_credential_that_is_not_there_is_a_fault() {
    let told = read(SHORT, &|_| None).map(drop).unwrap_err().to_string();
    assert_eq!(told, "admin_credential.env: the environment variable `ADMIN` is unset or empty");
}

#[test]
fn a_credential_of_fewer_than_16_bytes_is_a_fault_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("short");
    std::fs::write(&file, "fifteen bytes..\n").unwrap();
    let short = |_: &str| Some(" fifteen bytes.. \n".to_owned());
    for (text, at) in [
        (SHORT.to_owned(), "admin_credential"),
        (SHORT.replace("{env: ADMIN}", "[{env: ADMIN}]"), "admin_credential[0]"),
        (SHORT.replace("{env: ADMIN}", &format!("{{file: '{}'}}", file.display())), "admin_credential"),
    ] {
        let told = read(&text, &short).map(drop).unwrap_err().to_string();
        let wanted = "has fewer than 16 bytes: use a random one, from `openssl rand -hex 32` for example";
        assert_eq!(told, format!("{at}: {wanted}"));
    }
    assert!(read(SHORT, &|_| Some("sixteen bytes...".to_owned())).is_ok());
}

#[test]
fn each_credential_of_a_list_is_accepted_and_each_fault_of_one_is_told() {
    let text = SHORT.replace("{env: ADMIN}", "[{env: OLD}, {env: NEW}]");
    let settings = read(&text, &env).unwrap();
    let presents = |secret: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {secret}").parse().unwrap());
        let admins = settings.admins.read();
        admins.admin_credential().is_some_and(|admin| admin.credentials.are_presented(&headers))
    };
    assert!(presents("the secret of OLD") && presents("the secret of NEW") && !presents("the secret of ADMIN"));

    let told = faults(&SHORT.replace("{env: ADMIN}", "[{env: A, file: b}, {env: OLD}, {file: /nowhere}]"));
    assert!(told.starts_with("admin_credential[0]: needs either `env` or `file`\n"), "{told}");
    assert!(told.contains("\nadmin_credential[2].file: cannot read `/nowhere`: "), "{told}");
    assert_eq!(faults(&SHORT.replace("{env: ADMIN}", "[]")), "admin_credential: is empty: add a credential");
    let told = faults(&SHORT.replace("{env: ADMIN}", "hunter2"));
    assert!(told.contains("expected `{env: …}`, `{file: …}` or a list of these"), "{told}");
}

#[test]
fn no_secret_is_for_filters_and_for_the_admin_api() {
    let both = |filter: &str| format!("{SHORT}filter_credential: {filter}\n");
    let wanted = "admin_credential: is also a `filter_credential`: every filter could use the admin API";
    for filter in ["{env: ADMIN}", "[{env: OTHER}, {env: ADMIN}]"] {
        assert_eq!(faults(&both(filter)), wanted, "{filter}");
    }
    assert!(read(&both("[{env: OTHER}, {env: NEXT}]"), &env).is_ok());
}

#[test]
fn a_reload_takes_over_credentials_and_names_what_needs_a_restart() {
    let running = read(SHORT, &env).unwrap();
    let reload = |text: &str| running.take_over(&read(text, &env).unwrap());
    assert_eq!(reload(SHORT), Reload { reloaded: vec![], needs_restart: vec![] });
    let other = SHORT.replace("ADMIN", "OTHER") + "filter_credential: {env: FILTER}\n";
    let reloaded = vec!["filter_credential", "admin_credential"];
    assert_eq!(reload(&other), Reload { reloaded, needs_restart: vec![] });
    assert_eq!(reload(&other), Reload { reloaded: vec![], needs_restart: vec![] });
    let moved = other.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1").replace("path: data", "path: elsewhere")
        + "enrolment: explicit\naccess: [{name: a, idle: 5m}]\n"
        + "undated_logins: {reopen: {revoked_for: 24h}}\nretention: {ended: 7d}\n";
    let needs_restart = vec!["listen", "store", "enrolment", "undated_logins", "retention", "access"];
    assert_eq!(reload(&moved), Reload { reloaded: vec![], needs_restart });
}

#[test]
fn an_admin_listener_that_leaves_the_machine_without_tls_is_an_open_door() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (cert, key) = (write("cert", pair.cert.pem()), write("key", pair.signing_key.serialize_pem()));
    let known = format!("{SHORT}filter_credential: {{env: FILTER}}\n");
    let open = |text: &str| read(text, &env).unwrap().open_doors().join("; ");
    assert!(open(SHORT).starts_with("no filter_credential: "));
    assert_eq!(open(&known), "");
    let away = known.replace("admin: 127.0.0.1:0", "admin: 0.0.0.0:0");
    assert!(open(&away).starts_with("the admin listener has no TLS"));
    assert_eq!(open(&format!("{away}admin_tls: {{cert: {cert}, key: {key}}}\n")), "");
}

#[test]
fn an_access_type_without_a_limit_says_so() {
    let read = |keys: &str| read(&format!("{SHORT}access: [{{name: a{keys}}}]\n"), &env);
    for (keys, wanted) in [
        (
            "",
            "access[0]: has no limit: add `absolute` or `idle`, or `unlimited: true` if its sessions may last for ever",
        ),
        (", unlimited: false", "access[0]: has no limit: "),
        (", idle: 5m, unlimited: true", "access[0].unlimited: cannot be combined with `absolute` or `idle`"),
        (", absolute: 8h, idle: 5m, unlimited: true", "access[0].unlimited: cannot be combined"),
    ] {
        let told = read(keys).map(drop).unwrap_err().to_string();
        assert!(told.starts_with(wanted) && told.lines().count() == 1, "{keys}: {told}");
    }
    for (keys, absolute_ms, idle_ms) in
        [(", unlimited: true", None, None), (", idle: 5m", None, Some(300_000)), (", absolute: 1s", Some(1_000), None)]
    {
        assert_eq!(read(keys).unwrap().access.named("a").unwrap().limits, Limits { absolute_ms, idle_ms }, "{keys}");
    }
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    let good = [("200ms", 200), ("30s", 30_000), ("15m", 900_000), ("30d", 2_592_000_000), ("8h", 28_800_000)];
    for (text, ms) in good {
        assert_eq!(duration_ms(text), Some(ms), "{text}");
    }
    for text in [
        "",
        "5",
        "s",
        "1w",
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

#[test]
fn undated_logins_and_retention_have_defaults_and_bounds() {
    let settings = |more: &str| read(&format!("{SHORT}{more}"), &env).unwrap();
    let default = settings("");
    assert_eq!((default.undated_logins, default.retention_ms), (UndatedLogins::Refuse, 30 * 24 * 3_600_000));
    let reopen = settings("undated_logins: {reopen: {revoked_for: 24h}}\nretention: {ended: 7d}\n");
    assert_eq!(reopen.undated_logins, UndatedLogins::Reopen { revoked_for_ms: 24 * 3_600_000 });
    assert_eq!(reopen.retention_ms, 7 * 24 * 3_600_000);
    let reopens = "undated_logins: {reopen: {revoked_for: 24h}}\nfilter_credential: {env: FILTER}\n";
    assert!(settings(reopens).open_doors().join("; ").starts_with("undated_logins: reopen"));
    assert!(faults(&format!("{SHORT}retention: {{ended: 1h}}\n")).contains("less than a day"));
    let longer = format!("{SHORT}undated_logins: {{reopen: {{revoked_for: 40d}}}}\n");
    assert!(faults(&longer).contains("revoked_for: is longer than retention.ended"));
    assert!(
        faults(&format!("{SHORT}undated_logins: {{reopen: {{revoked_for: soon}}}}\n")).contains("revoked_for: `soon`")
    );
}

#[test]
fn growth_is_a_word_or_a_list() {
    let growth = |text: &str| {
        let settings = read(&format!("{SHORT}access: [{{name: a, idle: 5m{text}}}]\n"), &env).unwrap();
        format!("{:?}", settings.access.named("a").unwrap().growth)
    };
    assert_eq!(growth(""), "ByKind");
    assert_eq!(growth(", growth: refuse"), "Refuse");
    assert_eq!(growth(", growth: allow"), "Allow");
    assert!(growth(", growth: [a, b]").starts_with("Listed("));
}

#[test]
fn the_example_of_replicas_is_valid() {
    let env = |variable: &str| Some(format!("a secret of {variable}"));
    let settings = read(include_str!("../../../examples/replicas/session.yaml"), &env).unwrap();
    assert!(matches!(settings.store, StoreSettings::Postgres(..)));
}

const SIGNAL: &str = "name: a, kind: ssf, issuer: https://idp, audiences: [us], algorithms: [RS256]";
const KEYS: &str = "keys: {jwks_url: \"http://127.0.0.1:1/jwks\"}";

#[test]
fn a_transmitter_speaks_about_its_own_issuer_unless_it_is_told_of_others() {
    let of = |more: &str| {
        let text = format!("{SHORT}signals_listen: 127.0.0.1:0\nsignals: [{{{SIGNAL}, {KEYS}{more}}}]\n");
        read(&text, &env).unwrap().signals.remove(0).tokens_of
    };
    assert_eq!(of(""), ["https://idp"]);
    assert_eq!(of(", tokens_of: https://id"), ["https://id"]);
    assert_eq!(of(", tokens_of: [https://id, https://di]"), ["https://id", "https://di"]);
    assert!(read(SHORT, &env).unwrap().signals.is_empty());
}

#[test]
fn a_transmitter_that_is_wrong_is_a_fault_that_says_where() {
    let listen = "signals_listen: 127.0.0.1:0\n";
    let one = |text: &str| format!("{SHORT}{listen}signals: [{{{text}}}]\n");
    let rows = [
        (format!("{SHORT}{listen}"), "signals_listen: no transmitter in `signals` posts to it"),
        (format!("{SHORT}signals: [{{{SIGNAL}, {KEYS}}}]\n"), "signals_listen: is missing"),
        (
            one(&format!("{SIGNAL}, {KEYS}, hold_above: 1/h")),
            "hold_above: `1/h` is not a number from 1 to 100000 followed by `/min`",
        ),
        (one(&format!("{SIGNAL}, {KEYS}, hold_above: 0/min")), "hold_above: `0/min` is not"),
        (one(&format!("{SIGNAL}, {KEYS}, delivery: pull")), "expected `push` or `{poll: {every: …, url: …}}`"),
        (
            one(&format!("{SIGNAL}, {KEYS}, delivery: {{poll: {{every: 2s}}}}")),
            "signals[0].delivery.poll.url: is missing",
        ),
        (
            one(&format!("{SIGNAL}, {KEYS}, delivery: {{poll: {{every: 9ms, url: \"https://a\"}}}}")),
            "is less than 100ms",
        ),
        (
            one(&format!("{SIGNAL}, {KEYS}, delivery: {{poll: {{every: 2s, url: \"ftp://a\"}}}}")),
            "is not an `https` URL",
        ),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("name: a", "name: A/b"))), "signals[0].name: `A/b` is not a name"),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("kind: ssf", "kind: sso"))), "signals[0].kind: `sso` is not one of"),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("RS256", "HS256"))), "`HS256` is not an algorithm"),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("[RS256]", "[]"))), "signals[0].algorithms: is missing"),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("[us]", "[]"))), "signals[0].audiences: is missing"),
        (one(&format!("{}, {KEYS}", SIGNAL.replace("issuer", "tokens_of"))), "signals[0].issuer: is missing"),
        (one(SIGNAL), "signals[0].keys: is missing"),
        (one(&format!("{SIGNAL}, keys: {{}}")), "signals[0].keys: needs one of"),
        (one(&format!("{SIGNAL}, keys: {{jwks_url: \"http://idp/jwks\"}}")), "`http` is for loopback addresses only"),
        (one(&format!("{SIGNAL}, keys: {{inline: {{keys: []}}}}")), "signals[0].keys: inline: "),
        (one(&format!("{SIGNAL}, keys: {{jwks_url: \"https://idp/jwks\", ca: /none}}")), "ca: cannot read `/none`"),
        (one(&format!("{SIGNAL}, {KEYS}, profile: entra")), "signals[0].profile: `entra` is not one of"),
        (
            one(&format!("{SIGNAL}, {KEYS}, events: {{\"urn:x\": kill}}")),
            "signals[0].events.urn:x: `kill` is not one of",
        ),
        (one(&format!("{SIGNAL}, {KEYS}, events: {{session-revokd: end}}")), "events.session-revokd: is neither"),
        (
            one(&format!("{SIGNAL}, {KEYS}, events: {{session-revoked: [ignore, end]}}")),
            "`ignore` cannot be combined with other actions",
        ),
        (one(&format!("{SIGNAL}, {KEYS}, max_age: 0s")), "signals[0].max_age: `0s` would refuse every token"),
        (one(&format!("{SIGNAL}, {KEYS}, stale_after: soon")), "signals[0].stale_after: `soon` is not a duration"),
        (one(&format!("{SIGNAL}, {KEYS}, logout_types: [JWT]")), "signals[0].logout_types: has no meaning"),
        (one("name: g, kind: global_token_revocation, tokens_of: i"), "signals[0].authorization: is missing"),
        (one("name: g, kind: global_token_revocation, authorization: {env: X}"), "signals[0].tokens_of: is missing"),
        (
            format!("{SHORT}{listen}signals: [{{{SIGNAL}, {KEYS}}}, {{{SIGNAL}, {KEYS}}}]\n"),
            "signals[1].name: another transmitter is named `a`",
        ),
    ];
    for (text, wanted) in rows {
        let said = faults(&text);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

const DISCOVERED: &str = "keys: {discovery: \"http://127.0.0.1:1/ssf\"}";

/// A transmitter with a managed stream; `more` are further keys of `manage`, and `beside` of the transmitter.
fn managed(more: &str, beside: &str) -> String {
    format!(
        "{SHORT}signals_listen: 127.0.0.1:0\nsignals: [{{{SIGNAL}, {beside}, stream: {{manage: {{token_endpoint: \
         \"http://127.0.0.1:1/token\", client_id: us, client_secret: {{env: A}}{more}}}}}}}]\n"
    )
}

#[test]
fn a_stream_is_managed_where_that_is_configured() {
    let stream = |text: &str| read(text, &env).unwrap().signals.remove(0).stream;
    let with = |more: &str| format!("{SHORT}signals_listen: 127.0.0.1:0\nsignals: [{{{SIGNAL}, {KEYS}{more}}}]\n");
    assert_eq!((stream(&with("")), stream(&with(", stream: existing"))), (None, None));
    let pushed =
        stream(&managed(", endpoint_url: \"https://us/signals/a\", scopes: [a, \"b:c\"]", DISCOVERED)).unwrap();
    assert!(matches!(pushed.delivery, Delivery::Push { authorization: None, .. }), "{pushed:?}");
    assert_eq!(pushed.client.scopes, ["a", "b:c"]);
    let polled = managed("", &format!("{DISCOVERED}, delivery: {{poll: {{every: 2s}}}}"));
    let polled = polled.replace("signals_listen: 127.0.0.1:0\n", "");
    assert_eq!(stream(&polled).unwrap().delivery, Delivery::Poll);
}

#[test]
fn a_managed_stream_that_is_wrong_is_a_fault_that_says_where() {
    let url = ", endpoint_url: \"https://us/signals/a\"";
    let poll = format!("{DISCOVERED}, delivery: {{poll: {{every: 2s");
    let at = "signals[0].stream.manage";
    let rows = [
        (managed(url, KEYS), format!("{at}: needs `keys.discovery`")),
        (managed("", DISCOVERED), format!("{at}.endpoint_url: is missing")),
        (
            managed(", endpoint_url: \"http://us/\"", DISCOVERED),
            format!("{at}.endpoint_url: `http://us/` is not encrypted"),
        ),
        (managed(url, &format!("{poll}}}}}")), format!("{at}.endpoint_url: has no meaning")),
        (managed("", &format!("{poll}, url: \"https://a\"}}}}")), "delivery.poll.url: has no meaning".to_owned()),
        (managed(url, DISCOVERED).replace("client_id: us", "client_id: \"\""), format!("{at}.client_id: is empty")),
        (
            managed(url, DISCOVERED).replace("http://127.0.0.1:1/token", "ftp://id"),
            format!("{at}.token_endpoint: `ftp://id` is not"),
        ),
        (
            managed(url, DISCOVERED).replace("client_secret: {env: A}", "client_secret: {}"),
            format!("{at}.client_secret: needs"),
        ),
        (managed(&format!("{url}, scopes: [\"a b\", c]"), DISCOVERED), format!("{at}.scopes: `a b` is not a scope")),
        (managed(url, DISCOVERED).replace("client_id: us, ", ""), "client_id: is missing".to_owned()),
        (managed(", zzz: 1", DISCOVERED), "zzz: unknown key".to_owned()),
        (
            managed(url, DISCOVERED).replace("{manage:", "{managed:"),
            "managed: unknown key; expected `manage`".to_owned(),
        ),
        (
            format!("{SHORT}signals_listen: 127.0.0.1:0\nsignals: [{{{SIGNAL}, {KEYS}, stream: mine}}]\n"),
            "expected `existing` or `{manage:".to_owned(),
        ),
        (
            format!(
                "{SHORT}signals_listen: 127.0.0.1:0\nsignals: [{{name: g, kind: global_token_revocation, tokens_of: i, \
                 authorization: {{env: A}}, stream: existing}}]\n"
            ),
            "signals[0].stream: has no meaning".to_owned(),
        ),
    ];
    for (text, fault) in rows {
        let found = faults(&text);
        assert!(found.contains(&fault), "{fault}: {found}");
    }
}

#[cfg(feature = "conditions")]
#[test]
fn conditions_are_read_with_their_directory_and_every_fault_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let with = |keys: &str| format!("{SHORT}conditions: {{cedar: {}{keys}}}\n", folder.path().display());
    let policy = r#"@id("a") @reason("r") forbid (principal, action, resource) when { context.session has ticket };"#;
    std::fs::write(folder.path().join("a.cedar"), policy).unwrap();
    let settings = read(&with(", mode: shadow, attributes: {ticket: String}"), &env).unwrap();
    let conditions = settings.conditions.read().clone().unwrap();
    assert_eq!((conditions.mode.as_str(), conditions.declared.0.len()), ("shadow", 1));
    for (keys, wanted) in [
        (", mode: maybe", "conditions.mode: unknown variant `maybe`"),
        (", attributes: {ticket: Text}", "conditions.attributes.ticket: `Text` is not a type: use `String`"),
        (", attributes: {Ticket: Long}", "conditions.attributes: `Ticket` cannot be an attribute's name"),
    ] {
        let told = faults(&with(keys));
        assert!(told.contains(wanted), "{keys}: {told}");
    }
    std::fs::write(folder.path().join("b.cedar"), r#"@id("b") permit (principal, action, resource);"#).unwrap();
    let told = faults(&with(", attributes: {ticket: String}"));
    assert!(told.contains("conditions.cedar: ") && told.contains("b.cedar:1:"), "{told}");
    let told = faults(&format!("{SHORT}conditions: {{cedar: /nowhere/at/all}}\n"));
    assert!(told.contains("conditions.cedar: ") && told.contains("/nowhere/at/all"), "{told}");
}

#[cfg(not(feature = "conditions"))]
#[test]
fn a_build_without_conditions_refuses_them() {
    let told = faults(&format!("{SHORT}conditions: {{cedar: policies}}\n"));
    assert!(told.contains("conditions: this build cannot judge by conditions"), "{told}");
}
