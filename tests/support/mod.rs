//! Common code of the tests: running pmem, processes with known memory, and the kernel's own numbers.

pub(crate) mod counters;
pub(crate) mod frames;
pub(crate) mod json;
pub(crate) mod kernel;
pub(crate) mod ordinary;
pub(crate) mod run;
pub(crate) mod scene;
pub(crate) mod schema;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod tree;
pub(crate) mod watch;

use std::io::Write;

/// Reports, visibly even without `--nocapture`, that a test or part of it was not run.
pub(crate) fn skipped(what: &str, reason: &str) {
    // Not with eprintln!, which the test harness captures.
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {reason}");
}

/// Tries this many times until `attempt` agrees: the memory of the machine changes while it is read. The failure lists
/// all reasons.
#[track_caller]
pub(crate) fn agrees(attempts: usize, mut attempt: impl FnMut() -> Result<(), String>) {
    let mut reasons = Vec::new();
    for _ in 0..attempts {
        match attempt() {
            Ok(()) => return,
            Err(reason) => reasons.push(reason),
        }
    }
    panic!("{reasons:#?}");
}

/// The size of a base page, in bytes.
pub(crate) fn page_size() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
    u64::try_from(bytes).unwrap()
}
