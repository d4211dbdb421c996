//! The third reader of an example's cases: a real Envoy, beside the real session service.
//!
//! The states of sessions are brought about as they come about: sessions are opened, narrowed and revoked through the admin
//! API, run out by short limits, and the service is stopped for an outage. A session that nobody has used for some minutes
//! is one that began then, with background traffic, which is no use.

mod example;
mod session;
mod talk;

pub use example::Example;

use crate::{Reply, World};
use example::Sent;
use portcullis_cli::policy::cases::{Case, Quality, Session};
use portcullis_engine::answer::Code;
use serde_json::json;
use talk::Open;

/// What became of an example's cases.
#[derive(Debug, Default)]
pub struct Report {
    /// Those that did not hold: where they stand, and what came.
    pub failures: Vec<String>,
    /// Those that could not be played, and why.
    pub skipped: Vec<String>,
}

impl Report {
    fn note(&mut self, example: &Example, case: &Case, result: Result<(), String>) {
        if let Err(fault) = result {
            self.failures.push(format!("{}: {fault}", example.place(case)));
        }
    }
}

/// Plays an example's cases.
pub async fn play(example: &Example) -> Report {
    let mut report = Report::default();
    if example.is_introspected() {
        introspected(example, &mut report).await;
        return report;
    }
    let world = example.world("first_use").await;
    living(example, &world, &mut report).await;
    outages(example, &world, &mut report).await;
    assert_eq!(world.envoy.vm_reloads().await, 0, "{}", world.envoy.log());
    let unknown: Vec<_> = example.cases.list.iter().filter(|case| is_unknown(case)).collect();
    if !unknown.is_empty() {
        let world = example.world("explicit").await;
        for case in unknown {
            let result = talk::send(&world, case, &example.token(&world, case)).await.map(drop);
            report.note(example, case, result);
        }
    }
    report
}

fn is_unknown(case: &Case) -> bool {
    case.session == Session::Over(Code::SessionUnknown)
}

/// The cases whose sessions can be asked about.
async fn living(example: &Example, world: &World, report: &mut Report) {
    let cases = example.cases.list.iter();
    let cases = cases.filter(|case| !matches!(case.session, Session::Outage { .. }) && !is_unknown(case));
    let mut ready: Vec<(&Case, Sent)> = Vec::new();
    for case in cases {
        let sent = example.token(world, case);
        match session::prepare(example, world, case, &sent).await {
            Ok(()) => ready.push((case, sent)),
            Err(why) => report.skipped.push(format!("{}: {why}", example.place(case))),
        }
    }
    for (case, sent) in ready {
        session::has_run_out(world, case, &sent).await;
        let result = match talk::send(world, case, &sent).await {
            Ok(open) => then(example, world, case, &sent, open, report).await,
            Err(fault) => Err(fault),
        };
        report.note(example, case, result);
    }
}

/// What becomes of a request while it is open.
async fn then(
    example: &Example,
    world: &World,
    case: &Case,
    sent: &Sent,
    open: Open,
    report: &mut Report,
) -> Result<(), String> {
    let Some(then) = &case.then else { return Ok(()) };
    let Open::Stream(stream) = open else {
        report.skipped.push(format!("{}: `then` needs a client that stays open", example.place(case)));
        return Ok(());
    };
    if !session::change(world, &then.session, sent).await {
        report.skipped.push(format!("{}: no outage is played while a request is open", example.place(case)));
        return Ok(());
    }
    talk::stays_or_is_cut(world, stream, then.expect).await
}

/// The cases that meet an outage: in the end, for the service does not come back.
async fn outages(example: &Example, world: &World, report: &mut Report) {
    let cases = example.cases.list.iter().filter_map(|case| match case.session {
        Session::Outage { granted } => Some((case, granted, example.token(world, case))),
        _ => None,
    });
    let cases: Vec<_> = cases.collect();
    for (case, _, sent) in cases.iter().filter(|(_, granted, _)| *granted) {
        // Each of Envoy's workers has a memory of its own: the client's connection is kept, and with it the worker.
        let result = talk::must_be_released(world, case, sent).await;
        report.note(example, case, result);
    }
    if !cases.is_empty() {
        world.service.kill();
    }
    for (case, _, sent) in &cases {
        report.note(example, case, talk::send(world, case, sent).await.map(drop));
    }
}

/// The cases of an example that asks an introspection endpoint.
async fn introspected(example: &Example, report: &mut Report) {
    let (world, endpoint) = example.introspected_world().await;
    for case in &example.cases.list {
        let sent = example.opaque_token(case);
        let is_good = case.bearer.as_ref().is_some_and(|bearer| bearer.quality == Quality::Good);
        let mut answer = json!(sent.claims);
        answer["active"] = json!(is_good);
        endpoint.reply(match &case.session {
            Session::Outage { .. } => Reply::Broken,
            Session::Over(_) => Reply::json(&json!({"active": false})),
            Session::Known(known) => {
                if let Some(scopes) = &known.scopes {
                    answer["scope"] = json!(scopes.join(" "));
                }
                Reply::json(&answer)
            }
        });
        report.note(example, case, talk::send(&world, case, &sent).await.map(drop));
    }
    assert_eq!(world.envoy.vm_reloads().await, 0, "{}", world.envoy.log());
}
