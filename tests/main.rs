//! Tests of the whole program: over recorded trees, and on the machine it runs on.

// Tests say what is wrong by failing, and what they skip on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cli;
mod live;
mod support;
