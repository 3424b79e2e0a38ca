//! Children that share the memory of a scene, and wait until it ends.

use std::io::{Read, Write, pipe};

use anyhow::Result;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pause};
use pmem::internal::memory::{forked, process_of_same_memory};

/// The children of a scene. They end with it, however it ends.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Pid>);

impl Children {
    /// Starts a child, and returns its PID when it has done its work and waits.
    pub(crate) fn start(&mut self, work: impl FnOnce()) -> Result<i32> {
        self.start_saying(|| {
            work();
            0
        })
        .map(|(child, _)| child)
    }

    /// Likewise, with work that returns a number for the parent.
    pub(crate) fn start_saying(&mut self, work: impl FnOnce() -> u64) -> Result<(i32, u64)> {
        let (mut done, write) = pipe()?;
        let child = forked(|| {
            let _ = set_pdeathsig(Signal::SIGKILL);
            let number = work();
            if (&write).write_all(&number.to_ne_bytes()).is_ok() {
                pause();
            }
            0
        })?;
        self.0.push(child);
        drop(write);
        let mut number = [0; 8];
        done.read_exact(&mut number)?;
        Ok((child.as_raw(), u64::from_ne_bytes(number)))
    }

    /// Starts a child that shares this process's memory, rather than having a copy of it.
    pub(crate) fn start_of_same_memory(&mut self) -> Result<i32> {
        let child = process_of_same_memory()?;
        self.0.push(child);
        Ok(child.as_raw())
    }

    /// Ends and reaps them all.
    pub(crate) fn end(self) -> Result<()> {
        for child in self.0 {
            kill(child, Signal::SIGKILL)?;
            waitpid(child, None)?;
        }
        Ok(())
    }
}
