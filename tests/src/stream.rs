//! Open streams, each kind held by a client library of its own.

mod control;
mod end;
mod http;
mod kind;
mod rpc;
mod socket;

pub use end::{End, Refused};
pub use kind::Kind;
pub(crate) use rpc::wait;

use crate::PATIENCE;
use control::Control;
use hyper::{Response, body::Incoming};
use kind::StreamRequest;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// An open stream. Dropping it closes the connection, as a client that leaves does.
pub struct Stream {
    kind: Kind,
    to_send: mpsc::UnboundedSender<()>,
    received: watch::Receiver<u64>,
    end: watch::Receiver<Option<End>>,
    client: JoinHandle<()>,
}

impl Stream {
    /// Opens one on a connection of its own; it is open when the response has begun.
    pub(crate) async fn open(address: SocketAddr, kind: Kind, host: &str, token: &str) -> Result<Self, Refused> {
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}").into_bytes())];
        Self::open_with(address, kind, host, kind.path(), headers).await
    }

    /// The same at another path and with these headers; the upstream answers websockets and gRPC calls wherever they come.
    pub(crate) async fn open_with(
        address: SocketAddr,
        kind: Kind,
        host: &str,
        path: &str,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, Refused> {
        let (host, path) = (host.to_owned(), path.to_owned());
        let request = StreamRequest { address, kind, host, path, headers };
        let opening = async {
            match kind {
                Kind::WebSocket => Ok(Self::run(kind, socket::open(&request).await?, socket::run)),
                Kind::Rpc => {
                    let (sender, texts) = rpc::open(&request).await?;
                    Ok(Self::run(kind, texts, |texts, control| rpc::run(sender, texts, control)))
                }
                _ => Ok(Self::run(kind, http::open(&request).await?, http::run)),
            }
        };
        let opened = timeout(PATIENCE, opening).await;
        opened.unwrap_or_else(|_| Err(Refused::failed(format!("{kind:?}: no answer in {PATIENCE:?}"))))
    }

    /// A stream over a response that has begun.
    pub fn of(response: Response<Incoming>) -> Self {
        Self::run(Kind::DownloadHttp1, response.into_body(), http::run)
    }

    fn run<T, R>(kind: Kind, open: T, run: impl FnOnce(T, Control) -> R) -> Self
    where
        R: Future<Output = End> + Send + 'static,
    {
        let (to_send, sends) = mpsc::unbounded_channel();
        let (receives, received) = watch::channel(0);
        let (ended, end) = watch::channel(None);
        let running = run(open, Control { to_send: sends, received: receives });
        let client = tokio::spawn(async move {
            let end = running.await;
            // The stream may have been dropped.
            let _ = ended.send(Some(end));
        });
        Self { kind, to_send, received, end, client }
    }

    /// Whether the client has seen no end yet.
    pub fn is_open(&self) -> bool {
        self.end.borrow().is_none()
    }

    /// Sends something if the kind is echoed.
    pub fn send(&self) {
        if self.kind.is_echoed() {
            // The stream may have ended.
            let _ = self.to_send.send(());
        }
    }

    /// Demands that more bytes arrive, after sending something where only an echo comes back.
    pub async fn flows(&mut self) {
        let before = *self.received.borrow_and_update();
        self.send();
        let more = timeout(PATIENCE, self.received.wait_for(|count| *count > before)).await;
        assert!(matches!(more, Ok(Ok(_))), "{:?} does not flow: {:?}", self.kind, self.end.borrow());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> End {
        let kind = self.kind;
        let end = timeout(PATIENCE, self.end.wait_for(Option::is_some)).await;
        let end = end.unwrap_or_else(|_| panic!("{kind:?} is still open after {PATIENCE:?}"));
        end.expect("the client reports the end").clone().expect("waited for")
    }

    /// Waits for its end and demands that it was broken off.
    pub async fn is_cut(&mut self) -> End {
        let kind = self.kind;
        let end = self.ended().await;
        assert!(end.cut, "{kind:?} was not cut: {end:?}");
        end
    }

    /// Demands that it stays open for a while.
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
