//! Where in an address space there is anything: the ranges of a page map worth reading.

use std::ops::Range;

use super::features::Features;
use super::process::Process;
use super::scan::{Region, category};
use super::walk::{self, Walk};
use super::words::Words;
use crate::error::{Error, Result};
use crate::model::smaps;
use crate::unit::{PageSize, VirtAddr};

/// The most pages of a recorded page map, each of which is looked at: 16 TiB of 4 KiB pages.
const MOST_RECORDED: u64 = 1 << 32;

/// So many empty entries between two ranges are read with them: a call on a page map costs about as much.
const JOIN_GAP: u64 = 64;

/// Hands the ranges of page indices in `within` whose entries may not be empty to `each`, in ascending order; with
/// `present` set only those that may be present.
///
/// By PAGEMAP_SCAN where there is the ioctl, by the runs of a recorded page map, else by the mappings, of which those are
/// passed over that are larger than 1 GiB and hold nothing by smaps (reading a hole costs 0.9 s a TiB): zero pages in them
/// are in no counter. Returns how many bytes were passed over so.
///
/// # Errors
/// [`Error::Gone`] when the address space went away, and what `each` says.
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
            return Err(Error::malformed(pagemap.path(), 1, "more pages than the memory of any machine"));
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

/// Makes sure that the address space behind a page map is there, and so was all the time: a scan of one that is being taken
/// apart succeeds, and finds what is left (seen on Linux 6.18), and `maps` ends early.
///
/// # Errors
/// [`Error::Gone`] when it is not.
pub fn still_there(process: &Process, pagemap: &Words) -> Result<()> {
    match pagemap.read(0, &mut [0])? {
        0 => Err(Error::Gone { path: process.path("pagemap") }),
        _ => Ok(()),
    }
}
