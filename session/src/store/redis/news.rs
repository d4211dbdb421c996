//! What other replicas have just done, as Redis passes it on. It only makes things faster: whoever misses it learns the same
//! from the next beat.

use super::link::{connect, failed};
use super::open::lock;
use super::script::Keys;
use super::source::Target;
use crate::replica::Woken;
use crate::store::StoreError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long the listener waits at a time, so that it notices that it is not needed any more.
const LISTEN: Duration = Duration::from_secs(1);

/// A connection that was silent for so many times is made again: it may be dead.
const SILENCES_MAX: u32 = 30;

/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(200);

/// What was heard and not asked for yet.
#[derive(Debug, Default)]
struct Heard {
    appended: bool,
    settled: bool,
    here: bool,
}

/// The ear of one replica.
#[derive(Debug, Default)]
pub(super) struct News {
    heard: Mutex<Heard>,
    changed: Condvar,
    is_over: AtomicBool,
}

impl News {
    /// Listens from now on, in a thread of its own.
    pub(super) fn start(self: &Arc<Self>, target: &Target, own: [String; 2]) -> Result<(), StoreError> {
        let (news, target) = (Arc::clone(self), target.clone());
        let listen = move || {
            while !news.is_over.load(Ordering::SeqCst) {
                if let Err(error) = news.listen(&target, &own) {
                    tracing::debug!(%error, "no news from Redis for now");
                    std::thread::sleep(PAUSE);
                }
            }
        };
        let spawned = std::thread::Builder::new().name("news".to_owned()).spawn(listen);
        spawned.map(drop).map_err(|e| StoreError(format!("cannot start the thread of the news: {e}")))
    }

    /// Ends the thread, soon.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits for news, at most this long.
    pub(super) fn wait(&self, at_most: Duration) -> Woken {
        let is_quiet = |heard: &mut Heard| !(heard.appended || heard.settled || heard.here);
        let waited = self.changed.wait_timeout_while(lock(&self.heard), at_most, is_quiet);
        let (mut heard, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        // One at a time: what else was heard is told by the next call.
        if std::mem::take(&mut heard.appended) {
            return Woken::Appended;
        }
        if std::mem::take(&mut heard.settled) {
            return Woken::Settled;
        }
        match std::mem::take(&mut heard.here) {
            true => Woken::Here,
            false => Woken::Late,
        }
    }

    /// Wakes the waiter.
    pub(super) fn wake(&self) {
        self.hear(|heard| heard.here = true);
    }

    fn hear(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut lock(&self.heard));
        self.changed.notify_one();
    }

    fn listen(&self, target: &Target, own: &[String; 2]) -> Result<(), StoreError> {
        let keys = Keys::of(&target.prefix);
        let mut connection = connect(target, &keys)?;
        connection.set_read_timeout(Some(LISTEN)).map_err(|error| failed(&error))?;
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe(&keys.channel).map_err(|error| failed(&error))?;
        // What came before was missed.
        self.hear(|heard| heard.appended = true);
        let mut silences = 0;
        while silences < SILENCES_MAX && !self.is_over.load(Ordering::SeqCst) {
            match pubsub.get_message() {
                Ok(message) => {
                    silences = 0;
                    let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                    match text.split_once(' ') {
                        Some((_, who)) if own.iter().any(|own| own == who) => {}
                        Some(("appended", _)) => self.hear(|heard| heard.appended = true),
                        Some(("settled", _)) => self.hear(|heard| heard.settled = true),
                        _ => {}
                    }
                }
                Err(error) if error.is_timeout() => silences += 1,
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_news_is_told_once_and_none_hides_another() {
        let news = News::default();
        news.hear(|heard| heard.settled = true);
        news.hear(|heard| heard.appended = true);
        news.wake();
        let told = [(); 4].map(|()| news.wait(Duration::ZERO));
        assert_eq!(told, [Woken::Appended, Woken::Settled, Woken::Here, Woken::Late]);
    }
}
