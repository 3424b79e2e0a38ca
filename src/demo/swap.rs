//! `swap`: pages are swapped out, come back, and leave a copy in swap.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::mman::MmapAdvise;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{ALL_FAULTS, FRAMES, MAJOR_FAULTS, Quantity, SIZE, SWAPPED, Unit};
use super::script::{ARENA, Step, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::memory::Mapping;
use crate::kernel::own_pagemap;
use crate::kernel::root::SMALL;
use crate::model::frame_flags::SWAPCACHE;
use crate::model::meminfo::Meminfo;
use crate::model::pagemap::State;
use crate::unit::PageSize;

/// Pages of the arena.
const PAGES: usize = 64;

/// Frames in the swap cache, which still own their swap slot. Source: kpageflags.
const CACHED: Quantity = Quantity::new("swap_cache_pages", "cached", Unit::Pages);
/// The change in the machine's used swap since the demo began. Source: meminfo.
const SLOTS: Quantity = Quantity::new("swap_used_change_pages", "slots", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "swap",
    question: "where is a swapped-out page?",
    about: "A process writes 64 pages and pages them out (MADV_PAGEOUT). It reads them, writes them, pages them out \
            again, and gives them back.",
    learnt: "A non-present page-table entry can record where the page is: a swap area and a slot in it. The first \
             access faults the page in, one page per fault. A frame in the swap cache keeps its slot: either it was \
             not reclaimed yet, or it came back and has not been written since, so it can go out again without I/O.",
    explain: "To page out a written page, the kernel allocates a slot in a swap area, puts the frame into the swap \
              cache, replaces every entry that maps it with a swap entry, and writes it out. When the write is done, \
              the next reclaim that finds the frame frees it. A fault on a swap entry looks in the swap cache first (a \
              minor fault), and otherwise reads the page along with neighbours that were swapped out together (a major \
              fault). An in-memory swap device (zram) is written synchronously and read without the swap cache.",
    functions: &[
        ("madvise_pageout", "mm/madvise.c"),
        ("shrink_folio_list", "mm/vmscan.c"),
        ("folio_alloc_swap", "mm/swapfile.c"),
        ("try_to_unmap_one", "mm/rmap.c"),
        ("do_swap_page", "mm/memory.c"),
        ("swapin_readahead", "mm/swap_state.c"),
    ],
    columns: &[FRAMES, SWAPPED, ALL_FAULTS, MAJOR_FAULTS, CACHED, SLOTS],
    readers: &[cached, slots],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    if facts.environment.swap_total_bytes.unwrap_or(0) == 0 {
        return Err(Skip("this machine has no swap".to_owned()));
    }
    let (areas, page_size) = (facts.root.swap_areas(), facts.page_size);
    goes_out(facts, areas)?;
    let page_out = move |w: &mut Worker| page_out(w, page_size, areas);
    let all = PAGES;
    Ok(vec![
        step("write 64 pages", |w| {
            w.stay_on_processor()?;
            w.map(0, PAGES)?;
            w.write(0, 0..PAGES)
        })
        .exact(FRAMES, all)
        .exact(SWAPPED, 0)
        .exact(ALL_FAULTS, all),
        step("page them out (MADV_PAGEOUT)", page_out)
            .exact(FRAMES, 0)
            .exact(SWAPPED, all)
            .informative(SLOTS)
            .why("Every entry now records the swap area and slot of its page. The mapping is unchanged."),
        step("read page 0", |w| w.read(0, 0..1))
            .exact(FRAMES, 1)
            .exact(SWAPPED, all - 1)
            .exact(ALL_FAULTS, 1)
            .informative(MAJOR_FAULTS)
            .informative(CACHED)
            .why("The fault maps only this page. Neighbours may have been read with it: they wait in the swap cache."),
        step("read the other 63", |w| w.read(0, 1..PAGES))
            .exact(FRAMES, all)
            .exact(SWAPPED, 0)
            .exact(ALL_FAULTS, all - 1)
            .informative(MAJOR_FAULTS)
            .informative(CACHED)
            .informative(SLOTS)
            .why(
                "One fault per page, a minor one for pages already read ahead. Pages in the swap cache keep their \
                 slots.",
            ),
        step("write them all, page them out", move |w| {
            w.write(0, 0..PAGES)?;
            page_out(w)
        })
        .exact(FRAMES, 0)
        .exact(SWAPPED, all)
        .informative(SLOTS)
        .why("The copies in the slots are stale: the pages are written again, to the same slots or others."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            .exact(SWAPPED, 0)
            .exact(SIZE, all)
            .informative(SLOTS)
            .why("Swapped pages are given back like any others: nothing is read, and the slots are freed."),
        step("write page 0", |w| w.write(0, 0..1))
            .exact(FRAMES, 1)
            .exact(SWAPPED, 0)
            .exact(ALL_FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("A new page: nothing has to be read."),
    ])
}

/// How long to wait for writeback. A disk takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages the arena out. A page still under writeback from the last time stays, and is retried.
///
/// # Errors
/// ETIME if some pages are still present after the timeout: swap may have filled up.
fn page_out(w: &mut Worker, page_size: PageSize, areas: u64) -> Done {
    let deadline = Instant::now() + PATIENCE;
    loop {
        w.advise(0, 0..PAGES, MmapAdvise::MADV_PAGEOUT)?;
        if swapped(w.at(0)?, page_size, areas)? == PAGES {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Errno::ETIME);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The number of swapped-out pages in a mapping of this process.
fn swapped(mapping: &Mapping, page_size: PageSize, areas: u64) -> nix::Result<usize> {
    let entries = own_pagemap::entries::<PAGES>(mapping, page_size)?;
    Ok(entries.into_iter().filter(|entry| entry.state(areas) == State::Swapped).count())
}

/// Probes it: swap may be full or denied to this memory cgroup, or the advice not supported.
fn goes_out(facts: &Facts<'_>, areas: u64) -> std::result::Result<(), Skip> {
    let mapping = facts.arena(PAGES)?;
    (0..PAGES).for_each(|page| mapping.write(page * facts.page(), 1));
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_PAGEOUT)?;
    if swapped(&mapping, facts.page_size, areas)? > 0 {
        return Ok(());
    }
    Err(Skip("cannot swap out a page of this process: swap is full, or its memory cgroup may not swap".to_owned()))
}

fn cached(look: &mut Look<'_>) -> Result<()> {
    if look.frame_reader.is_some() {
        let cached = look.count_pages(&ARENA, |run| run.flags.is_some_and(|flags| flags.has(SWAPCACHE)))?;
        look.add(CACHED, "kpageflags", cached);
    }
    Ok(())
}

fn slots(look: &mut Look<'_>) -> Result<()> {
    let meminfo = Meminfo::parse(&look.root().dir().read("proc/meminfo", SMALL)?);
    if let (Some(total), Some(free)) = (meminfo.bytes("SwapTotal"), meminfo.bytes("SwapFree")) {
        look.add_since_start(SLOTS, "meminfo", total.saturating_sub(free) as i64 / look.facts.page() as i64);
    }
    Ok(())
}
