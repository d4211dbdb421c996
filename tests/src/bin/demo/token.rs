//! `demo token`: a token of the running demo's issuer.

use portcullis_tests::Client;
use std::{net::SocketAddr, process::ExitCode};

/// Print an access token that the running demo accepts
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its scopes, separated by spaces
    #[arg(long, default_value = "orders:read")]
    scope: String,

    /// `sub`: whose token it is
    #[arg(long, default_value = "you")]
    subject: String,

    /// `client_id`; `kiosk` has sessions that end after two idle seconds
    #[arg(long, default_value = "web")]
    client: String,

    /// `acr`: how strong the login was, such as `aal2`
    #[arg(long)]
    acr: Option<String>,

    /// `sid`: tokens with the same one belong to the same session
    #[arg(long)]
    session: Option<String>,

    /// Where the demo's issuer listens
    #[arg(long, default_value = "127.0.0.1:9000")]
    issuer: SocketAddr,
}

/// Prints the token alone, so that a shell can keep it in a variable.
pub(crate) async fn print(args: Args) -> ExitCode {
    let claims = [
        ("scope", Some(args.scope)),
        ("sub", Some(args.subject)),
        ("client_id", Some(args.client)),
        ("acr", args.acr),
        ("sid", args.session),
    ];
    let claims: Vec<_> = claims.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let form = serde_urlencoded::to_string(claims).expect("pairs of texts");
    let call = Client::new(args.issuer).call("POST", "/token");
    let call = call.header("content-type", "application/x-www-form-urlencoded").body(form);
    match call.try_send().await {
        Ok(answer) if answer.status.is_success() => {
            let token = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
            if super::say(token).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(answer) => failed(&args.issuer, &answer.status.to_string()),
        Err(error) => failed(&args.issuer, &error),
    }
}

fn failed(issuer: &SocketAddr, why: &str) -> ExitCode {
    eprintln!(
        "error: no token from {issuer}: {why}\nhelp: start `make demo` first; it prints where its issuer listens"
    );
    ExitCode::FAILURE
}
