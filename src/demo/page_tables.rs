//! `page-tables`: a few pages far apart need more memory for page tables than for themselves.

use std::collections::BTreeSet;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, HELD, Quantity, SIZE, TABLES, Unit};
use super::script::{ARENA, Step, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::memory::Mapping;
use crate::kernel::root::{Root, SMALL};
use crate::model::pagemap::State;
use crate::model::status;
use crate::unit::{PageSize, whole_size as size};

/// The tables needed for the arena's entries. Source: pagemap and the size of a table.
const NEEDED: Quantity = Quantity::new("needed_table_bytes", "needed", Unit::Bytes);

/// How many regions get a page: regions covered by one table of the lowest level, and regions covered by one of the next level.
const NEAR: usize = 64;
const FAR: usize = 16;

/// The maximum number of bytes mapped: with 64 KiB pages the second kind of region covers 4 TiB.
const MOST: usize = 1 << 41;

pub(super) const DEMO: Demo = Demo {
    name: "page-tables",
    question: "what do page tables cost?",
    about: "A process maps a large range of addresses and writes pages farther and farther apart, each in a region \
            covered by a different page table.",
    learnt: "A table covers as many pages as it has entries, whether they are used or not. Adjacent pages share their \
             tables; each of these pages needed one or more of its own. Page tables are not part of RSS: VmPTE shows \
             them.",
    explain: "Page tables form a tree. A table is a page of 8-byte entries: 512 of them with 4 KiB pages, so a table \
              of the lowest level (PTE) covers 2 MiB, one of the next level (PMD) 1 GiB, and one above that (PUD) 512 \
              GiB. A fault allocates the missing tables on the way down. munmap frees tables that nothing else needs. \
              MADV_DONTNEED only clears entries; newer kernels then also free empty tables of the lowest level if the \
              whole range of the table was given back, and keep the others.",
    functions: &[
        ("__handle_mm_fault", "mm/memory.c"),
        ("__pte_alloc", "mm/memory.c"),
        ("__pmd_alloc", "mm/memory.c"),
        ("try_get_and_clear_pmd", "mm/pt_reclaim.c"),
        ("free_pgtables", "mm/memory.c"),
    ],
    columns: &[FRAMES, TABLES, HELD, NEEDED],
    readers: &[tables],
    script,
    ..BLANK
};

/// The bytes covered by one table at each level that VmPTE counts, lowest level first.
fn described(facts: &Facts<'_>) -> Option<Vec<usize>> {
    let entries = facts.page() / 8;
    let larger = |bytes: &usize| bytes.checked_mul(entries);
    Some(std::iter::successors(larger(&facts.page()), larger).take(facts.counted_levels()?).collect())
}

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let unknown = || Skip("the number of page-table levels on this machine is not known".to_owned());
    let described = described(facts).ok_or_else(unknown)?;
    let (page, levels) = (facts.page(), described.len());
    let near = described[0];
    let far = near * (page / 8);
    let steps_far = FAR * far <= MOST;
    let length = if steps_far { FAR * far } else { NEAR * near };
    let pages = length / page;
    let no_addresses = |errno: Errno| Skip(format!("cannot map {} of addresses: {}", size(length), errno.desc()));
    let reclaimed = {
        let address = Some(facts.places.address(0));
        let arena = Mapping::anonymous(length, READ_WRITE, flags(), address).map_err(no_addresses)?;
        empty_tables_go(facts.root, facts.page_size, &arena, near)
    };

    let bytes = |tables: usize| (tables * page) as i64;
    let seen = |step: Step, frames: usize, faults: usize, change: i64, held: i64, needed: i64| {
        let step = step.exact(FRAMES, frames).exact(FAULTS, faults);
        step.exact(TABLES, change).exact(HELD, held).exact(NEEDED, needed)
    };
    let near_pages = near / page;
    let mut held = bytes(levels);
    let mut frames = 1;
    let mut steps = vec![
        seen(step(format!("map {}", size(length)), move |w| map(w, pages)), 0, 0, 0, 0, 0).exact(SIZE, pages).why(
            "Addresses cost nothing but the VMA that records them. (With MAP_NORESERVE they do not count as committed \
             either.)",
        ),
        seen(step("write the first page", |w| w.write(0, 0..1)), 1, 1, held, held, held)
            .why("None of the tables on the way to it exists yet: one is allocated at each level."),
    ];
    let more = bytes(NEAR - 1);
    (held, frames) = (held + more, frames + NEAR - 1);
    steps.push(
        seen(
            step(format!("write {} pages, {} apart", NEAR - 1, size(near)), move |w| spread(w, 1..NEAR, near_pages)),
            frames,
            NEAR - 1,
            more,
            held,
            held,
        )
        .why("Each is covered by a different table of the lowest level. The tables above them exist."),
    );
    if steps_far {
        let more = bytes((FAR - 1) * levels.min(2));
        (held, frames) = (held + more, frames + FAR - 1);
        let far_pages = far / page;
        steps.push(
            seen(
                step(format!("write {} pages, {} apart", FAR - 1, size(far)), move |w| spread(w, 1..FAR, far_pages)),
                frames,
                FAR - 1,
                more,
                held,
                held,
            )
            .why("Each needs a table of the lowest level, and one of the next level that points to it."),
        );
    }
    let given_back = step("give all back (MADV_DONTNEED)", move |w| w.advise(0, 0..pages, MmapAdvise::MADV_DONTNEED));
    let freed = if reclaimed { bytes(frames) } else { 0 };
    steps.push(seen(given_back, 0, 0, -freed, held - freed, 0).why(if reclaimed {
        "The frames are freed, and so are the tables of the lowest level, now all empty. Those above them stay."
    } else {
        "The frames are freed. The tables stay, although all are empty."
    }));
    let rest = held - freed;
    steps.push(
        seen(step("unmap", |w| w.unmap(0)), 0, 0, -rest, 0, 0)
            .exact(SIZE, 0)
            .why("The tables are freed together with the addresses they cover."),
    );
    Ok(steps)
}

fn flags() -> MapFlags {
    MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE
}

fn map(w: &mut Worker, pages: usize) -> Done {
    w.map_with(0, pages, READ_WRITE, flags())?;
    w.at(0).map(Mapping::keep_small)
}

/// Writes the first page of each of these regions of `pages` pages.
fn spread(w: &mut Worker, mut regions: std::ops::Range<usize>, pages: usize) -> Done {
    regions.try_for_each(|region| w.write(0, region * pages..region * pages + 1))
}

/// Whether MADV_DONTNEED frees tables that it has emptied. Probed with the first page of an arena, whose first `near`
/// bytes are covered by one table of the lowest level.
fn empty_tables_go(root: &Root, page_size: PageSize, arena: &Mapping, near: usize) -> bool {
    let held = || {
        let text = root.dir().read("proc/self/status", SMALL).ok()?;
        Some(page_size.pages_in(status::bytes_of(&text, "VmPTE")?))
    };
    // A huge page has a preallocated table, which is freed with it.
    arena.keep_small();
    arena.write(0, 1);
    let before = held();
    let _ = arena.advise(0, near, MmapAdvise::MADV_DONTNEED);
    held() < before
}

/// Counts the tables needed for the arena's entries.
fn tables(look: &mut Look<'_>) -> Result<()> {
    let Some(described) = described(look.facts) else { return Ok(()) };
    let page = look.facts.page_size.bytes();
    let pages = look.pages(&ARENA)?.iter().filter(|run| run.state == State::Present);
    let addresses: Vec<u64> = pages.flat_map(|run| (0..run.pages).map(|i| run.address.0 + i * page)).collect();
    let tables = |bytes: &usize| addresses.iter().map(|address| address / *bytes as u64).collect::<BTreeSet<_>>().len();
    let needed: usize = described.iter().map(tables).sum();
    look.add(NEEDED, "pagemap", needed as i64 * page as i64);
    Ok(())
}
