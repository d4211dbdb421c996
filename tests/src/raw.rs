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

/// Whether head and body are complete, judged by `content-length`.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head + 4 + length)
}
