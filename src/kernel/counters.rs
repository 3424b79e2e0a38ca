//! The kernel's own counters of what memory is used for, as far as they can be read: what pmem's counts are held against.

use std::path::Path;

use super::root::{Root, SMALL};
use crate::error::{Error, Result};
use crate::model::meminfo::{self, Meminfo};
use crate::model::{buddyinfo, slabinfo};

/// A reading of the counters. What cannot be read, or this kernel does not have, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// `/proc/meminfo`.
    pub meminfo: Meminfo,
    /// Free pages by `/proc/buddyinfo`.
    pub buddy_pages: Option<u64>,
    /// Pages of all slabs by `/proc/slabinfo` (root only).
    pub slab_pages: Option<u64>,
    /// Frames that hold merged pages by `/sys/kernel/mm/ksm/pages_shared`.
    pub ksm_frames: Option<u64>,
}

impl Counters {
    /// Reads them, one file after the other.
    pub fn read(root: &Root) -> Self {
        Self::read_noting(root, &mut Vec::new())
    }

    /// The same; says in `troubles` which of meminfo and slabinfo are torn, or there and cannot be read.
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

/// All caches: of a file that is torn the sum would be of some.
fn caches(text: &[u8], path: &Path) -> Result<Vec<slabinfo::Cache>> {
    let malformed = |line, what| Err(Error::malformed(path, line, what));
    match slabinfo::parse(text) {
        None => malformed(1, "not a slabinfo of version 2.0 or 2.1"),
        Some(slabinfo::Slabinfo { broken_line: Some(line), .. }) => {
            malformed(line, "the file is torn, or not the kernel's")
        }
        Some(found) if found.caches.is_empty() => malformed(1, "no cache is in it: the file is torn"),
        Some(found) => Ok(found.caches),
    }
}

/// What was read; `None` where it was not. That it is not there, or not for this user, is no trouble.
pub(super) fn known<T>(read: Result<T>, troubles: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(found) => return Some(found),
        Err(Error::Missing { .. } | Error::Denied { .. }) => {}
        Err(error) => troubles.push(error.to_string()),
    }
    None
}
