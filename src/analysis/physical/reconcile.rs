//! What pmem counted frame by frame, compared with the kernel's own counters, and why they differ where they do.

use serde::Serialize;

use crate::analysis::physical::class::Class;
use crate::analysis::physical::tally::Tally;
use crate::kernel::counters::Counters;
use crate::model::frame_flags::SWAPCACHE;
use crate::unit::{PageSize, difference};

/// A sum over frames compared with the kernel's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FrameCheck"))]
pub struct Check {
    /// What was compared.
    pub name: &'static str,
    /// pmem's value: the sum over frames.
    pub ours_bytes: u64,
    /// The kernel's counter after the frames were read.
    pub kernel_bytes: u64,
    /// The counter and its file.
    pub source: &'static str,
    /// pmem's value minus the kernel's.
    pub difference_bytes: i64,
    /// Change in the counter during the reading.
    pub moved_bytes: u64,
    /// Why they differ, if they do.
    pub why: Option<&'static str>,
}

/// A counter and what to compare it with.
struct Compared {
    name: &'static str,
    classes: &'static [Class],
    source: &'static str,
    counter: fn(&Counters, PageSize) -> Option<u64>,
    /// Why ours may be less, and why more.
    why: (&'static str, &'static str),
}

const MOVING: &str = "memory was allocated or freed during the reading";

const FREE_MEMORY: &str = "free memory";

fn free_bytes(counters: &Counters) -> Option<u64> {
    counters.meminfo.bytes("MemFree")
}

const COMPARED: [Compared; 9] = [
    Compared {
        name: "free blocks",
        classes: &[Class::Free],
        source: "buddyinfo",
        counter: |c, page| Some(page.bytes_of(c.buddy_pages?)),
        why: (MOVING, MOVING),
    },
    Compared {
        name: FREE_MEMORY,
        classes: &[Class::Free],
        source: "meminfo MemFree",
        counter: |c, _| free_bytes(c),
        why: (MOVING, MOVING),
    },
    Compared {
        name: "slab",
        classes: &[Class::Slab],
        source: "slabinfo",
        counter: |c, page| Some(page.bytes_of(c.slab_pages?)),
        why: (MOVING, MOVING),
    },
    Compared {
        name: "slab and large kmalloc",
        classes: &[Class::Slab],
        source: "meminfo Slab",
        counter: |c, _| c.meminfo.bytes("Slab"),
        why: (
            "Slab includes allocations over 8 KiB, which are not slabs: they are other compound or unclassified here",
            MOVING,
        ),
    },
    Compared {
        name: "page tables",
        classes: &[Class::PageTable],
        source: "meminfo PageTables",
        counter: |c, _| {
            Some(c.meminfo.bytes("PageTables")?.saturating_add(c.meminfo.bytes("SecPageTables").unwrap_or(0)))
        },
        why: (
            "PageTables includes tables freed to a per-CPU list, and may lag",
            "the kernel's own page tables have the flag too, and PageTables does not count them all",
        ),
    },
    Compared {
        name: "anonymous and KSM",
        classes: &[Class::Anon, Class::Ksm],
        source: "meminfo AnonPages",
        counter: |c, _| c.meminfo.bytes("AnonPages"),
        why: (MOVING, "AnonPages counts mapped pages, not frames in the swap cache or of exiting processes"),
    },
    Compared {
        name: "shared memory",
        classes: &[Class::Shmem],
        source: "meminfo Shmem",
        counter: |c, _| c.meminfo.bytes("Shmem"),
        why: (MOVING, MOVING),
    },
    Compared {
        name: "page cache of files",
        classes: &[Class::File],
        source: "meminfo Cached…",
        counter: |c, _| {
            let bytes = |key| c.meminfo.bytes(key);
            Some(bytes("Cached")?.saturating_add(bytes("Buffers")?).saturating_sub(bytes("Shmem")?))
        },
        why: (
            "frames of files just read or written may not have flags yet",
            "driver frames mapped by processes (io_uring, sockets) look like file pages, as do frames of just-deleted files",
        ),
    },
    Compared {
        name: "hugetlb",
        classes: &[Class::Hugetlb],
        source: "meminfo Hugetlb",
        counter: |c, _| c.meminfo.bytes("Hugetlb"),
        why: (MOVING, MOVING),
    },
];

const NOT_INITIALISED: &str =
    "MemFree includes memory that is not initialised yet, which no flag shows: it is unclassified here";

/// Memory initialisation is deferred by whole sections, of 128 MiB on most machines: MemFree and buddyinfo can differ by less
/// because they were not read at the same moment.
const SECTION: u64 = 128 << 20;

/// Compares what was counted with the counters read before and after. A counter that cannot be read, or that this
/// kernel does not have, is left out.
pub fn checks(
    tally: &Tally,
    before: &Counters,
    after: &Counters,
    ksm_flag_right: bool,
    page_size: PageSize,
) -> Vec<Check> {
    let classes = tally.classes();
    let of_classes = |compared: &Compared| {
        let frames: u64 = compared.classes.iter().map(|class| classes[*class as usize]).sum();
        let counter = |counters| (compared.counter)(counters, page_size);
        let kernel = counter(after)?;
        let moved = kernel.abs_diff(counter(before).unwrap_or(kernel));
        Some(check(compared.name, page_size.bytes_of(frames), kernel, moved, compared.source, compared.why))
    };
    let mut checks: Vec<Check> = COMPARED.iter().filter_map(of_classes).collect();
    // What MemFree has beyond the free blocks is not initialised yet; where that is most of the difference, it is why.
    let not_in_blocks =
        after.buddy_pages.map_or(0, |blocks| free_bytes(after).unwrap_or(0).saturating_sub(page_size.bytes_of(blocks)));
    for check in checks.iter_mut().filter(|check| check.name == FREE_MEMORY && check.difference_bytes < 0) {
        if not_in_blocks >= SECTION.max(check.difference_bytes.unsigned_abs() / 2).max(check.moved_bytes) {
            check.why = Some(NOT_INITIALISED);
        }
    }
    let mut also = |name, frames, source, counter: &dyn Fn(&Counters) -> Option<u64>, why| {
        if let (Some(kernel), old) = (counter(after), counter(before)) {
            let moved = kernel.abs_diff(old.unwrap_or(kernel));
            checks.push(check(name, page_size.bytes_of(frames), kernel, moved, source, (why, why)));
        }
    };
    // Tails have this flag too since Linux 6.10, and the counter counts each of them as a page.
    let cached = tally.frames_with(|flags, class| flags & SWAPCACHE != 0 && class != Class::Slab);
    let swap_cached = |c: &Counters| c.meminfo.bytes("SwapCached");
    if cached > 0 || swap_cached(after).is_some_and(|bytes| bytes > 0) {
        also("swap cache", cached, "meminfo SwapCached", &swap_cached, MOVING);
    }
    let merged = classes[Class::Ksm as usize];
    if ksm_flag_right && (merged > 0 || after.ksm_frames.is_some_and(|frames| frames > 0)) {
        let shared = |c: &Counters| Some(page_size.bytes_of(c.ksm_frames?));
        also(
            "KSM",
            merged,
            "ksm/pages_shared",
            &shared,
            "pages_shared still includes frames no longer mapped, until ksmd next scans them",
        );
    }
    checks
}

fn check(
    name: &'static str,
    ours_bytes: u64,
    kernel_bytes: u64,
    moved_bytes: u64,
    source: &'static str,
    (fewer, more): (&'static str, &'static str),
) -> Check {
    let difference_bytes = difference(ours_bytes, kernel_bytes);
    let why = match difference_bytes {
        0 => None,
        _ if difference_bytes.unsigned_abs() <= moved_bytes => Some(MOVING),
        bytes if bytes < 0 => Some(fewer),
        _ => Some(more),
    };
    Check { name, ours_bytes, kernel_bytes, source, difference_bytes, moved_bytes, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::meminfo::Meminfo;

    #[test]
    fn free_memory_that_no_flag_shows_has_its_reason_only_where_it_is_known() {
        let page_size = PageSize::new(4096).unwrap();
        let why = |free_mib: u64, in_blocks_mib: u64| {
            let counters = Counters {
                meminfo: Meminfo::parse(format!("MemFree: {} kB\n", free_mib << 10).as_bytes()),
                buddy_pages: Some(in_blocks_mib << 8),
                slab_pages: None,
                ksm_frames: None,
            };
            let checks = checks(&Tally::default(), &counters, &counters, true, page_size);
            checks.iter().find(|check| check.name == FREE_MEMORY).unwrap().why
        };
        assert_eq!(why(0, 0), None);
        assert_eq!(why(1000, 1000), Some(MOVING));
        assert_eq!(why(1000, 999), Some(MOVING));
        assert_eq!(why(1000, 200), Some(NOT_INITIALISED));
    }
}
