//! `mlock`: pages that stay in memory.

use std::ops::Range;

use nix::errno::Errno;
use nix::sys::mman::MmapAdvise;
use nix::sys::resource::{Resource, getrlimit};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, Quantity, RSS, SIZE, Unit, VMAS};
use super::script::{ARENA, Step, Who, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::lru_drain::LruDrain;
use crate::kernel::memory::Mapping;
use crate::model::frame_flags::MLOCKED;

/// Pages of the arena.
const PAGES: usize = 64;

/// The first locked page.
const FIRST: usize = 24;

/// How many pages to lock: the first of these that the limit allows.
const LOCKED_PAGES: [usize; 5] = [16, 8, 4, 2, 1];

/// Locked addresses, with or without a frame: this is what counts against the limit. Sources: status (VmLck), smaps (the sizes
/// of mappings with `lo` in VmFlags).
const LOCKED_SIZE: Quantity = Quantity::new("locked_size_pages", "VmLck", Unit::Pages);

/// Locked frames. Sources: smaps (Locked); kpageflags if frame numbers are visible.
const LOCKED: Quantity = Quantity::new("locked_frames", "locked", Unit::Pages);

/// Pages written by the process. Source: the process.
const WRITTEN: Quantity = Quantity::new("written_pages", "written", Unit::Pages);

/// Whether giving the pages back was refused. Source: the return value of madvise.
const REFUSED: Quantity = Quantity::new("refused", "refused", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "mlock",
    question: "what does locking memory do?",
    about: "A process locks pages in the middle of its memory, tries to give them back, unlocks them, and locks them \
            again so that they are allocated only when touched.",
    learnt: "mlock faulted its pages in at once and split the mapping in three; the kernel then refused to drop the \
             pages even on request. RLIMIT_MEMLOCK limits addresses (VmLck), not frames: with MLOCK_ONFAULT the two \
             differ.",
    explain: "mlock sets VM_LOCKED on the VMAs of the range, splitting those that extend beyond it, and then faults \
              every page in as a write would. The frames are marked MLOCKED and kept on the unevictable list, which \
              reclaim does not scan; they can still be migrated to other frames, for example by compaction. \
              MADV_DONTNEED, MADV_FREE and MADV_PAGEOUT fail with EINVAL. A forked child inherits no locks.",
    functions: &[
        ("do_mlock", "mm/mlock.c"),
        ("mlock_fixup", "mm/mlock.c"),
        ("populate_vma_page_range", "mm/gup.c"),
        ("mlock_new_folio", "mm/mlock.c"),
        ("madvise_dontneed_free", "mm/madvise.c"),
        ("munlock_folio", "mm/mlock.c"),
    ],
    columns: &[FRAMES, LOCKED, LOCKED_SIZE, VMAS, FAULTS],
    says: &[(REFUSED, "madvise"), (WRITTEN, "the process")],
    readers: &[locked],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let (pages, on_fault) = lockable(facts)?;
    let touched = pages.div_ceil(2);
    // munlock clears the marks in per-CPU batches and drains those of the CPU it finishes on; if the process migrated
    // in the meantime, the batch of the other CPU is left.
    let batches = LruDrain::open().ok();
    let unlock = move |w: &mut Worker| {
        w.counting(|w| w.at(0)?.unlock(FIRST * w.page, pages * w.page))?;
        batches.as_ref().map_or(Ok(()), |batches| batches.drain(w.page))
    };
    let mut steps = vec![
        seen(step("map 64 pages", |w| w.map(0, PAGES)), 0, 0..0, 1).exact(SIZE, PAGES).exact(FAULTS, 0),
        // The first fault gives a mapping its anon_vma. It happens before the mapping is split: parts with separate anon_vmas
        // could never be merged again.
        seen(step("write page 0", |w| w.write(0, 0..1)), 1, 0..0, 1).exact(FAULTS, 1),
        seen(step(format!("lock {pages} in the middle"), move |w| lock(w, pages)), 1 + pages, pages..pages, 3)
            .exact(FAULTS, pages)
            .why("They are faulted in at once. The mapping is split: its middle now has a different property."),
        seen(step("write them", move |w| write(w, pages)), 1 + pages, pages..pages, 3)
            .exact(WRITTEN, pages)
            .exact(FAULTS, 0)
            .why("The frames are already there and writable: locking faults pages in as writing does."),
        seen(step("ask to give them back", move |w| give_back(w, pages)), 1 + pages, pages..pages, 3)
            .exact(REFUSED, 1)
            .exact(FAULTS, 0)
            .why("MADV_DONTNEED fails with EINVAL: only munlock and munmap release locked pages."),
        seen(step("unlock", unlock), 1 + pages, 0..0, 1)
            .exact(FAULTS, 0)
            .why("The frames stay, like any others. The three mappings have the same properties again and are merged."),
        seen(step("ask again", move |w| give_back(w, pages)), 1, 0..0, 1).exact(REFUSED, 0).exact(FAULTS, 0),
    ];
    if on_fault {
        steps.push(
            seen(step("lock, on fault only", move |w| lock_on_fault(w, pages)), 1, 0..pages, 3)
                .exact(FAULTS, 0)
                .why("mlock2 with MLOCK_ONFAULT: the addresses are locked and count, but have no frames yet."),
        );
        steps.push(
            seen(
                step(format!("write {touched} of them"), move |w| w.write(0, FIRST..FIRST + touched)),
                1 + touched,
                touched..pages,
                3,
            )
            .exact(FAULTS, touched)
            .why("A touched page stays."),
        );
    }
    steps.push(seen(step("unmap", |w| w.unmap(0)), 0, 0..0, 0).exact(SIZE, 0).exact(FAULTS, 0));
    Ok(steps)
}

/// The expectations: frames, the locked range (from locked frames to locked addresses), and mappings.
fn seen(step: Step, frames: usize, locked: Range<usize>, vmas: usize) -> Step {
    step.exact(FRAMES, frames)
        .exact(RSS, frames)
        .exact(LOCKED, locked.start)
        .exact(LOCKED_SIZE, locked.end)
        .exact(VMAS, vmas)
}

/// How many pages this process may lock, and whether MLOCK_ONFAULT works.
fn lockable(facts: &Facts<'_>) -> std::result::Result<(usize, bool), Skip> {
    let probe = Mapping::private(PAGES * facts.page())?;
    let lock = |pages: usize| probe.lock(0, pages * facts.page());
    if let Some(pages) = LOCKED_PAGES.into_iter().find(|&pages| lock(pages).is_ok()) {
        return Ok((pages, probe.lock_on_fault(0, pages * facts.page()).is_ok()));
    }
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    let errno = lock(1).err().unwrap_or(Errno::EPERM);
    Err(Skip(format!("not a single page can be locked (RLIMIT_MEMLOCK is {limit} bytes): {}", errno.desc())))
}

fn lock(w: &mut Worker, pages: usize) -> Done {
    w.counting(|w| w.at(0)?.lock(FIRST * w.page, pages * w.page))
}

fn write(w: &mut Worker, pages: usize) -> Done {
    w.write(0, FIRST..FIRST + pages)?;
    w.say(1, pages as i64);
    Ok(())
}

fn lock_on_fault(w: &mut Worker, pages: usize) -> Done {
    w.counting(|w| w.at(0)?.lock_on_fault(FIRST * w.page, pages * w.page))
}

fn give_back(w: &mut Worker, pages: usize) -> Done {
    let given_back = w.counting(|w| w.advise(0, FIRST..FIRST + pages, MmapAdvise::MADV_DONTNEED));
    let refused = match given_back {
        Ok(()) => 0,
        Err(Errno::EINVAL) => 1,
        Err(errno) => return Err(errno),
    };
    w.say(0, refused);
    Ok(())
}

fn locked(look: &mut Look<'_>) -> Result<()> {
    let page = look.facts.page() as i64;
    if let Some(pages) = look.smaps_pages(&ARENA, "Locked") {
        look.add(LOCKED, "smaps", pages);
    }
    if look.frame_reader.is_some() {
        let marked = look.count_pages(&ARENA, |run| run.flags.is_some_and(|flags| flags.has(MLOCKED)))?;
        look.add(LOCKED, "kpageflags", marked);
    }
    if let Some(bytes) = look.status(Who::Worker, "VmLck") {
        look.add_since_start(LOCKED_SIZE, "status", bytes / page);
    }
    if let Some(pages) = look.flagged_pages(&ARENA, "lo") {
        look.add(LOCKED_SIZE, "smaps", pages);
    }
    Ok(())
}
