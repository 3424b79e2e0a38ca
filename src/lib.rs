//! Where a Linux machine's memory is, frame by frame.
//!
//! Data goes one way through the floors, and each imports only from those below it:
//!
//! ```text
//! cli        one file a subcommand: arguments, then read → analyse → view
//! view       a report in, bytes out: tables, JSON, CSV
//! demo       small programs that make memory happen, looked at through analysis
//! analysis   the questions: model in, a report out
//! kernel     bytes and words out of the kernel or a recorded tree
//! model      what those bytes mean
//! error, name, unit
//! ```
//!
//! ARCHITECTURE.md follows one command through them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr))]

mod api;

pub use api::{Flags, Frames, Machine, Mapping};
pub use error::{Error, Result};

pub mod analysis;
pub mod cli;
pub mod demo;
pub mod error;
pub mod kernel;
pub mod model;
pub mod name;
pub mod unit;
pub(crate) mod view;
