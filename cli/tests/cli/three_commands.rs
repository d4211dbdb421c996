//! The three commands of `docs/tokens.md`, from a provider to a filter that releases a request: played as the page has them,
//! with a local server in place of the provider's.

use crate::{
    admin_api::{answer, serving},
    tool::{portcullis, root},
};
use jwt_simple::prelude::{Claims, Duration, RS256KeyPair, RSAKeyPairLike as _};
use serde_json::{Value, json};
use std::{env, fs, path::Path, process::Command};

const PROVIDER: &str = "https://login.example.com";

/// The commands of the page, which are those that `policy init --help` ends with.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/tokens.md")).expect("a page");
    let shown = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of commands");
    shown.lines().map(str::to_owned).collect()
}

/// What a shell that has the tool on its path prints for a command.
fn played(command: &str, folder: &Path) -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().expect("the folder of the tool");
    let path = format!("{}:{}", tool.display(), env::var("PATH").unwrap_or_default());
    let ran = Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().expect("a shell");
    assert!(ran.status.success(), "`{command}`: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

/// An access token of Keycloak's documented shape.
fn token(key: &RS256KeyPair, issuer: &str) -> String {
    let own = json!({"typ": "Bearer", "azp": "web", "sid": "s-1", "scope": "openid"});
    let claims = Claims::with_custom_claims(own, Duration::from_hours(1));
    let claims = claims.with_issuer(issuer).with_audience("orders-api").with_subject("alice");
    key.sign(claims).expect("a token")
}

#[test]
fn three_commands_lead_from_a_provider_to_a_request_that_is_released() {
    let commands = commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let key = include_str!("../../../contract/src/token/tests/rsa.pem");
    let key = RS256KeyPair::from_pem(key).expect("a key").with_key_id("k");
    let public: Value = serde_json::from_str(&key.public_key().to_jwk()).expect("a JWK");
    let address = serving(answer(200, "application/json", &json!({"keys": [public]}).to_string()), Some);
    let local = format!("http://{address}");

    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("token.txt"), token(&key, &format!("{local}/realms/shop"))).expect("a file");
    let printed: Vec<_> =
        commands.iter().map(|command| played(&command.replace(PROVIDER, &local), folder.path())).collect();
    let [init, explain, render] = printed.as_slice() else { panic!("{printed:?}") };
    assert_eq!(init, "", "the policy is in a file");
    assert!(explain.starts_with("released, if the session service reports an active session\n"), "{explain}");
    assert!(explain.contains(&format!("verified with a key from {local}/realms/shop/")), "{explain}");
    assert!(render.contains("envoy.extensions.filters.http.wasm.v3.Wasm"), "{render}");
}

#[test]
fn the_help_of_init_shows_the_same_three_commands() {
    let help = portcullis().args(["policy", "init", "--help"]).output().expect("the program runs").stdout;
    let help = String::from_utf8(help).expect("text").replace("\\\n", "");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for command in commands() {
        assert!(help.contains(&command), "{command}: {help}");
    }
}
