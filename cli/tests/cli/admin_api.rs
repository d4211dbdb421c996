//! What comes from an address that is not, or not quite, the session service: nothing of it harms, and all of it is stderr.

use crate::tool::{portcullis, stderr};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Output,
    sync::Arc,
    thread,
};

/// A server that gives every connection the same answer; `wrap` is what lies between.
pub(crate) fn serving<S: Read + Write>(
    answer: String,
    wrap: impl Fn(TcpStream) -> Option<S> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Some(stream) = connection.ok().and_then(&wrap) else { continue };
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            // Whether it is read is the other's affair.
            drop(stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush()));
        }
    });
    address
}

pub(crate) fn answer(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn asked(url: &str, line: &[&str]) -> Output {
    let mut command = portcullis();
    command.args(line).args(["--url", url]).env("PORTCULLIS_ADMIN_CREDENTIAL", "secret");
    command.output().expect("the program runs")
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(output))
}

#[test]
fn a_server_that_is_not_the_admin_api_is_reported() {
    let show: &[&str] = &["sessions", "show", "x"];
    let list: &[&str] = &["sessions", "list", "--all"];
    let page = r#"{"sessions":[{"id":"a","state":"active","opened_at":"","last_seen_at":""}],"next":"c"}"#;
    for (line, answer, words) in [
        (show, answer(200, "text/html", "<html>"), "unexpected response from"),
        (show, answer(200, "application/json", "[]"), "unexpected response: not a session"),
        (show, answer(302, "text/html", ""), "responded with status 302"),
        (show, answer(404, "text/html", "no"), "responded with status 404; is it the admin API?"),
        (
            show,
            answer(503, "application/problem+json", r#"{"detail":"it starts","code":"not_ready"}"#),
            "it starts (`not_ready`)",
        ),
        (show, "SSH-2.0-x\r\n".to_owned(), "cannot reach"),
        (show, String::new(), "cannot reach"),
        (list, answer(200, "application/json", page), "the same page twice"),
        (list, answer(200, "application/json", r#"{"sessions":[7]}"#), "unexpected response: not a session"),
        (&["events"], answer(200, "application/json", "{}"), "did not respond with an event stream"),
        (&["revoke", "--issuer", "i"], answer(200, "application/json", "{}"), "does not contain what was revoked"),
        (
            &["block", "--issuer", "i", "--sid", "s"],
            answer(200, "application/json", "{}"),
            "does not contain what was blocked",
        ),
        (&["replicas", "list"], answer(200, "application/json", "{}"), "it has no `replicas`"),
        (
            &["replicas", "list"],
            answer(404, "application/problem+json", r#"{"detail":"the store is embedded","code":"not_found"}"#),
            "the store is embedded (`not_found`)",
        ),
        (&["signals", "list"], answer(200, "application/json", "{}"), "it has no `transmitters`"),
        (&["signals", "show", "x"], answer(200, "application/json", "{}"), "not a transmitter"),
        (&["signals", "delete-stream", "x"], answer(200, "application/json", "{}"), "not a transmitter"),
        (
            &["signals", "show", "x"],
            answer(
                404,
                "application/problem+json",
                r#"{"detail":"there is no transmitter with that name","code":"not_found"}"#,
            ),
            "there is no transmitter with that name (`not_found`)",
        ),
        (&["signals", "held"], answer(200, "application/json", "{}"), "it has no `held`"),
        (
            &["signals", "drop", "5d41"],
            answer(200, "application/json", r#"{"held":[{"id":"5d41402a"}]}"#),
            "it does not contain what became of the signal",
        ),
        (
            &["signals", "release", "--transmitter", "okta", "--all"],
            answer(200, "application/json", r#"{"held":[{}]}"#),
            "a held signal has no `id`",
        ),
        (
            &["attributes", "list", "--device", "d", "--issuer", "i"],
            answer(200, "application/json", "{}"),
            "it has no `attributes`",
        ),
        (
            &["attributes", "set", "--device", "d", "--issuer", "i", "risk", "high"],
            answer(200, "application/json", "{}"),
            "unexpected response: not an attribute",
        ),
        (
            &["attributes", "delete", "--device", "d", "--issuer", "i", "risk"],
            answer(422, "application/problem+json", r#"{"detail":"`risk` is not a name","code":"invalid_request"}"#),
            "is not a name (`invalid_request`)",
        ),
        (&["blocks", "list"], answer(200, "application/json", "{}"), "it has no `blocks`"),
        (
            &["blocks", "delete", "687e64"],
            answer(200, "application/json", r#"{"blocks":[]}"#),
            "there is no block whose id begins with `687e64`",
        ),
    ] {
        let output = asked(&format!("http://{}", serving(answer.clone(), Some)), line);
        assert_eq!(output.status.code(), Some(1), "{answer}: {}", shown(&output));
        assert!(stderr(&output).contains(words), "{answer}: {}", shown(&output));
    }
}

#[test]
fn blocks_are_made_listed_and_taken_back_in_words() {
    let block = json!({
        "id": "687e64ce5abca15772c27966e0b823e8", "issuer": "https://id.example.com", "subject": "alice",
        "made_at": "2026-11-21T12:00:00Z", "reason": "ticket 4711",
    });
    let mut made = block.clone();
    made["party_seen"] = json!(false);
    made["issuer_seen"] = json!(true);
    made["replaced"] = block.clone();
    // The answer to the list and to the deletion.
    let mut both = block.clone();
    both["blocks"] = json!([block]);
    let line = ["block", "--issuer", "https://id.example.com", "--subject", "alice", "--reason", "ticket 4711"];
    assert_eq!(
        said(&line, &made),
        "blocked subject `alice` at `https://id.example.com` until it is lifted\n\
         this replaces the block that stood until it is lifted\n\
         lift it with: portcullis blocks delete 687e64ce5abca15772c27966e0b823e8\n\
         warning: subject `alice` has never been seen at `https://id.example.com`: check the name, and whether the policy reads it from the right claim\n"
    );
    assert_eq!(
        said(&["blocks", "list"], &both),
        "ID            PARTY          ISSUER                  UNTIL   REASON\n\
         687e64ce5abc  subject alice  https://id.example.com  no end  ticket 4711\n"
    );
    assert_eq!(
        said(&["blocks", "delete", "687e64ce5abc"], &both),
        "the block of subject `alice` at `https://id.example.com` is lifted; its sessions continue as before\n"
    );
    assert_eq!(said(&["blocks", "list"], &json!({"blocks": []})), "there are no blocks\n");
}

/// What a command prints when the service answers it with `body`.
fn said(line: &[&str], body: &serde_json::Value) -> String {
    let address = serving(answer(200, "application/json", &body.to_string()), Some);
    let output = asked(&format!("http://{address}"), line);
    assert!(output.status.success(), "{}", shown(&output));
    shown(&output)
}

#[test]
fn replicas_are_listed_and_one_that_gives_no_verdicts_says_why() {
    let replica = |name: &str, run: &str, applied: u64, answers: bool| {
        json!({
            "run": run, "name": name, "version": "0.1.0", "answers": answers, "applied": applied,
            "serve_lease_ms": 3000, "beaten_ago_ms": 212,
        })
    };
    let two = [replica("portcullis-0", "0d1f6f0b7c2a4e55", 4711, true), replica("portcullis-1", "77aa01", 4709, false)];
    let table = "NAME          RUN       VERSION  APPLIED  BEHIND  BEAT       LEASE  ANSWERS\n\
                 portcullis-0  0d1f6f0b  0.1.0    4711     0       212ms ago  3s     *\n\
                 portcullis-1  77aa01    0.1.0    4709     2       212ms ago  3s\n";
    assert_eq!(said(&["replicas", "list"], &json!({"replicas": two})), table);
    let out = json!({"replicas": two, "not_serving": "the store does not answer: refused"});
    let warning = "warning: the replica that answers gives no verdicts: the store does not answer: refused\n";
    assert_eq!(said(&["replicas", "list"], &out), format!("{table}{warning}"));
    let json = said(&["replicas", "list", "--output", "json"], &out);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), out);
    let alone = json!({"replicas": [], "not_serving": "it has not joined the others yet"});
    assert!(said(&["replicas", "list"], &alone).ends_with("verdicts: it has not joined the others yet\n"));
}

#[test]
fn transmitters_are_listed_and_shown_and_none_is_said_to_be_none() {
    let transmitter = json!({
        "name": "keycloak", "kind": "ssf", "path": "/signals/keycloak", "issuer": "https://id.example.com",
        "tokens_of": ["https://id.example.com", "https://other.example.com"], "keys": "failing", "stale": false,
        "received": 10, "applied": 4, "unmatched": 3, "ignored": 2, "refused": 1,
        "last_refusal": {"at": "then", "reason": "the signature is invalid"},
    });
    let revocations = json!({
        "name": "soc", "kind": "global_token_revocation", "path": "/signals/soc", "tokens_of": ["https://id.example.com"],
        "received": 0, "applied": 0, "unmatched": 0, "ignored": 0, "refused": 0,
    });
    let both = json!({"transmitters": [transmitter, revocations]});
    assert_eq!(
        said(&["signals", "list"], &both),
        "NAME      KIND            STATE    APPLIED  UNMATCHED  IGNORED  REFUSED  LAST\n\
         keycloak  ssf             no keys  4        3          2        1        never\n\
         soc       global_token_…  ok       0        0          0        0        never\n"
    );
    let json = said(&["signals", "list", "--output", "json"], &both);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), both);
    let none = said(&["signals", "list"], &json!({"transmitters": []}));
    assert_eq!(none, "there are no transmitters: `signals` is not configured\n");
    assert_eq!(
        said(&["signals", "show", "keycloak"], &transmitter),
        "name               keycloak\n\
         kind               ssf\n\
         path               /signals/keycloak\n\
         issuer             https://id.example.com\n\
         tokens of          https://id.example.com https://other.example.com\n\
         keys               the last fetch has failed\n\
         received           10\n\
         applied            4\n\
         unmatched          3\n\
         ignored            2\n\
         refused            1\n\
         last signal        never\n\
         last verification  never\n\
         last refusal       then: the signature is invalid\n"
    );
    for (command, done) in [
        (&["signals", "verify", "keycloak"][..], "a verification event was requested"),
        (&["signals", "pause", "keycloak", "--reason", "maintenance"], "the stream is paused"),
        (&["signals", "resume", "keycloak"], "the stream is resumed"),
        (&["signals", "delete-stream", "keycloak"], "the stream is deleted"),
    ] {
        assert_eq!(said(command, &transmitter), format!("`keycloak`: {done}\n"));
        let json = said(&[command, &["--output", "json"]].concat(), &transmitter);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), transmitter);
    }
    let json = said(&["signals", "show", "keycloak", "--output", "json"], &transmitter);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), transmitter);
}

#[test]
fn an_id_that_was_not_seen_is_revoked_in_words() {
    let id = "5d41402abc4b2a76b9719d911017c592";
    let unseen = json!({"id": id, "known": false});
    assert_eq!(
        said(&["sessions", "revoke", id], &unseen),
        format!(
            "session {id}: not seen yet; its first token will be refused\n\
             to take it back, see: portcullis revocations list\n"
        )
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&said(&["sessions", "revoke", id, "--output", "json"], &unseen)).ok(),
        Some(unseen)
    );
    let mut both = json!({
        "id": "687e64ce5abca15772c27966e0b823e8", "session_id": id, "before": "2001-09-09T01:46:40Z",
        "made_at": "2001-09-09T01:46:40Z",
    });
    both["revocations"] = json!([both.clone()]);
    let listed = said(&["revocations", "list"], &both);
    assert!(listed.contains("687e64ce5abc  session 5d41402abc4b"), "{listed}");
    let taken = said(&["revocations", "delete", "687e64ce5abc"], &both);
    assert!(taken.starts_with(&format!("the revocation of session `{id}` before 2001-09-09")), "{taken}");
}

#[test]
fn a_redirection_is_not_followed_with_the_credential() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let elsewhere = listener.local_addr().expect("an address");
    let redirection = format!("HTTP/1.1 307 X\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let output = asked(&format!("http://{}", serving(redirection, Some)), &["sessions", "list"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err(), "it went elsewhere");
}

#[test]
fn nothing_in_an_answer_reaches_the_terminal_as_a_command() {
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\r\u{202e}\u{7f}";
    let session = json!({
        "id": hostile, "issuer": hostile, "key": hostile, "subject": hostile, "client_id": hostile, "access": hostile,
        "state": hostile, "reason": hostile, "scopes": [hostile], "opened_at": hostile, "last_seen_at": hostile,
        "expires_at": hostile, "ended_at": hostile, hostile: hostile,
    });
    let attribute = json!({
        "name": hostile, "value": hostile, "source": hostile, "of": hostile, "set_at": hostile, "expires_at": hostile,
    });
    let mut known = session.clone();
    known["attributes"] = json!([attribute]);
    known["narrowings"] = json!([{"signalled": {hostile: [hostile]}}]);
    let held = json!({
        "id": hostile, "transmitter": hostile, "event": hostile, "actions": [hostile], "reason": hostile,
        "users": [{"issuer": hostile, "subject": hostile}], "received_at": hostile, "fate": hostile,
    });
    let mut decided = held.clone();
    decided["held"] = json!([held]);
    let device: &[&str] = &["--device", "d", "--issuer", "i"];
    let (list, set) =
        ([&["attributes", "list"], device].concat(), [&["attributes", "set"], device, &["n", "v"]].concat());
    let delete = [&["attributes", "delete"], device, &["n"]].concat();
    let block = json!({
        "id": hostile, "issuer": hostile, "sid": hostile, "until": hostile, "made_at": hostile, "reason": hostile,
        "transmitter": hostile,
    });
    let transmitter = json!({
        "name": hostile, "kind": hostile, "path": hostile, "issuer": hostile, "tokens_of": [hostile], "keys": hostile,
        "held": 1, "poll": hostile, "stream": hostile, "held_since": hostile, "last_received_at": hostile, "last_verified_at": hostile, "last_refusal": {"at": hostile, "reason": hostile},
    });
    let ok = |body: serde_json::Value| answer(200, "application/json", &body.to_string());
    let problem = answer(409, "application/problem+json", &json!({"detail": hostile, "code": hostile}).to_string());
    let event = format!("event: {hostile}\ndata: {session}\n\ndata: {}\n\n", hostile.replace('\r', ""));
    let events = answer(200, "text/event-stream", &event);
    for (line, answer) in [
        (&["sessions", "show", "x"][..], ok(session.clone())),
        (&["sessions", "revoke", "x"], ok(session.clone())),
        (&["sessions", "list"], ok(json!({"sessions": [session], "next": hostile}))),
        (&["sessions", "list"], problem.clone()),
        (&["sessions", "show", "x"], ok(json!(hostile))),
        (&["revoke", "--issuer", "i"], ok(json!({"revoked": 1, "before": hostile}))),
        (&["block", "--issuer", "i", "--sid", "s"], ok(block.clone())),
        (&["blocks", "list"], ok(json!({"blocks": [block]}))),
        (&["signals", "list"], ok(json!({"transmitters": [transmitter]}))),
        (&["signals", "show", "x"], ok(transmitter.clone())),
        (&["signals", "held"], ok(json!({"held": [held]}))),
        (&["signals", "drop", "--transmitter", "x", "--all"], ok(decided)),
        (&["sessions", "show", "x"], ok(known)),
        (
            &["sessions", "narrowings"],
            ok(json!({"narrowings": [{"subject": hostile, "signalled": {hostile: [hostile]}}]})),
        ),
        (&list, ok(json!({"attributes": [attribute]}))),
        (&set, ok(attribute.clone())),
        (&delete, ok(attribute.clone())),
        (&["signals", "pause", "x"], problem.clone()),
        (&["events"], events),
    ] {
        for form in ["text", "json"] {
            let line = [line, &["--output", form]].concat();
            let url = format!("http://{}", serving(answer.clone(), Some));
            let output =
                if line.first() == Some(&"events") { first_lines(2, &url, &line) } else { shown(&asked(&url, &line)) };
            let harm = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!output.contains(harm), "{line:?}: {output:?}");
            assert!(output.contains("1b"), "{line:?}: {output:?}");
        }
    }
}

/// What `events` writes first: it would connect again for ever.
pub(crate) fn first_lines(count: usize, url: &str, line: &[&str]) -> String {
    let mut command = portcullis();
    command.args(line).args(["--url", url]).env("PORTCULLIS_ADMIN_CREDENTIAL", "secret");
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("the program runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().take(count);
    let text: Vec<_> = lines.map(|line| line.expect("text")).collect();
    // Nobody reads any more: it ends by itself.
    assert!(child.wait().expect("a child ends").success());
    text.join("\n")
}

/// The certificate of an authority for 127.0.0.1, in PEM, and a server that it vouches for.
fn tls() -> (String, Arc<ServerConfig>) {
    let (root, _, config) = mutual_tls(false);
    (root, config)
}

/// The same with a certificate and key of a client, in PEM, and a server that may want one of its authority's.
fn mutual_tls(wants_client: bool) -> (String, (String, String), Arc<ServerConfig>) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new([]).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, authority_key);
    let issued = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([name.to_owned()]).expect("parameters");
        (certificate.signed_by(&key, &issuer).expect("a certificate"), key)
    };
    let (certificate, key) = issued("127.0.0.1");
    let (client, client_key) = issued("client");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = if wants_client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("a certificate")).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = builder.with_single_cert(vec![certificate.der().clone()], key);
    (root, (client.pem(), client_key.serialize_pem()), Arc::new(config.expect("a configuration")))
}

#[test]
fn https_accepts_only_servers_that_the_roots_vouch_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (root, config) = tls();
    let wrap = move |stream| Some(StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream));
    let address = serving(answer(200, "application/json", r#"{"sessions":[]}"#), wrap);
    let url = format!("https://{address}");
    let (right, wrong) = (dir.path().join("right.pem"), dir.path().join("wrong.pem"));
    std::fs::write(&right, root).expect("a temporary file can be written");
    std::fs::write(&wrong, tls().0).expect("a temporary file can be written");
    let with = |file: &std::path::Path| asked(&url, &["sessions", "list", "--ca", file.to_str().expect("a path")]);
    let trusted = with(&right);
    assert!(trusted.status.success(), "{}", shown(&trusted));
    let untrusted = with(&wrong);
    assert_eq!(untrusted.status.code(), Some(1));
    assert!(stderr(&untrusted).contains("is not trusted"), "{}", shown(&untrusted));
}

#[test]
fn a_server_that_wants_a_client_certificate_gets_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (root, (certificate, key), config) = mutual_tls(true);
    let wrap = move |stream| Some(StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream));
    let address = serving(answer(200, "application/json", r#"{"sessions":[]}"#), wrap);
    let url = format!("https://{address}");
    let file = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("a temporary file can be written");
        file.to_str().expect("a path").to_owned()
    };
    let (root, certificate, key) = (file("root", &root), file("certificate", &certificate), file("key", &key));
    let with = |more: &[&str]| asked(&url, &[&["sessions", "list", "--ca", &root], more].concat());
    let presented = with(&["--cert", &certificate, "--key", &key]);
    assert!(presented.status.success(), "{}", shown(&presented));
    assert_eq!(with(&[]).status.code(), Some(1));
    let without_key = with(&["--cert", &certificate]);
    assert!(stderr(&without_key).contains("--key"), "{}", shown(&without_key));
    let no_key = with(&["--cert", &certificate, "--key", &root]);
    assert!(stderr(&no_key).contains("contains no private key"), "{}", shown(&no_key));
}
