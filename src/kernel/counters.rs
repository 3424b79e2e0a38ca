//! The kernel's own counters of what memory is used for, as far as they can be read: what pmem's counts are held against.

use super::root::{Root, SMALL};
use crate::model::meminfo::Meminfo;
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
        let read = |file: &str| root.dir().read(file, SMALL).ok();
        let sum = |pages: &mut dyn Iterator<Item = u64>| pages.fold(0, u64::saturating_add);
        let path = std::path::Path::new("/proc");
        let blocks = read("proc/buddyinfo").and_then(|text| buddyinfo::parse(&text, path).ok());
        let caches = read("proc/slabinfo").and_then(|text| slabinfo::parse(&text, path).ok());
        Self {
            meminfo: Meminfo::parse(&read("proc/meminfo").unwrap_or_default()),
            buddy_pages: blocks.map(|zones| sum(&mut zones.iter().map(buddyinfo::FreeBlocks::free_pages))),
            slab_pages: caches.map(|caches| sum(&mut caches.iter().map(slabinfo::Cache::pages))),
            ksm_frames: super::root::text(root.dir(), "sys/kernel/mm/ksm/pages_shared").and_then(|t| t.parse().ok()),
        }
    }
}
