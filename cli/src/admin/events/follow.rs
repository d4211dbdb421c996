//! Follows the event stream, and reconnects when it breaks.

use super::sse::{Event, Events, Message};
use crate::admin::client::{Client, Failure, Path};
use std::{
    sync::mpsc::{SendError, SyncSender},
    thread,
    time::Duration,
};

/// The pause between two attempts. It doubles until a connection delivers something.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What the thread reports.
#[derive(Debug)]
pub(super) enum News {
    /// An event arrived.
    Event(Event),
    /// The connection was lost, for this reason.
    Lost(String),
    /// The connection is open again; whether that was possible without missing an event.
    Back { is_seamless: bool },
    /// No retry can succeed.
    Over(Failure),
    /// Standard output was closed.
    Unread,
}

/// Starts a thread that follows the stream until the receiver is gone.
pub(super) fn events(client: Client, path: Path, tell: SyncSender<News>) {
    // The only error is that the receiver is gone, and then there is nobody to report it to.
    thread::spawn(move || drop(follow(&client, &path, &tell)));
}

fn follow(client: &Client, path: &Path, tell: &SyncSender<News>) -> Result<(), SendError<News>> {
    let mut pause = PAUSE_MIN;
    let mut is_first = true;
    // A lost connection is reported once, not at each attempt.
    let mut is_lost = false;
    let mut last_id = None;
    loop {
        let why = match client.listen(path, last_id.as_deref()) {
            Ok(stream) => {
                if is_lost {
                    tell.send(News::Back { is_seamless: last_id.is_some() })?;
                }
                is_lost = false;
                let mut events = Events::new(stream, last_id);
                let why = read(&mut events, tell, &mut pause)?;
                last_id = events.last_id().map(str::to_owned);
                why
            }
            Err(failure) if is_first || !failure.may_pass => return tell.send(News::Over(failure)),
            Err(failure) => failure.message,
        };
        is_first = false;
        if !is_lost {
            tell.send(News::Lost(why))?;
        }
        is_lost = true;
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Reads a stream to its end and returns the reason. Only a connection that delivered something resets the pause.
fn read<R: std::io::Read>(
    events: &mut Events<R>,
    tell: &SyncSender<News>,
    pause: &mut Duration,
) -> Result<String, SendError<News>> {
    loop {
        match events.next() {
            Ok(Some(message)) => {
                *pause = PAUSE_MIN;
                if let Message::Event(event) = message {
                    tell.send(News::Event(event))?;
                }
            }
            Ok(None) => return Ok("the session service closed the connection".to_owned()),
            Err(error) => return Ok(format!("the connection to the session service broke: {error}")),
        }
    }
}
