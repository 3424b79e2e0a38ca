//! The API for other programs: a machine, the frames of its processes, and the flags of a frame.

use std::path::Path;

use crate::analysis::frames::ProcessFrames;
use crate::analysis::frames::count::Counter;
use crate::analysis::frames::select::Wanted;
use crate::error::Result;
use crate::kernel::process::{self, Process};
use crate::kernel::root::Root;
use crate::model::frame_flags::FrameFlags;

/// The live machine, or one that `pmem capture` recorded.
#[derive(Debug)]
pub struct Machine {
    root: Root,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if procfs is not mounted on `/proc`.
    pub fn live() -> Result<Self> {
        Ok(Self { root: Root::open(Path::new("/"))? })
    }

    /// The machine whose files are in `tree`, a directory that `pmem capture` made. The tree is not trusted: links that
    /// lead out of it are not followed, and out-of-range numbers are errors.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if it is not such a tree, and
    /// [`Error::Malformed`](crate::Error::Malformed) if it is damaged.
    pub fn recorded(tree: &Path) -> Result<Self> {
        Ok(Self { root: Root::open(tree)? })
    }

    /// The size of a base page, in bytes. All page counts are in these units.
    pub fn page_size(&self) -> u64 {
        self.root.page_size().bytes()
    }

    /// The PIDs of all processes, ascending.
    ///
    /// # Errors
    /// If `/proc` cannot be listed.
    pub fn pids(&self) -> Result<Vec<u32>> {
        process::pids(&self.root)
    }

    /// Counts the page frames of a process exactly.
    ///
    /// # Errors
    /// [`Error::Gone`](crate::Error::Gone) or [`Error::Missing`](crate::Error::Missing) if it has ended,
    /// [`Error::Denied`](crate::Error::Denied) if this user may not read its page map.
    pub fn frames(&self, pid: u32) -> Result<Frames> {
        let process = Process::open(&self.root, pid)?;
        Counter::new(&self.root, Wanted::default())?.count(&process).map(|counted| Frames::of(&counted))
    }
}

/// The frames of a process, in base pages. One without an address space (a kernel thread, a zombie) has no mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frames {
    /// The process.
    pub pid: u32,
    /// Its name as in `/proc/PID/comm`, safe to print: control characters are escaped.
    pub name: String,
    /// Present page-table entries.
    pub present_pages: u64,
    /// Of these, entries of the shared zero page: read but never written.
    pub zero_pages: u64,
    /// Of the present ones, hugetlb pages, which the kernel counts separately.
    pub hugetlb_pages: u64,
    /// Present minus zero minus hugetlb: what the kernel calls RSS.
    pub resident_pages: u64,
    /// Swap entries.
    pub swapped_pages: u64,
    /// What `/proc/PID/statm` says is resident; on kernels up to 6.1 it may be a little off.
    pub statm_resident_pages: u64,
    /// Whether the process did not change while it was counted. If it did, the numbers need not agree with each other.
    pub held_still: bool,
    /// Its mappings, ascending.
    pub mappings: Vec<Mapping>,
}

/// A mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address of the first byte after it.
    pub end: u64,
    /// Its name as in `/proc/PID/maps`, safe to print; empty for anonymous memory without one.
    pub name: String,
    /// What it is: `anon`, `heap`, `stack`, `file`, `shmem`, `hugetlb` or `special`.
    pub kind: &'static str,
    /// Present page-table entries; `None` if the kernel shows none, as for `[vsyscall]`.
    pub present_pages: Option<u64>,
    /// Swap entries.
    pub swapped_pages: Option<u64>,
}

impl Frames {
    fn of(process: &ProcessFrames) -> Self {
        let mapping = |row: &crate::analysis::frames::VmaRow| Mapping {
            start: row.vma.range.start.0,
            end: row.vma.range.end.0,
            name: row.vma.name.escaped().into_owned(),
            kind: row.kind.name(),
            present_pages: row.counts.as_ref().map(|counts| counts.present),
            swapped_pages: row.counts.as_ref().map(|counts| counts.swapped),
        };
        let number = |of: fn(&crate::analysis::frames::Ledger) -> u64| process.ledger.as_ref().map_or(0, of);
        Self {
            pid: process.pid,
            name: process.comm.escaped().into_owned(),
            present_pages: number(|ledger| ledger.present_pages),
            zero_pages: number(|ledger| ledger.zero_pages),
            hugetlb_pages: number(|ledger| ledger.hugetlb_pages),
            resident_pages: number(|ledger| ledger.resident_pages),
            swapped_pages: number(|ledger| ledger.swapped_pages),
            statm_resident_pages: number(|ledger| ledger.statm_resident_pages),
            held_still: process.ledger.as_ref().is_none_or(|ledger| ledger.held_still),
            mappings: process.vmas.iter().map(mapping).collect(),
        }
    }
}

/// A word of `/proc/kpageflags`: the flags of a page frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    /// The word with these flags, given by their names in pmem, the kernel (`PG_lru`, `KPF_LRU`) or page-types,
    /// separated by commas.
    ///
    /// # Errors
    /// The name that is not a flag.
    pub fn from_names(names: &str) -> std::result::Result<Self, String> {
        FrameFlags::from_names(names).map(Self).map_err(|unknown| unknown.to_string())
    }

    /// The names of the flags, each by its meaning on such a frame; bits left over from another use of the field are
    /// omitted.
    pub fn names(self) -> Vec<&'static str> {
        FrameFlags(self.0).names()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn flags_are_named_and_come_back() {
        let word = Flags::from_names("uptodate,PG_lru").unwrap();
        assert_eq!((word, word.names()), (Flags(0x28), vec!["UPTODATE", "LRU"]));
        assert!(Flags::from_names("no_such_flag").is_err());
    }

    #[test]
    fn what_is_no_machine_is_an_error() {
        assert!(matches!(
            Machine::recorded(Path::new("/proc/self")),
            Err(Error::Unsupported { .. } | Error::Missing { .. })
        ));
    }
}
