//! h2load, which generates the load over HTTP/2.

use crate::options::cores;
use std::{net::SocketAddr, time::Duration};
use tokio::process::Command;

/// Sends requests as fast as they are answered; returns the requests per second. h2load can't change a header
/// from request to request, so all of them carry the same token.
pub(crate) async fn run(
    address: SocketAddr,
    (path, token): (&str, &str),
    connections: usize,
    time: Duration,
) -> Result<f64, String> {
    let threads = (cores() / 2).clamp(1, connections);
    let output = Command::new("h2load")
        .args(["--clients", &connections.to_string(), "--threads", &threads.to_string()])
        .args(["--duration", &time.as_secs().max(1).to_string()])
        .args(["--header", &format!("authorization: Bearer {token}")])
        .arg(format!("http://{address}{path}"))
        .output()
        .await
        .map_err(|fault| format!("h2load does not run: {fault}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text).map_err(|fault| format!("{fault}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// `finished in 2.00s, 12345.50 req/s, 1.2MB/s`, and lines of counts.
fn read(text: &str) -> Result<f64, String> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).ok_or("h2load has no result");
    let count = |line: &str, name: &str| {
        let entry = line.split(',').find_map(|entry| entry.trim().strip_suffix(name));
        entry.and_then(|number| number.trim().parse::<u64>().ok())
    };
    let (requests, statuses) = (line("requests: ")?, line("status codes: ")?);
    for (line, name) in
        [(requests, "failed"), (requests, "errored"), (requests, "timeout"), (statuses, "4xx"), (statuses, "5xx")]
    {
        match count(line, name) {
            Some(0) => (),
            Some(bad) => return Err(format!("{bad} {name} requests")),
            None => return Err(format!("h2load did not count `{name}`")),
        }
    }
    let rate = line("finished in ")?.split(", ").find_map(|entry| entry.strip_suffix(" req/s"));
    let rate = rate.and_then(|rate| rate.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
    rate.ok_or_else(|| "h2load has no rate".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\nfinished in 2.00s, 12345.50 req/s, 1.20MB/s\n\
        requests: 24691 total, 24691 started, 24691 done, 24691 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 24691 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn the_rate_is_read() {
        assert_eq!(read(SAID), Ok(12_345.5));
    }

    #[test]
    fn failures_and_refusals_are_faults() {
        assert!(read(&SAID.replace("0 failed", "1 failed")).is_err());
        assert!(read(&SAID.replace("0 4xx", "7 4xx")).is_err());
        assert!(read("").is_err());
    }
}
