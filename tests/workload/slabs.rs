//! `eventfds`, `sockets` and `absent`: a known number of the kernel's own objects, which are freed when the scene ends.

use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};
use serde_json::json;
use tempfile::TempDir;

use super::report::{say, say_skipped, wait_for_the_end};

/// This many eventfds, each with an open file and a context.
pub(crate) fn eventfds(count: u64) -> Result<()> {
    keep(count, || Ok((0..count).map(|_| EventFd::new()).collect::<nix::Result<Vec<_>>>()?))
}

/// This many UNIX sockets, in pairs.
pub(crate) fn sockets(count: u64) -> Result<()> {
    keep(count, || Ok((0..count / 2).map(|_| UnixStream::pair()).collect::<std::io::Result<Vec<_>>>()?))
}

fn keep<T>(count: u64, make: impl FnOnce() -> Result<T>) -> Result<()> {
    if let Err(error) = allow_files(count + 64) {
        return say_skipped(&format!("{error:#}"));
    }
    let _kept = make()?;
    say(&json!({ "pid": std::process::id(), "made": count }))?;
    wait_for_the_end()
}

/// Raises the limit of open files.
fn allow_files(count: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < count {
        ensure!(hard >= count, "no more than {hard} files may be open, and this needs {count}");
        setrlimit(Resource::RLIMIT_NOFILE, count, hard)?;
    }
    Ok(())
}

/// Looks up this many files that do not exist, in a directory of its own: the kernel remembers each name until the
/// directory is removed.
pub(crate) fn absent(count: u64) -> Result<()> {
    let directory = TempDir::new()?;
    // tmpfs immediately forgets that a file does not exist, and an overlay remembers it for each of its layers.
    if [TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC].contains(&statfs(directory.path())?.filesystem_type()) {
        return say_skipped("temporary files are on tmpfs or an overlay");
    }
    for number in 0..count {
        ensure!(!directory.path().join(format!("absent-{number}")).exists(), "somebody made it");
    }
    say(&json!({ "pid": std::process::id(), "made": count }))?;
    wait_for_the_end()
}
