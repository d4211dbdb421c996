//! `make demo REPLICAS=3`: several replicas over a PostgreSQL server of their own. One is killed, and nobody notices.

use crate::{Paint, invitation, say};
use portcullis_tests::{Postgres, Service, Testbed, Token, policy, scenario::Step, shared_store};

/// Replicas in the demo.
const REPLICAS: usize = 3;

pub(crate) async fn show(once: bool, paint: Paint, wrong: &mut usize) -> std::io::Result<()> {
    say("» starting PostgreSQL, issuer, upstream, three replicas of the session service and Envoy")?;
    let postgres = Postgres::start().await;
    let builder = Testbed::builder().policy(policy::shipped()).documented_ports();
    let testbed = builder.replicas(REPLICAS, shared_store(&postgres.url())).start().await;
    testbed.ready().await;

    say(paint.bold("\nreplicas"))?;
    let replicas: Vec<&Service> = testbed.replicas().collect();
    let (first, second) = (testbed.issuer.token().sign(), testbed.issuer.token().sign());
    let mut steps =
        vec![ask(&testbed, &first, "a good token", "200").await, ask(&testbed, &second, "another one", "200").await];
    replicas[1].admin().revoke(&first.session).await;
    steps.push(ask(&testbed, &first, "revoked at the 2nd replica", "401 session_revoked").await);
    replicas[2].kill();
    steps.push(ask(&testbed, &second, "the 3rd replica is killed", "200").await);
    replicas[1].admin().revoke(&second.session).await;
    steps.push(ask(&testbed, &second, "revoked without it", "401 session_revoked").await);
    replicas[2].restart().await;
    steps.push(ask(&testbed, &second, "the 3rd replica is back", "401 session_revoked").await);
    for step in &steps {
        *wrong += usize::from(!step.holds());
        say(if step.holds() { step.to_string() } else { paint.red(&step.to_string()) })?;
    }
    if once {
        return Ok(());
    }
    invitation::print(&testbed, paint)?;
    say("  dist/portcullis replicas list")?;
    for (number, replica) in replicas.iter().enumerate().skip(1) {
        let admin = replica.admin_address();
        say(format!("  PORTCULLIS_ADMIN_URL=http://{admin} dist/portcullis replicas list"))?;
        say(format!("  kill -9 {} # the replica {}", replica.id(), number + 1))?;
    }
    std::future::pending().await
}

/// Asks until there is a verdict: a worker whose replica was killed opens its stream elsewhere first.
async fn ask(testbed: &Testbed, token: &Token, title: &'static str, expected: &'static str) -> Step {
    let call = testbed.get("/orders").bearer(token);
    let answer = call.until("there is a verdict", |answer| answer.status != 503).await;
    let got = match answer.code() {
        none if none.is_empty() => answer.status.as_u16().to_string(),
        code => format!("{} {code}", answer.status.as_u16()),
    };
    Step { title, request: "GET /orders", expected, got }
}
