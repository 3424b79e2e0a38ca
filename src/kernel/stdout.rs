//! Standard output as it was when the program started.

#![allow(unsafe_code, reason = "see each block")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::libc;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when the program started. The standard library opens `/dev/null` in its place: what
/// is written would be lost without an error.
pub fn was_closed() -> bool {
    CLOSED.load(Relaxed)
}

extern "C" fn note() {
    // SAFETY: F_GETFD takes no argument and has no effect; for a closed descriptor it fails.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Relaxed);
}

/// Called before `main`, and before the standard library opens anything.
// SAFETY: functions in .init_array are called by the C library with arguments that a C function may ignore. `note` needs
// nothing that is initialised later, and does not unwind.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = note;
