//! The two callers of the service: a filter, and somebody who administers.

use crate::fixtures::PATIENCE;
use portcullis_contract::bounds::SERVICE_MESSAGE_BYTES_MAX;
use portcullis_contract::wire::session_check_client::SessionCheckClient;
use portcullis_contract::wire::{
    Circumstances, FilterMessage, Follow, Hello, Issuer, Outcome, Question, Redeemed, Redemption, Route,
    ServiceMessage, SessionKey, Token, Verdict,
};
use portcullis_contract::{KeyKind, SessionId};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

pub(crate) const ADMIN: &str = "the-secret-of-the-admin";
pub(crate) const FILTER: &str = "the-secret-of-the-filter";

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) text: String,
    /// The cookie that it sets.
    pub(crate) cookie: Option<String>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The code of a problem, after checking that it is one.
    pub(crate) fn code(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// One HTTP/1.1 request with that `authorization`.
pub(crate) async fn http(to: SocketAddr, authorization: &str, method: &str, path: &str, body: &str) -> Answer {
    request(to, authorization, "application/json", method, path, body).await
}

/// One form posted with that `authorization`.
pub(crate) async fn post_form(to: SocketAddr, authorization: &str, path: &str, form: &str) -> Answer {
    request(to, authorization, "application/x-www-form-urlencoded", "POST", path, form).await
}

/// One HTTP/1.1 request with that `content-type`.
pub(crate) async fn request(
    to: SocketAddr,
    authorization: &str,
    content_type: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Answer {
    let authorization = match authorization {
        "" => String::new(),
        value => format!("authorization: {value}\r\n"),
    };
    request_with(to, &format!("content-type: {content_type}\r\n{authorization}"), method, path, body).await
}

/// One HTTP/1.1 request with these lines in its head.
pub(crate) async fn request_with(to: SocketAddr, lines: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).map(str::to_owned);
    Answer { status, head: head.to_lowercase(), text: text.to_owned(), cookie }
}

/// A filter's stream.
pub(crate) struct Filter {
    sender: Option<mpsc::Sender<FilterMessage>>,
    answers: Streaming<ServiceMessage>,
}

/// The routes that every filter here says, by index.
pub(crate) const PLAIN: u32 = 0;
pub(crate) const YOUNG: u32 = 1;
pub(crate) const BACKGROUND: u32 = 2;
pub(crate) const STRONG: u32 = 3;

pub(crate) fn hello() -> FilterMessage {
    let young = Route { name: "young".to_owned(), max_age_ms: Some(60_000), ..Route::default() };
    let plain = Route { name: "plain".to_owned(), ..Route::default() };
    let background = Route { name: "background".to_owned(), background: true, ..Route::default() };
    let strong = Route { name: "strong".to_owned(), acr: vec!["aal2".to_owned()], ..Route::default() };
    let routes = vec![plain, young, background, strong];
    FilterMessage { hello: Some(Hello { routes, ..Hello::default() }), ..FilterMessage::default() }
}

impl Filter {
    /// Opens a stream and says hello.
    pub(crate) async fn open(to: SocketAddr, credential: &str) -> Result<Self, Status> {
        let channel = Endpoint::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap();
        Self::over(channel, credential).await
    }

    /// The same, with a hello that describes issuers.
    pub(crate) async fn greeting(to: SocketAddr, credential: &str, issuers: Vec<Issuer>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap();
        let mut message = hello();
        message.hello.as_mut().unwrap().issuers = issuers;
        Self::begun(channel, credential, message).await.unwrap()
    }

    pub(crate) async fn over(channel: Channel, credential: &str) -> Result<Self, Status> {
        Self::begun(channel, credential, hello()).await
    }

    pub(crate) async fn begun(channel: Channel, credential: &str, hello: FilterMessage) -> Result<Self, Status> {
        let mut filter = Self::silent(channel, credential).await?;
        filter.send(hello).await;
        let first = filter.answer().await?.expect("the stream was closed");
        assert!(first.welcome.is_some(), "the hello is answered first: {first:?}");
        Ok(filter)
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn silent(channel: Channel, credential: &str) -> Result<Self, Status> {
        let (sender, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        if !credential.is_empty() {
            let value = format!("Bearer {credential}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        // A message beyond the bound of the contract ends the stream here.
        let mut client = SessionCheckClient::new(channel).max_decoding_message_size(SERVICE_MESSAGE_BYTES_MAX);
        let answers = client.check(request).await?.into_inner();
        Ok(Self { sender: Some(sender), answers })
    }

    pub(crate) async fn send(&self, message: FilterMessage) {
        self.sender.as_ref().expect("this half is closed").send(message).await.unwrap();
    }

    /// Closes the filter's half: nothing more will be asked.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }

    /// Follows token 1, as follow 5, and expects that its session lives.
    pub(crate) async fn follow(&mut self, token: Token, route: u32) {
        let follow = Follow { id: 5, token: token.handle, route, method: "GET".to_owned(), ..Follow::default() };
        self.send(FilterMessage { tokens: vec![token], follows: vec![follow], ..FilterMessage::default() }).await;
        assert_eq!(self.pushed().await.outcome(), Outcome::Active);
    }

    /// The next verdict on follow 5, which comes without a question.
    pub(crate) async fn pushed(&mut self) -> Verdict {
        let answer = tokio::time::timeout(PATIENCE, self.answer()).await.expect("nothing is pushed");
        let answer = answer.unwrap().expect("the stream was closed");
        let [verdict] = <[Verdict; 1]>::try_from(answer.followed).unwrap();
        assert_eq!((verdict.id, answer.verdicts), (5, vec![]));
        verdict
    }

    pub(crate) async fn answer(&mut self) -> Result<Option<ServiceMessage>, Status> {
        self.answers.message().await
    }

    /// Asks one question about a token that is told with it.
    pub(crate) async fn ask_new(&mut self, token: Token) -> Verdict {
        let handle = token.handle;
        self.ask_with(vec![token], handle, PLAIN).await
    }

    pub(crate) async fn ask(&mut self, token: u32, route: u32) -> Verdict {
        self.ask_with(vec![], token, route).await
    }

    pub(crate) async fn ask_with(&mut self, tokens: Vec<Token>, token: u32, route: u32) -> Verdict {
        let questions = vec![Question { id: 9, token, route, method: "GET".to_owned(), ..Question::default() }];
        self.send(FilterMessage { tokens, questions, ..FilterMessage::default() }).await;
        let [verdict] = <[Verdict; 1]>::try_from(self.verdicts(1).await).unwrap();
        assert_eq!(verdict.id, 9);
        verdict
    }

    /// That number of verdicts, after the message that acknowledges their questions or with it.
    pub(crate) async fn verdicts(&mut self, count: usize) -> Vec<Verdict> {
        let (mut verdicts, mut is_received) = (Vec::new(), false);
        while verdicts.len() < count {
            let answer = self.answer().await.unwrap().expect("the stream was closed");
            is_received |= answer.received;
            assert!(is_received, "the questions are answered at once: {answer:?}");
            verdicts.extend(answer.verdicts);
        }
        verdicts
    }

    /// Asks one question with that method, about a token that was told, and with what is known of its request.
    pub(crate) async fn ask_as(&mut self, token: u32, method: &str, circumstances: Circumstances) -> Verdict {
        let (method, circumstances) = (method.to_owned(), Some(circumstances));
        let questions = vec![Question { id: 9, token, method, circumstances, ..Question::default() }];
        self.send(FilterMessage { questions, ..FilterMessage::default() }).await;
        let [verdict] = <[Verdict; 1]>::try_from(self.verdicts(1).await).unwrap();
        verdict
    }

    /// Shows digests of handles, and waits for what they are redeemed for, in their order.
    pub(crate) async fn redeem(&mut self, handles: &[[u8; 32]]) -> Vec<Redeemed> {
        let ids = 0..u32::try_from(handles.len()).unwrap();
        let shown = ids.clone().zip(handles).map(|(id, handle)| Redemption { id, handle: handle.to_vec() });
        self.send(FilterMessage { redemptions: shown.collect(), ..FilterMessage::default() }).await;
        let mut redeemed = Vec::new();
        while redeemed.len() < handles.len() {
            redeemed.extend(self.redeemed().await);
        }
        redeemed.sort_by_key(|redeemed: &Redeemed| redeemed.id);
        assert!(redeemed.iter().map(|redeemed| redeemed.id).eq(ids), "each is answered once");
        redeemed
    }

    /// What has been redeemed, in the next message that has any.
    pub(crate) async fn redeemed(&mut self) -> Vec<Redeemed> {
        loop {
            let answer = tokio::time::timeout(PATIENCE, self.answer()).await.expect("nothing is redeemed");
            let answer = answer.unwrap().expect("the stream was closed");
            if !answer.redeemed.is_empty() {
                return answer.redeemed;
            }
        }
    }

    pub(crate) async fn outcome(&mut self, token: u32) -> Outcome {
        self.ask(token, PLAIN).await.outcome()
    }
}

/// The id of the session of [`token`] with that `sid`.
pub(crate) fn session_id(sid: &str) -> SessionId {
    SessionId::of(KeyKind::Claim, "https://id", sid, "web")
}

/// A person's token with that `sid`.
pub(crate) fn token(handle: u32, sid: &str, issued_at_ms: u64) -> Token {
    Token {
        handle,
        issuer: "https://id".to_owned(),
        key_kind: SessionKey::Claim as i32,
        session_key: sid.to_owned(),
        subject: "alice".to_owned(),
        client_id: "web".to_owned(),
        scopes: vec!["openid".to_owned(), "orders:read".to_owned()],
        issued_at_ms,
        expires_at_ms: issued_at_ms + 3_600_000,
        digest: vec![0xab; 32],
        ..Token::default()
    }
}
