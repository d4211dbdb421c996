//! A real browser: a session in a cookie, and websockets whose token is in a subprotocol.

use portcullis_tests::{Testbed, policy, root};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Names of Chromium, here and there.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

pub(crate) fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    let mut found = found.filter(|program| program.is_file());
    found.next().expect("there is no Chromium: run `make test-faults`")
}

/// What the pages of a script in `tests/browser` saw, which runs for at most that many seconds.
pub(crate) fn drive(script: &str, seconds_max: u64, config: &Value) -> Value {
    let home = root().join("tests/browser");
    assert!(home.join("node_modules").exists(), "its packages are missing: run `make test-faults`");
    let mut command = Command::new("timeout");
    let command = command.arg(seconds_max.to_string()).args(["node", script]).arg(config.to_string());
    let command = command.current_dir(home);
    let ran = command.stderr(Stdio::inherit()).output().expect("node runs");
    assert!(ran.status.success(), "{}: {}", ran.status, String::from_utf8_lossy(&ran.stdout));
    serde_json::from_slice(&ran.stdout).expect("one line of JSON")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and Node: make test-faults"]
async fn a_browser_s_cookie_and_subprotocol_carry_its_token_and_other_origins_cannot_use_it() {
    let mut policy = policy::with_routes(json!([
        {"name": "page", "match": {"path": "/page"}, "public": true},
        {"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true},
    ]));
    policy["token_from"] = json!(["authorization", {"cookie": "session"}, {"websocket_protocol": "bearer"}]);
    policy["forward_token"] = json!(false);
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let config = json!({
        "chromium": browser(),
        "envoy": testbed.envoy.address.to_string(),
        "token": token.text,
        "revoke": {
            "url": format!("http://{}/v1/sessions/{}/revoke", testbed.service.admin_address(), token.session),
            "credential": testbed.admin_credential,
        },
    });
    let seen = tokio::task::spawn_blocking(move || drive("page.mjs", 80, &config)).await.expect("it returns");
    let echo = |protocol: &str| json!({"echo": "hello", "protocol": protocol});
    let expected = json!({
        "version": seen["version"],
        // The shop's own page reads, changes and opens a websocket with its cookie.
        "read": 200, "change": 200, "socket": echo(""),
        // A page of another origin makes the browser send the cookie, too: it changes nothing, and opens nothing.
        "siblingReads": 200, "siblingChanges": 403, "siblingSocket": {"closed": true},
        // Without the cookie, the token is in the subprotocol. The browser demands that one that it offered is selected.
        "guest": 401, "subprotocol": echo("bearer"), "chat": echo("chat"),
        "revoked": 200, "cut": [true, true, true], "afterwards": 401,
    });
    assert_eq!(seen, expected);
    let seen = testbed.upstream.received();
    assert!(
        seen.iter().all(|request| !format!("{:?}", request.headers).contains(&token.text)),
        "the token goes no further"
    );
}
