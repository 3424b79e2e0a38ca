//! `lazy-alloc`: memory is allocated on the first write.

use nix::sys::mman::MmapAdvise;

use super::facts::Facts;
use super::quantity::{CONTENTS, FAULTS, FRAMES, RSS, SIZE, TABLES};
use super::script::{Step, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};

/// Pages of the arena.
const PAGES: usize = 64;

pub(super) const DEMO: Demo = Demo {
    name: "lazy-alloc",
    question: "when does a process really get memory?",
    about: "A process maps 64 pages, writes one, then all, and gives them back. A frame comes with the first write to \
            a page, not with mmap.",
    learnt: "mmap gave addresses only. The first write to each page faulted; the kernel allocated a frame, zeroed it \
             and entered it in the page table. Writing again cost nothing. Pages given back had to be faulted in \
             again.",
    explain: "The page-table entry of an untouched page is empty. A write traps into the kernel, which looks up the \
              mapping, allocates a zeroed frame, enters it in the page table and restarts the instruction: a minor \
              fault. madvise(MADV_DONTNEED) clears the entries and frees the frames at once; the mapping stays. \
              MADV_POPULATE_WRITE faults all pages in, as writing would. Page tables take memory too: the first page \
              at an address far from all others needs one table at each level.",
    functions: &[
        ("do_mmap", "mm/mmap.c"),
        ("handle_mm_fault", "mm/memory.c"),
        ("do_anonymous_page", "mm/memory.c"),
        ("zap_page_range_single", "mm/memory.c"),
        ("faultin_page_range", "mm/gup.c"),
        ("free_pgtables", "mm/memory.c"),
    ],
    says: &[(CONTENTS, "its reads")],
    columns: &[FRAMES, RSS, FAULTS, TABLES],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let tables = facts.tables_of_one_page();
    let mut steps = vec![
        step("map 64 pages", |w| w.map(0, PAGES))
            .exact(SIZE, PAGES)
            .exact(FRAMES, 0)
            .exact(RSS, 0)
            .exact(FAULTS, 0)
            .exact(TABLES, 0)
            .why("mmap records a range of addresses (a VMA) and does nothing else."),
        step("write page 0", |w| w.write(0, 0..1))
            .exact(FRAMES, 1)
            .exact(RSS, 1)
            .exact(FAULTS, 1)
            .known(TABLES, tables)
            .why("The first write faults: one frame, and one page table at each level to map it."),
        step("write the other 63", |w| w.write(0, w.time + 1..w.time + 2))
            .times(PAGES - 1)
            .exact(FRAMES, PAGES)
            .exact(RSS, PAGES)
            .exact(FAULTS, PAGES - 1)
            .exact(TABLES, 0)
            .why("One fault and one frame per page. Their entries fit into the existing table."),
        step("write them all again", write_again)
            .exact(CONTENTS, PAGES)
            .exact(FRAMES, PAGES)
            .exact(RSS, PAGES)
            .exact(FAULTS, 0)
            .exact(TABLES, 0)
            .why("The entries are present and writable: the CPU translates without the kernel's help."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(SIZE, PAGES)
            .exact(FRAMES, 0)
            .exact(RSS, 0)
            .exact(FAULTS, 0)
            .exact(TABLES, 0)
            .why("The frames are freed at once. The mapping stays, and so does the page table, now empty."),
    ];
    if facts.populate_write {
        let populate = step("populate (MADV_POPULATE_WRITE)", |w| {
            w.counting(|w| w.advise(0, 0..PAGES, MmapAdvise::MADV_POPULATE_WRITE))
        });
        steps.push(
            populate
                .exact(FRAMES, PAGES)
                .exact(RSS, PAGES)
                .exact(FAULTS, PAGES)
                .exact(TABLES, 0)
                .why("A single call, yet one fault per page: the kernel takes them now so that later accesses do not."),
        );
    }
    steps.push(
        step("unmap", |w| w.unmap(0))
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .exact(RSS, 0)
            .exact(FAULTS, 0)
            .known(TABLES, tables.map(|bytes| -bytes))
            .why("Addresses, frames and page tables are all given back."),
    );
    Ok(steps)
}

/// Writes another value, and reports how many pages hold it.
fn write_again(w: &mut Worker) -> Done {
    w.write_value(0, 0..PAGES, 2)?;
    let written = w.holding(0, 0..PAGES, 2)?;
    w.say(0, written);
    Ok(())
}
