//! One listener: HTTP/1.1 and HTTP/2 on one port, with TLS or without, until it is stopped.

use super::silent::{Connection, Connections, GREETING_MAX};
use super::threads::ConnectionThreads;
use super::tls::Tls;
use crate::config::Reloadable;
use crate::log::Sampler;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

/// How often an HTTP/2 connection is pinged, to find out whether its peer is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The flow-control window of a stream: a large table of routes then needs few round trips.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The flow-control window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Pause after a failed accept (when there are no file descriptors left, for example), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The caller's address, as a request's extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

/// The SHA-256 of the certificate that the caller has presented, if it was asked for one, as a request's extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerCertificate(pub [u8; 32]);

/// How one listener is served.
pub(crate) struct Served {
    /// Serve the connections.
    pub(crate) threads: ConnectionThreads,
    /// Encrypts new connections.
    pub(crate) tls: Reloadable<Option<Tls>>,
    /// Answers the requests.
    pub(crate) router: Router,
    /// The most connections that are open at once.
    pub(crate) connections_max: usize,
    /// Whether HTTP/2 is spoken: by no caller of signals.
    pub(crate) speaks_http2: bool,
}

/// Answers with `router`, on `threads`, until `stop` turns `true`. Then it accepts no more connections, asks HTTP/2 peers
/// to open no more streams (GOAWAY), and lets open requests finish for up to `drain_max`. When there is no room for another
/// connection, the oldest one without an open request is closed.
pub(crate) async fn serve(listener: TcpListener, served: Served, mut stop: watch::Receiver<bool>, drain_max: Duration) {
    let Served { threads, tls, router, connections_max, speaks_http2 } = served;
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(connections_max));
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &room, &mut connections) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let requests = connections.enter();
        let (router, watcher) = (router.clone(), open.watcher());
        let tls = tls.read().as_ref().map(|tls| tls.acceptor(speaks_http2));
        threads.serve(stream, async move |stream| {
            let conversing = async {
                match tls {
                    None => converse(stream, (peer, None), router, watcher, &requests, speaks_http2).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => {
                            let certificate = certificate(stream.get_ref().1.peer_certificates());
                            let caller = (peer, certificate);
                            converse(stream, caller, router, watcher, &requests, speaks_http2).await;
                        }
                        Err(error) => debug!(%peer, %error, "tls handshake failed"),
                    },
                }
            };
            tokio::select! {
                () = conversing => {}
                () = requests.is_idle() => debug!(%peer, "closed a connection that asked nothing"),
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(drain_max, open.shutdown()).await.is_err() {
        warn!("closed connections that were still open at the deadline");
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>, connections: &mut Connections) -> Option<Accepted> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let place = take_place(room, connections).await?;
            // Small messages go back and forth: none may wait for the next (Nagle's algorithm).
            drop(stream.set_nodelay(true));
            Some((stream, peer, place))
        }
        Err(error) => {
            static FAILED: Sampler = Sampler::new();
            if let Some(not_logged) = FAILED.admit() {
                warn!(%error, not_logged, "cannot accept a connection");
            }
            // The process may have no file descriptor left.
            connections.make_room();
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Waits for a place, and has others make room: again and again, for a connection falls silent when its answer leaves.
async fn take_place(room: &Arc<Semaphore>, connections: &mut Connections) -> Option<OwnedSemaphorePermit> {
    loop {
        if let Ok(place) = Arc::clone(room).try_acquire_owned() {
            return Some(place);
        }
        connections.make_room();
        if let Ok(place) = tokio::time::timeout(ACCEPT_PAUSE, Arc::clone(room).acquire_owned()).await {
            return place.ok();
        }
    }
}

async fn converse<S>(
    stream: S,
    (peer, certificate): (SocketAddr, Option<PeerCertificate>),
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    requests: &Arc<Connection>,
    speaks_http2: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(GREETING_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let builder = if speaks_http2 { builder } else { builder.http1_only() };
    let requests = Arc::clone(requests);
    let counted = from_fn(move |request: Request, next: Next| {
        let open = requests.open();
        async move { next.run(request).await.map(|body| open.answered(body)) }
    });
    let mut router = router.layer(counted).layer(Extension(Peer(peer)));
    if let Some(certificate) = certificate {
        router = router.layer(Extension(certificate));
    }
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        debug!(%peer, %error, "a connection broke");
    }
}

fn certificate(presented: Option<&[CertificateDer<'_>]>) -> Option<PeerCertificate> {
    presented?.first().map(|certificate| PeerCertificate(Sha256::digest(certificate).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_soon_after_a_connection_has_been_answered() {
        let (room, mut connections) = (Arc::new(Semaphore::new(1)), Connections::default());
        let place = Arc::clone(&room).acquire_owned().await.unwrap();
        let held = connections.enter();
        let open = held.open();
        tokio::spawn(async move {
            // Until it closes, it holds its place.
            held.is_idle().await;
            drop(place);
        });
        let waits = tokio::spawn(async move { take_place(&room, &mut connections).await.is_some() });
        // It has looked once, and found nothing.
        tokio::time::sleep(2 * ACCEPT_PAUSE).await;
        assert!(!waits.is_finished());
        drop(open);
        let is_taken = tokio::time::timeout(GREETING_MAX / 2, waits).await;
        assert!(is_taken.expect("nobody makes room").unwrap());
    }
}
