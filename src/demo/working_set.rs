//! `working-set`: how to find out, from outside, which pages a process touches.

use nix::sys::mman::ProtFlags;

use super::cow::first_read_faults;
use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, Quantity, Unit};
use super::script::{ARENA, Step, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{self, Error};
use crate::kernel::memory::Mapping;
use crate::kernel::process::Process;
use crate::kernel::scan::{self, Query, Region, category};
use crate::kernel::touched::{Forget, WriteWatch, forget};
use crate::model::pagemap::Entry;
use crate::unit::VirtAddr;

/// Pages of the arena.
const PAGES: usize = 64;
/// The pages that are read: the last ones, so that the CPU cannot speculatively read further pages.
const READ: std::ops::Range<usize> = 48..PAGES;
/// The pages that are written, a subset of those read.
const WRITTEN: std::ops::Range<usize> = 48..56;
/// These and two more.
const MORE: std::ops::Range<usize> = 48..58;

/// Pages the worker has touched since the last reset, as counted by itself.
const TOUCHED: Quantity = Quantity::new("touched_pages", "touched", Unit::Pages);
/// Pages the kernel found accessed. Source: smaps (Referenced).
const REFERENCED: Quantity = Quantity::new("referenced_pages", "referenced", Unit::Pages);
/// Pages the kernel found written. Source: pagemap (bit 55, soft-dirty).
const SOFT_DIRTY: Quantity = Quantity::new("soft_dirty_pages", "soft-dirty", Unit::Pages);
/// Pages found written with userfaultfd. Sources: PAGEMAP_SCAN (WRITTEN), pagemap (pages without bit 57).
const UNPROTECTED: Quantity = Quantity::new("written_pages", "written", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "working-set",
    question: "can one tell from outside which pages a process uses?",
    about: "A process has 64 pages, reads 16 of them and writes 8 of those. Each method this kernel offers is used to \
            find out which pages were touched.",
    learnt: "Accessed bits show how many pages were touched, not which were written, and they miss pages the CPU still \
             had in its TLB: a lower bound. Catching writes with faults gives exact counts, page by page, at the cost \
             of one fault each.",
    explain: "The CPU (on some machines the kernel, with a fault) sets the accessed bit of a page-table entry when it \
              walks the tables to reach the page. Writing 1 to /proc/PID/clear_refs clears these bits, and Referenced \
              in smaps counts those set again. This does not flush the TLB: a page with a cached translation is \
              reached without a walk, and its bit stays clear. Changing the protection flushes it. Writes are found by \
              write-protecting pages: the first write to each page faults, and the kernel records it. Soft-dirty bits \
              (clear_refs 4) do this for a whole process, from outside; userfaultfd has to be set up by the process \
              itself.",
    functions: &[
        ("clear_refs_write", "fs/proc/task_mmu.c"),
        ("smaps_account", "fs/proc/task_mmu.c"),
        ("pagemap_scan_pmd_entry", "fs/proc/task_mmu.c"),
        ("mwriteprotect_range", "mm/userfaultfd.c"),
        ("do_wp_page", "mm/memory.c"),
    ],
    columns: &[TOUCHED, REFERENCED, SOFT_DIRTY, UNPROTECTED],
    says: &[(TOUCHED, "worker")],
    readers: &[touched],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    // Probe with pmem's own memory.
    forget(Forget::Accessed).map_err(|errno| Skip(format!("/proc/self/clear_refs: {}", errno.desc())))?;
    let read = READ.len();
    let reading_faults = usize::from(first_read_faults(facts)?);
    let mut steps = vec![
        step("map 64 pages and write all", |w| {
            w.map(0, PAGES)?;
            w.write(0, 0..PAGES)?;
            touching(w, PAGES)
        })
        .exact(FRAMES, PAGES)
        .exact(TOUCHED, PAGES)
        .exact(REFERENCED, PAGES)
        .why("Writing set the accessed bit of each page."),
        step("reset (clear_refs 1)", |w| forget(Forget::Accessed).and_then(|()| touching(w, 0)))
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, 0)
            .exact(REFERENCED, 0)
            .why("The accessed bits are cleared. The frames stay."),
        step("read 16, reset, read again", |w| {
            w.read(0, READ)?;
            forget(Forget::Accessed)?;
            w.read(0, READ)?;
            touching(w, READ.len())
        })
        .exact(FRAMES, PAGES)
        .exact(TOUCHED, read)
        .informative(REFERENCED)
        .why(
            "Translations may still be in the TLB: the CPU then reaches these pages without setting their bits, and \
             fewer than 16 are found. How many varies.",
        ),
        step("reset and flush the TLB", |w| forget_and_flush(w).and_then(|()| touching(w, 0)))
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, 0)
            .exact(REFERENCED, 0)
            .why("Changing the protection flushes the CPU's translations."),
        step("read 16, write 8 of them", read_and_write)
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, read)
            .exact(REFERENCED, read)
            .why("Now each access walks the tables and sets the bit. Reads and writes cannot be told apart."),
    ];
    if facts.features.soft_dirty == Some(true) {
        steps.extend(soft_dirty());
    }
    if can_watch(facts) {
        steps.extend(watched(reading_faults));
    }
    Ok(steps)
}

/// Writes found by soft-dirty bits.
fn soft_dirty() -> [Step; 2] {
    [
        step("reset writes too (clear_refs 4)", |w| {
            forget_and_flush(w)?;
            forget(Forget::SoftDirty)?;
            touching(w, 0)
        })
        .exact(FRAMES, PAGES)
        .exact(TOUCHED, 0)
        .exact(REFERENCED, 0)
        .exact(SOFT_DIRTY, 0)
        .why("All pages of the process are write-protected and their soft-dirty bits cleared."),
        step("read 16, write 8 of them", read_and_write)
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, READ.len())
            .exact(REFERENCED, READ.len())
            .exact(SOFT_DIRTY, WRITTEN.len())
            .why("The first write to each page faults, and the kernel sets its soft-dirty bit."),
    ]
}

/// Writes found by userfaultfd.
fn watched(reading_faults: usize) -> [Step; 3] {
    [
        step("watch writes (userfaultfd)", |w| {
            forget_and_flush(w)?;
            let watch = WriteWatch::begin(w.at(0)?)?;
            w.kept.push(watch.into_descriptor());
            touching(w, 0)
        })
        .exact(FRAMES, PAGES)
        .exact(TOUCHED, 0)
        .exact(REFERENCED, 0)
        .exact(UNPROTECTED, 0)
        .why("All pages of the mapping are write-protected and marked as such."),
        step("read 16, write 8 of them", read_and_write)
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, READ.len())
            .exact(REFERENCED, READ.len())
            .exact(UNPROTECTED, WRITTEN.len())
            .exact(FAULTS, WRITTEN.len() + READ.len() * reading_faults)
            .why("The first write to each page faults, and the kernel removes both the protection and the mark."),
        step("write those and 2 more", |w| w.write_value(0, MORE, 3).and_then(|()| touching(w, READ.len())))
            .exact(FRAMES, PAGES)
            .exact(TOUCHED, READ.len())
            .exact(REFERENCED, READ.len())
            .exact(UNPROTECTED, MORE.len())
            .exact(FAULTS, MORE.len() - WRITTEN.len())
            .why("Pages already marked as written cost nothing more until the next reset."),
    ]
}

fn read_and_write(w: &mut Worker) -> Done {
    w.read(0, READ)?;
    w.write_value(0, WRITTEN, 2)?;
    touching(w, READ.len())
}

/// Clears the accessed bits and flushes the TLB, by making the pages inaccessible for a moment. (Removing only write permission
/// would keep the translations of pages already write-protected.)
fn forget_and_flush(w: &mut Worker) -> Done {
    forget(Forget::Accessed)?;
    w.protect(0, 0..PAGES, ProtFlags::PROT_NONE)?;
    w.protect(0, 0..PAGES, READ_WRITE)
}

/// Reports how many pages were touched.
fn touching(w: &mut Worker, pages: usize) -> Done {
    w.say(0, pages as i64);
    Ok(())
}

/// Whether writes can be watched, probed with pmem's own memory.
fn can_watch(facts: &Facts<'_>) -> bool {
    let tried = || -> Option<i64> {
        let page = facts.page();
        let mapping = Mapping::private(2 * page).ok()?;
        (0..2).for_each(|number| mapping.write(number * page, 1));
        let _watch = WriteWatch::begin(&mapping).ok()?;
        mapping.write(0, 2);
        let range = mapping.address()..VirtAddr(mapping.address().0 + mapping.length() as u64);
        let own = Process::open(facts.root, std::process::id()).ok()?;
        scan_written(facts, &own, &range).ok()
    };
    tried() == Some(1)
}

/// The number of pages PAGEMAP_SCAN reports as written.
fn scan_written(facts: &Facts<'_>, process: &Process, range: &std::ops::Range<VirtAddr>) -> error::Result<i64> {
    let pagemap = process.pagemap()?;
    let Some(file) = pagemap.live() else { return Ok(0) };
    let written = category::WRITTEN;
    let query = Query { start: range.start, end: range.end, max_pages: 0, any_of: written, report: written };
    let mut regions = [Region::default(); PAGES];
    let (found, _) =
        scan::scan(file, &query, &mut regions).map_err(|errno| Error::from_errno(errno, pagemap.path()))?;
    let pages = |region: &Region| facts.page_size.pages_between(&(region.start..region.end));
    Ok(regions[..found].iter().map(pages).sum::<u64>() as i64)
}

/// Reads what the kernel knows about touched pages.
fn touched(look: &mut Look<'_>) -> error::Result<()> {
    if let Some(pages) = look.smaps_pages(&ARENA, "Referenced") {
        look.add(REFERENCED, "smaps", pages);
    }
    let (Some(range), Some(process)) = (look.range(&ARENA), look.process(Who::Worker)) else { return Ok(()) };
    let entries = look.entries(&ARENA)?;
    let count = |is_so: fn(Entry) -> bool| entries.iter().filter(|entry| is_so(**entry)).count() as i64;
    if look.facts.features.soft_dirty == Some(true) {
        look.add(SOFT_DIRTY, "pagemap", count(Entry::is_soft_dirty));
    }
    let protected = count(Entry::is_uffd_wp);
    // If none is protected, nothing is being watched.
    if protected > 0 {
        look.add(UNPROTECTED, "pagemap", entries.len() as i64 - protected);
        look.add(UNPROTECTED, "PAGEMAP_SCAN", scan_written(look.facts, process, &range)?);
    }
    Ok(())
}
