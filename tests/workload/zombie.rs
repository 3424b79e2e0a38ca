//! `zombie`: a child that has ended and is not reaped.

use anyhow::Result;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use pmem::internal::memory::forked;
use serde_json::json;

use super::report::{say, wait_for_the_end};

pub(crate) fn run() -> Result<()> {
    let child = forked(|| 0)?;
    // Waits for the end without reaping.
    waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    say(&json!({ "pid": std::process::id(), "zombie": child.as_raw() }))?;
    wait_for_the_end()?;
    waitpid(child, None)?;
    Ok(())
}
