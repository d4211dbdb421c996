//! A session service that dies, hangs and lies on demand. It speaks the check stream frame by frame, so that it can break
//! every rule of it.

use crate::{process::local, proto::check};
use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use prost::Message;
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Larger than any answer to a group of questions.
const OVERSIZED_BYTES: usize = 5 << 20;
/// Added to ids, so that nobody has asked for them.
const STRANGE_IDS: u32 = 1 << 30;

/// How the fake behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Well: every session is active, but for those that were ended.
    Good,
    /// Takes streams and never answers, not even the hello.
    Hangs,
    /// Answers the hello, and no question.
    Deaf,
    /// Answers well, but so much later.
    Late(Duration),
    /// Answers with a frame that holds no message.
    NoMessage,
    /// Answers with bytes that are no frame.
    NoFrame,
    /// Answers that all is well, in a message beyond all measure.
    Oversized,
    /// Answers that all is well, to questions that were not asked.
    UnknownIds,
    /// Answers with an outcome of this number.
    Outcome(i32),
    /// Ends the stream in place of an answer.
    Closes,
    /// Refuses streams with an HTTP status.
    Status(u16),
}

/// A running fake. Every credential is good enough for it.
pub struct FakeService {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    manner: watch::Sender<Manner>,
    /// Counts up; streams of an earlier generation are over.
    generation: watch::Sender<u32>,
    opened: AtomicUsize,
    ended: Mutex<HashSet<String>>,
}

impl FakeService {
    /// Starts one that behaves well.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            manner: watch::Sender::new(Manner::Good),
            generation: watch::Sender::new(0),
            opened: AtomicUsize::new(0),
            ended: Mutex::default(),
        });
        let listener = TcpListener::bind(local(0)).await.expect("the fake can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let path = "/portcullis.check.v1.SessionCheck/Check";
        let router = Router::new().route(path, post(open)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the fake serves");
        });
        Self { address, shared, server }
    }

    /// Behaves differently from now on, on open streams too.
    pub fn behave(&self, manner: Manner) {
        self.shared.manner.send_replace(manner);
    }

    /// Breaks off every open stream.
    pub fn break_off(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Says from now on that the session of this `sid` was revoked.
    pub fn end(&self, sid: &str) {
        self.shared.ended.lock().expect("not poisoned").insert(sid.to_owned());
    }

    /// How many streams were asked for.
    pub fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }
}

impl Drop for FakeService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn open(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.opened.fetch_add(1, Ordering::SeqCst);
    let mut over = shared.generation.subscribe();
    let mut manner = shared.manner.subscribe();
    let now = *manner.wait_for(|manner| *manner != Manner::Hangs).await.expect("the fake lives");
    if let Manner::Status(status) = now {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let talk =
        Talk { shared, inbound: request.into_body().into_data_stream(), buffer: BytesMut::new(), sids: HashMap::new() };
    let answers = stream::unfold(talk, |mut talk| async move {
        let answer = talk.next().await?;
        Some((Ok::<_, Infallible>(answer), talk))
    });
    let answers = answers.take_until(async move {
        let _ = over.changed().await;
    });
    ([(CONTENT_TYPE, "application/grpc")], Body::from_stream(answers)).into_response()
}

struct Talk {
    shared: Arc<Shared>,
    inbound: BodyDataStream,
    buffer: BytesMut,
    /// By token handle.
    sids: HashMap<u32, String>,
}

impl Talk {
    /// The next bytes of the answer; none ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let message = self.message().await?;
            for token in message.tokens {
                self.sids.insert(token.handle, token.session_key);
            }
            if message.hello.is_some() {
                let welcome = check::Welcome { service_version: "fake".to_owned() };
                return Some(framed(&check::ServiceMessage { welcome: Some(welcome), ..Default::default() }));
            }
            let followed = message.follows.iter().map(|follow| self.judge(follow.id, follow.token)).collect();
            let verdicts = message.questions.iter().map(|question| self.judge(question.id, question.token)).collect();
            let good = check::ServiceMessage { verdicts, followed, ..Default::default() };
            if good != check::ServiceMessage::default()
                && let Some(answer) = self.twist(good).await
            {
                return answer;
            }
        }
    }

    fn judge(&self, id: u32, token: u32) -> check::Verdict {
        let ended = self.shared.ended.lock().expect("not poisoned");
        let is_ended = self.sids.get(&token).is_some_and(|sid| ended.contains(sid));
        let outcome = if is_ended { check::Outcome::Revoked } else { check::Outcome::Active };
        check::Verdict { id, outcome: outcome.into(), ..Default::default() }
    }

    /// What becomes of a good answer: bytes, the end of the stream, or nothing at all.
    async fn twist(&mut self, mut good: check::ServiceMessage) -> Option<Option<Bytes>> {
        let manner = *self.shared.manner.borrow();
        match manner {
            Manner::Good | Manner::Status(_) => {}
            Manner::Hangs | Manner::Deaf => return None,
            Manner::Late(by) => tokio::time::sleep(by).await,
            Manner::NoMessage => return Some(Some(frame(&[0xff; 64]))),
            Manner::NoFrame => return Some(Some(Bytes::from_static(&[0xff; 64]))),
            Manner::Oversized => {
                good.welcome = Some(check::Welcome { service_version: "x".repeat(OVERSIZED_BYTES) });
            }
            Manner::UnknownIds => good.verdicts.iter_mut().for_each(|verdict| verdict.id ^= STRANGE_IDS),
            Manner::Outcome(outcome) => good.verdicts.iter_mut().for_each(|verdict| verdict.outcome = outcome),
            Manner::Closes => return Some(None),
        }
        Some(Some(framed(&good)))
    }

    async fn message(&mut self) -> Option<check::FilterMessage> {
        const HEAD_BYTES: usize = 5;
        loop {
            if let Some(mut head) = self.buffer.get(1..HEAD_BYTES) {
                let length = head.get_u32() as usize;
                if self.buffer.len() >= HEAD_BYTES + length {
                    self.buffer.advance(HEAD_BYTES);
                    let message = self.buffer.split_to(length);
                    return Some(check::FilterMessage::decode(message).expect("the filter keeps the contract"));
                }
            }
            self.buffer.extend_from_slice(&self.inbound.next().await?.ok()?);
        }
    }
}

fn framed(message: &check::ServiceMessage) -> Bytes {
    frame(&message.encode_to_vec())
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a small message"));
    frame.put_slice(message);
    frame.freeze()
}
