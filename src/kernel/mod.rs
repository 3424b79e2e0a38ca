//! Bytes and words out of the kernel, or out of a recorded tree: the only floor that opens files, and the only one with
//! `unsafe` (in `scan` and `memory`).

pub mod access;
pub mod capture;
pub mod dir;
pub mod features;
pub mod filesystems;
pub mod interfaces;
pub mod lines;
pub mod manifest;
pub mod memory;
pub mod process;
pub mod root;
pub mod runs;
pub mod scan;
pub mod walk;
pub mod words;
