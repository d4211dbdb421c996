//! The filter's side of the check stream: the messages that it sends, and a connection to send them over.

use portcullis_contract::wire::{
    FilterMessage, Hello, Question, Route, ServiceMessage, SessionKey, Token, session_check_client::SessionCheckClient,
};
use portcullis_tests::{Service, now_s};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, transport::Endpoint};

const ROUTES: u32 = 100;
const HOUR_MS: u64 = 3_600_000;

/// The first message of a stream.
pub(crate) fn hello() -> FilterMessage {
    let route =
        |number| Route { name: format!("r{number}"), all_of: vec!["orders:read".to_owned()], ..Route::default() };
    let hello = Hello {
        filter_version: "bench".to_owned(),
        policy_digest: "0".repeat(64),
        routes: (0..ROUTES).map(route).collect(),
        ..Hello::default()
    };
    FilterMessage { hello: Some(hello), ..FilterMessage::default() }
}

/// The facts of a token of a session of its own. The names are as long as those of real ones.
pub(crate) fn token(handle: u32) -> Token {
    let now_ms = u64::try_from(now_s()).expect("after 1970") * 1_000;
    let session = format!("5e1a7c30-0000-4000-8000-{handle:012}");
    Token {
        handle,
        issuer: "https://id.example.com".to_owned(),
        key_kind: SessionKey::Claim.into(),
        session_key: session,
        subject: format!("user-{handle:08}"),
        client_id: "web".to_owned(),
        scopes: vec!["orders:read".to_owned(), "orders:write".to_owned()],
        issued_at_ms: now_ms,
        expires_at_ms: now_ms + HOUR_MS,
        authenticated_at_ms: Some(now_ms),
        jti: format!("token-{handle}"),
        digest: handle.to_be_bytes().repeat(8),
        ..Token::default()
    }
}

/// A question as the filter asks it.
pub(crate) fn question(id: u32, token: u32) -> Question {
    Question {
        id,
        token,
        route: token % ROUTES,
        method: "GET".to_owned(),
        client_address: "192.0.2.17".to_owned(),
        user_agent_digest: Some(0x5bd1_e995),
        ..Question::default()
    }
}

/// One check stream over a connection of its own. As the filter does, it has one message on its way at a time, and what is
/// asked meanwhile goes into the next.
pub(crate) struct Stream {
    out: mpsc::Sender<FilterMessage>,
    answers: Streaming<ServiceMessage>,
}

impl Stream {
    pub(crate) async fn open(service: &Service) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
        let channel = endpoint.tcp_nodelay(true).connect().await.expect("the service listens");
        let (out, messages) = mpsc::channel(1);
        let mut request = Request::new(ReceiverStream::new(messages));
        let credential = format!("Bearer {}", service.filter_credential());
        request.metadata_mut().insert("authorization", credential.parse().expect("a header value"));
        out.send(hello()).await.expect("the stream is open");
        let answers = SessionCheckClient::new(channel).check(request).await.expect("a stream").into_inner();
        let mut stream = Self { out, answers };
        assert!(stream.answer().await.welcome.is_some(), "the service says welcome");
        stream
    }

    /// Sends a message of questions, and waits until all of them have their verdict.
    pub(crate) async fn ask(&mut self, message: FilterMessage) {
        let count = message.questions.len();
        self.out.send(message).await.expect("the stream is open");
        // The first questions about a session wait for a look-up on disk: their verdicts follow.
        let mut verdicts = Vec::with_capacity(count);
        while verdicts.len() < count {
            verdicts.extend(self.answer().await.verdicts);
        }
        // Every session is active, so no other verdict is possible here.
        assert_eq!(verdicts.len(), count);
        assert!(verdicts.iter().all(|verdict| verdict.outcome == ACTIVE), "{:?}", verdicts.first());
    }

    async fn answer(&mut self) -> ServiceMessage {
        self.answers.message().await.expect("no error").expect("an answer")
    }
}

const ACTIVE: i32 = portcullis_contract::wire::Outcome::Active as i32;
