//! A session service that hangs, lies and breaks off on demand. It writes the check stream frame by frame, so that it can
//! violate every rule of the protocol.

use crate::{process::local, upstream::readable};
use axum::{
    Json, Router,
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use portcullis_contract::wire;
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

/// Larger than any answer to a group of questions.
const OVERSIZED_BYTES: usize = 5 << 20;
/// Added to ids, so that nobody has asked for them.
const STRANGE_IDS: u32 = 1 << 30;
/// Several of these make the shortest lease of a policy.
const BEAT_EVERY: Duration = Duration::from_millis(100);

/// How the fake behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceBehaviour {
    /// Well: every session is active except those that were ended.
    Good,
    /// Takes streams and never answers, not even the hello.
    Hangs,
    /// Answers the hello, and no question.
    Deaf,
    /// Answers correctly, after a delay.
    Late(Duration),
    /// Answers with a frame that holds no message.
    NoMessage,
    /// Answers with bytes that are no frame.
    NoFrame,
    /// Answers that every session is active, in an oversized message.
    Oversized,
    /// Answers that every session is active, with ids that were not asked.
    UnknownIds,
    /// Answers with an outcome of this number.
    Outcome(i32),
    /// Does not claim in its welcome that it sends beats, and sends none.
    Beatless,
    /// Ends the stream in place of an answer.
    Closes,
    /// Refuses streams with an HTTP status.
    Status(u16),
}

/// A running fake. It accepts every credential.
pub struct FakeService {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    behaviour: watch::Sender<ServiceBehaviour>,
    /// Increases; streams of an earlier generation are closed.
    generation: watch::Sender<u32>,
    opened: AtomicUsize,
    ended: Mutex<HashSet<String>>,
    /// Whether it claims to decide by conditions.
    has_conditions: AtomicBool,
    /// What every refusal by [`ServiceBehaviour::Outcome`] says of its condition.
    condition: Mutex<Option<wire::Condition>>,
    asked: Mutex<Vec<wire::Question>>,
    /// The answer about each handle, by its digest.
    handles: Mutex<HashMap<Vec<u8>, wire::Redeemed>>,
    /// How many answers about handles were given.
    redeemed: AtomicUsize,
}

impl FakeService {
    /// Starts a fake that behaves well.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(ServiceBehaviour::Good),
            generation: watch::Sender::new(0),
            opened: AtomicUsize::new(0),
            ended: Mutex::default(),
            has_conditions: AtomicBool::new(false),
            condition: Mutex::default(),
            asked: Mutex::default(),
            handles: Mutex::default(),
            redeemed: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind(local(0)).await.expect("the fake can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let path = "/portcullis.check.v1.SessionCheck/Check";
        let router = Router::new().route(path, post(open)).route("/oauth2/{endpoint}", post(echo));
        let router = router.with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the fake serves");
        });
        Self { address, shared, server }
    }

    /// Behaves differently from now on, on open streams too.
    pub fn behave(&self, behaviour: ServiceBehaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// Breaks off every open stream.
    pub fn break_off(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Reports the session of this `sid` as revoked from now on.
    pub fn end(&self, sid: &str) {
        self.shared.ended.lock().expect("not poisoned").insert(sid.to_owned());
    }

    /// Claims to decide by conditions from now on: on new streams.
    pub fn claim_conditions(&self) {
        self.shared.has_conditions.store(true, Ordering::SeqCst);
        self.break_off();
    }

    /// Names a condition in the outcomes of [`ServiceBehaviour::Outcome`] from now on.
    pub fn name_condition(&self, condition: wire::Condition) {
        *self.shared.condition.lock().expect("not poisoned") = Some(condition);
    }

    /// The last question.
    pub fn last_asked(&self) -> Option<wire::Question> {
        self.shared.asked.lock().expect("not poisoned").last().cloned()
    }

    /// Has this token for a handle from now on, to be renewed after this time.
    pub fn keep(&self, handle: &str, token: &str, renew_after: Duration) {
        let renew_ms = u64::try_from(renew_after.as_millis()).expect("a short time");
        let outcome = wire::Outcome::Active.into();
        self.say(handle, wire::Redeemed { outcome, token: token.to_owned(), renew_ms, ..Default::default() });
    }

    /// Has no token for a handle from now on, and this outcome.
    pub fn refuse(&self, handle: &str, outcome: wire::Outcome) {
        self.say(handle, wire::Redeemed { outcome: outcome.into(), ..Default::default() });
    }

    fn say(&self, handle: &str, answer: wire::Redeemed) {
        let digest = Sha256::digest(handle.as_bytes()).to_vec();
        self.shared.handles.lock().expect("not poisoned").insert(digest, answer);
    }

    /// How many answers about handles it has given.
    pub fn redeemed(&self) -> usize {
        self.shared.redeemed.load(Ordering::SeqCst)
    }

    /// How many streams were requested.
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
    let mut behaviour = shared.behaviour.subscribe();
    let now = *behaviour.wait_for(|behaviour| *behaviour != ServiceBehaviour::Hangs).await.expect("the fake lives");
    if let ServiceBehaviour::Status(status) = now {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let check_stream = CheckStream {
        shared,
        inbound: request.into_body().into_data_stream(),
        buffer: BytesMut::new(),
        sids: HashMap::new(),
        is_greeted: false,
    };
    let answers = stream::unfold(check_stream, |mut check_stream| async move {
        let answer = check_stream.next().await?;
        Some((Ok::<_, Infallible>(answer), check_stream))
    });
    let answers = answers.take_until(async move {
        let _ = over.changed().await;
    });
    ([(CONTENT_TYPE, "application/grpc")], Body::from_stream(answers)).into_response()
}

/// What has reached the token endpoint.
async fn echo(request: Request) -> Response {
    let headers = readable(request.headers());
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let echoed = json!({"endpoint": path, "headers": headers, "body": String::from_utf8_lossy(&body)});
    ([("set-cookie", "__Host-portcullis=new; Path=/; HttpOnly; Secure; SameSite=Lax")], Json(echoed)).into_response()
}

struct CheckStream {
    shared: Arc<Shared>,
    inbound: BodyDataStream,
    buffer: BytesMut,
    /// By token handle.
    sids: HashMap<u32, String>,
    is_greeted: bool,
}

impl CheckStream {
    /// The next bytes of the answer; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let Ok(message) = timeout(BEAT_EVERY, self.message()).await else {
                if self.is_greeted && self.beats() {
                    return Some(framed(&wire::ServiceMessage { beat: true, ..Default::default() }));
                }
                continue;
            };
            let message = message?;
            for token in message.tokens {
                self.sids.insert(token.handle, token.session_key);
            }
            if message.hello.is_some() {
                self.is_greeted = true;
                let mut capabilities = vec![wire::COOKIES.to_owned()];
                if self.beats() {
                    capabilities.push(wire::BEAT.to_owned());
                }
                if self.shared.has_conditions.load(Ordering::SeqCst) {
                    capabilities.push(wire::CONDITIONS.to_owned());
                }
                let welcome = wire::Welcome { service_version: "fake".to_owned(), capabilities, ..Default::default() };
                return Some(framed(&wire::ServiceMessage { welcome: Some(welcome), ..Default::default() }));
            }
            let followed = message.follows.iter().map(|follow| self.judge(follow.id, follow.token)).collect();
            let verdicts = message.questions.iter().map(|question| self.judge(question.id, question.token)).collect();
            let received = !message.questions.is_empty();
            self.shared.asked.lock().expect("not poisoned").extend(message.questions);
            let redeemed = message.redemptions.iter().map(|redemption| self.redeem(redemption)).collect();
            let good = wire::ServiceMessage { verdicts, followed, received, redeemed, ..Default::default() };
            if good != wire::ServiceMessage::default()
                && let Some(answer) = self.distort(good).await
            {
                return answer;
            }
        }
    }

    fn beats(&self) -> bool {
        *self.shared.behaviour.borrow() != ServiceBehaviour::Beatless
    }

    fn redeem(&self, asked: &wire::Redemption) -> wire::Redeemed {
        self.shared.redeemed.fetch_add(1, Ordering::SeqCst);
        let known = self.shared.handles.lock().expect("not poisoned").get(&asked.handle).cloned();
        let unknown = || wire::Redeemed { outcome: wire::Outcome::UnknownSession.into(), ..Default::default() };
        wire::Redeemed { id: asked.id, ..known.unwrap_or_else(unknown) }
    }

    fn judge(&self, id: u32, token: u32) -> wire::Verdict {
        let ended = self.shared.ended.lock().expect("not poisoned");
        let is_ended = self.sids.get(&token).is_some_and(|sid| ended.contains(sid));
        let outcome = if is_ended { wire::Outcome::Revoked } else { wire::Outcome::Active };
        wire::Verdict { id, outcome: outcome.into(), ..Default::default() }
    }

    /// Turns a good answer into what the behaviour makes of it: bytes, the end of the stream, or no answer at all.
    async fn distort(&mut self, mut good: wire::ServiceMessage) -> Option<Option<Bytes>> {
        let behaviour = *self.shared.behaviour.borrow();
        match behaviour {
            ServiceBehaviour::Good | ServiceBehaviour::Beatless | ServiceBehaviour::Status(_) => {}
            ServiceBehaviour::Hangs | ServiceBehaviour::Deaf => return None,
            ServiceBehaviour::Late(by) => tokio::time::sleep(by).await,
            ServiceBehaviour::NoMessage => return Some(Some(frame(&[0xff; 64]))),
            ServiceBehaviour::NoFrame => return Some(Some(Bytes::from_static(&[0xff; 64]))),
            ServiceBehaviour::Oversized => {
                good.welcome =
                    Some(wire::Welcome { service_version: "x".repeat(OVERSIZED_BYTES), ..Default::default() });
            }
            ServiceBehaviour::UnknownIds => good.verdicts.iter_mut().for_each(|verdict| verdict.id ^= STRANGE_IDS),
            ServiceBehaviour::Outcome(outcome) => {
                let condition = self.shared.condition.lock().expect("not poisoned").clone();
                for verdict in &mut good.verdicts {
                    (verdict.outcome, verdict.condition) = (outcome, condition.clone());
                }
            }
            ServiceBehaviour::Closes => return Some(None),
        }
        Some(Some(framed(&good)))
    }

    async fn message(&mut self) -> Option<wire::FilterMessage> {
        const HEAD_BYTES: usize = 5;
        loop {
            if let Some(mut head) = self.buffer.get(1..HEAD_BYTES) {
                let length = head.get_u32() as usize;
                if self.buffer.len() >= HEAD_BYTES + length {
                    self.buffer.advance(HEAD_BYTES);
                    let message = self.buffer.split_to(length);
                    return Some(wire::FilterMessage::decode(message).expect("the filter keeps the contract"));
                }
            }
            self.buffer.extend_from_slice(&self.inbound.next().await?.ok()?);
        }
    }
}

fn framed(message: &wire::ServiceMessage) -> Bytes {
    frame(&message.encode_to_vec())
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a small message"));
    frame.put_slice(message);
    frame.freeze()
}
