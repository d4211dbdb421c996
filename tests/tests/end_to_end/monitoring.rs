//! The dashboard and the alert rules of `deploy/` ask for metrics that a real Envoy and the real service have.

use crate::session_cookie::{self, COOKIE, HANDLE};
use portcullis_tests::{Answer, Client, FakeService, IssuerBehaviour, Kind, Testbed, policy, root, scenario, until};
use regex::Regex;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// The labels that a scraper adds.
const SCRAPED: [&str; 3] = ["instance", "namespace", "service"];

fn file(name: &str) -> String {
    fs::read_to_string(root().join("deploy/helm/portcullis/monitoring").join(name)).expect("a file of the chart")
}

/// Each query, with the place that asks for it.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).expect("JSON");
    let rules: Value = serde_saphyr::from_str(&file("alerts.yaml")).expect("YAML");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let panels = list(&dashboard["panels"]).into_iter().filter(|panel| panel["type"] != "row");
    let asked =
        panels.flat_map(|panel| list(&panel["targets"]).into_iter().map(move |of| (panel["title"].clone(), of)));
    let alerts = list(&rules["groups"]).into_iter().flat_map(|group| list(&group["rules"]));
    asked
        .chain(alerts.map(|rule| (rule["alert"].clone(), rule)))
        .map(|(place, of)| (place.to_string(), of["expr"].as_str().expect("a query").to_owned()))
        .collect()
}

/// A metric with the labels that a query compares.
struct Selector<'a> {
    metric: &'a str,
    matchers: Vec<(&'a str, &'a str, &'a str)>,
}

/// What a query selects, and the labels that it groups by.
fn selectors(query: &str) -> (Vec<Selector<'_>>, Vec<&str>) {
    let (mut selectors, mut groups) = (Vec::new(), Vec::new());
    let mut rest = query;
    while let Some(start) = rest.find(|char: char| char.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "by" {
            let (inside, after) = after.trim_start_matches(" (").split_once(')').expect("a closed list");
            groups.extend(inside.split(", "));
            rest = after;
        } else if word.starts_with("portcullis_") {
            let (inside, after) =
                after.strip_prefix('{').map_or(("", after), |after| after.split_once('}').expect("closed braces"));
            selectors.push(Selector { metric: word, matchers: inside.split_terminator(", ").map(matcher).collect() });
            rest = after;
        }
    }
    assert!(!selectors.is_empty(), "no metric in {query}");
    (selectors, groups)
}

fn matcher(text: &str) -> (&str, &str, &str) {
    let at = text.find(['=', '!']).expect("an operator");
    let (label, rest) = text.split_at(at);
    let (operator, value) = rest.split_at(rest.find('"').expect("a value"));
    (label, operator, value.trim_matches('"'))
}

/// Series by metric, each with its labels.
type Series = BTreeMap<String, Vec<BTreeMap<String, String>>>;

fn read(text: &str, series: &mut Series) {
    for line in text.lines().filter(|line| line.starts_with("portcullis_")) {
        let (name, _) = line.rsplit_once(' ').expect("a value");
        let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels.trim_end_matches('}').split_terminator(',').map(|label| {
            let (label, value) = label.split_once('=').expect("a label");
            (label.to_owned(), value.trim_matches('"').to_owned())
        });
        series.entry(metric.to_owned()).or_default().push(labels.collect());
    }
}

async fn scrape(testbed: &Testbed) -> Series {
    let mut series = Series::new();
    for answer in [
        testbed.service.admin().call("GET", "/metrics").await,
        Client::new(testbed.envoy.admin).get("/stats/prometheus").await,
    ] {
        read(&String::from_utf8_lossy(&answer.body), &mut series);
    }
    series
}

/// Metrics of signals are there for each transmitter, and those of webhooks for each webhook.
fn with_a_transmitter(config: &mut Value) {
    config["signals_listen"] = json!("127.0.0.1:0");
    config["signals"] = json!([{
        "name": "incidents", "kind": "global_token_revocation", "tokens_of": "https://id.example.com",
        "authorization": {"env": "PORTCULLIS_ADMIN_CREDENTIAL"},
    }]);
    let secret = root().join("tests/tests/end_to_end/webhook-secret.txt");
    config["webhooks"] = json!([{"name": "ops", "url": "http://127.0.0.1:9/", "secret": {"file": secret}}]);
}

/// Plays the demo's scenario, and then what it does not show: a stream that is cut, a bad token, and an outage.
async fn played(edit: impl FnOnce(&mut Value) + Send + 'static) -> Series {
    let mut policy = policy::patient();
    let routes = policy["routes"].as_array_mut().expect("routes");
    let streams = json!({"path": "/stream/{*rest}"});
    routes.push(json!({"name": "streams", "match": streams, "require": {"all_of": ["orders:read"]}}));
    let lease = json!({"freshness": {"lease": "5s"}});
    routes.push(json!({"name": "leased", "match": {"path": "/leased"}, "authenticated": true, "session": lease}));
    for route in routes.iter_mut().filter(|route| route["name"] == "me") {
        route["session"] = json!({"on_outage": {"grace": "1h"}});
    }
    let testbed = Testbed::builder().policy(policy).session(with_a_transmitter).bootstrap(edit).start().await;
    testbed.ready().await;
    scenario::play(&testbed, &mut |_| ()).await;
    let token = testbed.issuer.token().sign();
    let mut stream = testbed.open(Kind::EventsHttp1, &token).await;
    counted(&testbed, "followed_requests").await;
    testbed.service.admin().revoke(&token.session).await;
    stream.is_cut().await;
    testbed.get("/orders").bearer("a.b.c").await.refused(401, "invalid_token");
    let known = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&known).await.passes();
    testbed.service.kill();
    let released = |answer: &Answer| !answer.echoed("x-portcullis-outage").is_empty();
    testbed.get("/me").bearer(&known).fresh().until("a release in the outage", released).await;
    let refused = |answer: &Answer| answer.status == 503;
    testbed.get("/orders").bearer(&known).fresh().until("a request without a verdict", refused).await;
    testbed.service.restart().await;
    testbed.ready().await;
    let leased = testbed.get("/leased").bearer(testbed.issuer.token().sign()).http2();
    until("a lease releases a request", async || {
        // One worker may have its stream back before the other.
        leased.clone().await;
        (testbed.envoy.stat("leases.event.released").await > 0).then_some(())
    })
    .await;
    let counters = ["portcullis.outage_releases", "outcome.no_verdict", "portcullis.cuts", "leases.held"];
    for counter in counters {
        counted(&testbed, counter).await;
    }
    scrape(&testbed).await
}

/// A proxy that refuses nothing, and whose key fetches fail.
async fn shadowed(edit: impl FnOnce(&mut Value) + Send + 'static) -> Series {
    let mut policy = policy::patient();
    policy["mode"] = json!("shadow");
    let keys = IssuerBehaviour::Status(500);
    let testbed = Testbed::builder().policy(policy).keys(keys).bootstrap(edit).start().await;
    testbed.get("/nowhere").await;
    for counter in ["portcullis.shadowed", "key_fetches.result.failed"] {
        counted(&testbed, counter).await;
    }
    scrape(&testbed).await
}

/// A proxy that is shown a handle, which a fake service does not know.
async fn shown_a_handle(edit: impl FnOnce(&mut Value) + Send + 'static) -> Series {
    let fake = FakeService::start().await;
    let builder = Testbed::builder().policy(session_cookie::policy(|_| ())).cluster("session", fake.address.port());
    let testbed = builder.bootstrap(edit).start().await;
    testbed.ready().await;
    testbed.get("/me").header("cookie", format!("{COOKIE}={HANDLE}")).await.refused(401, "invalid_token");
    counted(&testbed, "redemptions.result.refused").await;
    scrape(&testbed).await
}

async fn counted(testbed: &Testbed, counter: &str) {
    until(counter, async || (testbed.envoy.stat(counter).await > 0).then_some(())).await;
}

/// Everything that a proxy with this bootstrap and the service have counted.
async fn all(edit: impl FnOnce(&mut Value) + Clone + Send + 'static) -> Series {
    let mut series = played(edit.clone()).await;
    for (metric, more) in shadowed(edit.clone()).await.into_iter().chain(shown_a_handle(edit).await) {
        series.entry(metric).or_default().extend(more);
    }
    series
}

/// Which queries ask for what is not there, and which metrics no query asks for.
fn faults(series: &Series) -> Vec<String> {
    let (mut faults, mut asked) = (Vec::new(), BTreeSet::new());
    for (place, query) in &queries() {
        let (selectors, groups) = selectors(query);
        for Selector { metric, matchers } in &selectors {
            asked.insert(family(metric).to_owned());
            let of = series.get(*metric).map_or(&[][..], Vec::as_slice);
            if of.is_empty() {
                faults.push(format!("{place}: there is no metric `{metric}`"));
            }
            for (label, operator, value) in matchers {
                let fits = |labels: &BTreeMap<String, String>| {
                    labels.get(*label).is_some_and(|is| *operator != "=" || is == value)
                };
                if !of.iter().any(fits) {
                    faults.push(format!("{place}: no `{metric}` has {label}{operator}\"{value}\""));
                }
            }
            for label in groups.iter().filter(|label| !SCRAPED.contains(label)) {
                if !of.iter().any(|labels| labels.contains_key(*label)) {
                    faults.push(format!("{place}: no `{metric}` has a label `{label}`"));
                }
            }
        }
    }
    let unasked = series.keys().filter(|metric| !asked.contains(family(metric)));
    faults.extend(unasked.map(|metric| format!("no query asks for `{metric}`")));
    faults
}

/// The name of a histogram, without what its series end in.
fn family(metric: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric)
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_ask_for_metrics_and_labels_that_exist() {
    let faults = faults(&all(|_| ()).await);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Applies the rules of the shipped PodMonitor as Prometheus does: a rule whose regular expression does not match the whole
/// name does nothing.
fn relabelled(series: Series) -> Series {
    let path = root().join("deploy/manifests/podmonitor.yaml");
    let monitor: Value = serde_saphyr::from_str(&fs::read_to_string(path).expect("a manifest")).expect("YAML");
    let rules = monitor["spec"]["podMetricsEndpoints"][0]["metricRelabelings"].as_array().expect("rules").clone();
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| {
            assert_eq!(rule["sourceLabels"], json!(["__name__"]));
            let whole = format!("^(?:{})$", rule["regex"].as_str().expect("a regular expression"));
            (Regex::new(&whole).expect("a regular expression"), rule["targetLabel"].as_str().expect("a label"))
        })
        .collect();
    let mut all = Series::new();
    for (metric, of) in series {
        for mut labels in of {
            let mut name = metric.clone();
            for (regex, target) in &rules {
                let Some(value) = regex.captures(&name).map(|captures| captures[1].to_owned()) else { continue };
                if *target == "__name__" {
                    name = value;
                } else {
                    labels.insert((*target).to_owned(), value);
                }
            }
            all.entry(name).or_default().push(labels);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_tag_rules_has_the_same_metrics_behind_the_shipped_pod_monitor() {
    let without = |bootstrap: &mut Value| {
        bootstrap.as_object_mut().expect("a bootstrap").remove("stats_config");
    };
    let series = all(without).await;
    assert!(series.contains_key("portcullis_checks_outcome_no_verdict"), "{:?}", series.keys());
    let faults = faults(&relabelled(series));
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
#[ignore = "fetches Debian's promtool: part of `make test-faults`"]
fn promtool_accepts_the_alert_rules_and_every_query_of_the_dashboard() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rules: Vec<_> = queries()
        .into_iter()
        .enumerate()
        .map(|(at, (_, query))| json!({"record": format!("query_{at}"), "expr": query.replace("$__rate_interval", "5m")}))
        .collect();
    let of_dashboard = dir.path().join("dashboard.yaml");
    fs::write(&of_dashboard, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).expect("a file");
    let mut command = Command::new(root().join("deploy/tools.sh"));
    command.args(["run", "promtool", "check", "rules", "deploy/helm/portcullis/monitoring/alerts.yaml"]);
    let output = command.arg(&of_dashboard).current_dir(root()).output().expect("promtool runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}
