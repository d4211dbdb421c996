//! Tokens that are fetched (RFC 8936).

use super::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A transmitter that is polled.
#[derive(Default)]
struct Polled {
    /// What it has, until it is acknowledged or refused.
    tokens: BTreeMap<String, String>,
    acknowledged: Vec<String>,
    refused: BTreeMap<String, String>,
    polls: usize,
    is_out: bool,
    /// Its answer to the first acknowledgement is lost, and it takes none of what it does not have.
    is_strict: bool,
}

#[derive(Clone, Default)]
struct Transmitter(Arc<Mutex<Polled>>);

impl Transmitter {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.answer(stream, &format!("http://{address}")).await });
            }
        });
        format!("http://{address}")
    }

    async fn answer(&self, mut stream: TcpStream, at: &str) {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        let (head, body) = loop {
            let count = stream.read(&mut chunk).await.unwrap_or_default();
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head, body.to_owned());
            }
        };
        let (status, answer) = match head.split(' ').nth(1).unwrap() {
            _ if !head.contains("authorization: bearer the-secret-of-the-admin") => ("401 No", String::new()),
            "/streams" => {
                let pushed = json!({"delivery": {"method": "urn:ietf:rfc:8935"}});
                let polled = json!({"delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": format!("{at}/poll")}});
                ("200 OK", json!([pushed, polled]).to_string())
            }
            _ => self.polled(&serde_json::from_str(&body).unwrap()),
        };
        let length = answer.len();
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn polled(&self, asked: &Value) -> (&'static str, String) {
        let mut polled = self.0.lock().unwrap();
        polled.polls += 1;
        if polled.is_out {
            return ("500 Out", String::new());
        }
        for jti in asked["ack"].as_array().unwrap() {
            let jti = jti.as_str().unwrap();
            if polled.tokens.remove(jti).is_none() && polled.is_strict {
                return ("400 Unknown", String::new());
            }
            polled.acknowledged.push(jti.to_owned());
        }
        let is_first = asked["ack"] == json!([polled.acknowledged.first()]);
        if polled.is_strict && is_first {
            return ("500 Lost", String::new());
        }
        for (jti, error) in asked["setErrs"].as_object().unwrap() {
            polled.tokens.remove(jti);
            polled.refused.insert(jti.clone(), error["err"].as_str().unwrap().to_owned());
        }
        let most = usize::try_from(asked["maxEvents"].as_u64().unwrap()).unwrap();
        let sets: BTreeMap<_, _> = polled.tokens.iter().take(most).collect();
        ("200 OK", json!({"sets": sets, "moreAvailable": sets.len() < polled.tokens.len()}).to_string())
    }

    fn put(&self, jti: &str, claims: &Value) {
        self.0.lock().unwrap().tokens.insert(jti.to_owned(), set(jti, claims));
    }

    /// Waits until this is so.
    async fn until(&self, holds: impl Fn(&Polled) -> bool) {
        let waited = async {
            while !holds(&self.0.lock().unwrap()) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::fixtures::PATIENCE, waited).await.expect("it never is");
    }
}

fn polled(keys: &str, url: &str) -> String {
    format!(
        "signals:\n- {{name: idp, kind: ssf, issuer: https://idp, tokens_of: https://id, audiences: [us], algorithms: [EdDSA], \
         keys: {{{keys}}}, authorization: {{env: P}}, delivery: {{poll: {{every: 100ms{url}}}}}}}\n"
    )
}

fn inline(at: &str) -> String {
    polled(&format!("inline: {}", jwks()), &format!(", url: \"{at}/poll\""))
}

#[tokio::test]
async fn what_is_fetched_is_acknowledged_once_it_is_in_effect_and_what_is_wrong_is_refused() {
    let transmitter = Transmitter::default();
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&inline(&at)).await;
    let mut filter = with_sessions(&fixture).await;
    let revoked = about_alice(&format!("{CAEP}session-revoked"));
    transmitter.put("other", &with(revoked.clone(), &json!({"aud": "them"})));
    transmitter.put("good", &revoked);
    // More than fit into one answer.
    for number in 0..40 {
        transmitter.put(&format!("more-{number}"), &about_alice("urn:example:event"));
    }
    transmitter.until(|polled| polled.acknowledged.contains(&"good".to_owned())).await;
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    transmitter.until(|polled| polled.tokens.is_empty()).await;
    {
        let state = transmitter.0.lock().unwrap();
        assert_eq!((state.refused.len(), &*state.refused["other"]), (1, "invalid_audience"));
        assert_eq!(state.acknowledged.len(), 41);
    }
    let shown = fixture.call("GET", "/v1/signals/idp", "").await.json();
    assert_eq!((&shown["poll"], shown.get("path")), (&json!("ok"), None), "{shown}");
}

#[tokio::test]
async fn what_could_not_be_kept_is_not_acknowledged_and_comes_again() {
    let transmitter = Transmitter::default();
    let at = transmitter.serve().await;
    let fixture = Fixture::with(&inline(&at)).await;
    let mut filter = with_sessions(&fixture).await;
    fixture.faults.fails.store(true, Ordering::SeqCst);
    transmitter.put("1", &about_alice(&format!("{CAEP}session-revoked")));
    let polls = transmitter.0.lock().unwrap().polls;
    transmitter.until(|polled| polled.polls > polls + 2).await;
    assert!(transmitter.0.lock().unwrap().tokens.contains_key("1"));
    fixture.faults.fails.store(false, Ordering::SeqCst);
    transmitter.until(|polled| polled.acknowledged == ["1"]).await;
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn a_transmitter_that_is_out_is_asked_again_and_shown() {
    let transmitter = Transmitter::default();
    let at = transmitter.serve().await;
    transmitter.0.lock().unwrap().is_out = true;
    let fixture = Fixture::with(&inline(&at)).await;
    transmitter.until(|polled| polled.polls > 1).await;
    let shown = fixture.call("GET", "/v1/signals/idp", "").await.json();
    assert_eq!(shown["poll"], format!("{at}/poll: it answered 500"), "{shown}");
    transmitter.0.lock().unwrap().is_out = false;
    transmitter.put("1", &about_alice(&format!("{RISC}account-disabled")));
    transmitter.until(|polled| polled.acknowledged == ["1"]).await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(of(1, "s", "alice", T0)).await.outcome(), Outcome::Blocked);
}

#[tokio::test]
async fn an_acknowledgement_that_is_refused_does_not_stop_the_polling() {
    let transmitter = Transmitter::default();
    let at = transmitter.serve().await;
    transmitter.0.lock().unwrap().is_strict = true;
    let fixture = Fixture::with(&inline(&at)).await;
    let mut filter = with_sessions(&fixture).await;
    transmitter.put("1", &about_alice("urn:example:event"));
    transmitter.until(|polled| polled.acknowledged == ["1"]).await;
    transmitter.put("2", &about_alice(&format!("{CAEP}session-revoked")));
    transmitter.until(|polled| polled.acknowledged == ["1", "2"]).await;
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn a_transmitters_configuration_says_where_our_stream_is() {
    let (transmitter, documents) = (Transmitter::default(), super::keys::Documents::default());
    let (at, configured) = (transmitter.serve().await, documents.serve().await);
    documents.put("/jwks", &jwks());
    let streams = format!("{at}/streams");
    documents.put(
        "/ssf",
        &json!({"issuer": "https://idp", "jwks_uri": format!("{configured}/jwks"), "configuration_endpoint": streams}),
    );
    let fixture = Fixture::with(&polled(&format!("discovery: \"{configured}/ssf\""), "")).await;
    let mut filter = with_sessions(&fixture).await;
    transmitter.put("1", &about_alice(&format!("{CAEP}session-revoked")));
    transmitter.until(|polled| polled.acknowledged == ["1"]).await;
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}
