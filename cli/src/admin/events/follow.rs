//! Follows the events for ever: what breaks off is begun again.

use super::sse::{Event, Events, Sign};
use crate::admin::client::{Client, Failure, Path};
use std::{
    sync::mpsc::{SendError, SyncSender},
    thread,
    time::Duration,
};

/// The pauses between two attempts: doubled each time that nothing came.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What there is to tell.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened.
    Event(Event),
    /// The connection was lost, and why.
    Lost(String),
    /// There is a connection again.
    Back,
    /// There won't be a connection any more.
    Over(Failure),
    /// Nobody reads what is written.
    Unread,
}

/// Follows in a thread of its own, until nobody takes the news any more.
pub(super) fn events(client: Client, tell: SyncSender<News>) {
    // The only fault is that nobody listens any more: then there is nobody to tell of it.
    thread::spawn(move || drop(follow(&client, &tell)));
}

fn follow(client: &Client, tell: &SyncSender<News>) -> Result<(), SendError<News>> {
    let mut pause = PAUSE_MIN;
    let mut is_first = true;
    // Said once for each time that the connection is lost, not at each attempt.
    let mut is_lost = false;
    loop {
        let why = match client.listen(&Path::new("/v1/events")) {
            Ok(stream) => {
                if is_lost {
                    tell.send(News::Back)?;
                }
                is_lost = false;
                read(Events::new(stream), tell, &mut pause)?
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

/// Reads to the end of a stream, and says why it ended. A connection counts as one when something has come through it.
fn read<R: std::io::Read>(
    mut events: Events<R>,
    tell: &SyncSender<News>,
    pause: &mut Duration,
) -> Result<String, SendError<News>> {
    loop {
        match events.next() {
            Ok(Some(sign)) => {
                *pause = PAUSE_MIN;
                if let Sign::Event(event) = sign {
                    tell.send(News::Event(event))?;
                }
            }
            Ok(None) => return Ok("the session service ended the connection".to_owned()),
            Err(error) => return Ok(format!("the connection to the session service broke: {error}")),
        }
    }
}
