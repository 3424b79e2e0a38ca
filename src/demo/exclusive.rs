//! Demos that look at what is the machine's keep other runs of themselves from moving it meanwhile.

use std::fs::File;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Waits so long, at most, until no other run has this file locked, and locks it.
///
/// # Errors
/// EWOULDBLOCK where another has it still.
pub(super) fn exclusive(mut file: File, patience: Duration) -> nix::Result<Flock<File>> {
    let began = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EWOULDBLOCK)) if began.elapsed() < patience => file = same,
            Err((_, errno)) => return Err(errno),
        }
        sleep(Duration::from_millis(1));
    }
}
