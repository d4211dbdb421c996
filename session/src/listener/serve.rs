//! One listener: HTTP/1.1 and HTTP/2 on one port, with TLS or without, until it is stopped.

use super::threads::ConnectionThreads;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Connections that one listener keeps open.
const CONNECTIONS_MAX: usize = 10_000;

/// How long a caller may take for a TLS handshake, and for the headers of an HTTP/1.1 request.
const GREETING_MAX: Duration = Duration::from_secs(10);

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

/// Answers with `router`, on `threads`, until `stop` turns `true`. Then it accepts no more connections, asks HTTP/2 peers
/// to open no more streams (GOAWAY), and lets open requests end for as long as `drain_max`.
pub(crate) async fn serve(
    listener: TcpListener,
    threads: ConnectionThreads,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stop: watch::Receiver<bool>,
    drain_max: Duration,
) {
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), open.watcher());
        threads.serve(stream, async move |stream| {
            match tls {
                None => converse(stream, peer, router, watcher).await,
                Some(tls) => match tokio::time::timeout(GREETING_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, peer, router, watcher).await,
                    Ok(Err(error)) => warn!(%peer, %error, "tls handshake failed"),
                    Err(_) => warn!(%peer, "tls handshake took too long"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(drain_max, open.shutdown()).await.is_err() {
        warn!("cut connections that were still open");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small messages go back and forth: none may wait for the next (Nagle's algorithm).
            drop(stream.set_nodelay(true));
            Some((stream, peer, place))
        }
        Err(error) => {
            warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn converse<S>(stream: S, peer: SocketAddr, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
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
    let router = router.layer(Extension(Peer(peer)));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        debug!(%peer, %error, "a connection broke");
    }
}
