//! How long after the 200 of a revocation the clients see the session's streams end.

use crate::{Kind, Stream, Testbed, Token};
use std::time::{Duration, Instant};

/// A session has either one stream or this many.
const GROUP: usize = 6;
const KINDS: [Kind; 6] =
    [Kind::QuietHttp1, Kind::WebSocket, Kind::QuietHttp2, Kind::Rpc, Kind::QuietHttp1, Kind::QuietHttp2];

struct Session {
    token: Token,
    streams: Vec<Stream>,
}

/// What [`cut`] measured.
pub struct Cuts {
    /// From the 200 to the end at the client, shortest first.
    pub delays: Vec<Duration>,
    /// How many sessions were revoked.
    pub sessions: usize,
}

impl Cuts {
    /// The delay that this share of the streams does not exceed: a quantile.
    pub fn at(&self, share: f64) -> Duration {
        self.delays[((self.delays.len() - 1) as f64 * share).round() as usize]
    }
}

/// Opens at least `streams` streams under [`crate::policy::streams`], revokes their sessions one after the
/// other, and demands that every stream is cut except those of one session that stays active.
pub async fn cut(testbed: &Testbed, streams: usize) -> Cuts {
    let mut sessions = open(testbed, streams).await;
    let bystander = sessions.pop().expect("many sessions");
    let mut delays = Vec::new();
    for session in &mut sessions {
        testbed.service.admin().revoke(&session.token.session).await;
        let answered = Instant::now();
        for stream in &mut session.streams {
            // A stream that ended before the answer was read was cut in time.
            delays.push(stream.is_cut().await.at.saturating_duration_since(answered));
        }
    }
    assert!(bystander.streams.iter().all(Stream::is_open));
    delays.sort_unstable();
    Cuts { delays, sessions: sessions.len() }
}

async fn open(testbed: &Testbed, streams: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut count = 0;
    while count < streams {
        let token = testbed.issuer.token().sign();
        let size = if sessions.len() % 2 == 0 { 1 } else { GROUP };
        let mut streams = Vec::new();
        for number in 0..size {
            streams.push(testbed.open(KINDS[(sessions.len() + number) % KINDS.len()], &token).await);
        }
        count += size;
        sessions.push(Session { token, streams });
    }
    sessions
}
