//! `free-vs-dontneed`: two ways to give memory back.

use std::rc::Rc;

use nix::sys::mman::MmapAdvise;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{CONTENTS, FAULTS, FRAMES, PRESENT, Quantity, RSS, Unit, ZERO};
use super::script::{ARENA, Step, step};
use super::worker::{Done, Worker, faults_of};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::lru_drain::LruDrain;
use crate::kernel::process::Process;
use crate::kernel::root::SMALL;
use crate::model::frame_flags::SWAPBACKED;
use crate::model::meminfo::Meminfo;
use crate::model::smaps::Value;

/// Pages of the arena: the first are freed lazily, the others at once.
const PAGES: usize = 64;
/// Pages freed lazily.
const LAZILY: usize = 32;
/// Lazily freed pages that are written again.
const AGAIN: usize = 8;

/// Frames that can be reclaimed without being saved. Source: smaps (LazyFree).
const LAZY: Quantity = Quantity::new("lazy_free_pages", "lazy", Unit::Pages);

/// Frames that must be swapped out before they can be reclaimed. Source: kpageflags if frame numbers are visible.
const SWAP_BACKED: Quantity = Quantity::new("swap_backed_frames", "swapbacked", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "free-vs-dontneed",
    question: "is memory free once it has been given back?",
    about: "A process gives back half of its pages with MADV_FREE and half with MADV_DONTNEED, writes some of the \
            first half again, and then has the kernel reclaim what it can.",
    learnt: "MADV_DONTNEED freed the frames at once, and RSS fell. MADV_FREE freed nothing: RSS did not change, and the kernel \
             only marked the pages as not worth saving. A page written again was kept, without a fault; the others \
             were discarded on reclaim and then read as zeros. A process using MADV_FREE looks larger than it is.",
    explain: "MADV_FREE clears the dirty bit of each page-table entry and the frame's SWAPBACKED flag, which makes it \
              one of the first to be reclaimed. Reclaim finds it clean and discards it; if it was written since, the \
              entry is dirty again and the page is kept. smaps counts pages that are still clean as LazyFree, which is \
              part of Rss. CPUs process such pages in batches of 31, and LazyFree lags until then (this demo drains \
              the batches). MADV_PAGEOUT reclaims a range immediately, as memory pressure would: without swap, only \
              lazily freed pages of anonymous memory can go.",
    functions: &[
        ("madvise_free_pte_range", "mm/madvise.c"),
        ("folio_mark_lazyfree", "mm/swap.c"),
        ("zap_page_range_single", "mm/memory.c"),
        ("reclaim_pages", "mm/vmscan.c"),
        ("try_to_unmap_one", "mm/rmap.c"),
        ("lru_add_drain_all", "mm/swap.c"),
    ],
    columns: &[FRAMES, LAZY, FAULTS, CONTENTS],
    says: &[(CONTENTS, "its reads")],
    readers: &[lazy],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let batches = Rc::new(LruDrain::open().ok());
    let Probed { drained, faults, pageout } = probe(facts, &batches)?;
    // Under memory pressure the kernel may reclaim lazily freed pages at any time.
    let calm = drained && !is_short(facts);
    let of_batches = Rc::clone(&batches);
    let mut steps = vec![
        step("map 64 pages and write them", |w| w.map(0, PAGES).and_then(|()| w.write(0, 0..PAGES)))
            .exact(FRAMES, PAGES)
            .exact(RSS, PAGES)
            .exact(LAZY, 0)
            .exact(SWAP_BACKED, PAGES)
            .exact(FAULTS, PAGES),
        Seen { frames: 64, lazy: 32, swap_backed: 32, least: 32 }
            .after(step("free 32 lazily (MADV_FREE)", move |w| free(w, &batches)), calm)
            .exact(FAULTS, 0)
            .why("They stay resident and readable, but the kernel may discard them from now on."),
        Seen { frames: 64, lazy: 24, swap_backed: 32, least: 40 }
            .after(step("write 8 of them", |w| w.write(0, 0..AGAIN)), calm)
            .known(FAULTS, calm.then_some(faults * AGAIN as i64))
            .why("Their entries are dirty again, so the kernel must keep them."),
        Seen { frames: 32, lazy: 24, swap_backed: 0, least: 8 }
            .after(step("give back 32 (MADV_DONTNEED)", give_back), calm)
            .exact(FAULTS, 0)
            .why("These are freed at once, and RSS falls."),
    ];
    if !pageout {
        return Ok(steps);
    }
    steps.push(
        Seen { frames: 8, lazy: 0, swap_backed: 8, least: 8 }
            .after(step("reclaim (MADV_PAGEOUT)", move |w| page_out(w, &of_batches)), drained)
            .exact(FAULTS, 0)
            .why(
                "The 24 pages not written again are discarded without being saved. The others are found dirty and \
                 become ordinary pages again: next time they would have to be swapped out.",
            ),
    );
    let read = step("read all 64", read).exact(PRESENT, PAGES);
    steps.push(
        if drained {
            read.exact(FRAMES, AGAIN).exact(RSS, AGAIN).exact(ZERO, PAGES - AGAIN).exact(CONTENTS, AGAIN)
        } else {
            read.at_least(FRAMES, AGAIN as i64).at_least(RSS, AGAIN as i64).at_least(CONTENTS, AGAIN as i64)
        }
        .known(FAULTS, drained.then_some((PAGES - AGAIN) as i64))
        .why("The pages written last are intact. All others read as zeros: the read maps the zero page."),
    );
    Ok(steps)
}

/// The expectations after a step.
struct Seen {
    frames: i64,
    lazy: i64,
    swap_backed: i64,
    /// The frames left if all lazily freed ones have been reclaimed.
    least: i64,
}

impl Seen {
    /// Adds the expectations: exact if `certain`, otherwise bounds.
    fn after(self, step: Step, certain: bool) -> Step {
        let Self { frames, lazy, swap_backed, least } = self;
        if certain {
            return step.exact(FRAMES, frames).exact(RSS, frames).exact(LAZY, lazy).exact(SWAP_BACKED, swap_backed);
        }
        let most = frames.max(LAZILY as i64);
        step.within(FRAMES, least..=most)
            .within(RSS, least..=most)
            .within(LAZY, 0..=LAZILY as i64)
            .informative(SWAP_BACKED)
    }
}

/// The results of probing.
struct Probed {
    /// The batches can be drained, so that counts are exact.
    drained: bool,
    /// The faults of writing a lazily freed page: none if the CPU sets dirty bits in hardware.
    faults: i64,
    /// MADV_PAGEOUT is supported (Linux 5.4).
    pageout: bool,
}

fn probe(facts: &Facts<'_>, batches: &Option<LruDrain>) -> std::result::Result<Probed, Skip> {
    let length = LAZILY * facts.page();
    let probe = facts.arena(LAZILY)?;
    (0..length).step_by(facts.page()).for_each(|offset| probe.write(offset, 1));
    drain(batches, facts.page())?;
    probe.advise(0, length, MmapAdvise::MADV_FREE)?;
    drain(batches, facts.page())?;
    let own = Process::open(facts.root, std::process::id())?.smaps(&["LazyFree".to_owned()])?;
    let value = own.iter().find(|mapping| mapping.range.start == probe.address()).and_then(|mapping| mapping.values[0]);
    let (faults, _) = faults_of(|| probe.write(0, 1))?;
    Ok(Probed {
        drained: value == Some(Value::Bytes(length as u64)),
        faults,
        pageout: probe.advise(0, length, MmapAdvise::MADV_PAGEOUT).is_ok(),
    })
}

/// Whether reclaim may be running: little memory is free, or a cgroup limit applies.
fn is_short(facts: &Facts<'_>) -> bool {
    let meminfo = facts.root.dir().read("proc/meminfo", SMALL).map(|text| Meminfo::parse(&text));
    let free = meminfo.ok().and_then(|meminfo| Some((meminfo.bytes("MemFree")?, meminfo.bytes("MemTotal")?)));
    facts.environment.cgroup_limit_bytes.is_some() || free.is_none_or(|(free, total)| free < total / 16)
}

fn drain(batches: &Option<LruDrain>, page: usize) -> Done {
    batches.as_ref().map_or(Ok(()), |batches| batches.drain(page))
}

/// A page still in an LRU-add batch would be skipped: it is not on a list yet, so it cannot be taken off one.
fn free(w: &mut Worker, batches: &Option<LruDrain>) -> Done {
    drain(batches, w.page)?;
    w.counting(|w| w.advise(0, 0..LAZILY, MmapAdvise::MADV_FREE))?;
    drain(batches, w.page)
}

fn give_back(w: &mut Worker) -> Done {
    w.counting(|w| w.advise(0, LAZILY..PAGES, MmapAdvise::MADV_DONTNEED))
}

fn page_out(w: &mut Worker, batches: &Option<LruDrain>) -> Done {
    drain(batches, w.page)?;
    w.counting(|w| w.advise(0, 0..PAGES, MmapAdvise::MADV_PAGEOUT))
}

fn read(w: &mut Worker) -> Done {
    w.counting(|w| {
        let mapping = w.at(0)?;
        let kept = (0..PAGES).filter(|page| mapping.read(page * w.page) != 0).count();
        w.say(0, kept as i64);
        Ok(())
    })
}

fn lazy(look: &mut Look<'_>) -> Result<()> {
    if let Some(pages) = look.smaps_pages(&ARENA, "LazyFree") {
        look.add(LAZY, "smaps", pages);
    }
    if look.frame_reader.is_some() {
        let backed = look.count_pages(&ARENA, |run| run.flags.is_some_and(|flags| flags.has(SWAPBACKED)))?;
        look.add(SWAP_BACKED, "kpageflags", backed);
    }
    Ok(())
}
