use super::{
    candidates::Fit,
    command::target,
    decide::explain,
    explanation::{Conclusion, Explanation},
    play::{Asked, Given},
    text,
};
use crate::{
    document::Document,
    policy::{
        cases::{Bearer, Quality},
        load::Loaded,
        simulator::Signer,
    },
};
use serde_json::{Value, json};

const NOW_MS: u64 = 1_800_000_000_000;

fn policy(keys: &Value, mode: &str) -> Loaded {
    let policy = json!({
        "mode": mode,
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["EdDSA"], "keys": keys,
        }],
        "session": {"cluster": "session", "timeout": "1s"},
        "scopes": {"read": {}, "write": {}, "admin": {}},
        "sets": {"both": ["read", "write"]},
        "routes": [
            {"name": "open", "match": {"path": "/open"}, "public": true},
            {"name": "one", "match": {"methods": ["GET"], "path": "/x/{id}"}, "require": {"all_of": ["read"]}},
            {"name": "new", "match": {"methods": ["GET"], "path": "/x/new"}, "require": {"any_of": ["@both", "admin"]}},
            {"name": "get", "match": {"methods": ["GET"], "path": "/h/a"}, "require": {"all_of": ["read"]}},
            {"name": "head", "match": {"methods": ["HEAD"], "path": "/h/{id}"}, "require": {"all_of": ["read"]}},
            {"name": "rest", "match": {"path": "/{*rest}"}, "require": {"all_of": ["admin"]}},
            {
                "name": "host", "match": {"hosts": ["admin.example"], "path": "/x/{id}"}, "require": {"all_of": ["admin"]},
                "acr": ["aal2"],
                "session": {"max_age": "15m", "on_outage": "read_only", "freshness": {"lease": "500ms"}},
            },
        ],
    });
    Loaded::of(Document::parse("policy.json", policy.to_string()).expect("json")).expect("a policy")
}

fn remote() -> Value {
    json!({"jwks_url": "https://id.example/jwks", "cluster": "id"})
}

fn inline() -> Value {
    json!({"inline": serde_json::from_str::<Value>(&Signer::new().key_set()).expect("json")})
}

fn ask(method: &str, host: &str, path: &str, given: Given) -> Asked {
    let (method, host, path) = (method.to_owned(), Some(host.to_owned()), path.to_owned());
    Asked { method, host, path, headers: Vec::new(), given, now_ms: NOW_MS }
}

fn scopes(scopes: &str) -> Given {
    let scopes = scopes.split_whitespace().map(str::to_owned).collect();
    Given::Claims(Bearer {
        issuer: None,
        quality: Quality::Good,
        scopes: Some(scopes),
        claims: Vec::new(),
        without: Vec::new(),
    })
}

fn token(changes: Value, forged: bool) -> Given {
    let now_s = NOW_MS / 1_000;
    let mut claims = json!({
        "iss": "https://id.example", "aud": "api", "sub": "alice", "client_id": "web", "iat": now_s - 10, "exp": now_s + 60,
        "sid": "s-1", "scope": "read",
    });
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    Given::Token(Signer::new().sign(claims.as_object().expect("an object"), "at+jwt", forged))
}

fn explained(keys: &Value, asked: &Asked) -> Explanation {
    explain(policy(keys, "enforce"), None, asked).expect("an explanation")
}

fn shown(explanation: &Explanation) -> String {
    anstream::adapter::strip_str(&text::text(explanation)).to_string()
}

#[test]
fn a_refusal_says_what_is_missing_and_what_the_client_reads() {
    let explanation = explained(&remote(), &ask("GET", "a.example", "/x/new", scopes("read")));
    assert_eq!((explanation.decision, explanation.code), (Conclusion::Refused, Some("insufficient_scope")));
    let text = shown(&explanation);
    assert!(text.starts_with("refused: 403 insufficient_scope\n"), "{text}");
    for words in [
        "`@both` (`write`) or `admin`",
        "`@both` (`read` and `write`) or `admin`",
        "new, policy.json:1: GET /x/new",
        r#"www-authenticate: Bearer realm="portcullis", error="insufficient_scope", scope="read write admin""#,
        r#""code":"insufficient_scope"}"#,
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_asked_is_released_by_the_word_of_the_session_service_alone() {
    let explanation = explained(&remote(), &ask("GET", "a.example", "/x/new", scopes("read write")));
    assert_eq!((explanation.decision, explanation.code), (Conclusion::Asks, None));
    assert!(explanation.missing.is_none() && explanation.answer.is_none());
    assert_eq!(explanation.session.expect("limits").on_outage, "503 session_unavailable");
    let explanation = explained(&remote(), &ask("GET", "a.example", "/open", scopes("")));
    assert_eq!(explanation.decision, Conclusion::Released);
}

#[test]
fn candidates_say_why_they_did_not_decide() {
    let explanation = explained(&remote(), &ask("GET", "a.example", "/x/new", scopes("admin")));
    let others: Vec<_> = explanation.others.iter().map(|other| (other.route.name.as_str(), other.why)).collect();
    assert_eq!(others, [("one", Fit::LessSpecificPath), ("rest", Fit::LessSpecificPath), ("host", Fit::Host)]);
    let explanation = explained(&remote(), &ask("PUT", "admin.example", "/x/new", scopes("admin")));
    assert_eq!(explanation.rule.expect("a route").name, "host");
    let others: Vec<_> = explanation.others.iter().map(|other| (other.route.name.as_str(), other.why)).collect();
    assert_eq!(others, [("rest", Fit::LessSpecificHost), ("one", Fit::Method), ("new", Fit::Method)]);
}

#[test]
fn a_rule_for_the_rest_of_a_path_does_not_match_what_has_none() {
    let explanation = explained(&remote(), &ask("GET", "a.example", "/", scopes("admin")));
    assert!(explanation.rule.is_none());
    let others: Vec<_> = explanation.others.iter().map(|other| (other.route.name.as_str(), other.why)).collect();
    assert_eq!(others, [("rest", Fit::NothingForRest)]);
}

#[test]
fn a_rule_for_get_gives_way_to_one_that_names_head() {
    let explanation = explained(&remote(), &ask("HEAD", "a.example", "/h/a", scopes("read")));
    assert_eq!(explanation.rule.expect("a route").name, "head");
    let others: Vec<_> = explanation.others.iter().map(|other| (other.route.name.as_str(), other.why)).collect();
    assert_eq!(others, [("rest", Fit::LessSpecificPath), ("get", Fit::Method)]);
    let explanation = explained(&remote(), &ask("HEAD", "a.example", "/x/new", scopes("admin")));
    assert_eq!(explanation.rule.expect("a route").name, "new", "nothing else names it");
}

#[test]
fn a_token_is_verified_with_keys_of_the_policy() {
    for (changes, forged, decision, code, words) in [
        (json!({}), false, Conclusion::Asks, None, "verified with a key in the policy"),
        (json!({}), true, Conclusion::Refused, Some("invalid_token"), "the signature is invalid"),
        (
            json!({"aud": "other"}),
            false,
            Conclusion::Refused,
            Some("invalid_token"),
            "`aud` contains none of the issuer's",
        ),
        (json!({"exp": 1}), false, Conclusion::Refused, Some("token_expired"), "the token has expired"),
        (json!({"scope": ""}), false, Conclusion::Refused, Some("insufficient_scope"), "scopes      none"),
    ] {
        let explanation = explained(&inline(), &ask("GET", "a.example", "/x/1", token(changes, forged)));
        assert_eq!((explanation.decision, explanation.code), (decision, code), "{words}");
        assert!(shown(&explanation).contains(words), "{words}: {}", shown(&explanation));
    }
}

#[test]
fn a_scope_with_a_comma_and_a_login_that_is_no_date_are_told_of() {
    let odd = token(json!({"scope": "read a,b", "auth_time": "2026-03-14T18:52:01.180Z"}), false);
    let text = shown(&explained(&inline(), &ask("GET", "a.example", "/x/1", odd)));
    assert!(text.contains("a,b is one scope, with a comma in it: scopes are separated by spaces"), "{text}");
    assert!(text.contains("its auth_time is not a number of seconds"), "{text}");
    let text = shown(&explained(&inline(), &ask("GET", "a.example", "/x/1", scopes("read,write"))));
    assert!(text.contains("read,write is one scope"), "{text}");
    let usual = shown(&explained(&inline(), &ask("GET", "a.example", "/x/1", token(json!({}), false))));
    assert!(!usual.contains("comma") && !usual.contains("auth_time is no"), "{usual}");
}

#[test]
fn where_keys_are_remote_everything_but_the_signature_is_judged() {
    for (changes, decision, code) in [
        (json!({}), Conclusion::Asks, None),
        (json!({"scope": "write"}), Conclusion::Refused, Some("insufficient_scope")),
    ] {
        let explanation = explained(&remote(), &ask("GET", "a.example", "/x/1", token(changes, true)));
        assert_eq!((explanation.decision, explanation.code), (decision, code));
        let text = shown(&explanation);
        assert!(text.contains("SIGNATURE NOT CHECKED: the keys at https://id.example/jwks"), "{text}");
        assert!(text.contains("if the token's signature is valid"), "{text}");
    }
    let explanation = explained(&remote(), &ask("GET", "a.example", "/x/1", token(json!({"aud": "b"}), false)));
    assert_eq!(explanation.code, Some("invalid_token"));
    assert!(!shown(&explanation).contains("SIGNATURE"));
    assert!(shown(&explanation).contains("audience: `aud` contains none of the issuer's `audiences`"));
    for (changes, reason) in [
        (json!({"iss": "https://other.example"}), "issuer"),
        (json!({"nbf": NOW_MS / 1_000 + 600}), "not_yet_valid"),
        (json!({"exp": null}), "malformed"),
        (json!({"groups": "x".repeat(20_000)}), "too_long"),
    ] {
        let explanation = explained(&remote(), &ask("GET", "a.example", "/x/1", token(changes, false)));
        assert_eq!(explanation.token.and_then(|token| token.reason), Some(reason));
    }
}

#[test]
fn a_step_up_says_why() {
    let claims = json!({"scope": "admin", "acr": "aal1", "auth_time": NOW_MS / 1_000 - 1_200});
    let explanation = explained(&inline(), &ask("GET", "admin.example", "/x/1", token(claims, false)));
    assert_eq!(explanation.code, Some("step_up_required"));
    assert_eq!(
        explanation.because,
        [
            "the token has `acr` aal1, but the route requires aal2",
            "the login was 20m ago, but the route requires one within the last 15m"
        ]
    );
    let unreadable = json!({"scope": "admin", "acr": "aal2", "auth_time": "2026-03-14T18:52:01.180Z"});
    let explanation = explained(&inline(), &ask("GET", "admin.example", "/x/1", token(unreadable, false)));
    assert_eq!(explanation.code, Some("step_up_required"));
    assert_eq!(explanation.because, ["the token's `auth_time` is not a date, so the age of the login is unknown"]);
}

#[test]
fn without_a_verdict_the_rule_decides() {
    let claims = || token(json!({"scope": "admin", "acr": "aal2"}), false);
    let on_outage = |method| {
        let explanation = explained(&inline(), &ask(method, "admin.example", "/x/1", claims()));
        explanation.session.expect("limits").on_outage
    };
    assert_eq!(on_outage("GET"), "released, because it only reads");
    assert_eq!(on_outage("PUT"), "503 session_unavailable");
}

#[test]
fn a_lease_is_named() {
    let claims = token(json!({"scope": "admin", "acr": "aal2"}), false);
    let explanation = explained(&inline(), &ask("GET", "admin.example", "/x/1", claims));
    assert_eq!(explanation.session.as_ref().and_then(|limits| limits.lease_s), Some(0.5));
    assert!(
        shown(&explanation).contains("a worker may decide the token's next requests by itself, for 500ms at a time")
    );
    let explanation = explained(&inline(), &ask("GET", "a.example", "/x/1", scopes("read")));
    assert_eq!(explanation.session.and_then(|limits| limits.lease_s), None);
}

#[test]
fn whatever_is_asked_there_is_an_explanation() {
    for (method, host, path) in [
        ("GET", "", "/x"),
        ("G T", "a", "/x"),
        ("GET", "a..b", "/x"),
        ("GET", "a", "//"),
        ("GET", "a", ""),
        ("", "ü", "\u{0}"),
    ] {
        for given in [Given::Nothing, scopes("read"), Given::Token(String::new()), Given::Token("a.b.c".to_owned())] {
            let explanation = explained(&inline(), &ask(method, host, path, given));
            assert!(!shown(&explanation).is_empty());
            assert!(serde_json::to_string(&explanation).is_ok());
        }
    }
}

#[test]
fn grpc_callers_and_forged_headers_are_told_of() {
    let mut asked = ask("POST", "a.example", "/x/new", scopes(""));
    asked.headers = vec![
        ("content-type".to_owned(), "application/grpc".to_owned()),
        ("x-portcullis-subject".to_owned(), "root".to_owned()),
    ];
    let explanation = explained(&remote(), &asked);
    let text = shown(&explanation);
    assert!(text.contains("grpc-status: 7") && text.contains("stripped    x-portcullis-subject"), "{text}");
}

#[test]
fn shadow_mode_is_said_first() {
    let explanation = explain(policy(&remote(), "shadow"), None, &ask("GET", "a.example", "/x/1", Given::Nothing));
    let explanation = explanation.expect("an explanation");
    assert_eq!((explanation.decision, explanation.code), (Conclusion::Refused, Some("no_credentials")));
    assert!(shown(&explanation).lines().nth(1).expect("a line").contains("shadow mode"));
}

#[test]
fn urls_are_taken_as_they_stand() {
    for (url, host, path) in [
        ("https://a.example/x/../y?z", Some("a.example"), "/x/../y?z"),
        ("a.example:8080", Some("a.example:8080"), "/"),
        ("https://a.example?x=1", Some("a.example"), "/?x=1"),
        ("wss://a.example//x#y", Some("a.example"), "//x"),
        ("/x/../y?z#a", None, "/x/../y?z"),
        ("//a.example/x", None, "//a.example/x"),
    ] {
        assert_eq!(target(url).expect("a URL"), (host.map(str::to_owned), path.to_owned()), "{url}");
    }
    for url in ["", "?x", "#x", "https:///x", "https://"] {
        assert!(target(url).is_err(), "{url}");
    }
}

#[test]
fn a_refused_token_is_compared_with_the_value_that_was_expected() {
    for (changes, expected) in [
        (json!({"aud": "b"}), "`aud` must be `api`, and is `b`"),
        (json!({"aud": ["b", "c"]}), "`aud` must be `api`, and is `[\"b\",\"c\"]`"),
        (
            json!({"iss": "https://id.example/"}),
            "`iss` must be `https://id.example`, and is `https://id.example/`; did you mean `https://id.example`?",
        ),
    ] {
        let explanation = explained(&inline(), &ask("GET", "a.example", "/x/1", token(changes, false)));
        let text = shown(&explanation);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let mut strict: Value = serde_json::from_str(policy(&inline(), "enforce").document.json()).expect("json");
    strict["issuers"][0]["clients"] = json!(["app", "cli"]);
    strict["issuers"][0]["claims"] = json!({"token_use": ["access", 1]});
    let explained_by = |given: Given| {
        let loaded = Loaded::of(Document::parse("policy.json", strict.to_string()).expect("json")).expect("a policy");
        shown(&explain(loaded, None, &ask("GET", "a.example", "/x/1", given)).expect("an explanation"))
    };
    let client = explained_by(token(json!({"token_use": "access"}), false));
    assert!(client.contains("`client_id` must be `app` or `cli`, and is `web`"), "{client}");
    let claim = explained_by(token(json!({"client_id": "app"}), false));
    assert!(claim.contains("`token_use` must be `\"access\"` or `1`, and is missing"), "{claim}");
    let Given::Token(wrong_type) = token(json!({}), false) else { unreachable!() };
    let header = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9"; // {"alg":"RS256","typ":"at+jwt"}
    let other = wrong_type.split_once('.').map(|(_, rest)| format!("{header}.{rest}")).expect("a token");
    let text = shown(&explained(&inline(), &ask("GET", "a.example", "/x/1", Given::Token(other))));
    assert!(text.contains("`alg` must be `EdDSA`, and is `RS256`"), "{text}");
}

#[test]
fn a_scope_that_the_policy_does_not_know_is_pointed_out() {
    let hints = |given| explained(&inline(), &ask("GET", "a.example", "/x/1", given)).hints;
    let unknown = "is not in `scopes`, so no route can require it";
    assert_eq!(
        hints(scopes("raed x:y read")),
        [format!("scope `raed` {unknown}; did you mean `read`?"), format!("scope `x:y` {unknown}"),]
    );
    // A real token has scopes for other APIs, too.
    let of_token = |scope: &str| hints(token(json!({"scope": scope}), false));
    assert_eq!(of_token("raed openid"), [format!("scope `raed` {unknown}; did you mean `read`?")]);
    assert_eq!(of_token("read raed openid"), [""; 0]);
}

#[test]
fn a_claim_with_dots_that_is_likely_meant_as_a_pointer_is_pointed_out() {
    let hint = "`realm_access.roles` in `scope_claims` is the name of a claim that the token does not have; to reach inside a \
                claim, write `/realm_access/roles`";
    let loaded = |keys: &Value| {
        let mut document: Value = serde_json::from_str(policy(keys, "enforce").document.json()).expect("json");
        document["issuers"][0]["scope_claims"] = json!(["scope", "realm_access.roles"]);
        Loaded::of(Document::parse("policy.json", document.to_string()).expect("json")).expect("a policy")
    };
    let hints =
        |keys: &Value, given| explain(loaded(keys), None, &ask("GET", "a.example", "/x/1", given)).expect("one").hints;
    let poor = |changes: Value| {
        let mut claims = json!({"scope": "write"});
        claims.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        token(claims, false)
    };
    let nested = json!({"realm_access": {"roles": ["read"]}});
    for keys in [inline(), remote()] {
        assert_eq!(hints(&keys, poor(nested.clone())), [hint]);
        assert_eq!(hints(&keys, poor(json!({"realm_access.roles": ["write"]}))), [""; 0], "it is a name");
        assert_eq!(hints(&keys, token(nested.clone(), false)), [""; 0], "no scope is missing");
    }
    assert_eq!(hints(&inline(), scopes("write")), [""; 0], "no token is there to look at");
}

#[test]
fn a_bound_token_is_explained_as_if_its_client_had_shown_what_it_is_bound_to() {
    let explained = |keys: &Value, cnf: Value, headers: Vec<(String, String)>| {
        let mut document: Value = serde_json::from_str(policy(keys, "enforce").document.json()).expect("json");
        document["issuers"][0]["bound_tokens"] = json!("verify");
        let loaded = Loaded::of(Document::parse("policy.json", document.to_string()).expect("json")).expect("a policy");
        let asked = Asked { headers, ..ask("GET", "a.example", "/x/1", token(json!({"cnf": cnf}), false)) };
        explain(loaded, None, &asked).expect("an explanation")
    };
    let bound = || json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"});
    for keys in [inline(), remote()] {
        let explanation = explained(&keys, bound(), Vec::new());
        assert_eq!(explanation.decision, Conclusion::Asks);
        assert!(explanation.hints[0].contains("only under the scheme `DPoP`"), "{:?}", explanation.hints);
        let unknown = explained(&keys, json!({"kid": "k"}), Vec::new());
        assert_eq!(unknown.code, Some("invalid_token"));
        assert!(shown(&unknown).contains("bound: `cnf` has other members"), "{}", shown(&unknown));
    }
    let proof = explained(&inline(), bound(), vec![("dpop".to_owned(), "x".to_owned())]);
    assert_eq!(proof.code, Some("invalid_dpop_proof"));
    assert!(proof.because[0].starts_with("the proof cannot be read: "), "{:?}", proof.because);
}
