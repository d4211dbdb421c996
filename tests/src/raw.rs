//! Raw requests, for bytes that no client library would send.

use crate::PATIENCE;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The actual answer.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The status, if an answer came at all.
    pub status: Option<u16>,
    /// The whole answer, as text.
    pub text: String,
}

/// Sends bytes over a new connection and reads until an answer is complete or the connection ends.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> RawAnswer {
    let mut answer = Vec::new();
    let conversation = async {
        let mut connection = TcpStream::connect(address).await?;
        // The server may close the connection before everything is written.
        let _ = connection.write_all(request).await;
        while !is_whole(&answer) && connection.read_buf(&mut answer).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The connection may be reset after the answer.
    let _ = timeout(PATIENCE, conversation).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    RawAnswer { status, text }
}

/// Whether head and body are complete, judged by `content-length`. An upgrade has no body.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    if text.starts_with("http/1.1 101") {
        return true;
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head + 4 + length)
}

/// Opens `count` requests with a token over one HTTP/2 connection, and resets the connection as soon as the first answer
/// begins. A client library would read on.
pub async fn leave_at_the_first_answer(address: SocketAddr, path: &str, token: &str, count: u32) {
    const END_STREAM: u8 = 0x1;
    const END_HEADERS: u8 = 0x4;
    let block = [
        field(":method", "GET"),
        field(":scheme", "http"),
        field(":authority", "www.example.com"),
        field(":path", path),
        field("authorization", &format!("Bearer {token}")),
    ]
    .concat();
    // The streams of a client have odd ids.
    let streams = (0..count).map(|number| 2 * number + 1);
    let requests = streams.flat_map(|id| frame(HEADERS, END_STREAM | END_HEADERS, id, &block));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(requests);
    let mut connection = TcpStream::connect(address).await.expect("Envoy listens");
    connection.set_zero_linger().expect("a socket option");
    connection.write_all(&bytes).await.expect("Envoy reads");
    timeout(PATIENCE, first_answer(&mut connection)).await.expect("an answer in time").expect("an answer");
}

/// Reads frames up to the first response's header.
async fn first_answer(connection: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await?;
        let [high, middle, low, kind, ..] = head;
        if kind == HEADERS {
            return Ok(());
        }
        let length = u32::from_be_bytes([0, high, middle, low]);
        connection.read_exact(&mut vec![0; length as usize]).await?;
    }
}

/// Frame types of HTTP/2 (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field without indexing (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A string literal without Huffman coding: its length as an integer with a 7-bit prefix, and its bytes (RFC 7541,
/// section 5).
fn text(text: &str) -> Vec<u8> {
    const PREFIX: usize = 0x7f;
    let mut encoded = vec![text.len().min(PREFIX) as u8];
    if let Some(mut rest) = text.len().checked_sub(PREFIX) {
        while rest >= 0x80 {
            encoded.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        encoded.push(rest as u8);
    }
    encoded.extend(text.as_bytes());
    encoded
}
