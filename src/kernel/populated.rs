//! The populated parts of an address space: the ranges of pagemap worth reading.

use std::ops::Range;

use super::features::Features;
use super::process::Process;
use super::scan::{Region, category};
use super::walk::{self, Walk};
use super::words::Words;
use crate::error::{Error, Result};
use crate::model::smaps;
use crate::unit::{PageSize, VirtAddr};

/// The maximum number of pages in a recorded pagemap, all of which are examined: 16 TiB of 4 KiB pages.
const MOST_RECORDED: u64 = 1 << 32;

/// Gaps of up to this many empty entries are read too: one pagemap call costs about as much.
const JOIN_GAP: u64 = 64;

/// Passes the ranges of page indices in `within` that may have non-empty entries to `each`, in ascending order; with `present`,
/// only those that may be present.
///
/// Uses PAGEMAP_SCAN if available, the runs of a recorded pagemap, or else the mappings, skipping those larger than 1 GiB that
/// are empty according to smaps (reading a hole costs 0.9 s per TiB); zero pages in them are in no counter. Returns how many
/// bytes were skipped.
///
/// # Errors
/// [`Error::Gone`] if the address space is gone, and those of `each`.
pub fn populated(
    process: &Process,
    pagemap: &Words,
    features: &Features,
    page_size: PageSize,
    within: &Range<VirtAddr>,
    present: bool,
    mut each: impl FnMut(Range<u64>) -> Result<()>,
) -> Result<u64> {
    if let Some(runs) = pagemap.recorded() {
        let (first, end) = (page_size.index_of(within.start), page_size.index_of(within.end));
        if runs.between(first, end).fold(0u64, |pages, run| pages.saturating_add(run.count)) > MOST_RECORDED {
            return Err(Error::malformed(pagemap.path(), 1, "more pages than any machine has memory"));
        }
        return runs.between(first, end).try_for_each(|run| each(run.index..run.end())).map(|()| 0);
    }
    let indices = |region: &Region| page_size.index_of(region.start)..page_size.index_of(region.end);
    if features.scan_categories.is_some() {
        let swapped = if present { 0 } else { category::SWAPPED };
        let whole = Walk::of(features, &process.read("status")?, page_size);
        let any_of = category::PRESENT | swapped;
        let walk = Walk { start: within.start, end: within.end.min(whole.end), any_of, report: any_of, ..whole };
        let mut before: Option<Range<u64>> = None;
        walk::walk(pagemap, &walk, |regions| {
            regions.iter().map(indices).try_for_each(|next| match &mut before {
                Some(before) if next.start <= before.end + JOIN_GAP => {
                    before.end = next.end;
                    Ok(())
                }
                before => before.replace(next).map_or(Ok(()), &mut each),
            })
        })?;
        before.map_or(Ok(()), each)?;
        return still_there(process, pagemap).map(|()| 0);
    }
    let (mut vmas, mut passed_over) = (Vec::new(), 0);
    process.vmas(&process.open_file("maps")?, |vma| vmas.push(vma.range))?;
    let mappings = process.smaps(&smaps::COUNTED.map(str::to_owned))?;
    for range in vmas.into_iter().filter(|range| !range.start.is_kernel()) {
        let part = range.start.max(within.start)..range.end.min(within.end);
        if part.is_empty() {
            continue;
        }
        if smaps::find(&mappings, &range).is_some_and(smaps::may_pass_over) {
            passed_over += part.end.0 - part.start.0;
            continue;
        }
        each(page_size.index_of(part.start)..page_size.index_of(part.end))?;
    }
    still_there(process, pagemap)?;
    Ok(passed_over)
}

/// Checks that the address space still exists, and so existed all along: PAGEMAP_SCAN of an address space under teardown
/// succeeds and reports what is left (observed on Linux 6.18), and `maps` ends early.
///
/// # Errors
/// [`Error::Gone`] if it does not.
pub fn still_there(process: &Process, pagemap: &Words) -> Result<()> {
    match pagemap.read(0, &mut [0])? {
        0 => Err(Error::Gone { path: process.path("pagemap") }),
        _ => Ok(()),
    }
}
