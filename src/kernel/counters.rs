//! The kernel's own counters of memory use, as far as they are readable: pmem compares its counts with them.

use std::path::Path;

use super::root::{Root, SMALL};
use crate::error::{Error, Result};
use crate::model::meminfo::{self, Meminfo};
use crate::model::{buddyinfo, slabinfo};

/// A reading of the counters. `None` if unreadable or missing in this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// `/proc/meminfo`.
    pub meminfo: Meminfo,
    /// Free pages from `/proc/buddyinfo`.
    pub buddy_pages: Option<u64>,
    /// Pages of all slabs from `/proc/slabinfo` (root only).
    pub slab_pages: Option<u64>,
    /// Frames that hold merged pages, from `/sys/kernel/mm/ksm/pages_shared`.
    pub ksm_frames: Option<u64>,
}

impl Counters {
    /// Reads them, one file after the other.
    pub fn read(root: &Root) -> Self {
        Self::read_noting(root, &mut Vec::new())
    }

    /// Like `read`; adds to `troubles` if meminfo or slabinfo is truncated, or exists but cannot be read.
    pub fn read_noting(root: &Root, troubles: &mut Vec<String>) -> Self {
        let read = |file: &str| root.dir().read(file, SMALL);
        let sum = |pages: &mut dyn Iterator<Item = u64>| pages.fold(0, u64::saturating_add);
        let path = |file: &str| root.dir().path().join(file);
        let blocks = read("proc/buddyinfo").and_then(|text| buddyinfo::parse(&text, &path("proc/buddyinfo"))).ok();
        let caches = read("proc/slabinfo").and_then(|text| caches(&text, &path("proc/slabinfo")));
        let held = |cache: &slabinfo::Cache| cache.held(root.page_size()).pages;
        let text = known(read("proc/meminfo"), troubles);
        if let Some(why) = text.as_ref().and_then(|text| meminfo::torn(text)) {
            troubles.push(format!("{}: {why}", path("proc/meminfo").display()));
        }
        Self {
            meminfo: Meminfo::parse(&text.unwrap_or_default()),
            buddy_pages: blocks.map(|zones| sum(&mut zones.iter().map(buddyinfo::FreeBlocks::free_pages))),
            slab_pages: known(caches, troubles).map(|caches| sum(&mut caches.iter().map(held))),
            ksm_frames: super::root::text(root.dir(), "sys/kernel/mm/ksm/pages_shared").and_then(|t| t.parse().ok()),
        }
    }
}

/// All caches; an error for a truncated file, which would give a partial sum.
fn caches(text: &[u8], path: &Path) -> Result<Vec<slabinfo::Cache>> {
    let malformed = |line, what| Err(Error::malformed(path, line, what));
    match slabinfo::parse(text) {
        None => malformed(1, "not a slabinfo of version 2.0 or 2.1"),
        Some(slabinfo::Slabinfo { broken_line: Some(line), .. }) => {
            malformed(line, "the file is truncated, or not the kernel's")
        }
        Some(found) if found.caches.is_empty() => malformed(1, "it contains no cache: the file is truncated"),
        Some(found) => Ok(found.caches),
    }
}

/// The value, or `None` with an entry in `troubles`. A file that is missing or denied is not a trouble.
pub(super) fn known<T>(read: Result<T>, troubles: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(found) => return Some(found),
        Err(Error::Missing { .. } | Error::Denied { .. }) => {}
        Err(error) => troubles.push(error.to_string()),
    }
    None
}
