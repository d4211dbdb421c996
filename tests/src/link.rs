//! A TCP link whose ends can lose each other in every way: both are told, or one of them, or neither; and in one direction, or in
//! both. It can also be slow.

use crate::process::local;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
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

/// What becomes of a connection. Its near end is the one that has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Break {
    /// Nothing passes, and nobody is told.
    Dead,
    /// What the near end sends is lost, and what is sent to it arrives.
    DeadFromNear,
    /// The reverse.
    DeadFromFar,
    /// Both ends are told.
    Closed,
    /// The near end is told, and the far one believes in the connection.
    ClosedAtNear,
    /// The reverse.
    ClosedAtFar,
}

impl Break {
    /// Whether an end is told.
    const fn closes(self) -> bool {
        matches!(self, Self::Closed | Self::ClosedAtNear | Self::ClosedAtFar)
    }

    /// Whether what this end sends is lost.
    const fn loses(self, from: End) -> bool {
        match self {
            Self::DeadFromNear => matches!(from, End::Near),
            Self::DeadFromFar => matches!(from, End::Far),
            Self::Dead | Self::Closed | Self::ClosedAtNear | Self::ClosedAtFar => true,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Near,
    Far,
}

#[derive(Default)]
struct State {
    target: watch::Sender<Option<SocketAddr>>,
    /// Connections are numbered; what has become of those below.
    broken: watch::Sender<(u64, Option<Break>)>,
    opened: watch::Sender<u64>,
    lets_in: watch::Sender<bool>,
    /// By how much what passes is delayed, in milliseconds.
    delay_ms: AtomicU64,
}

impl State {
    /// What has become of a connection.
    fn fate(&self, number: u64) -> Option<Break> {
        let (below, how) = *self.broken.borrow();
        how.filter(|_| number < below)
    }
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

    /// A link to a target.
    pub async fn to(target: SocketAddr) -> Self {
        let link = Self::open().await;
        link.lead_to(target);
        link
    }

    /// Where it leads.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.target.send_replace(Some(target));
    }

    /// Breaks every connection. New ones work.
    pub fn break_all(&self, how: Break) {
        self.state.broken.send_replace((*self.state.opened.borrow(), Some(how)));
    }

    /// Breaks every connection, and all that are opened later: from now on nothing passes, in either direction.
    pub fn go_dead(&self) {
        self.state.broken.send_replace((u64::MAX, Some(Break::Dead)));
    }

    /// Closes every connection, and accepts no more until [`Link::accept_again`].
    pub fn close(&self) {
        self.state.lets_in.send_replace(false);
        self.break_all(Break::Closed);
    }

    /// Accepts connections again after [`Link::close`].
    pub fn accept_again(&self) {
        self.state.lets_in.send_replace(true);
    }

    /// Delays whatever passes from now on, by this much in each direction.
    pub fn delay(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).expect("a short time");
        self.state.delay_ms.store(by_ms, Ordering::Relaxed);
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

async fn carry(mut near: TcpStream, number: u64, state: Arc<State>) {
    let mut target = state.target.subscribe();
    let Ok(Some(target)) = target.wait_for(Option::is_some).await.map(|target| *target) else { return };
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let mut broken = state.broken.subscribe();
    let closed = broken.wait_for(|(below, how)| number < *below && how.is_some_and(Break::closes));
    let passing = async {
        let ((near_out, near_in), (far_out, far_in)) = (near.split(), far.split());
        tokio::join!(
            pass(near_out, far_in, End::Near, number, &state),
            pass(far_out, near_in, End::Far, number, &state)
        )
    };
    tokio::select! {
        _ = passing => return,
        _ = closed => {}
    }
    match state.fate(number) {
        Some(Break::ClosedAtNear) => drop(near),
        Some(Break::ClosedAtFar) => drop(far),
        _ => return,
    }
    std::future::pending::<()>().await;
}

/// Passes bytes on until an end is closed. On a dead link, not even that is told.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, end: End, number: u64, state: &State) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await.unwrap_or_default();
        let delay_ms = state.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        if state.fate(number).is_some_and(|how| how.loses(end)) {
            return std::future::pending().await;
        }
        if read == 0 || to.write_all(&chunk[..read]).await.is_err() {
            return drop(to.shutdown().await);
        }
    }
}
