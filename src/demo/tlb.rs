//! `tlb`: the same memory behind many page-table entries, and behind few.

use std::time::Instant;

use nix::errno::Errno;

use super::facts::Facts;
use super::quantity::{FAULTS, FRAMES, HUGE, Quantity, SIZE, Unit};
use super::script::{Step, step};
use super::thp::{self, HugePage};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::kernel::perf::TlbMisses;

/// The memory that is walked through, in bytes: more than the TLB has entries for, in base pages, and few huge pages.
const BYTES: usize = 32 << 20;
/// Reads that are timed.
const READS: usize = 1 << 20;
/// Of each page one line is read, a different one in each, so that all of them fit into the processor's caches.
const LINE: usize = 64;

/// How long a read takes.
const TIME: Quantity = Quantity::new("read_ns", "per read", Unit::Nanoseconds);
/// Reads whose page was not in the TLB, of a thousand.
const MISSES: Quantity = Quantity::new("dtlb_misses_per_1000_reads", "misses/1000", Unit::Count);

/// Reads that were timed.
const TIMED: Quantity = Quantity::new("timed_reads", "reads", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "tlb",
    question: "why are huge pages faster?",
    about: "A process writes 32 MiB in base pages and reads a line of each page, in no order, a million times. Then the \
    same in \
            huge pages. How long a read takes is this machine's; how many pages there are is exact.",
    learnt: "The frames are as many, and the same lines were read. Base pages took a fault and an entry each, huge pages \
    one for \
             all the base pages in them. A processor keeps some thousand translations (the TLB), fewer than there are \
             base pages \
             here, and more than there are huge ones: the time of a read shows what that makes, and so do the misses, where \
             they are counted.",
    explain: "A huge page is one entry of the page table above the last, and one entry of the TLB. A miss costs up to \
    four reads \
              of page tables, more in a virtual machine, where each of them is translated too. What is read here fits into the \
              caches of the processor, so that the difference is that of translation. Misses are counted by the processor, \
              where it lets an ordinary process count them (perf_event_open).",
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
        return Err(Skip(format!("a huge page is larger than {BYTES_MIB} MiB here")));
    }
    // Where no further free block is large enough, the kernel falls back to base pages.
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
        .why("One fault, one frame and one entry of the page table for each."),
        step("read a line of each, a million times", move |w| read(w, pages))
            .exact(FRAMES, pages)
            .exact(HUGE, 0)
            .exact(FAULTS, 0)
            .exact(TIMED, READS)
            .informative(TIME)
            .informative(MISSES)
            .why("The entry of a page that is not in the TLB when it is read is looked up in the page tables."),
        step("the same memory in huge pages", move |w| {
            w.unmap(0)?;
            thp::map(w, pages)?;
            write_blocks(w, pages, in_one)
        })
        .exact(FRAMES, pages)
        .within(HUGE, huge.clone())
        .within(FAULTS, faults)
        .why("As many frames, in blocks that one entry maps each: a fault a block, where there is a block to be had."),
        step("read the same lines", move |w| read(w, pages))
            .exact(FRAMES, pages)
            .within(HUGE, huge)
            .exact(FAULTS, 0)
            .exact(TIMED, READS)
            .informative(TIME)
            .informative(MISSES)
            .why("There are so few entries that a TLB usually has them all."),
        step("unmap", |w| w.unmap(0)).exact(SIZE, 0).exact(FRAMES, 0).exact(HUGE, 0),
    ])
}

const BYTES_MIB: usize = BYTES >> 20;

/// Writes it all, block by block.
///
/// # Errors
/// ENOMEM where not one of them is a huge page: no free block was large enough.
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

/// Reads a line of each page in no order, each read waiting for the one before, and says how long one takes.
fn read(w: &mut Worker, pages: usize) -> Done {
    // Once beforehand: what is not in the processor's caches is fetched.
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

/// So many reads. The numbers of pages are those of a linear congruential generator, whose period is all of them where
/// there are a power of two.
fn walk(w: &mut Worker, pages: usize, reads: usize) -> Done {
    let (mapping, page) = (w.at(0)?, w.page);
    let mut number = 0_usize;
    for _ in 0..reads {
        let offset = number * page + number * LINE % page;
        // The byte is 0 but for the first of a page, which was written: 1.
        let value = usize::from(mapping.read(offset));
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).wrapping_add(value & 2) % pages;
    }
    Ok(())
}
