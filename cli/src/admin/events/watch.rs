//! Notices that standard output was closed, even while there is nothing to write.

use super::follow::News;
use std::sync::mpsc::SyncSender;

/// Starts a thread that reports it.
#[cfg(unix)]
pub(super) fn output_closed(tell: SyncSender<News>) {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::Errno,
    };
    std::thread::spawn(move || {
        let out = std::io::stdout();
        // `poll` reports a closed other end even if no event is requested.
        let mut ends = [PollFd::new(&out, PollFlags::empty())];
        loop {
            match poll(&mut ends, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                // Without this thread the command still ends, at the next event.
                Err(_) => return,
            }
        }
        // If the receiver is gone, the command has already ended.
        drop(tell.send(News::Unread));
    });
}

/// On other systems the next write notices it.
#[cfg(not(unix))]
pub(super) fn output_closed(_: SyncSender<News>) {}
