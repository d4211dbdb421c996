//! What to try while the demo runs: addresses, and commands that can be pasted.

use crate::{Paint, say};
use portcullis_tests::Testbed;

pub(crate) fn print(testbed: &Testbed, paint: Paint) -> std::io::Result<()> {
    say(format!("\n{}", paint.bold("Everything keeps running; Ctrl-C ends it.")))?;
    for (what, at) in [
        ("Envoy", format!("http://{}", testbed.envoy.address)),
        ("Envoy's admin", format!("http://{}", testbed.envoy.admin)),
        ("session admin", format!("http://{}/v1/sessions", testbed.service.admin_address())),
        ("issuer's keys", format!("http://{}/jwks", testbed.issuer.address)),
        ("upstream", format!("http://{}", testbed.upstream.address)),
    ] {
        say(format!("  {what:<15} {at}"))?;
    }
    say(format!("\n{}", paint.bold("Try it in another terminal, from this folder:")))?;
    for line in lines(testbed) {
        say(format!("  {line}"))?;
    }
    Ok(())
}

/// Each fits 80 columns with its indent.
fn lines(testbed: &Testbed) -> Vec<String> {
    let (edge, issuer) = (testbed.envoy.address, testbed.issuer.address);
    // The documented port is the default.
    let issuer = if issuer.port() == 9_000 { String::new() } else { format!(" --issuer {issuer}") };
    vec![
        format!("export PORTCULLIS_ADMIN_URL=http://{}", testbed.service.admin_address()),
        format!("export PORTCULLIS_ADMIN_CREDENTIAL={}", testbed.admin_credential),
        format!("TOKEN=$(target/debug/demo token{issuer})"),
        format!("curl -i --oauth2-bearer $TOKEN http://{edge}/orders"),
        format!("curl -N --oauth2-bearer $TOKEN http://{edge}/orders/events &"),
        "dist/portcullis events &".to_owned(),
        "dist/portcullis sessions list --subject you".to_owned(),
        "dist/portcullis revoke --issuer http://127.0.0.1:9000 --subject you".to_owned(),
        format!("curl -i --oauth2-bearer $TOKEN http://{edge}/orders"),
    ]
}
