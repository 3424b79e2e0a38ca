//! A lock for demos that read system-wide counters, so that concurrent runs do not disturb each other.

use std::fs::File;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Locks this file, waiting at most `patience` for another run to release it.
///
/// # Errors
/// EWOULDBLOCK if another run still holds it.
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
