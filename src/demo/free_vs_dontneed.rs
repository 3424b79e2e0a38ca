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
/// How many are freed lazily.
const LAZILY: usize = 32;
/// How many of these are written again.
const AGAIN: usize = 8;

/// Frames that may be taken away without being saved. Source: smaps (LazyFree).
const LAZY: Quantity = Quantity::new("lazy_free_pages", "lazy", Unit::Pages);

/// Frames that have to be swapped out before they are taken away. Source: kpageflags, where frame numbers are seen.
const SWAP_BACKED: Quantity = Quantity::new("swap_backed_frames", "swapbacked", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "free-vs-dontneed",
    question: "is memory that was given back free?",
    about: "A process gives back half of its pages with MADV_FREE and half with MADV_DONTNEED, writes some of the first half \
            again, and then has the kernel reclaim what it may.",
    learnt: "MADV_DONTNEED took the frames at once, and RSS fell. MADV_FREE took nothing: RSS stayed, and the kernel only \
             noted that it need not save these pages. Written again, a page was kept, without a fault; the others were thrown \
             away when memory was asked for, and read as zeros then. An allocator that uses MADV_FREE looks larger than it is.",
    explain: "MADV_FREE clears the dirty bit of each page-table entry and takes the flag SWAPBACKED off the frame, which \
    puts it \
              among the first to be reclaimed. Reclaim finds it clean and throws it away; had it been written since, the entry \
              is dirty again, and it is kept. smaps counts what is still clean as LazyFree, which is in Rss too. \
              Processors note \
              such pages down and treat them 31 at a time: until then LazyFree lags (this demo has the batches emptied). \
              MADV_PAGEOUT reclaims a range now, as lack of memory would: without swap, of such memory only lazily freed \
              pages can go.",
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
    // Where memory is short, the kernel takes lazily freed pages when it likes.
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
            .why("They stay what they are, resident and readable; but the kernel may throw them away from now on."),
        Seen { frames: 64, lazy: 24, swap_backed: 32, least: 40 }
            .after(step("write 8 of these", |w| w.write(0, 0..AGAIN)), calm)
            .known(FAULTS, calm.then_some(faults * AGAIN as i64))
            .why("Written again, they have something to lose again: their entries are dirty, and the kernel has to keep them."),
        Seen { frames: 32, lazy: 24, swap_backed: 0, least: 8 }
            .after(step("give back 32 (MADV_DONTNEED)", give_back), calm)
            .exact(FAULTS, 0)
            .why("These are gone at once, and RSS falls."),
    ];
    if !pageout {
        return Ok(steps);
    }
    steps.push(
        Seen { frames: 8, lazy: 0, swap_backed: 8, least: 8 }
            .after(step("reclaim (MADV_PAGEOUT)", move |w| page_out(w, &of_batches)), drained)
            .exact(FAULTS, 0)
            .why(
                "The 24 that were not written again are thrown away without being saved. The others are found dirty and made \
                 ordinary again: they would have to be swapped next time.",
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
        .why("What was written last is there. All other pages are zeros: reading maps the zero page."),
    );
    Ok(steps)
}

/// What there is after a step.
struct Seen {
    frames: i64,
    lazy: i64,
    swap_backed: i64,
    /// The frames that are left where all lazily freed ones have been taken.
    least: i64,
}

impl Seen {
    /// Demands it; bounds of it, unless it is certain.
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

/// What was found out beforehand.
struct Probed {
    /// LruDrain are emptied when they shall be, so that what is counted is exact.
    drained: bool,
    /// The faults of writing a lazily freed page: none where the processor itself marks entries dirty.
    faults: i64,
    /// MADV_PAGEOUT is known (Linux 5.4).
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

/// Whether reclaim may be at work: little memory is free, or a cgroup has a limit.
fn is_short(facts: &Facts<'_>) -> bool {
    let meminfo = facts.root.dir().read("proc/meminfo", SMALL).map(|text| Meminfo::parse(&text));
    let free = meminfo.ok().and_then(|meminfo| Some((meminfo.bytes("MemFree")?, meminfo.bytes("MemTotal")?)));
    facts.environment.cgroup_limit_bytes.is_some() || free.is_none_or(|(free, total)| free < total / 16)
}

fn drain(batches: &Option<LruDrain>, page: usize) -> Done {
    batches.as_ref().map_or(Ok(()), |batches| batches.drain(page))
}

/// A page that is in a batch still is passed over: not yet on a list, it is not taken off one.
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
