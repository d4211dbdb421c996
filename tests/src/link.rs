//! A TCP link whose ends can lose each other without being told: nothing arrives any more, and nothing is closed.

use crate::process::local;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Bytes that are passed on together.
const CHUNK_BYTES: usize = 64 << 10;

/// A port whose connections lead to another one.
pub struct Link {
    /// The port to connect to.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    target: watch::Sender<Option<SocketAddr>>,
    /// Connections are numbered; those below are dead.
    dead_below: watch::Sender<u64>,
    /// Those below are closed.
    closed_below: watch::Sender<u64>,
    opened: watch::Sender<u64>,
    lets_in: watch::Sender<bool>,
}

impl Link {
    /// A link that leads nowhere yet.
    pub async fn open() -> Self {
        let listener = TcpListener::bind(local(0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State::default());
        state.lets_in.send_replace(true);
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { port, state }
    }

    /// Where it leads.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.target.send_replace(Some(target));
    }

    /// Strands every connection: from now on nothing passes, in either direction. New ones work.
    pub fn strand(&self) {
        self.state.dead_below.send_replace(*self.state.opened.borrow());
    }

    /// Strands every connection, and all that are opened later.
    pub fn go_dead(&self) {
        self.state.dead_below.send_replace(u64::MAX);
    }

    /// Closes every connection, and accepts no more until [`Link::accept_again`].
    pub fn close(&self) {
        self.state.lets_in.send_replace(false);
        self.state.closed_below.send_replace(*self.state.opened.borrow());
    }

    /// Accepts connections again after [`Link::close`].
    pub fn accept_again(&self) {
        self.state.lets_in.send_replace(true);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut lets_in = state.lets_in.subscribe();
    while lets_in.wait_for(|lets_in| *lets_in).await.is_ok() {
        let Ok((near, _)) = listener.accept().await else { return };
        // One that was let in by the backlog while the link was closed.
        if !*lets_in.borrow() {
            continue;
        }
        let number = *state.opened.borrow();
        state.opened.send_replace(number + 1);
        tokio::spawn(carry(near, number, Arc::clone(&state)));
    }
}

async fn carry(near: TcpStream, number: u64, state: Arc<State>) {
    let mut closed = state.closed_below.subscribe();
    let passing = async {
        let mut target = state.target.subscribe();
        let target = *target.wait_for(Option::is_some).await.ok()?;
        let far = TcpStream::connect(target?).await.ok()?;
        let ((near_out, near_in), (far_out, far_in)) = (near.into_split(), far.into_split());
        tokio::join!(pass(near_out, far_in, number, &state), pass(far_out, near_in, number, &state));
        Some(())
    };
    tokio::select! {
        _ = passing => {}
        _ = closed.wait_for(|below| number < *below) => {}
    }
}

/// Passes bytes on until an end is closed. On a dead link, not even that is told.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, state: &State) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let dead = state.dead_below.subscribe();
    loop {
        let read = from.read(&mut chunk).await.unwrap_or_default();
        if number < *dead.borrow() {
            return std::future::pending().await;
        }
        if read == 0 || to.write_all(&chunk[..read]).await.is_err() {
            return drop(to.shutdown().await);
        }
    }
}
