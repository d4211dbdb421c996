//! A replica of the session service and the filter's policy are replaced under load.

use portcullis_tests::{Answer, Call, Kind, Service, Testbed, Watch, busy, free_port, policy, until};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const CONNECTIONS: usize = 16;

/// Whether an answer is as expected.
type Right = fn(&Answer) -> bool;

/// Requests that are repeated until the load is stopped; each answer is judged.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Load {
    /// Sends it repeatedly. A missing answer counts as wrong.
    async fn repeat(self: Arc<Self>, call: impl Fn() -> Call, right: Right) {
        while !self.over.load(Ordering::Relaxed) {
            let wrong = match call().try_send().await {
                Ok(answer) if right(&answer) => None,
                Ok(answer) => Some(format!("{answer:?}")),
                Err(fault) => Some(fault),
            };
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.wrong.lock().expect("not poisoned").extend(wrong);
        }
    }

    /// Waits until this many more requests have been answered.
    async fn goes_on(&self, requests: usize) {
        let target = self.answered.load(Ordering::Relaxed) + requests;
        until("the load goes on", async || (self.answered.load(Ordering::Relaxed) >= target).then_some(())).await;
    }

    #[track_caller]
    fn is_right(&self) {
        let wrong = self.wrong.lock().expect("not poisoned");
        let answered = self.answered.load(Ordering::Relaxed);
        println!("{answered} requests, {} of them wrong", wrong.len());
        assert!(wrong.is_empty(), "{} of {answered} are wrong, the first: {}", wrong.len(), wrong[0]);
    }
}

fn add_endpoint(bootstrap: &mut Value, port: u16) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("a list of clusters");
    let session = clusters.iter_mut().find(|cluster| cluster["name"] == "session").expect("a cluster `session`");
    let endpoints = &mut session["load_assignment"]["endpoints"][0]["lb_endpoints"];
    let mut other = endpoints[0].clone();
    other["endpoint"]["address"]["socket_address"]["port_value"] = json!(port);
    endpoints.as_array_mut().expect("a list of endpoints").push(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_costs_no_request() {
    let _busy = busy().await;
    const ROUNDS: usize = 3;
    let port = free_port();
    let policy = policy::streams();
    let testbed =
        Testbed::builder().policy(policy).bootstrap(move |bootstrap| add_endpoint(bootstrap, port)).start().await;
    let replica = testbed.replica(port).await;
    testbed.ready().await;
    let load = Arc::new(Load::default());
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            // Each connection has its own session, which both replicas enrol on first use.
            let call = testbed.client().get("/orders").bearer(testbed.issuer.token().sign());
            tokio::spawn(load.clone().repeat(move || call.clone(), |answer| answer.status == 200))
        })
        .collect();
    let mut streams = Vec::new();
    for kind in Kind::FLOWING {
        streams.push(testbed.open(kind, &testbed.issuer.token().sign()).await);
    }
    for _ in 0..ROUNDS {
        for stopped in [&testbed.service, &replica] {
            load.goes_on(500).await;
            assert!(stopped.terminate().await.success());
            load.goes_on(500).await;
            stopped.restart().await;
        }
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    load.is_right();
    for stream in &mut streams {
        stream.flows().await;
    }
    both_were_asked(&[&testbed.service, &replica]);
}

/// Both replicas must have served part of the load; otherwise nothing was tested.
fn both_were_asked(services: &[&Service]) {
    for service in services {
        assert!(service.output().contains("opened"), "a replica was never asked: {}", service.output());
    }
}

/// A policy in which `/orders` needs one scope. No token of the test has the scope for `/admin`.
fn gate(realm: &str, scope: &str) -> Value {
    let require = json!({"all_of": [scope]});
    let mut policy = policy::with_routes(json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": realm, "match": {"path": "/orders"}, "require": require},
        {"name": "admin", "match": {"path": "/admin"}, "require": {"all_of": ["admin"]}},
    ]));
    policy["realm"] = json!(realm);
    policy
}

/// Whether one of the two policies has refused it.
fn is_decided(answer: &Answer) -> bool {
    let challenge = answer.header("www-authenticate");
    ["realm=\"one\"", "realm=\"two\""].iter().any(|realm| challenge.contains(realm))
}

fn is_released(answer: &Answer) -> bool {
    answer.status == 200 && answer.echoed("x-portcullis-subject") == ["anna"]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make test-faults"]
async fn a_hundred_policies_under_load_leave_nothing_behind() {
    let _busy = busy().await;
    const REPLACEMENTS: usize = 100;
    const WARM_UP: usize = 10;
    const RESIDENT_GROWTH_BYTES_MAX: u64 = 100 << 20;
    const WAIT_MAX: Duration = Duration::from_secs(10);
    let policies = [gate("one", "orders:read"), gate("two", "customers:read")];
    let testbed = Testbed::builder().policy(policies[0].clone()).watch(Watch::Listener).start().await;
    testbed.ready().await;
    let vms = async || testbed.envoy.stat("wasm.envoy.wasm.runtime.v8.active").await;
    let vms_at_first = vms().await;
    let load = Arc::new(Load::default());
    let token = |scopes: &str| testbed.issuer.token().scopes(scopes).sign();
    let client = testbed.client();
    let (both, one, none) = (token("orders:read customers:read"), token("orders:read"), token("orders:write"));
    let calls: [(Call, Right); 5] = [
        // Right under either policy.
        (client.get("/orders").bearer(&both), is_released),
        // Right under one, and refused by the other.
        (client.get("/orders").bearer(&one), |answer| {
            is_released(answer) || answer.status == 403 && is_decided(answer)
        }),
        // Right under neither.
        (client.get("/orders").bearer(&none), |answer| answer.status == 403 && is_decided(answer)),
        (client.get("/admin").bearer(&both), |answer| answer.status == 403 && is_decided(answer)),
        (client.get("/orders"), |answer| answer.status == 401 && is_decided(answer)),
    ];
    let connections: Vec<_> = calls
        .into_iter()
        .flat_map(|(call, right)| {
            let (kept, fresh) = (call.clone(), call);
            let kept = tokio::spawn(load.clone().repeat(move || kept.clone(), right));
            let fresh = tokio::spawn(load.clone().repeat(move || fresh.clone().fresh(), right));
            [kept, fresh]
        })
        .collect();
    let mut resident_at_first = 0;
    let mut slowest = Duration::ZERO;
    for number in 1..=WARM_UP + REPLACEMENTS {
        let start = Instant::now();
        let policy = &policies[number % 2];
        testbed.envoy.replace_policy(policy).await;
        let realm = format!("realm={}", policy["realm"]);
        let decides = |answer: &Answer| answer.header("www-authenticate").contains(&realm);
        testbed.get("/orders").until("the new policy decides", decides).await;
        load.goes_on(CONNECTIONS).await;
        slowest = slowest.max(start.elapsed());
        if number == WARM_UP {
            resident_at_first = testbed.envoy.resident_bytes();
        }
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    load.is_right();
    until("replaced policies are gone", async || (vms().await <= vms_at_first).then_some(())).await;
    let resident = testbed.envoy.resident_bytes();
    println!(
        "{REPLACEMENTS} replacements, the slowest {slowest:?}; resident {} MiB after the first {WARM_UP}, {} MiB at last; {vms_at_first} VMs",
        resident_at_first >> 20,
        resident >> 20
    );
    assert!(slowest < WAIT_MAX, "{slowest:?}");
    assert!(resident < resident_at_first + RESIDENT_GROWTH_BYTES_MAX, "{} MiB", resident >> 20);
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
    // The filter decided every request.
    let undecided: Vec<Value> = testbed
        .envoy
        .access_log()
        .into_iter()
        .filter(|line| !line["portcullis"].to_string().contains("code="))
        .collect();
    assert!(undecided.is_empty(), "{} requests, the first: {}", undecided.len(), undecided[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_policy_no_longer_counts_as_connected() {
    const CONNECTED: &str = "portcullis.check_stream.connected";
    /// Two workers and the main thread.
    const THREADS: u64 = 3;
    let testbed = Testbed::builder().policy(gate("0", "orders:read")).watch(Watch::Listener).start().await;
    let connected = async |count: u64| {
        until(&format!("the gauge is {count}"), async || (testbed.envoy.stat(CONNECTED).await == count).then_some(()))
            .await;
    };
    connected(THREADS).await;
    for realm in ["1", "2"] {
        testbed.envoy.replace_policy(&gate(realm, "orders:read")).await;
        testbed.ready().await;
    }
    connected(THREADS).await;
    testbed.service.kill();
    connected(0).await;
}

/// The gauge of invalid policies.
const REJECTED: &str = "portcullis.policy.rejected.filter.portcullis";

/// A policy with one typo.
fn typo() -> Value {
    let mut policy = gate("typo", "orders:read");
    policy["surprise"] = json!(true);
    policy
}

async fn an_invalid_policy_leaves_the_last_good_one_in_force(watch: Watch) {
    let testbed = Testbed::builder().policy(gate("one", "orders:read")).watch(watch).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().scopes("orders:read").sign();
    assert_eq!(testbed.envoy.stats(REJECTED).await[0].1, 0);
    // Envoy does not ask the filter again about the one that it has rejected already.
    for invalid in [typo(), json!({}), typo()] {
        testbed.envoy.offer_invalid_policy(&invalid).await;
        assert_eq!(testbed.envoy.stats(REJECTED).await[0].1, 1);
        // New connections find it in force as well.
        let answer = testbed.get("/orders").bearer(&token).fresh().await;
        assert!(is_released(&answer), "{answer:?}");
        let refused = testbed.get("/orders").fresh().await;
        assert!(refused.header("www-authenticate").contains("realm=\"one\""), "{refused:?}");
    }
    let log = testbed.envoy.log();
    let in_force = log.split("portcullis: policy ").nth(1).expect("a policy was in force");
    let digest = in_force.split(' ').next().expect("its digest");
    assert!(
        log.contains(&format!("the new policy is invalid and was rejected; the last valid one is {digest}")),
        "{log}"
    );
    assert!(log.contains("$.surprise"), "{log}");
    // A good policy goes on from there.
    testbed.envoy.replace_policy(&gate("two", "customers:read")).await;
    let decides = |answer: &Answer| answer.header("www-authenticate").contains("realm=\"two\"");
    testbed.get("/orders").until("the new policy decides", decides).await;
    assert_eq!(testbed.get("/orders").bearer(&token).fresh().await.status, 403);
    assert_eq!(testbed.envoy.stats(REJECTED).await[0].1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_policy_in_a_listener_leaves_the_last_good_one_in_force() {
    an_invalid_policy_leaves_the_last_good_one_in_force(Watch::Listener).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_policy_in_an_extension_leaves_the_last_good_one_in_force() {
    an_invalid_policy_leaves_the_last_good_one_in_force(Watch::Filter).await;
}

/// Envoy remembers that it has taken this configuration once. If a worker then rejected it, Envoy would reject every later
/// update of the module, good ones too.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_policy_of_the_start_refuses_all_whenever_it_returns_and_a_good_one_can_follow() {
    let testbed = Testbed::builder().policy(typo()).watch(Watch::Listener).start().await;
    assert_eq!(testbed.get("/orders").await.status, 503);
    for realm in ["one", "two"] {
        testbed.envoy.replace_policy(&gate(realm, "orders:read")).await;
        let realm = format!("realm=\"{realm}\"");
        let decides = |answer: &Answer| answer.header("www-authenticate").contains(&realm);
        testbed.get("/orders").until("the good policy decides", decides).await;
        testbed.envoy.replace_policy(&typo()).await;
        testbed.get("/orders").until("the invalid one refuses all", |answer| answer.status == 503).await;
    }
}
