//! Open streams, each kind held by a client library of its own.

mod http;
mod rpc;
mod socket;

pub(crate) use rpc::wait;

use crate::PATIENCE;
use hyper::{Response, body::Incoming};
use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// What is streamed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A websocket over HTTP/1.1 (tokio-tungstenite). Silent until it is spoken to.
    WebSocket,
    /// A bidirectional gRPC stream (tonic). Silent until it is spoken to.
    Rpc,
    /// Server-sent events over HTTP/1.1 (hyper).
    EventsHttp1,
    /// Server-sent events over h2 (hyper).
    EventsHttp2,
    /// A download over HTTP/1.1 (hyper).
    DownloadHttp1,
    /// A download over h2 (hyper).
    DownloadHttp2,
    /// Server-sent events over HTTP/1.1: one, then silence.
    QuietHttp1,
    /// Server-sent events over h2: one, then silence.
    QuietHttp2,
}

impl Kind {
    /// Every kind on which bytes flow, of themselves or when it is spoken to.
    pub const FLOWING: [Self; 6] =
        [Self::WebSocket, Self::Rpc, Self::EventsHttp1, Self::EventsHttp2, Self::DownloadHttp1, Self::DownloadHttp2];

    /// Every kind on which nothing is sent while nobody speaks.
    pub const SILENT: [Self; 4] = [Self::WebSocket, Self::Rpc, Self::QuietHttp1, Self::QuietHttp2];

    /// Its path at the upstream.
    pub const fn path(self) -> &'static str {
        match self {
            Self::WebSocket => "/stream/socket",
            Self::Rpc => "/portcullis.tests.Echo/Talk",
            Self::EventsHttp1 | Self::EventsHttp2 => "/stream/events",
            Self::DownloadHttp1 | Self::DownloadHttp2 => "/stream/download",
            Self::QuietHttp1 | Self::QuietHttp2 => "/stream/quiet",
        }
    }

    const fn is_spoken_to(self) -> bool {
        matches!(self, Self::WebSocket | Self::Rpc)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Wanted {
    address: SocketAddr,
    kind: Kind,
    host: String,
    path: String,
    token: Option<String>,
}

/// A stream that could not be opened: the HTTP status, or the gRPC status for a gRPC stream, and what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status; 0 where no answer came.
    pub status: u16,
    /// What was said.
    pub text: String,
}

impl Refused {
    fn failed(fault: impl fmt::Display) -> Self {
        Self { status: 0, text: fault.to_string() }
    }
}

/// How a stream ended, as the client saw it.
#[derive(Debug, Clone)]
pub struct End {
    /// When.
    pub at: Instant,
    /// Whether it was broken off: for all but websockets, whose close is a cut as well, the contrary of a good end.
    pub cut: bool,
    /// What the library said.
    pub said: String,
}

/// An open stream. Dropping it is a client that leaves.
pub struct Stream {
    kind: Kind,
    mouth: mpsc::UnboundedSender<()>,
    heard: watch::Receiver<u64>,
    end: watch::Receiver<Option<End>>,
    client: JoinHandle<()>,
}

/// The client's end of it.
struct Line {
    mouth: mpsc::UnboundedReceiver<()>,
    heard: watch::Sender<u64>,
}

impl Line {
    fn hear(&self) {
        self.heard.send_modify(|count| *count += 1);
    }
}

impl Stream {
    /// Opens one on a connection of its own; it is open when the response has begun.
    pub(crate) async fn open(address: SocketAddr, kind: Kind, host: &str, token: &str) -> Result<Self, Refused> {
        Self::open_at(address, kind, host, kind.path(), Some(token)).await
    }

    /// The same at another path; the upstream answers websockets and gRPC calls wherever they come.
    pub(crate) async fn open_at(
        address: SocketAddr,
        kind: Kind,
        host: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<Self, Refused> {
        let (host, path, token) = (host.to_owned(), path.to_owned(), token.map(str::to_owned));
        let wanted = Wanted { address, kind, host, path, token };
        let opening = async {
            match kind {
                Kind::WebSocket => Ok(Self::run(kind, socket::open(&wanted).await?, socket::run)),
                Kind::Rpc => {
                    let (speaker, texts) = rpc::open(&wanted).await?;
                    Ok(Self::run(kind, texts, |texts, line| rpc::run(speaker, texts, line)))
                }
                _ => Ok(Self::run(kind, http::open(&wanted).await?, http::run)),
            }
        };
        let opened = timeout(PATIENCE, opening).await;
        opened.unwrap_or_else(|_| Err(Refused::failed(format!("{kind:?}: no answer in {PATIENCE:?}"))))
    }

    /// Reads an answer that was begun elsewhere.
    pub fn of(response: Response<Incoming>) -> Self {
        Self::run(Kind::DownloadHttp1, response.into_body(), http::run)
    }

    fn run<T, R: Future<Output = End> + Send + 'static>(kind: Kind, open: T, run: impl FnOnce(T, Line) -> R) -> Self {
        let (mouth, ear) = mpsc::unbounded_channel();
        let (heard_by, heard) = watch::channel(0);
        let (ended, end) = watch::channel(None);
        let talk = run(open, Line { mouth: ear, heard: heard_by });
        let client = tokio::spawn(async move {
            let end = talk.await;
            // Nobody may wait for it any more.
            let _ = ended.send(Some(end));
        });
        Self { kind, mouth, heard, end, client }
    }

    /// Whether the client thinks that it is open.
    pub fn is_open(&self) -> bool {
        self.end.borrow().is_none()
    }

    /// Sends something, where the client can.
    pub fn speak(&self) {
        if self.kind.is_spoken_to() {
            // A stream that has ended has nobody to hear it.
            let _ = self.mouth.send(());
        }
    }

    /// Demands that more bytes come, after something was said where that is needed.
    pub async fn flows(&mut self) {
        let before = *self.heard.borrow_and_update();
        self.speak();
        let more = timeout(PATIENCE, self.heard.wait_for(|count| *count > before)).await;
        assert!(matches!(more, Ok(Ok(_))), "{:?} does not flow: {:?}", self.kind, self.end.borrow());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> End {
        let kind = self.kind;
        let end = timeout(PATIENCE, self.end.wait_for(Option::is_some)).await;
        let end = end.unwrap_or_else(|_| panic!("{kind:?} is still open after {PATIENCE:?}"));
        end.expect("the client reports the end").clone().expect("waited for")
    }

    /// Waits for its end, and demands that it was broken off.
    pub async fn is_cut(&mut self) -> End {
        let kind = self.kind;
        let end = self.ended().await;
        assert!(end.cut, "{kind:?} ended well: {end:?}");
        end
    }

    /// Demands that it goes on for a while.
    pub async fn lives_for(&mut self, time: Duration) {
        let kind = self.kind;
        let end = timeout(time, self.end.wait_for(Option::is_some)).await;
        assert!(end.is_err(), "{kind:?} ended: {end:?}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.client.abort();
    }
}

fn ended(cut: bool, said: impl fmt::Debug) -> End {
    End { at: Instant::now(), cut, said: format!("{said:?}") }
}
