//! The answers that refused gRPC-Web callers get, with Envoy's `grpc_web` filter in front of ours and without it.

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_tests::{Answer, Call, Testbed, policy};
use serde_json::{Value, json};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

/// An empty message, as each encoding frames it.
fn message(content_type: &str) -> Vec<u8> {
    if content_type == TEXT { STANDARD.encode([0; 5]).into_bytes() } else { vec![0; 5] }
}

/// Puts a filter in front of ours.
fn in_front(filter: Value) -> impl FnOnce(&mut Value) + Send + 'static {
    move |bootstrap| {
        let place = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
        let filters = bootstrap.pointer_mut(place).and_then(Value::as_array_mut);
        filters.expect("a list of filters").insert(0, filter);
    }
}

fn grpc_web() -> Value {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb";
    json!({"name": "envoy.filters.http.grpc_web", "typed_config": {"@type": kind}})
}

/// The body of a gRPC-Web answer. In text, each part is encoded on its own.
fn body(answer: &Answer) -> Vec<u8> {
    if !answer.header("content-type").starts_with("application/grpc-web-text") {
        return answer.body.to_vec();
    }
    let quads = answer.body.chunks(4).map(|quad| STANDARD.decode(quad).expect("base64"));
    quads.flatten().collect()
}

/// `grpc-status` and `grpc-message` of a gRPC-Web answer: from its headers, else from its frame of trailers.
fn status(answer: &Answer) -> (String, String) {
    let body = body(answer);
    let trailers = body.split_at_checked(5).filter(|(head, _)| head[0] == 0x80).map(|(_, text)| text);
    let trailers = String::from_utf8_lossy(trailers.unwrap_or_default()).into_owned();
    let field = |name: &str| {
        let trailer = trailers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        trailer.unwrap_or_else(|| answer.header(name)).to_owned()
    };
    (field("grpc-status"), field("grpc-message"))
}

/// Demands the documented gRPC status of each refusal, in each encoding.
async fn demand_refusals(testbed: &Testbed) {
    let token = testbed.issuer.token().scopes("customers:read").sign();
    let post = |path: &str| testbed.call("POST", path);
    let refusals: [(Call, &str, &str, &str); 4] = [
        (post("/orders"), "16", "no_credentials", "Bearer realm=\"orders\""),
        (post("/orders").bearer("a.b.c"), "16", "invalid_token", "Bearer realm=\"orders\", error=\"invalid_token\""),
        (post("/orders").bearer(&token), "7", "insufficient_scope", "scope=\"orders:read\""),
        (post("/orders//1"), "3", "ambiguous_path", ""),
    ];
    for (call, grpc_status, code, challenge) in refusals {
        for content_type in ["application/grpc-web", BINARY, "application/grpc-web-text", TEXT] {
            for call in [call.clone(), call.clone().http2()] {
                let text = if content_type.contains("text") { TEXT } else { BINARY };
                let call = call.header("content-type", content_type).header("accept", text);
                let answer = call.body(message(text)).await;
                let (got, message) = status(&answer);
                assert_eq!((answer.status.as_u16(), got.as_str()), (200, grpc_status), "{content_type}: {answer:?}");
                assert!(message.starts_with(&format!("{code}: ")), "{answer:?}");
                assert_eq!(answer.header("content-type"), text, "{answer:?}");
                assert!(answer.header("www-authenticate").contains(challenge), "{answer:?}");
            }
        }
        // Plain gRPC is as right as before.
        let answer = call.grpc().await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, grpc_status), "{answer:?}");
        assert!(answer.header("grpc-message").starts_with(&format!("{code}: ")), "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/grpc");
    }
}

fn orders() -> Value {
    policy::with_routes(json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "orders", "match": {"path": "/orders"}, "require": {"all_of": ["orders:read"]}},
        {"name": "talk", "match": {"path": "/shop.Orders/{method}"}, "require": {"all_of": ["orders:read"]}},
    ]))
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_grpc_web_filter_callers_get_the_documented_grpc_status() {
    let testbed = Testbed::builder().policy(orders()).bootstrap(in_front(grpc_web())).start().await;
    testbed.ready().await;
    demand_refusals(&testbed).await;
    // What is released is translated: the upstream speaks gRPC.
    let token = testbed.issuer.token().sign();
    for content_type in [BINARY, TEXT] {
        // Over h2, so that Envoy speaks it to the upstream as well: gRPC needs trailers.
        let call = testbed.call("POST", "/shop.Orders/Talk").bearer(&token).http2().header("accept", content_type);
        let answer = call.header("content-type", content_type).body(message(content_type)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, content_type), "{answer:?}");
        let body = String::from_utf8_lossy(&body(&answer)).into_owned();
        assert!(body.starts_with("\0\0\0\0\0") && body.contains("grpc-status:0"), "{body:?}");
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_grpc_web_filter_callers_get_the_same_status() {
    let testbed = Testbed::with_policy(orders()).await;
    testbed.ready().await;
    demand_refusals(&testbed).await;
}
