//! The CPU time and the memory of a process, from `/proc`.

use serde::Serialize;

const PAGE_BYTES: u64 = 4_096;

/// The CPU time that a process has used, in user space and in the kernel.
pub(crate) fn cpu_s(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process lives");
    ticks(&stat) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// The memory that a process holds.
pub(crate) fn resident_bytes(id: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("the process lives");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * PAGE_BYTES
}

/// `utime` and `stime` of `/proc/PID/stat`. The name of the program is in parentheses and may contain anything.
fn ticks(stat: &str) -> u64 {
    const UTIME: usize = 11;
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields = after_name.split_ascii_whitespace().skip(UTIME).take(2);
    fields.map(|field| field.parse::<u64>().expect("a number of ticks")).sum()
}

/// The CPU time of Envoy and of the service beside it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) envoy_s: f64,
    pub(crate) service_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_a_strange_name_are_found() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 5 0 0 0 123 45 0 0 20 0 1 0 9 0 0";
        assert_eq!(ticks(stat), 168);
    }

    #[test]
    fn this_process_has_used_some_memory() {
        assert!(resident_bytes(std::process::id()) > 0);
        assert!(cpu_s(std::process::id()) >= 0.0);
    }
}
