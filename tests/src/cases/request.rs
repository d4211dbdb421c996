//! Sends the requests of cases and compares the answers.

use super::example::{EVERY_WORKER, Sent};
use crate::{Answer, Call, Kind, Refused, Stream, Testbed, wait::until};
use portcullis_cli::policy::cases::{Case, Client, Expect, Request};
use portcullis_engine::answer::Code;
use std::time::Duration;

/// How long a stream that is not cut must stay open.
const LASTING: Duration = Duration::from_millis(500);

/// What a case's request has left open.
pub(super) enum Opened {
    /// Nothing: the request was answered, or refused as expected.
    Nothing,
    Stream(Stream),
}

/// Sends the request of a case; an unexpected answer is the error.
pub(super) async fn send(testbed: &Testbed, case: &Case, sent: &Sent) -> Result<Opened, String> {
    let kind = match case.request.client {
        Client::Http => return http(testbed, case, sent, case.expect).await.map(|()| Opened::Nothing),
        Client::WebSocket => Kind::WebSocket,
        Client::Grpc => Kind::Rpc,
    };
    let token = sent.token.as_deref().map(|token| (&case.token_in, token));
    let plain = Request { client: Client::Http, ..case.request.clone() };
    let opened = testbed.try_open_with(kind, &plain.host, &plain.path, plain.headers(token)).await;
    match (opened, case.expect) {
        (Ok(mut stream), Expect::Released) => {
            stream.flows().await;
            Ok(Opened::Stream(stream))
        }
        (Err(refused), Expect::Code(code)) if is_refusal(&refused, kind, code) => Ok(Opened::Nothing),
        (Ok(_), expected) => Err(format!("expected {expected:?}, got a stream")),
        (Err(refused), expected) => Err(format!("expected {expected:?}, got {refused:?}")),
    }
}

/// A websocket's client library may drop the body of a refusal; gRPC has the code in its message.
fn is_refusal(refused: &Refused, kind: Kind, code: Code) -> bool {
    match kind {
        Kind::Rpc => refused.status == code.grpc() as u16 && refused.text.starts_with(&format!("{}:", code.name())),
        _ => refused.status == code.status() && (refused.text.is_empty() || refused.text.contains(code.name())),
    }
}

/// Sends the request of a case before its outage begins, to every worker of Envoy: each remembers verdicts on its own, and
/// the client need not have the same connection afterwards.
pub(super) async fn must_be_released(testbed: &Testbed, case: &Case, sent: &Sent) -> Result<(), String> {
    for _ in 0..EVERY_WORKER {
        answered(call(testbed, case, sent).fresh(), case, Expect::Released).await?;
    }
    Ok(())
}

async fn http(testbed: &Testbed, case: &Case, sent: &Sent, expect: Expect) -> Result<(), String> {
    answered(call(testbed, case, sent), case, expect).await
}

fn call(testbed: &Testbed, case: &Case, sent: &Sent) -> Call {
    let request = &case.request;
    let mut call = testbed.call(&request.method, &request.path).host(&request.host);
    for (name, value) in request.headers(sent.token.as_deref().map(|token| (&case.token_in, token))) {
        call = call.header(&name, value);
    }
    call
}

async fn answered(call: Call, case: &Case, expect: Expect) -> Result<(), String> {
    let answer = call.try_send().await?;
    if is_as_expected(&answer, case, expect) { Ok(()) } else { Err(format!("expected {expect:?}, got {answer:?}")) }
}

fn is_as_expected(answer: &Answer, case: &Case, expect: Expect) -> bool {
    match expect {
        // The upstream echoes the request; the answer to HEAD has no body.
        Expect::Released => {
            answer.status == 200 && (case.request.method == "HEAD" || answer.json()["headers"].is_object())
        }
        Expect::Code(code) => {
            answer.status == case.status.unwrap_or(code.status())
                && (case.request.method == "HEAD" || answer.code() == code.name())
        }
    }
}

/// Demands that an open stream is cut with the expected code, or stays open.
pub(super) async fn stays_or_is_cut(testbed: &Testbed, mut stream: Stream, expect: Expect) -> Result<(), String> {
    let Expect::Code(code) = expect else {
        stream.lives_for(LASTING).await;
        stream.flows().await;
        return Ok(());
    };
    stream.is_cut().await;
    // The client only sees the cut; the counters have the reason.
    let counter = format!("portcullis.cuts.code.{}.", code.name());
    until("the cut is counted", async || (testbed.envoy.stat(&counter).await > 0).then_some(())).await;
    Ok(())
}
