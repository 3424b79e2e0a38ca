//! `zero-page`: a page that was only read has no frame of its own.

use std::collections::HashSet;

use nix::sys::mman::MmapAdvise;

use super::facts::Facts;
use super::quantity::{DISTINCT, FAULTS, FRAMES, PRESENT, Quantity, RSS, SIZE, Unit, ZERO};
use super::script::{Step, step};
use super::{BLANK, Demo, Skip};
use crate::kernel::own_pagemap;

/// Pages of the arena.
const PAGES: usize = 16;

/// How many of them are written first.
const FIRST: usize = 4;

/// Pages the worker reads as zeros. Source: the worker.
const EMPTY: Quantity = Quantity::new("pages_of_zeros", "zeros", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "zero-page",
    question: "does reading memory use memory?",
    about: "A process reads 16 pages it has never written, and then writes them. Pages that were only read are present \
            in the page table but are not the process's memory.",
    learnt: "Reading gave every page a page-table entry but no frame: all entries pointed to the kernel's zero page. \
             Only the first write to a page took a frame. Counting present entries therefore gives more than RSS.",
    explain: "Memory that was never written reads as zero. A read fault maps the zero page, a single frame of zeros \
              that belongs to the kernel: read-only, and counted neither in RSS nor in the frame's mapcount. The first \
              write finds the entry write-protected and faults again; the kernel then does copy-on-write, except that \
              it clears the new frame instead of copying. (Shared memory is different: reading it does allocate.)",
    functions: &[
        ("do_anonymous_page", "mm/memory.c"),
        ("is_zero_pfn", "include/linux/pgtable.h"),
        ("vm_normal_page", "mm/memory.c"),
        ("do_wp_page", "mm/memory.c"),
        ("wp_page_copy", "mm/memory.c"),
    ],
    columns: &[PRESENT, ZERO, FRAMES, DISTINCT, FAULTS],
    says: &[(EMPTY, "its reads")],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let zero_pages = zero_pages(facts)?;
    // All pages are present, and all of them are the zero page.
    let read_only = |step: Step| {
        let step = step.exact(PRESENT, PAGES).exact(ZERO, PAGES).exact(FRAMES, 0).exact(RSS, 0);
        step.known(DISTINCT, zero_pages)
    };
    // The mapping exists and is empty.
    let empty = |step: Step| {
        let step = step.exact(SIZE, PAGES).exact(PRESENT, 0).exact(ZERO, 0).exact(FRAMES, 0);
        step.exact(DISTINCT, 0).exact(RSS, 0).exact(FAULTS, 0)
    };
    let mut steps = vec![
        empty(step("map 16 pages", |w| w.map(0, PAGES))),
        read_only(step("read them", |w| w.read(0, 0..PAGES))).exact(FAULTS, PAGES).why(
            "One fault and one entry per page, but every entry points to the zero page, which belongs to no \
                  process.",
        ),
        read_only(step("read them again", |w| {
            w.read(0, 0..PAGES)?;
            w.say(0, w.holding(0, 0..PAGES, 0)?);
            Ok(())
        }))
        .exact(FAULTS, 0)
        .exact(EMPTY, PAGES)
        .why("The entries are present and readable."),
        step("write 4 of them", |w| w.write(0, 0..FIRST))
            .exact(PRESENT, PAGES)
            .exact(ZERO, PAGES - FIRST)
            .exact(FRAMES, FIRST)
            .exact(RSS, FIRST)
            .known(DISTINCT, zero_pages.map(|zero| zero.min((PAGES - FIRST) as i64) + FIRST as i64))
            .exact(FAULTS, FIRST)
            .why("The zero page is write-protected: each page faults a second time and now gets its own frame."),
        step("write the other 12", |w| w.write(0, FIRST..PAGES))
            .exact(PRESENT, PAGES)
            .exact(ZERO, 0)
            .exact(FRAMES, PAGES)
            .exact(RSS, PAGES)
            .exact(FAULTS, PAGES - FIRST)
            .exact(DISTINCT, PAGES)
            .why("Every page has its frame now, after two faults instead of one."),
        empty(step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))),
    ];
    // MADV_POPULATE_READ came with MADV_POPULATE_WRITE.
    if facts.populate_write {
        let populate = step("populate (MADV_POPULATE_READ)", |w| {
            w.counting(|w| w.advise(0, 0..PAGES, MmapAdvise::MADV_POPULATE_READ))
        });
        steps.push(
            read_only(populate)
                .exact(FAULTS, PAGES)
                .why("Populating for reading maps the zero page again: it reserves nothing."),
        );
    }
    Ok(steps)
}

/// How many distinct zero pages the arena maps: one, except on machines with cache colouring (s390, MIPS). `None` if frame
/// numbers are hidden.
fn zero_pages(facts: &Facts<'_>) -> Result<Option<i64>, Skip> {
    if !facts.features.pfns_visible {
        return Ok(None);
    }
    let probe = facts.arena(PAGES)?;
    for page in 0..PAGES {
        probe.read(page * facts.page());
    }
    let entries = own_pagemap::entries::<PAGES>(&probe, facts.page_size)?;
    let frames: HashSet<u64> = entries.into_iter().filter_map(|entry| Some(entry.pfn()?.0)).collect();
    Ok(Some(frames.len() as i64))
}
