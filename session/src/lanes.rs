//! Lanes: threads that each serve some of the connections, from the first byte to the last.
//!
//! Behind each question a request waits. On a runtime of several threads, whatever arrives also wakes a thread that
//! is to look for more to do: a system call, and a thread that mostly finds nothing. A lane is one thread that reads a
//! question, judges it and writes the answer, and waits for nobody. So nothing slow may run on a lane of checks but
//! what a verdict needs; the admin API, the cleaner and the writer have threads of their own.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, available_parallelism};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tracing::warn;

/// Lanes for each core: more than one, so that a stream whose lane is busy (a message of many tokens never seen before)
/// seldom has others behind it. A lane without work costs a thread and four file descriptors.
const LANES_PER_CORE: usize = 4;

/// Lanes at most, on however many cores: file descriptors are for connections.
const LANES_MAX: usize = 64;

/// The lanes of a listener.
#[derive(Default)]
pub struct Lanes {
    runtimes: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    /// Changes once, when the threads are to end.
    close: watch::Sender<()>,
    taken: AtomicUsize,
}

impl Lanes {
    /// A few lanes for each core, each on a thread of its own.
    pub fn start() -> std::io::Result<Self> {
        let mut lanes = Self::default();
        let cores = available_parallelism().map_or(1, NonZero::get);
        for number in 0..cores.saturating_mul(LANES_PER_CORE).min(LANES_MAX) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            lanes.runtimes.push(runtime.handle().clone());
            let close = lanes.close.subscribe();
            let thread = thread::Builder::new().name(format!("lane-{number}"));
            lanes.threads.push(thread.spawn(move || work(&runtime, close))?);
        }
        Ok(lanes)
    }

    /// The runtime that calls this as the only lane.
    pub fn here() -> Self {
        let mut lanes = Self::default();
        lanes.runtimes.push(Handle::current());
        lanes
    }

    /// Serves a connection on the next lane.
    pub fn put<F>(&self, stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let Some(lane) = taken.checked_rem(self.runtimes.len()).and_then(|next| self.runtimes.get(next)) else {
            return;
        };
        lane.spawn(async move {
            // The socket is to wake this lane's thread, not the one that accepted it.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => warn!(%error, "cannot take a connection over"),
            }
        });
    }
}

impl Drop for Lanes {
    /// Cuts what is still open on threads of its own, and waits for them: what their connections held is let go then.
    fn drop(&mut self) {
        self.close.send_replace(());
        for thread in self.threads.drain(..) {
            // A panic has been printed.
            drop(thread.join());
        }
    }
}

fn work(runtime: &Runtime, mut close: watch::Receiver<()>) {
    // It ends with the sender, too.
    drop(runtime.block_on(close.changed()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::Arc;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    async fn connection(listener: &TcpListener) -> TcpStream {
        let (accepted, _) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        accepted.unwrap().0
    }

    #[tokio::test]
    async fn connections_go_to_the_lanes_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lanes = Lanes::start().unwrap();
        let (tell, mut told) = mpsc::channel(1);
        for number in (0..lanes.threads.len()).chain(0..1) {
            let tell = tell.clone();
            let name = || thread::current().name().map(str::to_owned);
            lanes.put(connection(&listener).await, async move |_| tell.send(name()).await.unwrap());
            assert_eq!(told.recv().await.unwrap(), Some(format!("lane-{number}")));
        }
    }

    #[tokio::test]
    async fn what_open_connections_hold_is_let_go_with_the_lanes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lanes = Lanes::start().unwrap();
        let held = Arc::new(());
        for _ in 0..3 {
            let held = Arc::clone(&held);
            lanes.put(connection(&listener).await, async move |_| {
                pending::<()>().await;
                drop(held);
            });
        }
        drop(lanes);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
