//! What strangers send: many of everything that is wrong, with correct errors, bounded memory and no effect.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Tokens that are sent; `PORTCULLIS_HOSTILE` asks for more.
const COUNT: usize = 10_000;

/// The statuses of requests that are sent one after the other on one connection.
async fn statuses(fixture: &Fixture, bodies: impl Iterator<Item = Vec<u8>>) -> Vec<u16> {
    let mut stream = TcpStream::connect(fixture.signals.unwrap()).await.unwrap();
    let mut statuses = Vec::new();
    for body in bodies {
        let head = format!(
            "POST /signals/idp HTTP/1.1\r\nhost: x\r\nauthorization: {PUSHES}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        let head = loop {
            let count = stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "the connection was closed");
            answer.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break head.to_owned();
            }
        };
        statuses.push(head.split(' ').nth(1).unwrap().parse().unwrap());
    }
    statuses
}

#[tokio::test]
async fn ten_thousand_wrong_tokens_are_refused_and_do_nothing() {
    let count = std::env::var("PORTCULLIS_HOSTILE").map_or(COUNT, |text| text.parse().unwrap());
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let usual = about_alice(&format!("{CAEP}session-revoked"));
    let good = set("1", &usual);
    let claims = good.split('.').nth(1).unwrap().to_owned();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies = (0..count).map(|number| {
        let at = number % good.len();
        let mut bytes = good.clone().into_bytes();
        match number % 8 {
            // One character is another one, or is not there.
            0 => bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' },
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => bytes = format!("{}.{}.", encoded(r#"{"alg":"none","typ":"secevent+jwt"}"#), claims).into_bytes(),
            4 => bytes = set("1", &joined(&usual, &json!({"aud": format!("them-{number}")}))).into_bytes(),
            5 => {
                bytes =
                    format!("{}.{}.{}", encoded(header().to_string()), encoded(&deep), encoded([0; 64])).into_bytes()
            }
            6 => bytes = vec![u8::try_from(number % 256).unwrap(); number % 1_000],
            _ => bytes = set("1", &joined(&usual, &json!({"iss": format!("https://idp/{number}")}))).into_bytes(),
        }
        bytes
    });
    let statuses = statuses(&fixture, bodies).await;
    let wrong: Vec<_> = statuses.iter().filter(|status| **status != 400).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Active, Outcome::Active));
    assert_eq!(push(&fixture, &good).await.status, 202);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    // Replayed, also by many at once, it is acknowledged and has no further effect.
    let replays = (0..count / 10).map(|_| good.clone().into_bytes());
    assert!(self::statuses(&fixture, replays).await.into_iter().all(|status| status == 202));
    let made = fixture.call("GET", "/v1/revocations", "").await.json();
    assert_eq!(made["revocations"].as_array().unwrap().len(), 1, "{made}");
}

#[tokio::test]
async fn the_listener_speaks_no_http2_whose_connections_may_idle_for_ever() {
    let fixture = Fixture::with(&config("")).await;
    let mut stream = TcpStream::connect(fixture.signals.unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(crate::fixtures::PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection stays open: {answer:?}");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
}
