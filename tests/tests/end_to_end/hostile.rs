//! Hostile requests: none is released, none does damage, and good requests between them are served.

use portcullis_tests::{Testbed, busy, exchange};

const REQUESTS: usize = 5_000;
const AT_ONCE: usize = 8;
const SEED: u64 = 0x70_6f_72_74_63_75_6c_6c;

/// SplitMix64: a small seeded generator with the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Bytes that a header can carry past a line-based parser: anything but CR, LF and NUL.
    fn bytes(&mut self, length_max: usize) -> Vec<u8> {
        let length = 1 + self.below(length_max);
        let byte = |dice: &mut Self| match dice.below(4) {
            0 => 0x80 + dice.below(0x80) as u8,
            1 => *dice.pick(&[&0x01, &0x7f, &0x0b, &0xff, &0xfe, &0xc0, &0xed]),
            _ => 0x20 + dice.below(0x5f) as u8,
        };
        (0..length).map(|_| byte(self)).collect()
    }
}

const HEADERS: &[&str] = &[
    "accept",
    "accept-language",
    "access-control-request-method",
    "authorization",
    "baggage",
    "content-type",
    "cookie",
    "dpop",
    "forwarded",
    "host",
    "if-match",
    "origin",
    "range",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-portcullis-scopes",
    "x-portcullis-session",
    "x-portcullis-subject",
    "x-request-id",
    "x-custom",
];

const ODD_PIECES: &[&str] = &[
    "/", "//", "/.", "/..", "/../", "\\", ";a=b", "%", "%2", "%zz", "%00", "%2f", "%2F", "%5c", "%2e%2e", "%252f",
    "%c0%af", "%ff", "\u{e4}", "/x", "{id}", "{*rest}", "*", "\"", "<", "|", "~", "@", ":80", "%u002f", "/%2e/",
    "\u{7f}",
];

/// A request that must not be released.
fn hostile(dice: &mut Dice, token: &str) -> (String, Vec<u8>) {
    match dice.below(6) {
        0 => ("bad bytes in a header".to_owned(), bad_header(dice)),
        1 => {
            let token = broken(dice, token);
            ("a broken token".to_owned(), request("GET", b"/orders", &[(b"authorization", &bearer(&token))]))
        }
        2 => {
            let big = vec![b'A' + (dice.below(26) as u8); 9_000 + dice.below(90_000)];
            ("an oversized token".to_owned(), request("GET", b"/orders", &[(b"authorization", &bearer(&big))]))
        }
        3 | 4 => {
            let path = odd_path(dice);
            let what = format!("the path {}", String::from_utf8_lossy(&path));
            (what, request("GET", &path, &[(b"authorization", &bearer(token.as_bytes()))]))
        }
        _ => {
            let method = dice.pick(&["FOO", "get", "CONNECT", "TRACE", "DELETE", "PUT", "PROPFIND"]);
            let token = bearer(token.as_bytes());
            let twice: &[(&[u8], &[u8])] = &[(b"authorization", &token), (b"authorization", &token)];
            (format!("{method} with two tokens"), request(method, b"/orders", twice))
        }
    }
}

fn bad_header(dice: &mut Dice) -> Vec<u8> {
    let name = dice.pick(HEADERS);
    let mut value = dice.bytes(64);
    if name == "authorization" && dice.below(2) == 0 {
        value = bearer(&value);
    }
    request("GET", b"/orders", &[(name.as_bytes(), &value)])
}

fn odd_path(dice: &mut Dice) -> Vec<u8> {
    let mut path = dice.pick(&["/orders", "/orders/7", "/admin", "/healthz", "/me"]).as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        path.extend_from_slice(dice.pick(ODD_PIECES).as_bytes());
    }
    path
}

/// A good token with one change, so that it is never the same token.
fn broken(dice: &mut Dice, token: &str) -> Vec<u8> {
    let mut bytes = token.as_bytes().to_vec();
    let at = dice.below(bytes.len());
    match dice.below(5) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, *dice.pick(&[&b'.', &b'=', &b'A', &b'-', &0xff, &b'+'])),
        2 => {
            bytes.remove(at);
        }
        // Changing bit 1 of a base64url character always changes the token: the bit either carries data or must be zero.
        3 => bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' },
        _ => bytes.rotate_left(1 + at % (token.len() - 1)),
    }
    bytes
}

fn bearer(token: &[u8]) -> Vec<u8> {
    [b"Bearer ", token].concat()
}

fn request(method: &str, path: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = [method.as_bytes(), b" ", path, b" HTTP/1.1\r\n"].concat();
    if !headers.iter().any(|(name, _)| *name == b"host") {
        bytes.extend_from_slice(b"host: shop.example.com\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes
}

fn is_refusal(status: Option<u16>) -> bool {
    status.is_some_and(|status| (400..500).contains(&status) || status == 503)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_hostile_requests_are_refused_and_hurt_nobody() {
    let _busy = busy().await;
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    let mut dice = Dice(SEED);
    let address = testbed.envoy.address;
    for _ in 0..REQUESTS / AT_ONCE {
        let before = testbed.upstream.count();
        let requests: Vec<_> = (0..AT_ONCE).map(|_| hostile(&mut dice, &token.text)).collect();
        let answers = futures_util::future::join_all(requests.iter().map(|(_, bytes)| exchange(address, bytes))).await;
        for ((what, bytes), answer) in requests.iter().zip(answers) {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
            assert!(is_refusal(answer.status), "{what}: {shown:?} got {answer:?}");
        }
        assert_eq!(testbed.upstream.count(), before, "a hostile request reached the upstream");
        testbed.get("/orders").bearer(&token).await.passes();
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_in_every_header_are_refused_over_http_2_too() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    for name in HEADERS.iter().filter(|name| !["host", "te", "content-type"].contains(name)) {
        for value in [&b"\xff"[..], b"\x80\x81", b"\xed\xa0\x80", b"a\xffb", b"\xc3\x28"] {
            let call = testbed.get("/orders").header(name, value).grpc();
            let answer = call.try_send().await;
            let status = answer.as_ref().map(|answer| answer.header("grpc-status").to_owned());
            // A refusal has no `grpc-status: 0`; a reset stream has no answer.
            assert!(status.as_deref() != Ok("0"), "{name}: {answer:?}");
        }
        testbed.get("/orders").bearer(&token).await.passes();
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}
