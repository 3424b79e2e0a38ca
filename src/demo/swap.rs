//! `swap`: pages go out, come back, and leave a copy behind.

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

/// Frames that are in the swap cache: their slot is still theirs. Source: kpageflags.
const CACHED: Quantity = Quantity::new("swap_cache_pages", "cached", Unit::Pages);
/// The change of the machine's used swap since the demo began. Source: meminfo.
const SLOTS: Quantity = Quantity::new("swap_used_change_pages", "slots", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "swap",
    question: "where is a page that is swapped out?",
    about: "A process writes 64 pages and has them paged out (MADV_PAGEOUT). It reads them, writes them, has them paged \
    out again, \
            and gives them back.",
    learnt: "A page-table entry that is not present can say where the page is: the number of a swap area and a slot in it. The \
             first access faults the page in, a single one at a time. A frame in the swap cache keeps its slot: it \
             was not reclaimed yet, or came back and was not written since, and goes out again without being written.",
    explain: "Paging out a written page takes a slot of a swap area, puts the frame into the swap cache, replaces every entry \
              that maps it by a swap entry, and writes it. When that is done, the next reclaim that meets the frame frees \
              it. A \
              fault on a swap entry looks into the swap cache first (a minor fault), and else reads, with neighbours that were \
              swapped out together (a major fault). A swap device in memory (zram) is written at once, and read without the \
              swap cache.",
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
            .why("Every entry says now in which slot of which swap area its page is. The mapping is as it was."),
        step("read page 0", |w| w.read(0, 0..1))
            .exact(FRAMES, 1)
            .exact(SWAPPED, all - 1)
            .exact(ALL_FAULTS, 1)
            .informative(MAJOR_FAULTS)
            .informative(CACHED)
            .why("The fault maps this page only. Neighbours may have been read with it: they wait in the swap cache."),
        step("read the other 63", |w| w.read(0, 1..PAGES))
            .exact(FRAMES, all)
            .exact(SWAPPED, 0)
            .exact(ALL_FAULTS, all - 1)
            .informative(MAJOR_FAULTS)
            .informative(CACHED)
            .informative(SLOTS)
            .why(
                "A fault a page; those that were read ahead take a minor one. In the swap cache they keep their slots.",
            ),
        step("write them all, page them out", move |w| {
            w.write(0, 0..PAGES)?;
            page_out(w)
        })
        .exact(FRAMES, 0)
        .exact(SWAPPED, all)
        .informative(SLOTS)
        .why("What a slot has is not the page any more: it is written again, into the same slot or another."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            .exact(SWAPPED, 0)
            .exact(SIZE, all)
            .informative(SLOTS)
            .why("Swapped pages are given back like others: nothing is read, and the slots are free."),
        step("write page 0", |w| w.write(0, 0..1))
            .exact(FRAMES, 1)
            .exact(SWAPPED, 0)
            .exact(ALL_FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("A new page: there is nothing to read."),
    ])
}

/// How long pages are waited for to be written. A disk takes some thousandths of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages the arena out. A page that is still being written from the last time does not go, and is tried again.
///
/// # Errors
/// ETIME where some are there still after all that time: swap may be full by now.
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

/// How many pages of a mapping of this process are swapped out.
fn swapped(mapping: &Mapping, page_size: PageSize, areas: u64) -> nix::Result<usize> {
    let entries = own_pagemap::entries::<PAGES>(mapping, page_size)?;
    Ok(entries.into_iter().filter(|entry| entry.state(areas) == State::Swapped).count())
}

/// Tries it: swap may be full, forbidden to this memory cgroup, or the advice unknown.
fn goes_out(facts: &Facts<'_>, areas: u64) -> std::result::Result<(), Skip> {
    let mapping = facts.arena(PAGES)?;
    (0..PAGES).for_each(|page| mapping.write(page * facts.page(), 1));
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_PAGEOUT)?;
    if swapped(&mapping, facts.page_size, areas)? > 0 {
        return Ok(());
    }
    Err(Skip(
        "no page of this process can be swapped out here: swap is full, or its memory cgroup may not swap".to_owned(),
    ))
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
