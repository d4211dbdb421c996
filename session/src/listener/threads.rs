//! Threads that each serve some of the connections, from the first byte to the last.
//!
//! A client's request waits for each question. On a multi-threaded runtime, everything that arrives also wakes a thread
//! that looks for more work: a system call, and mostly for nothing. Here one thread reads a question, judges it and writes
//! the answer, and waits for no other thread. So only what a verdict needs may run on a thread of the check listener; the
//! disk, the admin API, the cleaner and the writer have threads of their own.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, available_parallelism};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tracing::warn;

/// Threads for each core: more than one, so that a stream whose thread is busy (with a message of many new tokens, for
/// example) seldom has others behind it. An idle thread costs four file descriptors.
const PER_CORE: usize = 4;

/// Threads at most, however many cores there are: file descriptors are for connections.
const THREADS_MAX: usize = 64;

/// The threads of a listener.
#[derive(Default)]
pub(crate) struct ConnectionThreads {
    runtimes: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    /// Changes once, when the threads must end.
    close: watch::Sender<()>,
    taken: AtomicUsize,
}

impl ConnectionThreads {
    /// Starts a few threads for each core.
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut all = Self::default();
        let cores = available_parallelism().map_or(1, NonZero::get);
        for number in 0..cores.saturating_mul(PER_CORE).min(THREADS_MAX) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            all.runtimes.push(runtime.handle().clone());
            let close = all.close.subscribe();
            let thread = thread::Builder::new().name(format!("checks-{number}"));
            all.threads.push(thread.spawn(move || work(&runtime, close))?);
        }
        Ok(all)
    }

    /// No threads: the runtime that calls this serves all connections.
    pub(crate) fn here() -> Self {
        let mut all = Self::default();
        all.runtimes.push(Handle::current());
        all
    }

    /// Serves a connection on the next thread.
    pub(crate) fn serve<F>(&self, stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let Some(thread) = taken.checked_rem(self.runtimes.len()).and_then(|next| self.runtimes.get(next)) else {
            return;
        };
        thread.spawn(async move {
            // The socket has to wake this thread, not the one that accepted it.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => warn!(%error, "cannot move a connection to its thread"),
            }
        });
    }
}

impl Drop for ConnectionThreads {
    /// Closes the connections that are still open on its threads, and waits for the threads to end and drop what they hold.
    fn drop(&mut self) {
        self.close.send_replace(());
        for thread in self.threads.drain(..) {
            // A panic has been printed.
            drop(thread.join());
        }
    }
}

fn work(runtime: &Runtime, mut close: watch::Receiver<()>) {
    // It ends when the sender is dropped, too.
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
    async fn connections_go_to_the_threads_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let threads = ConnectionThreads::start().unwrap();
        let (sender, mut received) = mpsc::channel(1);
        for number in (0..threads.threads.len()).chain(0..1) {
            let sender = sender.clone();
            let name = || thread::current().name().map(str::to_owned);
            threads.serve(connection(&listener).await, async move |_| sender.send(name()).await.unwrap());
            assert_eq!(received.recv().await.unwrap(), Some(format!("checks-{number}")));
        }
    }

    #[tokio::test]
    async fn what_open_connections_hold_is_dropped_with_the_threads() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let threads = ConnectionThreads::start().unwrap();
        let held = Arc::new(());
        for _ in 0..3 {
            let held = Arc::clone(&held);
            threads.serve(connection(&listener).await, async move |_| {
                pending::<()>().await;
                drop(held);
            });
        }
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
