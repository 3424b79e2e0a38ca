//! `churn`, `dying` and `exec-loop`: processes that keep changing.

use std::collections::VecDeque;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use nix::sys::mman::MapFlags;
use pmem::internal::memory::Mapping;
use serde_json::json;

use super::place::{PAGE, Places, write_pages};
use super::report::{do_not_wait, ended, say};

/// Maps and unmaps as fast as it can. It has more mappings than one read of `maps` returns, so that such reads are
/// torn.
pub(crate) fn churn() -> Result<()> {
    do_not_wait()?;
    say(&json!({ "pid": std::process::id(), "moves": true }))?;
    let mut kept = VecDeque::new();
    for round in 0.. {
        let mapping = Mapping::private((1 + round % 64) * *PAGE)?;
        write_pages(&mapping, 0..1 + round % 64);
        // One of two neighbours is not writable, so they do not merge.
        if round % 2 == 0 {
            mapping.protect(0, *PAGE, nix::sys::mman::ProtFlags::PROT_READ)?;
        }
        kept.push_back(mapping);
        if kept.len() > 400 {
            kept.pop_front();
        }
        if round % 64 == 0 && ended() {
            break;
        }
    }
    Ok(())
}

/// Maps a lot and ends by itself after this many milliseconds.
pub(crate) fn dying(milliseconds: u64) -> Result<()> {
    let mut places = Places::new();
    let mut kept = Vec::new();
    for _ in 0..1000 {
        let mapping = places.anonymous(4, MapFlags::MAP_PRIVATE)?;
        write_pages(&mapping, 0..4);
        kept.push(mapping);
    }
    say(&json!({ "pid": std::process::id(), "moves": true }))?;
    sleep(Duration::from_millis(milliseconds));
    // Everything goes at once, and nothing before: dropping would unmap the mappings one by one.
    std::process::exit(0)
}

/// Replaces itself with itself every few milliseconds.
pub(crate) fn exec_loop(first: bool) -> Result<()> {
    do_not_wait()?;
    if first {
        say(&json!({ "pid": std::process::id(), "moves": true }))?;
    }
    let mapping = Mapping::private(500 * *PAGE)?;
    write_pages(&mapping, 0..500);
    sleep(Duration::from_millis(3));
    if ended() {
        return Ok(());
    }
    Err(Command::new("/proc/self/exe").args(["exec-loop", "again"]).exec().into())
}
