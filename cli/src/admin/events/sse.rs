//! Server-sent events, read line by line (WHATWG HTML, section 9.2).

use std::io::{self, BufRead, BufReader, Read};

/// The longest line and the longest event, in bytes. The service's events have a few hundred.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    /// The kind of event.
    pub(super) name: String,
    /// Its JSON data.
    pub(super) data: String,
}

/// Something that arrived on the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// An event.
    Event(Event),
    /// A keep-alive comment, or a block without data.
    KeepAlive,
}

/// A stream of events.
pub(super) struct Events<R> {
    lines: BufReader<R>,
    event: Event,
    /// The latest `id`, of a block that need not be complete.
    id: Option<String>,
    /// The `id` of the last complete block.
    last_id: Option<String>,
}

impl<R: Read> Events<R> {
    /// A stream that was opened after the event `last_id`.
    pub(super) fn new(stream: R, last_id: Option<String>) -> Self {
        Self { lines: BufReader::new(stream), event: Event::default(), id: last_id.clone(), last_id }
    }

    /// The id of the last block, or of the one after which the stream was opened. A stream that is opened after it
    /// misses nothing.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event or keep-alive; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            if let Some(sign) = self.take(&line)? {
                return Ok(Some(sign));
            }
        }
    }

    fn take(&mut self, line: &str) -> io::Result<Option<Message>> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            self.last_id.clone_from(&self.id);
            // An event without data is not dispatched.
            let has_data = !event.data.is_empty();
            let event = Event { data: event.data.trim_end_matches('\n').to_owned(), ..event };
            return Ok(Some(if has_data { Message::Event(event) } else { Message::KeepAlive }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Ok(Some(Message::KeepAlive)),
            "event" => self.event.name = value.to_owned(),
            // It becomes a header of the next request.
            "id" if value.bytes().all(|byte| byte.is_ascii_graphic()) => self.id = Some(value.to_owned()),
            "data" => {
                self.event.data += value;
                self.event.data += "\n";
            }
            _ => {}
        }
        if self.event.data.len() > EVENT_BYTES_MAX { Err(too_long()) } else { Ok(None) }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.lines).take(EVENT_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if line.len() > EVENT_BYTES_MAX {
            return Err(too_long());
        }
        // An incomplete line at the end of the stream is discarded.
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an event exceeds the size limit; is this the admin API?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &[u8]) -> Vec<Message> {
        let mut events = Events::new(text, None);
        let mut signs = Vec::new();
        while let Ok(Some(sign)) = events.next() {
            signs.push(sign);
        }
        signs
    }

    fn event(name: &str, data: &str) -> Message {
        Message::Event(Event { name: name.to_owned(), data: data.to_owned() })
    }

    #[test]
    fn events_are_what_the_standard_says() {
        for (text, signs) in [
            ("event: opened\ndata: {\"a\":1}\n\n", vec![event("opened", "{\"a\":1}")]),
            ("event:ended\r\ndata:x\r\ndata: y\r\n\r\n", vec![event("ended", "x\ny")]),
            (":\n\n:keep-alive\n\n", vec![Message::KeepAlive; 4]),
            ("event: a\n\nid: 7\nretry: 1\ndata: x\n\n", vec![Message::KeepAlive, event("", "x")]),
            ("id: 1\n\n", vec![Message::KeepAlive]),
            ("data: whole\n\ndata: not whole\n", vec![event("", "whole")]),
            ("data: not whole", vec![]),
        ] {
            assert_eq!(all(text.as_bytes()), signs, "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_faults() {
        let line = vec![b'x'; 2 * EVENT_BYTES_MAX];
        let event = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(EVENT_BYTES_MAX / 20);
        for text in [line, event] {
            assert!(Events::new(&*text, None).next().is_err());
        }
    }

    #[test]
    fn the_last_id_is_that_of_the_last_complete_block() {
        for (text, last_id) in [
            ("", "0"),
            ("data: x\n\n", "0"),
            ("id: 1\n\n", "1"),
            ("id: 1\ndata: x\n\n:\n\n", "1"),
            ("id: 1\ndata: x\n\nid: 2\ndata: y\n", "1"),
            ("id: 1\n\nid: a\u{e4}\n\n", "1"),
        ] {
            let mut events = Events::new(text.as_bytes(), Some("0".to_owned()));
            while let Ok(Some(_)) = events.next() {}
            assert_eq!(events.last_id(), Some(last_id), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            all(&bytes);
        }
    }
}
