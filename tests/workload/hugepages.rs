//! `hugepages`: lends the machine some hugetlb pages, and restores the setting when standard input ends.
//!
//! It is a separate process, so that the setting is restored however the test ends.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

use super::report::{say, say_skipped, wait_for_the_end};

const SETTING: &str = "/proc/sys/vm/nr_hugepages";

pub(crate) fn run(more: u64) -> Result<()> {
    let file = match File::options().read(true).write(true).open(SETTING) {
        Ok(file) => file,
        Err(error) => return say_skipped(&format!("{SETTING}: {error}")),
    };
    // Two that change it at the same time would restore each other's changes.
    let Some(mut file) = locked(file) else {
        return say_skipped("another test is changing the number of hugetlb pages");
    };
    let before = number(&mut file)?;
    let changed = set(&mut file, before + more).and_then(|()| number(&mut file));
    let told = match changed {
        Ok(now) => say(&json!({ "before": before, "now": now })).and_then(|()| wait_for_the_end()),
        Err(error) => say_skipped(&format!("{SETTING}: {error}")),
    };
    set(&mut file, before)?;
    told
}

/// The file, once no other process changes it; `None` if that takes longer than any test does.
fn locked(mut file: File) -> Option<Flock<File>> {
    for _ in 0..1000 {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Some(locked),
            Err((unlocked, _)) => file = unlocked,
        }
        sleep(Duration::from_millis(20));
    }
    None
}

fn number(file: &mut File) -> Result<u64> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text.trim().parse()?)
}

fn set(file: &mut File, number: u64) -> Result<()> {
    file.rewind()?;
    Ok(file.write_all(number.to_string().as_bytes())?)
}
