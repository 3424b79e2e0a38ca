//! Where a Linux machine's memory is, frame by frame: a library for other programs, and all of the program `pmem`.
//!
//! [`Machine`] counts the page frames of processes, of this machine or of one that `pmem capture` recorded; [`Flags`] names the
//! flags of a page frame.
//!
//! ```no_run
//! let machine = pmem::Machine::live()?;
//! for pid in machine.pids()? {
//!     let frames = machine.frames(pid)?;
//!     println!("{pid} {}: {} pages resident", frames.name, frames.resident_pages);
//! }
//! # Ok::<(), pmem::Error>(())
//! ```
//!
//! Everything else belongs to the program, and is not public. Data flows in one direction through
//! its layers, and each imports only from those below it; ARCHITECTURE.md follows one command through them:
//!
//! ```text
//! cli        one file per subcommand, and the driver that runs them
//! view       a report in, bytes out: tables, JSON, CSV, the live screen
//! demo       small programs that make memory happen, observed through analysis
//! analysis   the questions: model in, a report out
//! kernel     bytes and words out of the kernel or a recorded tree
//! model      what those bytes mean
//! error, name, unit
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr))]

mod analysis;
mod api;
mod cli;
mod demo;
mod error;
mod kernel;
mod model;
mod name;
mod unit;
mod view;

pub use api::{Flags, Frames, Machine, Mapping};
pub use error::{Error, Result};

/// What the program pmem, its tests, benchmarks and examples need. Not for others: it changes without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::cli::{run, status::Status};
    pub use crate::demo::{DEMOS, Demo};
    pub use crate::kernel::{cgroups, memcg, memory, root, scan};
    pub use crate::model::{buddyinfo, iomem, meminfo, pagetypeinfo, slabinfo, vmallocinfo, zoneinfo};
    pub use crate::unit::VirtAddr;
}
