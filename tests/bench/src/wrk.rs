//! wrk, which generates the load over HTTP/1.1.

use crate::options::cores;
use portcullis_tests::root;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::process::Command;

/// What wrk measured, as `load.lua` prints it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) duration_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Answers without a success status.
    pub(crate) refused: u64,
    pub(crate) socket_errors: u64,
}

impl Seen {
    pub(crate) fn rps(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us as f64
    }

    /// Why the measurement is void, if it is.
    pub(crate) fn fault(&self) -> Option<String> {
        let fault =
            format!("{} refused, {} socket errors of {} requests", self.refused, self.socket_errors, self.requests);
        (self.refused > 0 || self.socket_errors > 0 || self.requests == 0).then_some(fault)
    }
}

/// The number of wrk's threads: one can load two cores of Envoy.
fn threads(connections: usize) -> usize {
    (cores() / 2).clamp(1, connections)
}

/// Sends requests as fast as they are answered, for one host and with the tokens of a list, of which `sent` were
/// already used.
pub(crate) async fn run(
    address: SocketAddr,
    (list, host): (&Path, &str),
    sent: u64,
    connections: usize,
    time: Duration,
) -> Result<Seen, String> {
    let threads = threads(connections).to_string();
    let output = Command::new("wrk")
        .args(["--connections", &connections.to_string(), "--threads", &threads])
        .args(["--duration", &format!("{}s", time.as_secs().max(1)), "--timeout", "10s", "--script"])
        .arg(root().join("tests/bench/load.lua"))
        .arg(format!("http://{address}"))
        .arg("--")
        .arg(list)
        .args([host, &threads, &sent.to_string()])
        .output()
        .await
        .map_err(|fault| format!("wrk does not run: {fault}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text).ok_or_else(|| format!("wrk said: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn read(text: &str) -> Option<Seen> {
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n\
        RESULT {\"requests\":30000,\"duration_us\":2000000,\"p50_us\":4000,\"p99_us\":9000,\"refused\":0,\"socket_errors\":0}\n";

    #[test]
    fn the_result_is_read() {
        let seen = read(SAID).expect("a result");
        assert_eq!((seen.rps(), seen.p50_us, seen.p99_us), (15_000.0, 4_000, 9_000));
        assert_eq!(seen.fault(), None);
    }

    #[test]
    fn refusals_and_errors_and_silence_are_faults() {
        let seen = read(SAID).expect("a result");
        assert!(Seen { refused: 1, ..seen.clone() }.fault().is_some());
        assert!(Seen { socket_errors: 1, ..seen.clone() }.fault().is_some());
        assert!(Seen { requests: 0, ..seen }.fault().is_some());
        assert_eq!(read("unable to connect"), None);
    }
}
