//! Tokens in cookies and websocket subprotocols: who may use them, and what the upstream sees of them.

use portcullis_tests::{Kind, Testbed, exchange, policy};
use serde_json::{Value, json};

const APP: &str = "https://app.example.com";

fn places(forward_token: bool) -> Value {
    let mut policy = policy::with_routes(json!([
        {"name": "public", "match": {"path": "/public"}, "public": true},
        {"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true},
    ]));
    policy["token_from"] = json!(["authorization", {"cookie": "session"}, {"websocket_protocol": "bearer"}]);
    policy["allowed_origins"] = json!([APP]);
    policy["forward_token"] = json!(forward_token);
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_carries_the_token_and_changes_nothing_for_pages_of_other_sites() {
    let testbed = Testbed::with_policy(places(true)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let cookie = format!("theme=dark; session={}; lang=de", token.text);
    let call = |method: &str| testbed.call(method, "/me").host("www.example.com").header("cookie", &cookie);
    let answer = call("GET").await;
    assert_eq!(answer.passes().echoed("cookie"), [cookie.as_str()]);
    assert_eq!(answer.echoed("x-portcullis-subject"), ["anna"]);
    call("GET").header("origin", "https://evil.example").await.passes();
    for (origin, passes) in [
        (None, false),
        (Some("https://evil.example"), false),
        (Some("null"), false),
        (Some("https://www.example.com:8443"), false),
        (Some("https://www.example.com"), true),
        (Some(APP), true),
    ] {
        let answer = origin.iter().fold(call("POST"), |call, origin| call.header("origin", origin)).await;
        if passes {
            answer.passes()
        } else {
            answer.refused(403, "cross_origin")
        };
    }
    // The token in another place is nobody's but the page's.
    let bearer = testbed.call("POST", "/me").host("www.example.com").bearer(&token);
    bearer.clone().header("origin", "https://evil.example").await.passes();
    bearer.header("cookie", &cookie).await.refused(400, "malformed_credentials");
    let twice = format!("session={0}; session={0}", token.text);
    testbed.get("/me").header("cookie", twice).await.refused(400, "malformed_credentials");
    testbed.get("/me").header("cookie", "session=; a=b").await.refused(401, "no_credentials");
    testbed.service.admin().revoke(&token.session).await;
    call("GET").await.refused(401, "session_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_taken_away_and_the_other_cookies_stay() {
    let testbed = Testbed::with_policy(places(false)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let cookie = format!("theme=\"dark\"; session=\"{}\"; lang=de", token.text);
    for path in ["/me", "/public"] {
        let answer = testbed.get(path).header("cookie", &cookie).await;
        assert_eq!(answer.passes().echoed("cookie"), ["theme=\"dark\"; lang=de"], "{path}");
    }
    // HTTP/2 may send each cookie in a header of its own.
    let call = testbed.get("/me").http2().header("cookie", "theme=dark");
    let answer = call.header("cookie", format!("session={}", token.text)).header("cookie", "lang=de").await;
    assert_eq!(answer.passes().echoed("cookie").join("; "), "theme=dark; lang=de");
    let answer = testbed.get("/me").header("cookie", format!("session={}", token.text)).await;
    assert_eq!(answer.passes().echoed("cookie"), [""; 0]);
    let answer = testbed.get("/me").bearer(&token).await;
    assert_eq!(answer.passes().echoed("authorization"), [""; 0]);
}

fn headers(own: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    own.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_s_token_is_in_a_subprotocol_that_the_upstream_never_sees() {
    let testbed = Testbed::with_policy(places(true)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let open = async |own: &[(&str, &str)]| {
        testbed.try_open_with(Kind::WebSocket, "www.example.com", "/stream/socket", headers(own)).await
    };
    // The client library fails unless one of its subprotocols is selected, as browsers do.
    let mut socket = open(&[("sec-websocket-protocol", &format!("bearer, {}", token.text))]).await.expect("it opens");
    socket.flows().await;
    let refused = open(&[("sec-websocket-protocol", "bearer, a.b.c")]).await.err().expect("it is refused");
    assert_eq!(refused.status, 401, "{refused:?}");
    let cookie = format!("session={}", token.text);
    let refused = open(&[("cookie", &cookie), ("origin", "https://evil.example")]).await.err().expect("it is refused");
    assert_eq!(refused.status, 403, "{refused:?}");
    let mut by_cookie = open(&[("cookie", &cookie), ("origin", APP)]).await.expect("it opens");
    by_cookie.flows().await;
    testbed.service.admin().revoke(&token.session).await;
    socket.is_cut().await;
    by_cookie.is_cut().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_the_other_subprotocols_and_its_choice_stands() {
    let testbed = Testbed::with_policy(places(true)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let handshake = async |protocols: &str| {
        let request = format!(
            "GET /stream/chat HTTP/1.1\r\nhost: www.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {protocols}\r\n\r\n"
        );
        exchange(testbed.envoy.address, request.as_bytes()).await.text.to_lowercase()
    };
    let answer = handshake(&format!("chat, bearer, {}", token.text)).await;
    assert!(answer.starts_with("http/1.1 101") && answer.contains("\r\nsec-websocket-protocol: chat\r\n"), "{answer}");
    let answer = handshake(&format!("bearer, {}, other", token.text)).await;
    assert!(
        answer.starts_with("http/1.1 101") && answer.contains("\r\nsec-websocket-protocol: bearer\r\n"),
        "{answer}"
    );
    // What reaches the upstream, shown by a request that it echoes.
    let call = testbed.get("/echo").header("sec-websocket-protocol", format!("chat, bearer, {}, other", token.text));
    assert_eq!(call.await.passes().echoed("sec-websocket-protocol"), ["chat, other"]);
}
