//! The session service alone: in process, over one connection, and with a million sessions.

mod crowd;
mod filter;
mod in_process;
mod wire;

pub(crate) use wire::IN_FLIGHT_MAX;

use crate::{options::Options, report::Service};

pub(crate) async fn measure(options: &Options) -> Service {
    eprintln!("  judgements in process");
    let (rounds, time) = (options.rounds, options.time());
    // On a thread of its own: one core is what is asked about.
    let judging = std::thread::spawn(move || in_process::measure(rounds, time));
    let judgements_per_s = judging.join().expect("judging ends well");
    eprintln!("  checks over the wire");
    let wire = wire::measure(rounds, time).await;
    eprintln!("  a million sessions");
    let crowd = crowd::measure().await;
    Service {
        judgements_per_s,
        wire,
        sessions: crowd::SESSIONS,
        sessions_bytes: crowd.bytes,
        restart_s: crowd.restart.as_secs_f64(),
    }
}
