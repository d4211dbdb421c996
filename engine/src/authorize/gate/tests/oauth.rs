//! Requests for the token endpoint: which of them reach it, and what they have with them.

use super::*;
use crate::authorize::{fixtures::with_handles, log_record, request::Permit};
use serde_json::json;

const HANDLE: &str = "pcr_0123456789abcdefghijklmnopqrstuvwxyz";

fn bench(more: serde_json::Value) -> Bench {
    Bench::of(with_handles(more), &welcome(&[wire::COOKIES]))
}

/// A request that Envoy would take to this cluster.
fn send(bench: &mut Bench, line: [&str; 2], more: &[(&str, &str)], cluster: &str) -> Step {
    let base = [(":method", line[0]), (":path", line[1]), (":authority", "api.example")];
    let headers = base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    let headers: Vec<_> = headers.collect();
    let look_up = |what: LookUp<'_>| (what == LookUp::RouteCluster).then(|| cluster.as_bytes().to_vec());
    let step = bench.gate.arrive(1, &Head::read(&headers), look_up, at(NOW_MS));
    bench.gate.gone(1);
    step
}

fn passed(step: Step) -> Permit {
    match step {
        Step::Release(permit) => permit,
        other => panic!("{other:?}"),
    }
}

const OWN: (&str, &str) = ("origin", "https://api.example");

#[test]
fn pages_of_the_own_origin_reach_it_and_others_do_not() {
    let mut bench = bench(json!({"allowed_origins": ["https://app.example"]}));
    for (line, origin, expected) in [
        (["POST", "/oauth2/token"], Some("https://api.example"), "released"),
        (["POST", "/oauth2/token"], Some("https://app.example"), "released"),
        (["POST", "/oauth2/token"], Some("https://evil.example"), "cross_origin"),
        (["POST", "/oauth2/token"], Some("null"), "cross_origin"),
        (["POST", "/oauth2/token"], None, "released"),
        (["POST", "/oauth2/logout"], Some("https://api.example"), "released"),
        (["POST", "/oauth2/logout"], Some("https://evil.example"), "cross_origin"),
        (["POST", "/oauth2/logout"], None, "cross_origin"),
        (["GET", "/oauth2/token"], Some("https://api.example"), "no_route"),
        (["OPTIONS", "/oauth2/logout"], Some("https://api.example"), "no_route"),
        (["POST", "/oauth2/token/"], Some("https://api.example"), "no_route"),
        (["POST", "/oauth2/revoke"], Some("https://api.example"), "no_route"),
        (["POST", "/oauth2"], Some("https://api.example"), "no_route"),
    ] {
        let origin: Vec<_> = origin.into_iter().map(|origin| ("origin", origin)).collect();
        let preflight = [("access-control-request-method", "POST")];
        let headers: Vec<_> = origin.into_iter().chain(preflight).collect();
        assert_eq!(code(&send(&mut bench, line, &headers, "session")), expected, "{line:?} {headers:?}");
    }
}

#[test]
fn no_login_goes_anywhere_but_to_its_cluster() {
    let mut bench = bench(json!({}));
    for (cluster, expected) in
        [("session", "released"), ("upstream", "session_unavailable"), ("", "session_unavailable")]
    {
        assert_eq!(code(&send(&mut bench, ["POST", "/oauth2/token"], &[OWN], cluster)), expected);
        assert_eq!(bench.gate.take_misrouted().as_deref(), (expected != "released").then_some(cluster));
        assert_eq!(bench.gate.take_misrouted(), None);
    }
}

#[test]
fn a_path_without_an_endpoint_is_decided_by_the_rules() {
    let everything = json!([{"name": "all", "match": {"path": "/{*rest}"}, "public": true}]);
    let mut with = bench(json!({"routes": everything}));
    assert_eq!(code(&send(&mut with, ["GET", "/oauth2/token"], &[OWN], "session")), "no_route");
    assert_eq!(code(&send(&mut with, ["GET", "/oauth2/x"], &[OWN], "session")), "released");
    let mut elsewhere = bench(json!({"oauth": {"path": "/auth/v1", "cluster": "session"}, "routes": everything}));
    let permit = passed(send(&mut elsewhere, ["POST", "/oauth2/token"], &[OWN], "upstream"));
    assert!(!permit.is_oauth);
    assert!(passed(send(&mut elsewhere, ["POST", "/auth/v1/token?x=1"], &[OWN], "session")).is_oauth);
    let host = json!([{"name": "all", "match": {"path": "/{*rest}", "hosts": ["other.example"]}, "public": true}]);
    let mut other = bench(json!({"routes": host}));
    assert_eq!(code(&send(&mut other, ["POST", "/oauth2/token"], &[OWN], "session")), "no_route", "not its host");
}

#[test]
fn the_endpoint_gets_the_cookie_and_its_name_only_for_pages_of_the_own_origin() {
    let mut bench = bench(json!({"forward_token": false}));
    let cookie = format!("theme=dark; __Host-portcullis={HANDLE}; x=1");
    let headers = [
        ("cookie", cookie.as_str()),
        ("authorization", "Basic YTpi"),
        ("dpop", "proof"),
        ("x-portcullis-cookie", "forged"),
    ];
    let own: Vec<_> = headers.into_iter().chain([OWN]).collect();
    let permit = passed(send(&mut bench, ["POST", "/oauth2/logout"], &own, "session"));
    let told = ("x-portcullis-cookie", b"__Host-portcullis".to_vec());
    assert_eq!(permit.replace, [told.clone(), ("cookie", format!("__Host-portcullis={HANDLE}").into_bytes())]);
    assert_eq!(permit.strip, ["x-portcullis-cookie"]);
    assert_eq!(log_record::permit(&permit, bench.gate.policy()), "code=oauth route=- session=-");
    // A client that is no browser.
    let permit = passed(send(&mut bench, ["POST", "/oauth2/token"], &headers, "session"));
    assert_eq!((permit.replace.len(), permit.strip), (0, vec!["x-portcullis-cookie".into(), "cookie".into()]));
    // What is no handle stays here.
    let junk = [OWN, ("cookie", "__Host-portcullis=junk; a=b")];
    let permit = passed(send(&mut bench, ["POST", "/oauth2/token"], &junk, "session"));
    assert_eq!((permit.replace, permit.strip), (vec![told], vec!["cookie".into()]));
    assert!(bench.gate.tally.drain().any(|(count, number)| count.label() == "oauth" && number == 3));
}
