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
    /// A keep-alive comment.
    KeepAlive,
}

/// A stream of events.
pub(super) struct Events<R> {
    lines: BufReader<R>,
    event: Event,
}

impl<R: Read> Events<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { lines: BufReader::new(stream), event: Event::default() }
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
            // An event without data is not dispatched.
            let has_data = !event.data.is_empty();
            let event = Event { data: event.data.trim_end_matches('\n').to_owned(), ..event };
            return Ok(has_data.then_some(Message::Event(event)));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Ok(Some(Message::KeepAlive)),
            "event" => self.event.name = value.to_owned(),
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
        let mut events = Events::new(text);
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
            (":\n\n:keep-alive\n\n", vec![Message::KeepAlive, Message::KeepAlive]),
            ("event: a\n\nid: 7\nretry: 1\ndata: x\n\n", vec![event("", "x")]),
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
            assert!(Events::new(&*text).next().is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            all(&bytes);
        }
    }
}
