//! What `docs/` says of the service, compared with the service: keys of session.yaml, endpoints, errors, metrics.

use crate::client::{Answer, http};
use crate::fixtures::Fixture;
use portcullis_session::audit::Kind;
use portcullis_session::config;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The part of a page under a heading, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`"));
    rest.split("\n#").next().unwrap()
}

/// The code in the first cell of each row of a table.
fn first_cells(section: &str) -> BTreeSet<String> {
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

/// The keys that a configuration may have where `zzz` stands, as its refusal names them.
fn keys(text: &str) -> BTreeSet<String> {
    let faults = config::read(text, &|_| Some("x".repeat(16))).expect_err("a key that is not there").0;
    let unknown = faults.iter().find_map(|fault| fault.split_once("unknown key"));
    let expected = unknown.and_then(|(_, rest)| rest.split_once("expected")).map(|(_, expected)| expected);
    let expected = expected.unwrap_or_else(|| panic!("{faults:?}"));
    let names = expected.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_key_of_session_yaml_is_documented() {
    let page = page("sessions.md");
    let complete = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: A}\n";
    let rows = [
        ("### Top level keys", "zzz: 1".to_owned()),
        ("### `filter_credential` and `admin_credential`", "filter_credential: {zzz: 1}".to_owned()),
        ("### `filter_credential` and `admin_credential`", "admin_credential: {zzz: 1}".to_owned()),
        ("### `admins`", "admins: [{zzz: 1}]".to_owned()),
        ("### `admins[].subject`", "admins: [{subject: {zzz: 1}}]".to_owned()),
        ("### `admins[].oauth`", "admins: [{oauth: {zzz: 1}}]".to_owned()),
        ("### `admins[].oauth.keys`", "admins: [{oauth: {issuer: i, keys: {zzz: 1}}}]".to_owned()),
        ("### `metrics`", "metrics: {zzz: 1}".to_owned()),
        ("### `store`", "store: {zzz: 1}".to_owned()),
        ("### `store.embedded`", "store: {embedded: {zzz: 1}}".to_owned()),
        ("### `store.postgres`", "store: {postgres: {zzz: 1}}".to_owned()),
        ("### `store.redis`", "store: {redis: {zzz: 1}}".to_owned()),
        ("### `audit`", format!("{complete}audit: {{zzz: 1}}")),
        ("### `audit.checkpoint`", format!("{complete}audit: {{checkpoint: {{zzz: 1}}}}")),
        ("### `audit.otlp`", format!("{complete}audit: {{otlp: {{zzz: 1}}}}")),
        ("### `audit.sample`", format!("{complete}audit: {{sample: [{{zzz: 1}}]}}")),
        ("### `audit.rotate`", format!("{complete}audit: {{rotate: {{zzz: 1}}}}")),
        ("### `webhooks`", format!("{complete}webhooks: [{{zzz: 1}}]")),
        ("### `conditions.authzen`", format!("{complete}conditions: {{authzen: {{zzz: 1}}}}")),
        ("### `geoip`", format!("{complete}geoip: {{zzz: 1}}")),
        ("### `anomalies`", format!("{complete}anomalies: {{zzz: 1}}")),
        ("### `anomalies.impossible_travel`", format!("{complete}anomalies: {{impossible_travel: {{zzz: 1}}}}")),
        ("### `anomalies.new_place`", format!("{complete}anomalies: {{new_place: {{zzz: 1}}}}")),
        ("### `anomalies.flapping`", format!("{complete}anomalies: {{flapping: {{zzz: 1}}}}")),
        ("### `anomalies.many_addresses`", format!("{complete}anomalies: {{many_addresses: {{zzz: 1}}}}")),
        ("### `signing`", format!("{complete}signing: {{zzz: 1}}")),
        ("### `signing.keys`", format!("{complete}signing: {{issuer: i, keys: [{{kid: a, zzz: 1}}]}}")),
        ("### `tokens`", format!("{complete}tokens: {{zzz: 1}}")),
        ("### `tokens.issuers`", format!("{complete}tokens: {{issuers: [{{issuer: i, zzz: 1}}]}}")),
        (
            "### `tokens.encryption.keys`",
            format!("{complete}tokens: {{issuers: [], encryption: {{keys: [{{kid: a, zzz: 1}}]}}}}"),
        ),
        (
            "### `tokens.issue`",
            format!("{complete}tokens: {{issuers: [], encryption: {{keys: []}}, issue: {{audience: a, zzz: 1}}}}"),
        ),
        ("### `tls`, `admin_tls`, `signals_tls` and `tokens_tls`", format!("{complete}tokens_tls: {{zzz: 1}}")),
        ("### `usage`", format!("{complete}usage: {{zzz: 1}}")),
        ("### `conditions`", format!("{complete}conditions: {{zzz: 1}}")),
        ("### `access`", format!("{complete}access: [{{zzz: 1}}]")),
        ("### `access[].when`", format!("{complete}access: [{{name: a, when: {{zzz: 1}}}}]")),
        ("### `tls`, `admin_tls`, `signals_tls` and `tokens_tls`", format!("{complete}tls: {{zzz: 1}}")),
        ("### `tls`, `admin_tls`, `signals_tls` and `tokens_tls`", format!("{complete}admin_tls: {{zzz: 1}}")),
        ("### `tls`, `admin_tls`, `signals_tls` and `tokens_tls`", format!("{complete}signals_tls: {{zzz: 1}}")),
    ];
    for (heading, text) in rows {
        assert_eq!(first_cells(section(&page, heading)), keys(&text), "{heading}");
    }
}

#[test]
fn every_key_of_a_transmitter_is_documented() {
    let page = page("signals.md");
    for (heading, text) in [
        ("### `signals`", "signals: [{zzz: 1}]"),
        ("### `signals[].keys`", "signals: [{name: a, kind: ssf, keys: {zzz: 1}}]"),
        ("### `signals[].stream.manage`", "signals: [{name: a, kind: ssf, stream: {manage: {zzz: 1}}}]"),
        ("### `signals[].delivery.poll`", "signals: [{name: a, kind: ssf, delivery: {poll: {zzz: 1}}}]"),
    ] {
        assert_eq!(first_cells(section(&page, heading)), keys(text), "{heading}");
    }
}

#[tokio::test]
async fn every_metric_is_documented() {
    // Metrics of signals are there for each transmitter, and those of webhooks for each webhook.
    let transmitter = "signals_listen: 127.0.0.1:0\nsignals: [{name: a, kind: global_token_revocation, tokens_of: https://id, \
                       authorization: {env: P}}]";
    let webhook = "webhooks: [{name: a, url: 'http://127.0.0.1:9/', secret: {env: HOOK}}]";
    let fixture = Fixture::with(&format!("{transmitter}\n{webhook}")).await;
    let served = fixture.call("GET", "/metrics", "").await.text;
    let served = served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let page = page("operations.md");
    let documented = first_cells(section(&page, "## Metrics of the session service"));
    assert_eq!(documented, served.map(str::to_owned).collect());
}

/// The names of the filter's metrics as its source builds them; `*` stands for a label's value.
fn built() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter/src/metrics.rs");
    let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let names = source.split("\"portcullis.").skip(1).filter_map(|rest| rest.split('"').next());
    let starred = |name: &str| {
        let words = name.split('.').map(|word| if word.starts_with('{') { "*" } else { word });
        words.collect::<Vec<_>>().join(".")
    };
    names.map(|name| format!("portcullis.{}", starred(name))).collect()
}

#[test]
fn every_metric_of_the_filter_is_documented() {
    let page = page("operations.md");
    let documented = first_cells(section(&page, "## Metrics of the filter"));
    let is_label = |word: &&str| word.chars().all(|char| char.is_ascii_uppercase());
    let starred = |name: String| {
        name.split('.').map(|word| if is_label(&word) { "*" } else { word }).collect::<Vec<_>>().join(".")
    };
    assert_eq!(documented.into_iter().map(starred).collect::<BTreeSet<_>>(), built());
}

#[test]
fn every_event_is_an_audit_line_and_described() {
    let kinds: BTreeSet<String> = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    let page = page("operations.md");
    let (_, lines) = page.split_once("| event | when |").expect("the table of the audit lines");
    let rows = lines.lines().skip(2).take_while(|line| line.starts_with('|'));
    let events = rows.filter(|row| !row.contains("| only "));
    assert_eq!(first_cells(&events.collect::<Vec<_>>().join("\n")), kinds);
    let described = description()["components"]["schemas"]["Event"]["properties"]["event"]["enum"].clone();
    assert_eq!(serde_json::from_value::<BTreeSet<String>>(described).unwrap(), kinds);
}

fn description() -> Value {
    serde_norway::from_str(&page("admin-api.openapi.yaml")).unwrap()
}

/// The source of the admin API.
fn source() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder.join("admin")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path| std::fs::read_to_string(path).unwrap();
    read(folder.join("admin.rs")) + &files.map(read).collect::<String>()
}

/// The paths of the admin listener, as the source registers them: axum cannot be asked.
fn registered() -> BTreeSet<String> {
    source().split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_endpoint_is_described_with_its_methods_and_no_other() {
    let description = description();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), registered());
    let fixture = Fixture::open().await;
    let mut endpoints = BTreeSet::new();
    for (path, operations) in paths {
        let real = path.replace("{id}", "00000000000000000000000000000000");
        for method in METHODS {
            let is_described = operations.get(method).is_some();
            // A stream of events does not end, and only its head is of interest here.
            if path == "/v1/events" && is_described {
                endpoints.insert(format!("{} {path}", method.to_uppercase()));
                continue;
            }
            let answer = fixture.call(&method.to_uppercase(), &real, "").await;
            assert_eq!(answer.status != 405, is_described, "{method} {path}: {answer:?}");
            if is_described {
                endpoints.insert(format!("{} {path}", method.to_uppercase()));
                let statuses = operations[method]["responses"].as_object().unwrap();
                assert!(statuses.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
            }
        }
    }
    assert_eq!(first_cells(section(&page("sessions.md"), "## Admin API")), with_codes(endpoints));
}

/// The section of the admin API has one more table: that of the errors.
fn with_codes(mut endpoints: BTreeSet<String>) -> BTreeSet<String> {
    let description = description();
    let codes = description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    endpoints.extend(codes.iter().map(|code| code.as_str().unwrap().to_owned()));
    endpoints
}

/// The codes of the problems, as the source names them.
#[test]
fn every_error_is_described() {
    let source = source();
    let named = source.split("StatusCode::").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let is_code = |text: &&str| text.chars().all(|char| char.is_ascii_lowercase() || char == '_');
    let named: BTreeSet<String> = named.filter(is_code).map(str::to_owned).collect();
    assert_eq!(with_codes(BTreeSet::new()), named);
}

/// The example of a request or a response of the description, behind its reference if it has one.
fn example(description: &Value, place: &str) -> Value {
    let mut found = description.pointer(place).unwrap_or_else(|| panic!("no {place}"));
    if let Some(reference) = found.get("$ref") {
        found = description.pointer(reference.as_str().unwrap().trim_start_matches('#')).unwrap();
    }
    let contents = found["content"].as_object().unwrap_or_else(|| panic!("no content: {place}"));
    contents.values().next().unwrap()["example"].clone()
}

fn answers_as_described(description: &Value, operation: &str, answer: &Answer) {
    let expected = example(description, &format!("{operation}/responses/{}", answer.status));
    assert_eq!(answer.json(), expected, "{operation}");
}

#[tokio::test]
async fn the_examples_of_the_description_are_real_answers() {
    let description = description();
    let id = description["components"]["parameters"]["Id"]["example"].as_str().unwrap();
    let lift = &description["paths"]["/v1/revocations/{id}"]["delete"];
    let revocation = lift["parameters"][0]["example"].as_str().unwrap();
    let unblock = &description["paths"]["/v1/blocks/{id}"]["delete"];
    let block = unblock["parameters"][0]["example"].as_str().unwrap();
    let fixture = Fixture::open().await;
    let steps = [
        ("/paths/~1v1~1sessions", "post", "/v1/sessions".to_owned(), 200),
        ("/paths/~1v1~1sessions", "get", "/v1/sessions".to_owned(), 200),
        ("/paths/~1v1~1sessions~1{id}", "get", format!("/v1/sessions/{id}"), 200),
        ("/paths/~1v1~1sessions~1{id}~1events", "get", format!("/v1/sessions/{id}/events"), 200),
        ("/paths/~1v1~1narrowings", "post", "/v1/narrowings".to_owned(), 200),
        ("/paths/~1v1~1narrowings", "get", "/v1/narrowings".to_owned(), 200),
        ("/paths/~1v1~1sessions~1{id}", "patch", format!("/v1/sessions/{id}"), 200),
        ("/paths/~1v1~1sessions~1{id}~1revoke", "post", format!("/v1/sessions/{id}/revoke"), 200),
        ("/paths/~1v1~1revocations", "post", "/v1/revocations".to_owned(), 200),
        ("/paths/~1v1~1revocations", "get", "/v1/revocations".to_owned(), 200),
        ("/paths/~1v1~1revocations~1{id}", "delete", format!("/v1/revocations/{revocation}"), 200),
        ("/paths/~1v1~1blocks", "post", "/v1/blocks".to_owned(), 200),
        ("/paths/~1v1~1blocks", "get", "/v1/blocks".to_owned(), 200),
        ("/paths/~1v1~1blocks~1{id}", "delete", format!("/v1/blocks/{block}"), 200),
    ];
    for (place, method, path, status) in steps {
        let operation = format!("{place}/{method}");
        let body = match method {
            "get" | "delete" => String::new(),
            _ => example(&description, &format!("{operation}/requestBody")).to_string(),
        };
        if path == "/v1/revocations" && method == "post" {
            // The one before has ended: another session of the subject is there to be revoked.
            let other = json!({"issuer": "https://id.example.com", "key": "s-2", "subject": "alice"});
            assert_eq!(fixture.call("POST", "/v1/sessions", &other.to_string()).await.status, 200);
        }
        let answer = fixture.call(&method.to_uppercase(), &path, &body).await;
        assert_eq!(answer.status, status, "{operation}: {answer:?}");
        answers_as_described(&description, &operation, &answer);
    }
}

#[tokio::test]
async fn the_examples_of_errors_are_real_answers() {
    let description = description();
    let fixture = Fixture::open().await;
    let sessions = "/paths/~1v1~1sessions/post";
    let opening = example(&description, &format!("{sessions}/requestBody")).to_string();
    let big = format!("{{\"issuer\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(fixture.call("POST", "/v1/sessions", &opening).await.status, 200);
    answers_as_described(&description, sessions, &fixture.call("POST", "/v1/sessions", &opening).await);
    answers_as_described(&description, sessions, &fixture.call("POST", "/v1/sessions", &big).await);
    let nameless = r#"{"issuer":"","key":""}"#;
    answers_as_described(&description, sessions, &fixture.call("POST", "/v1/sessions", nameless).await);
    answers_as_described(&description, sessions, &http(fixture.admin, "", "POST", "/v1/sessions", &opening).await);
    let unknown = fixture.call("GET", "/v1/sessions/00000000000000000000000000000000", "").await;
    answers_as_described(&description, "/paths/~1v1~1sessions~1{id}/get", &unknown);
    fixture.faults.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let other = opening.replace("s-1", "s-9");
    answers_as_described(&description, sessions, &fixture.call("POST", "/v1/sessions", &other).await);
}
