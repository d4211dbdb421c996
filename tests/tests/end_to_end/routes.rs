//! Which rule answers a request.

use portcullis_tests::{Testbed, exchange, policy};
use serde_json::json;

fn public(name: &str, matching: serde_json::Value) -> serde_json::Value {
    json!({"name": name, "match": matching, "public": true})
}

fn members(name: &str, matching: serde_json::Value) -> serde_json::Value {
    json!({"name": name, "match": matching, "authenticated": true})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_path_wins() {
    // Whether a request needs a token shows which rule was found.
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        members("rest", json!({"path": "/a/{*rest}"})),
        public("one", json!({"path": "/a/{id}"})),
        members("literal", json!({"path": "/a/b"})),
        public("deep", json!({"path": "/a/b/{*rest}"})),
        members("deeper", json!({"path": "/a/{id}/x"})),
    ])))
    .await;
    let cases = [
        ("/a/b", 401),
        ("/a/c", 200),
        ("/a/c/d", 401),
        ("/a/b/c", 200),
        ("/a/b/c/d", 200),
        ("/a/c/x", 401),
        ("/a", 403),
        ("/a/", 403),
        ("/b", 403),
        ("/A/c", 403),
        ("/a/c?x=/../y", 200),
    ];
    for (path, status) in cases {
        let answer = testbed.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_host_wins() {
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        members("any", json!({"path": "/x"})),
        public("wild", json!({"hosts": ["*.example.com"], "path": "/x"})),
        members("exact", json!({"hosts": ["admin.example.com"], "path": "/x"})),
    ])))
    .await;
    let cases = [
        ("other.org", 401),
        ("a.example.com", 200),
        ("A.EXAMPLE.com", 200),
        ("a.example.com:8443", 200),
        ("a.example.com.", 200),
        ("admin.example.com", 401),
        ("ADMIN.example.com:1", 401),
        ("example.com", 401),
        ("evilexample.com", 401),
    ];
    for (host, status) in cases {
        let answer = testbed.get("/x").host(host).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_part_of_the_rule() {
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        public("read", json!({"methods": ["GET", "HEAD"], "path": "/x"})),
        members("change", json!({"methods": ["PUT"], "path": "/x"})),
    ])))
    .await;
    for (method, status) in
        [("GET", 200), ("HEAD", 200), ("PUT", 401), ("POST", 403), ("DELETE", 403), ("OPTIONS", 403)]
    {
        let answer = testbed.call(method, "/x").await;
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_paths_are_refused_before_matching() {
    let everything = json!([public("all", json!({"path": "/{*rest}"}))]);
    let testbed = Testbed::with_policy(policy::with_routes(everything)).await;
    let ambiguous = [
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a%00b",
        "/%2e%2e/b",
        "/a/%2E/b",
        "/a/.%2e/b",
        "/a\\b",
        "//a",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/a/.",
        "/a;x=1/b",
        "/a/b;jsessionid=1",
    ];
    for path in ambiguous {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = exchange(testbed.envoy.address, request.as_bytes()).await;
        assert_eq!(answer.status, Some(400), "{path}: {answer:?}");
        assert!(answer.text.contains("\"ambiguous_path\""), "{path}: {answer:?}");
    }
    for path in ["/a/b", "/a/b?x=//../%2f;", "/a.b/..c", "/a%20b", "/%C3%A4"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = exchange(testbed.envoy.address, request.as_bytes()).await;
        assert_eq!(answer.status, Some(200), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_and_no_head_leads_from_a_strict_rule_to_a_weaker_one() {
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        members("special", json!({"path": "/a/special"})),
        public("one", json!({"path": "/a/{id}"})),
        members("read", json!({"methods": ["GET"], "path": "/b/special"})),
        public("any", json!({"path": "/b/{id}"})),
    ])))
    .await;
    for suffix in ["%20", "%0a", "%0A", "%3f", "%3F", "%23", "%3b", "%00", "%2520", "%253f"] {
        testbed.get(&format!("/a/special{suffix}")).await.refused(400, "ambiguous_path");
    }
    for (path, status) in [("/a/special", 401), ("/a/%73pecial", 401), ("/a/special?", 401), ("/a/special%21", 200)] {
        testbed.get(path).await.status(status);
    }
    for (method, path, status) in [
        ("HEAD", "/a/special", 401),
        ("HEAD", "/b/special", 401),
        ("GET", "/b/special", 401),
        ("HEAD", "/b/other", 200),
    ] {
        assert_eq!(testbed.call(method, path).await.status, status, "{method} {path}");
    }
    // As documented, other methods fall to the less specific rule; `policy check` warns about it.
    testbed.call("DELETE", "/b/special").await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_routes_load_and_match() {
    let routes: Vec<_> = (0..10_000)
        .map(|number| public(&format!("route-{number}"), json!({"path": format!("/service-{number}/{{id}}")})))
        .collect();
    let testbed = Testbed::with_policy(policy::with_routes(json!(routes))).await;
    for number in [0, 1, 4_999, 9_999] {
        testbed.get(&format!("/service-{number}/x")).await.passes();
    }
    testbed.get("/service-10000/x").await.refused(403, "no_route");
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_passes_only_where_the_policy_says_so() {
    let preflight = |testbed: &Testbed| {
        testbed
            .call("OPTIONS", "/orders")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "GET")
    };
    let testbed = Testbed::start().await;
    preflight(&testbed).await.refused(403, "no_route");
    let mut policy = policy::patient();
    policy["cors_preflight"] = json!("allow");
    let testbed = Testbed::with_policy(policy).await;
    preflight(&testbed).await.passes();
    let plain = testbed.call("OPTIONS", "/orders").header("origin", "https://app.example.com");
    plain.await.refused(403, "no_route");
    let asking = |path: &str, method: &str| {
        let call = testbed.call("OPTIONS", path).header("origin", "https://app.example.com");
        call.header("access-control-request-method", method)
    };
    asking("/orders", "DELETE").await.refused(403, "no_route");
    asking("/nowhere", "GET").await.refused(403, "no_route");
    let seen = testbed.upstream.count();
    preflight(&testbed).body("x").await.refused(403, "no_route");
    preflight(&testbed).http2().body("x").await.refused(403, "no_route");
    preflight(&testbed).http2().await.passes();
    assert_eq!(testbed.upstream.count(), seen + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_slash_reaches_the_upstream_as_it_came_and_only_on_a_route_that_says_so() {
    let npm = json!({"path": "/npm/{package}", "encoded_slash": "segment"});
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        public("npm", npm),
        public("files", json!({"path": "/files/{*rest}"})),
        public("suspend", json!({"methods": ["POST"], "path": "/orders/{id}:suspend"})),
    ])))
    .await;
    let answer = testbed.get("/npm/@scope%2fname").await;
    assert_eq!(answer.passes().json()["path"], "/npm/@scope%2fname");
    for path in ["/npm/@scope%2fname/x", "/files/a%2fb", "/npm%2fx", "/npm/..%2fx", "/npm/a%252fb"] {
        testbed.get(path).await.refused(400, "ambiguous_path");
    }
    testbed.call("POST", "/orders/7:suspend").await.passes();
    testbed.call("POST", "/orders/7:resume").await.refused(403, "no_route");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_token_is_checked_where_it_is_sent() {
    let mut policy = policy::with_routes(json!([
        {"name": "me", "match": {"path": "/Me"}, "authenticated": true},
        {"name": "list", "match": {"path": "/list"}, "authenticated": "optional"},
    ]));
    policy["ignore_case"] = json!(true);
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let answer = testbed.get("/LIST").header("x-portcullis-subject", "root").await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), [""; 0]);
    let token = testbed.issuer.token().sign();
    let answer = testbed.get("/list").bearer(&token).await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"]);
    testbed.service.admin().revoke(&token.session).await;
    testbed.get("/list").bearer(&token).await.refused(401, "session_revoked");
    testbed.get("/list").header("authorization", "Bearer").await.refused(400, "malformed_credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_read_meets_no_rule_for_every_host() {
    let testbed = Testbed::with_policy(policy::with_routes(json!([
        members("admin", json!({"hosts": ["admin.example.com", "*.corp.example.com"], "path": "/{*rest}"})),
        public("all", json!({"path": "/{*rest}"})),
    ])))
    .await;
    for host in [
        "admin.example.com:99999",
        "admin.example.com:abc",
        "admin.example.com:80:80",
        "admin.example.com..",
        "u@admin.example.com",
        "admin%2eexample.com",
        "admin.example.com,other",
        "a..corp.example.com",
        "[::1",
        "",
    ] {
        let request = format!("GET /x HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = exchange(testbed.envoy.address, request.as_bytes()).await;
        assert!(answer.status.is_some_and(|status| status >= 400), "{host}: {answer:?}");
    }
    testbed.get("/x").host("elsewhere.example.com").await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorizations_are_refused_before_matching() {
    let testbed = Testbed::with_policy(policy::with_routes(json!([public("all", json!({"path": "/open"}))]))).await;
    for path in ["/open", "/nowhere"] {
        let two = "authorization: Bearer a\r\nauthorization: Bearer b\r\n";
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{two}connection: close\r\n\r\n");
        let answer = exchange(testbed.envoy.address, request.as_bytes()).await;
        assert_eq!(answer.status, Some(400), "{path}: {answer:?}");
    }
}
