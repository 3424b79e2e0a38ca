//! `tlb`: the same memory mapped by many page-table entries, and by few.

use std::time::Instant;

use nix::errno::Errno;

use super::facts::Facts;
use super::quantity::{FAULTS, FRAMES, HUGE, Quantity, SIZE, Unit};
use super::script::{Step, step};
use super::thp::{self, HugePage};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::kernel::perf::TlbMisses;

/// The memory that is read, in bytes: more base pages than the TLB has entries, but few huge pages.
const BYTES: usize = 32 << 20;
/// Reads that are timed.
const READS: usize = 1 << 20;
/// One cache line is read in each page, at a different offset in each, so that all of them fit into the CPU caches.
const LINE: usize = 64;

/// The time of one read.
const TIME: Quantity = Quantity::new("read_ns", "per read", Unit::Nanoseconds);
/// Reads that miss the TLB, per thousand.
const MISSES: Quantity = Quantity::new("dtlb_misses_per_1000_reads", "misses/1000", Unit::Count);

/// Reads that were timed.
const TIMED: Quantity = Quantity::new("timed_reads", "reads", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "tlb",
    question: "why are huge pages faster?",
    about: "A process writes 32 MiB in base pages and reads one cache line of each page, in random order, a million \
            times. Then it does the same with huge pages. The read times depend on this machine; the page counts are \
            exact.",
    learnt: "The number of frames is the same, and the same lines were read. Base pages took one fault and one entry \
             each; a huge page took one for all its base pages. A CPU caches a few thousand translations (the TLB), \
             fewer than there are base pages here but more than there are huge pages: the read time shows the \
             difference, and so do the misses, if they can be counted.",
    explain: "A huge page takes one entry in the next-to-last level of the page tables and one entry in the TLB. A \
              miss costs up to four page-table reads, and more in a virtual machine, where each of these is translated \
              too. The lines read here fit into the CPU caches, so the difference comes from translation. The CPU \
              counts the misses, if an ordinary process may use its counters (perf_event_open).",
    functions: &[
        ("do_huge_pmd_anonymous_page", "mm/huge_memory.c"),
        ("do_anonymous_page", "mm/memory.c"),
        ("SYSCALL_DEFINE5(perf_event_open)", "kernel/events/core.c"),
    ],
    huge_pages: true,
    columns: &[FRAMES, HUGE, FAULTS, TIME, MISSES],
    says: &[(TIME, "clock"), (MISSES, "perf_event_open"), (TIMED, "the process")],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let HugePage { pages: in_one, .. } = HugePage::probe(facts)?;
    let pages = BYTES / facts.page();
    if in_one > pages {
        return Err(Skip(format!("huge pages are larger than {BYTES_MIB} MiB here")));
    }
    // When no free block is large enough any more, the kernel falls back to base pages.
    let huge = in_one as i64..=pages as i64;
    let faults = (pages / in_one) as i64..=(pages - in_one + 1) as i64;
    Ok(vec![
        step(format!("write {BYTES_MIB} MiB in base pages"), move |w| {
            w.map(0, pages)?;
            w.write(0, 0..pages)
        })
        .exact(FRAMES, pages)
        .exact(HUGE, 0)
        .exact(FAULTS, pages)
        .why("One fault, one frame and one page-table entry per page."),
        step("read a line of each, a million times", move |w| read(w, pages))
            .exact(FRAMES, pages)
            .exact(HUGE, 0)
            .exact(FAULTS, 0)
            .exact(TIMED, READS)
            .informative(TIME)
            .informative(MISSES)
            .why("If a translation is not in the TLB, the CPU looks it up in the page tables."),
        step("the same memory in huge pages", move |w| {
            w.unmap(0)?;
            thp::map(w, pages)?;
            write_blocks(w, pages, in_one)
        })
        .exact(FRAMES, pages)
        .within(HUGE, huge.clone())
        .within(FAULTS, faults)
        .why(
            "The same number of frames, in blocks mapped by one entry each: one fault per block, as long as free \
              blocks are available.",
        ),
        step("read the same lines", move |w| read(w, pages))
            .exact(FRAMES, pages)
            .within(HUGE, huge)
            .exact(FAULTS, 0)
            .exact(TIMED, READS)
            .informative(TIME)
            .informative(MISSES)
            .why("So few entries usually fit into the TLB."),
        step("unmap", |w| w.unmap(0)).exact(SIZE, 0).exact(FRAMES, 0).exact(HUGE, 0),
    ])
}

const BYTES_MIB: usize = BYTES >> 20;

/// Writes all pages, block by block.
///
/// # Errors
/// ENOMEM if none of them is a huge page: no free block was large enough.
fn write_blocks(w: &mut Worker, pages: usize, in_one: usize) -> Done {
    let mut any = false;
    for first in (0..pages).step_by(in_one) {
        let last = first + in_one - 1;
        w.write(0, first..first + 1)?;
        let faults = w.reply.minor;
        w.write(0, last..last + 1)?;
        any |= w.reply.minor == faults;
        w.write(0, first..last)?;
    }
    if any { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// Reads one line of each page in random order, each read depending on the one before, and reports the time per read.
fn read(w: &mut Worker, pages: usize) -> Done {
    // A first pass fills the CPU caches.
    walk(w, pages, pages)?;
    let mut misses = TlbMisses::open().ok();
    let before = misses.as_mut().and_then(TlbMisses::count);
    let begun = Instant::now();
    w.counting(|w| walk(w, pages, READS))?;
    let nanoseconds = begun.elapsed().as_nanos();
    let after = misses.as_mut().and_then(TlbMisses::count);
    w.say(2, READS as i64);
    w.say(0, (nanoseconds / READS as u128) as i64);
    if let (Some(before), Some(after)) = (before, after) {
        w.say(1, (after.saturating_sub(before) * 1000 / READS as u64) as i64);
    }
    Ok(())
}

/// Does this many reads. A linear congruential generator picks the pages; its period covers all of them if their number is a
/// power of two.
fn walk(w: &mut Worker, pages: usize, reads: usize) -> Done {
    let (mapping, page) = (w.at(0)?, w.page);
    let mut number = 0_usize;
    for _ in 0..reads {
        let offset = number * page + number * LINE % page;
        // The byte is 0, or 1 if it is the first of its page, which was written.
        let value = usize::from(mapping.read(offset));
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).wrapping_add(value & 2) % pages;
    }
    Ok(())
}
