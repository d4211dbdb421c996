//! The session service alone: in process, over one connection, and with a million sessions.

mod audit;
mod filter;
mod in_process;
mod many_sessions;
mod minting;
mod wire;

pub(crate) use audit::FEW_NEW;
pub(crate) use wire::IN_FLIGHT_MAX;

use crate::report::Service;
use std::time::Duration;

pub(crate) async fn measure(rounds: usize, time: Duration) -> Service {
    eprintln!("  judgements in process");
    // On a thread of its own, to measure one core.
    let judging = std::thread::spawn(move || in_process::measure(rounds, time));
    let judgements_per_s = judging.join().expect("judging ends well");
    eprintln!("  tokens for upstreams");
    let minting = std::thread::spawn(move || minting::measure(rounds, time));
    let minted = minting.join().expect("minting ends well");
    eprintln!("  checks over the wire");
    let wire = wire::measure(rounds, time).await;
    eprintln!("  with and without an audit log");
    let with_audit = audit::measure(rounds, time).await;
    eprintln!("  a million sessions");
    let many_sessions = many_sessions::measure().await;
    Service {
        judgements_per_s,
        minted,
        wire,
        with_audit,
        sessions: many_sessions::SESSIONS,
        sessions_bytes: many_sessions.bytes,
        restart_s: many_sessions.restart.as_secs_f64(),
    }
}
