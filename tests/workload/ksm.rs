//! `ksm`: pages that KSM has merged.
//!
//! If KSM is not running, it is switched on until the pages are merged, and off again before the scene reports: merged
//! pages stay merged. The same happens at the end, until KSM has forgotten them. So the scene must live until its end.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::mman::{MapFlags, MmapAdvise};
use pmem::internal::memory::Mapping;
use serde_json::json;

use super::place::{PAGE, Places, setting, smaps_pages};
use super::report::{say, say_skipped, wait_for_the_end};

const RUN: &str = "/sys/kernel/mm/ksm/run";
const SHARED: &str = "/sys/kernel/mm/ksm/pages_shared";
const PAGES: usize = 16;

pub(crate) fn run() -> Result<()> {
    let shared = || setting(SHARED).parse::<u64>().unwrap_or(0);
    let before = shared();
    match merged() {
        Ok(mapping) => {
            let address = mapping.address().to_string();
            say(&json!({ "pid": std::process::id(), "address": address, "pages": PAGES }))?;
            wait_for_the_end()?;
            drop(mapping);
            // KSM counts them until its next scan. Whether that happens is not tested, and whoever ends this scene does
            // not wait long.
            let _ = while_it_runs(FlockArg::LockExclusiveNonblock, 3, || shared() <= before);
            Ok(())
        }
        Err(error) => say_skipped(&format!("{error:#}")),
    }
}

fn merged() -> Result<Mapping> {
    let mapping = Places::new().anonymous(PAGES, MapFlags::MAP_PRIVATE)?;
    // Identical, but not all zeros, which KSM may replace by the zero page.
    (0..PAGES).for_each(|page| mapping.write(page * *PAGE, 0xa5));
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_MERGEABLE).context("this kernel has no KSM")?;
    while_it_runs(FlockArg::LockExclusive, 20, || smaps_pages(&mapping, "KSM").is_ok_and(|pages| pages == PAGES))?;
    Ok(mapping)
}

/// Lets KSM run until a condition holds, or for this many seconds. It takes some hundredths of a second, but its thread
/// is niced and lets others go first.
fn while_it_runs(lock: FlockArg, seconds: u64, is_so: impl Fn() -> bool) -> Result<()> {
    let file = File::options().read(true).write(true).open(RUN).context(RUN)?;
    // Two that change it at the same time would restore each other's changes.
    let mut file = Flock::lock(file, lock).map_err(|(_, error)| error).context(RUN)?;
    let mut before = String::new();
    file.read_to_string(&mut before)?;
    set(&mut file, "1")?;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !is_so() && Instant::now() < deadline {
        sleep(Duration::from_millis(10));
    }
    set(&mut file, before.trim())?;
    ensure!(is_so(), "KSM did nothing in time");
    Ok(())
}

fn set(file: &mut File, to: &str) -> Result<()> {
    file.rewind()?;
    Ok(file.write_all(to.as_bytes())?)
}
