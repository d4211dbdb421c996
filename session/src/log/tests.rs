//! A reader that stops, one that comes back, and one that is gone.

use super::*;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Takes a line only when it is told to, and passes it on.
struct Reader(Receiver<()>, Sender<String>);

impl Write for Reader {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.recv().map_err(io::Error::other)?;
        self.1.send(String::from_utf8_lossy(line).into_owned()).unwrap();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_by_hand(bytes_max: usize) -> (Log, SyncSender<()>, Receiver<String>) {
    let ((go, told), (said, read)) = (sync_channel(1_000), channel());
    (Log::bounded(Reader(told, said), bytes_max).unwrap(), go, read)
}

fn say(log: &Log, line: &str) {
    log.make_writer().write_all(line.as_bytes()).unwrap();
}

#[test]
fn a_stopped_reader_holds_up_nobody_and_the_gap_is_said_where_it_is() {
    let (log, go, read) = read_by_hand(40);
    say(&log, "first\n");
    // It is on its way once it has left the queue.
    while log.0.lock().bytes > 0 {
        std::thread::yield_now();
    }
    for number in 0..10 {
        say(&log, &format!("line {number:04}\n"));
    }
    for _ in 0..100 {
        go.send(()).unwrap();
    }
    let mut got = String::new();
    while !got.contains("dropped") || !got.ends_with('\n') {
        got.push_str(&read.recv().unwrap());
    }
    say(&log, "last\n");
    log.close(Duration::from_secs(20));
    got.extend(read.try_iter());
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines.get(..5).unwrap(), ["first", "line 0000", "line 0001", "line 0002", "line 0003"]);
    let gap: serde_json::Value = serde_json::from_str(lines[5]).unwrap();
    assert_eq!((&gap["dropped"], lines[6], lines.len()), (&6.into(), "last", 7));
}

#[test]
fn a_stopped_reader_does_not_keep_the_process() {
    let (log, _go, _read) = read_by_hand(40);
    say(&log, "never read\n");
    log.close(Duration::from_millis(10));
    assert!(!log.0.lock().is_over);
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let (log, go, _read) = read_by_hand(40);
    let before = dropped();
    drop(go);
    say(&log, "lost\n");
    log.close(Duration::from_secs(20));
    assert!(dropped() > before);
}
