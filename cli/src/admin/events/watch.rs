//! Notices that nobody reads standard output any more, even while there is nothing to write.

use super::follow::News;
use std::sync::mpsc::SyncSender;

/// Tells so once it is so, from a thread of its own.
#[cfg(unix)]
pub(super) fn output_closed(tell: SyncSender<News>) {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::Errno,
    };
    std::thread::spawn(move || {
        let out = std::io::stdout();
        // Asked for nothing, it tells of what is always told: the other end is gone.
        let mut ends = [PollFd::new(&out, PollFlags::empty())];
        loop {
            match poll(&mut ends, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                // Without this the command still ends, at the next event.
                Err(_) => return,
            }
        }
        // If nobody listens, the command has ended already.
        drop(tell.send(News::Unread));
    });
}

/// Elsewhere, the next event finds it out.
#[cfg(not(unix))]
pub(super) fn output_closed(_: SyncSender<News>) {}
