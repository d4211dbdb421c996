//! Faults of the machine that a process runs on: a disk that cannot write, a clock that is set, a log that nobody reads. A
//! small library (`tests/shim/faults.c`) brings them about in a process that preloads it.

use crate::paths;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The orders of the control file: three numbers of eight bytes.
const CLOCK_S: u64 = 0;
const DISK_FAILS: u64 = 8;
const LOG_STALLS: u64 = 16;

/// The machine of one process.
pub struct Faults {
    library: PathBuf,
    control: PathBuf,
    file: File,
}

impl Faults {
    /// A healthy machine. Its files are in `dir`.
    pub fn build(dir: &Path) -> Self {
        let (library, control) = (dir.join("faults.so"), dir.join("faults"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
        let built = compiler.arg(paths::root().join("tests/shim/faults.c")).status();
        assert!(built.expect("there is a C compiler").success(), "tests/shim/faults.c does not compile");
        std::fs::write(&control, [0; 24]).expect("the control file can be written");
        let file = File::options().write(true).open(&control).expect("the control file opens");
        Self { library, control, file }
    }

    /// Has a command run on this machine.
    pub fn befall(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("PORTCULLIS_TEST_FAULTS", &self.control);
    }

    /// Sets the wall clock, by this many seconds from the right time.
    pub fn set_clock(&self, seconds: i64) {
        self.order(CLOCK_S, seconds);
    }

    /// Whether nothing can be made durable.
    pub fn fail_disk(&self, fails: bool) {
        self.order(DISK_FAILS, fails.into());
    }

    /// Whether nobody reads the log.
    pub fn stall_log(&self, stalls: bool) {
        self.order(LOG_STALLS, stalls.into());
    }

    fn order(&self, at: u64, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), at).expect("the control file can be written");
    }
}
