//! Plays the cases of an example against a real Envoy with the real session service.
//!
//! The states of sessions are brought about as they come about: sessions are opened, narrowed and revoked through the admin
//! API, run out by short limits, and the service is stopped for an outage. A session that nobody has used for some minutes
//! is one that began then, with background traffic, which is no use.

mod example;
mod facts;
mod request;
mod session;

pub use example::Example;

use crate::{Reply, Testbed};
use example::Sent;
use portcullis_cli::policy::cases::{Case, Quality, Session};
use portcullis_engine::answer::Code;
use request::Opened;
use serde_json::json;

/// The outcome of an example's cases.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that failed: where each is written, and what happened instead.
    pub failures: Vec<String>,
    /// Cases that could not be played, and why.
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
    let testbed = example.testbed("first_use").await;
    living(example, &testbed, &mut report).await;
    outages(example, &testbed, &mut report).await;
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
    let unknown: Vec<_> = example.cases.list.iter().filter(|case| is_unknown(case)).collect();
    if !unknown.is_empty() {
        let testbed = example.testbed("explicit").await;
        for case in unknown {
            let result = request::send(&testbed, case, &example.token(&testbed, case)).await.map(drop);
            report.note(example, case, result);
        }
    }
    report
}

fn is_unknown(case: &Case) -> bool {
    case.session == Session::Over(Code::SessionUnknown)
}

/// Plays the cases that need a reachable session service.
async fn living(example: &Example, testbed: &Testbed, report: &mut Report) {
    let cases = example.cases.list.iter();
    let cases = cases.filter(|case| !matches!(case.session, Session::Outage { .. }) && !is_unknown(case));
    let mut ready: Vec<(&Case, Sent)> = Vec::new();
    for case in cases {
        let sent = example.token(testbed, case);
        match session::prepare(example, testbed, case, &sent).await {
            Ok(()) => ready.push((case, sent)),
            Err(why) => report.skipped.push(format!("{}: {why}", example.place(case))),
        }
    }
    for (case, sent) in ready {
        session::has_run_out(testbed, case, &sent).await;
        let result = match request::send(testbed, case, &sent).await {
            Ok(opened) => then(example, testbed, case, &sent, opened, report).await,
            Err(fault) => Err(fault),
        };
        report.note(example, case, result);
    }
}

/// Plays the second half of a case: its session changes while the request is open.
async fn then(
    example: &Example,
    testbed: &Testbed,
    case: &Case,
    sent: &Sent,
    opened: Opened,
    report: &mut Report,
) -> Result<(), String> {
    let Some(then) = &case.then else { return Ok(()) };
    let Opened::Stream(stream) = opened else {
        report.skipped.push(format!("{}: `then` needs a client that stays open", example.place(case)));
        return Ok(());
    };
    facts::set(testbed, sent, &then.facts).await;
    if !session::change(testbed, &then.session, sent).await {
        report.skipped.push(format!("{}: no outage is played while a request is open", example.place(case)));
        return Ok(());
    }
    request::stays_or_is_cut(testbed, stream, then.expect).await
}

/// Plays the cases with an outage, last, because the service is not started again.
async fn outages(example: &Example, testbed: &Testbed, report: &mut Report) {
    let cases = example.cases.list.iter().filter_map(|case| match case.session {
        Session::Outage { granted } => Some((case, granted, example.token(testbed, case))),
        _ => None,
    });
    let cases: Vec<_> = cases.collect();
    for (case, _, sent) in cases.iter().filter(|(_, granted, _)| *granted) {
        let result = request::must_be_released(testbed, case, sent).await;
        report.note(example, case, result);
    }
    if !cases.is_empty() {
        testbed.service.kill();
    }
    for (case, _, sent) in &cases {
        report.note(example, case, request::send(testbed, case, sent).await.map(drop));
    }
}

/// Plays the cases of an example that uses an introspection endpoint.
async fn introspected(example: &Example, report: &mut Report) {
    let (testbed, endpoint) = example.introspected_testbed().await;
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
        report.note(example, case, request::send(&testbed, case, &sent).await.map(drop));
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}
