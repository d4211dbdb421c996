//! A fake admin API that answers by request, and what the tool asks of it.

use crate::{
    admin_api::answer,
    tool::{portcullis, stderr},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A running fake.
pub(crate) struct FakeApi {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl FakeApi {
    /// Starts one that gives each request, such as `POST /v1/blocks {"issuer":"i"}`, a status and a body.
    pub(crate) fn start(answers: impl Fn(&str) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asks = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let request = request(&stream);
                let (status, body) = answers(&request);
                asks.lock().expect("a lock").push(request);
                let kind = if status < 400 { "application/json" } else { "application/problem+json" };
                stream.write_all(answer(status, kind, &body.to_string()).as_bytes()).expect("an answer");
            }
        });
        Self { url, asked }
    }

    /// Runs a command with it.
    pub(crate) fn run(&self, line: &[&str]) -> Ended {
        let mut command = portcullis();
        command.args(line).args(["--url", &self.url]).env("PORTCULLIS_ADMIN_CREDENTIAL", "secret");
        let output = command.output().expect("the program runs");
        let stdout = String::from_utf8(output.stdout.clone()).expect("text");
        Ended { code: output.status.code(), stdout, stderr: stderr(&output) }
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("a lock"))
    }
}

/// The method, the path and the body of a request.
fn request(stream: &TcpStream) -> String {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a line");
        let line = line.trim_end();
        match line.to_ascii_lowercase().strip_prefix("content-length: ") {
            _ if line.is_empty() => break,
            Some(bytes) => length = bytes.parse().expect("a length"),
            None if head.is_empty() => line.trim_end_matches(" HTTP/1.1").clone_into(&mut head),
            None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    format!("{head} {}", String::from_utf8(body).expect("text")).trim_end().to_owned()
}
