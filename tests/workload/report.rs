//! What a scene reports about itself, and how it waits.

use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::os::fd::AsFd;

use anyhow::Result;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use pmem::internal::memory::Mapping;
use serde::Serialize;

use super::place::PAGE;

/// One mapping, and what must be true about it, in base pages.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Made {
    pub(crate) what: &'static str,
    pub(crate) address: String,
    pub(crate) size_pages: u64,
    /// Present page-table entries.
    pub(crate) present: u64,
    /// Of these, entries of the shared zero page.
    pub(crate) zero: u64,
    /// Of these, mapped by a PMD.
    pub(crate) huge: u64,
    pub(crate) swapped: u64,
    pub(crate) guard: u64,
    pub(crate) kind: &'static str,
    /// Pages whose frame no other process maps, if the scene knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclusive: Option<u64>,
}

impl Made {
    /// A mapping with nothing in it yet.
    pub(crate) fn new(what: &'static str, mapping: &Mapping, kind: &'static str) -> Self {
        let size_pages = (mapping.length() / *PAGE) as u64;
        Self { what, address: mapping.address().to_string(), size_pages, kind, ..Self::default() }
    }

    pub(crate) fn present(self, present: usize) -> Self {
        Self { present: present as u64, ..self }
    }
}

/// What a scene made, or why it could not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Thing {
    Made(Made),
    Skipped { what: &'static str, skipped: String },
}

/// Prints the line that says that everything is made.
pub(crate) fn say(report: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    // Bypasses the buffer of `stdout()`, which searches its input for newlines.
    let mut out = stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Reports a scene that is not possible on this machine.
pub(crate) fn say_skipped(reason: &str) -> Result<()> {
    say(&serde_json::json!({ "skipped": reason }))?;
    wait_for_the_end()
}

/// Returns when standard input ends.
pub(crate) fn wait_for_the_end() -> Result<()> {
    let mut byte = [0];
    loop {
        match stdin().lock().read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Makes standard input non-blocking, so that [`ended`] can query it without waiting.
pub(crate) fn do_not_wait() -> Result<()> {
    fcntl(stdin().as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Whether standard input has ended.
pub(crate) fn ended() -> bool {
    match stdin().lock().read(&mut [0]) {
        Ok(read) => read == 0,
        Err(e) => e.kind() != ErrorKind::WouldBlock,
    }
}
