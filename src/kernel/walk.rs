//! Walking a process's page tables with PAGEMAP_SCAN, in slices.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::features::Features;
use super::scan::{self, Query, Region, category};
use super::words::Words;
use crate::error::{Error, Result};
use crate::model::status;
use crate::unit::{PageSize, VirtAddr};

impl Walk {
    /// The standard walk over a process: present and swap-like pages, with all categories the kernel supports. `status` is the
    /// text of the process's `status`.
    pub fn of(features: &Features, status: &[u8], page_size: PageSize) -> Self {
        let all = category::PRESENT | category::SWAPPED | category::PFNZERO | category::HUGE | category::GUARD;
        Self {
            start: VirtAddr(0),
            end: VirtAddr(features.user_end),
            any_of: category::PRESENT | category::SWAPPED,
            report: all & features.scan_categories.unwrap_or(0),
            tables: status::bytes_of(status, "VmPTE").map_or(u64::MAX, |bytes| page_size.pages_in(bytes)),
        }
    }
}

/// The cost of a walk for the target process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCost {
    /// The number of calls.
    pub calls: u64,
    /// The longest call: the target's mmap lock is held for that long (for reading).
    pub longest: Duration,
}

/// What to look for, and where.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The first address.
    pub start: VirtAddr,
    /// The end address (exclusive).
    pub end: VirtAddr,
    /// Pages with any of these categories are reported.
    pub any_of: u64,
    /// The categories to report.
    pub report: u64,
    /// The size of the process's page tables, in pages (VmPTE in its status): an upper bound for the walk.
    pub tables: u64,
}

/// The maximum number of matching pages per call. The kernel needs 6 ns for each, holding the target's mmap lock: 0.4 ms.
const MAX_PAGES: u64 = 64 * 1024;

/// With no more page tables than this, the whole address space is walked in one call: 131,072 entries of 4 KiB pages, well
/// under a millisecond even if all are empty and [`MAX_PAGES`] never stops the call.
const FEW_TABLES: u64 = 256;

const FIRST_SPAN: u64 = 1 << 30;
/// After a call that found something.
const LONGEST_SPAN: u64 = 1 << 40;
const TOO_LONG: Duration = Duration::from_micros(500);
const SHORT: Duration = Duration::from_micros(125);

/// The maximum number of regions per call: as many as the kernel collects before it writes them out. With more room it
/// continues, and if it then reaches the end, it still reports the position of the last write-out as the end of the walk
/// (observed on Linux 6.18: `walk_end` is set to the query's end only if it was 0). Continuing from there would count regions
/// twice.
const BATCH: usize = 512;

/// Walks an address space and passes matching regions to `sink`, in ascending order.
///
/// A call stops after 65,536 matching pages, and covers no more addresses than earlier calls could within half a millisecond,
/// so that the target never waits much longer for its mmap lock. (A single call over 6 GiB of 4 KiB pages stalled the target's
/// `mmap` for 32 ms.)
///
/// # Errors
/// [`Error::Gone`] if the address space is gone, and those of `sink`.
pub fn walk(pagemap: &Words, walk: &Walk, sink: impl FnMut(&[Region]) -> Result<()>) -> Result<WalkCost> {
    let Some(file) = pagemap.live() else {
        return Err(Error::Unsupported { what: "a recorded tree has no ioctl".to_owned() });
    };
    in_slices(walk, |query, regions| scan::scan(file, query, regions), sink)
        .map_err(|e| e.unwrap_or_else(|errno| Error::from_errno(errno, pagemap.path())))
}

/// An error of the sink or of the system call.
enum Failure {
    Sink(Error),
    System(Errno),
}

impl Failure {
    fn unwrap_or_else(self, convert: impl FnOnce(Errno) -> Error) -> Error {
        match self {
            Self::Sink(error) => error,
            Self::System(errno) => convert(errno),
        }
    }
}

fn in_slices(
    walk: &Walk,
    mut call: impl FnMut(&Query, &mut [Region]) -> std::result::Result<(usize, VirtAddr), Errno>,
    mut sink: impl FnMut(&[Region]) -> Result<()>,
) -> std::result::Result<WalkCost, Failure> {
    let mut regions = vec![Region::default(); BATCH];
    let mut cost = WalkCost::default();
    let mut span = if walk.tables <= FEW_TABLES { u64::MAX } else { FIRST_SPAN };
    let mut start = walk.start;
    while start < walk.end {
        let end = VirtAddr(start.0.saturating_add(span)).min(walk.end);
        let query = Query { start, end, max_pages: MAX_PAGES, any_of: walk.any_of, report: walk.report };
        let began = Instant::now();
        let (found, stopped) = match call(&query, &mut regions) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(Failure::System)?,
        };
        let took = began.elapsed();
        cost.calls += 1;
        cost.longest = cost.longest.max(took);
        sink(&regions[..found]).map_err(Failure::Sink)?;
        // Wherever the kernel says it stopped, it is past the regions it reported.
        let stopped = regions[..found].last().map_or(stopped, |last| stopped.max(last.end));
        // A walk that makes no progress would never end.
        if stopped <= start {
            return Err(Failure::System(Errno::EIO));
        }
        start = stopped;
        if walk.tables > FEW_TABLES {
            span = match took {
                took if took > TOO_LONG => (span / 2).max(FIRST_SPAN / 64),
                // After an empty range the next call may cover more: an address space can be 2^63 bytes long.
                took if took < SHORT && found == 0 => span.saturating_mul(2),
                took if took < SHORT => span.saturating_mul(2).min(LONGEST_SPAN),
                _ => span,
            };
        }
    }
    Ok(cost)
}

/// Likewise, from the recorded results of an earlier scan.
pub fn replay(
    recorded: &Words,
    page_size: PageSize,
    mut sink: impl FnMut(&[Region]) -> Result<()>,
) -> Result<WalkCost> {
    let Some(runs) = recorded.recorded() else {
        return Err(Error::Unsupported { what: "not a recorded scan".to_owned() });
    };
    for run in runs.between(0, u64::MAX) {
        let address = |index: u64| VirtAddr(page_size.bytes_of(index));
        sink(&[Region { start: address(run.index), end: address(run.end()), categories: run.word }])?;
    }
    Ok(WalkCost::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::scan::category::PRESENT;

    const PAGE: u64 = 4096;

    /// A kernel whose process has `pages` pages present from `base` on.
    fn kernel(
        base: u64,
        pages: u64,
    ) -> impl FnMut(&Query, &mut [Region]) -> std::result::Result<(usize, VirtAddr), Errno> {
        move |query, regions| {
            let from = query.start.0.max(base);
            let to = query.end.0.min(base + pages * PAGE).min(from.saturating_add(query.max_pages * PAGE));
            if from >= to {
                return Ok((0, query.end));
            }
            regions[0] = Region { start: VirtAddr(from), end: VirtAddr(to), categories: PRESENT };
            let full = to - from == query.max_pages * PAGE;
            Ok((1, if full { VirtAddr(to) } else { query.end }))
        }
    }

    fn pages_found(pages: u64, tables: u64) -> (u64, WalkCost) {
        let walk =
            Walk { start: VirtAddr(0), end: VirtAddr((1 << 47) - PAGE), any_of: PRESENT, report: PRESENT, tables };
        let (mut found, mut last_end) = (0, VirtAddr(0));
        let cost = in_slices(&walk, kernel(0x7f00_0000_0000, pages), |regions| {
            for region in regions {
                assert!(region.start >= last_end, "regions ascend");
                found += (region.end.0 - region.start.0) / PAGE;
                last_end = region.end;
            }
            Ok(())
        });
        let Ok(cost) = cost else { panic!("the walk failed") };
        (found, cost)
    }

    #[test]
    fn slices_add_up_to_the_whole() {
        for tables in [1, 1_000_000] {
            for pages in [0, 1, MAX_PAGES - 1, MAX_PAGES, MAX_PAGES + 1, 10 * MAX_PAGES + 3] {
                assert_eq!(pages_found(pages, tables).0, pages, "{pages} pages, {tables} tables");
            }
        }
    }

    #[test]
    fn a_small_process_costs_one_call_and_a_large_one_is_sliced() {
        assert_eq!(pages_found(1000, 10).1.calls, 1);
        assert!(pages_found(100 * MAX_PAGES, 12_800).1.calls >= 100);
        for end in [1 << 47, 1 << 56, 1 << 63] {
            let walk = Walk {
                start: VirtAddr(0),
                end: VirtAddr(end - PAGE),
                any_of: PRESENT,
                report: PRESENT,
                tables: 1_000_000,
            };
            let cost = in_slices(&walk, kernel(0x7f00_0000_0000, 1000), |_| Ok(()));
            assert!(
                cost.is_ok_and(|cost| cost.calls < 1000),
                "{end:#x}: empty address space is crossed in long strides"
            );
        }
    }

    #[test]
    fn a_stale_walk_end_makes_nothing_count_twice() {
        let page = |n: u64| VirtAddr(n * PAGE);
        let walk = Walk { start: VirtAddr(0), end: page(1000), any_of: PRESENT, report: PRESENT, tables: 1 };
        let mut found = 0;
        let call = |query: &Query, regions: &mut [Region]| {
            if query.start >= page(20) {
                return Ok((0, query.end));
            }
            regions[0] = Region { start: page(10), end: page(20), categories: PRESENT };
            Ok((1, page(15)))
        };
        let done = in_slices(&walk, call, |regions| {
            found += regions.len();
            Ok(())
        });
        assert!(done.is_ok_and(|cost| cost.calls == 2));
        assert_eq!(found, 1);
    }

    #[test]
    fn a_kernel_that_does_not_move_on_is_no_endless_loop() {
        let walk = Walk { start: VirtAddr(0), end: VirtAddr(1 << 47), any_of: PRESENT, report: PRESENT, tables: 1 };
        let stuck = in_slices(&walk, |query, _| Ok((0, query.start)), |_| Ok(()));
        assert!(matches!(stuck, Err(Failure::System(Errno::EIO))));
    }
}
