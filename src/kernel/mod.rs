//! Bytes and words out of the kernel, or out of a recorded tree: the only floor that opens files, and the only one with
//! `unsafe` (in `scan`, `memory`, `cached_pages` and `same_memory`).

pub mod access;
pub mod cached_pages;
pub mod capture;
pub mod cgroups;
pub mod counters;
pub mod dir;
pub mod features;
pub mod filesystems;
pub mod frame_files;
pub mod interfaces;
pub mod lines;
pub mod manifest;
pub mod memory;
pub mod page_cache;
pub mod physical;
pub mod populated;
pub mod process;
pub mod root;
pub mod runs;
pub mod same_memory;
pub mod scan;
pub mod slab;
pub mod sweep;
pub mod vmalloc;
pub mod walk;
pub mod r#where;
pub mod words;
