//! `thp`: one fault gives a huge page, and giving back a part of it takes it apart.

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise};

use super::facts::Facts;
use super::quantity::{CHANGED, CONTENTS, FAULTS, FRAMES, HELD, HUGE, PRESENT, SIZE, ZERO};
use super::script::{Step, step};
use super::worker::{Done, READ_WRITE, Worker, faults_of};
use super::{BLANK, Demo, Skip};
use crate::kernel::memory::Mapping;
use crate::kernel::root::text;

/// The largest huge page that is asked for: 2 MiB with base pages of 4 KiB, 32 MiB with 16 KiB; with 64 KiB it would be half
/// a gigabyte.
const LARGEST: u64 = 32 << 20;

/// madvise's advice to put small pages together to huge ones at once (Linux 6.1).
const MADV_COLLAPSE: i32 = 25;

pub(super) const DEMO: Demo = Demo {
    name: "thp",
    question: "what does a process get when it asks for huge pages?",
    about: "A process maps room for one huge page and advises the kernel to use one (MADV_HUGEPAGE). It reads a byte, writes a \
            byte, and then gives one small page of it back.",
    learnt: "One byte read took no memory, one byte written took a whole huge page: one fault for all its pages, and no fault \
             for the others. Where a single page of it was given back, the huge entry fell apart into small ones, and writing \
             that page again did not bring it back.",
    explain: "Where a mapping covers an aligned range of the size of a huge page and transparent huge pages are permitted, a \
              fault is answered with a single entry one level higher up in the page tables. Reading maps the huge zero page, \
              which all processes share. Writing takes a block of frames in one piece; if there is none, the kernel falls back \
              to small pages, and nobody is told. A page table is laid by with each huge page, for the day it is taken apart: \
              that is why it costs as much page table as small pages do. madvise(MADV_COLLAPSE), or khugepaged in the \
              background, copies small pages into a huge one again.",
    functions: &[
        ("do_huge_pmd_anonymous_page", "mm/huge_memory.c"),
        ("mm_get_huge_zero_folio", "mm/huge_memory.c"),
        ("__split_huge_pmd", "mm/huge_memory.c"),
        ("pgtable_trans_huge_deposit", "mm/pgtable-generic.c"),
        ("madvise_collapse", "mm/khugepaged.c"),
    ],
    huge_pages: true,
    columns: &[FAULTS, PRESENT, FRAMES, HUGE, HELD],
    says: &[(CONTENTS, "its reads")],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let HugePage { pages, zero, collapse } = HugePage::probe(facts)?;
    let tables = facts.tables_of_one_page();
    let mut steps = vec![
        step("map room for a huge page", move |w| map(w, pages))
            .exact(SIZE, pages)
            .exact(PRESENT, 0)
            .exact(FRAMES, 0)
            .exact(HELD, 0)
            .why("Addresses and an advice, no memory."),
    ];
    if zero {
        steps.extend([
            step("read one byte", move |w| first_touch(w, pages, false))
                .exact(PRESENT, pages)
                .exact(ZERO, pages)
                .exact(FRAMES, 0)
                .exact(FAULTS, 1)
                .why("The huge zero page, which everybody who only reads is given: all present at once, and nobody's memory."),
            step("give it back (MADV_DONTNEED)", move |w| w.advise(0, 0..pages, MmapAdvise::MADV_DONTNEED))
                .exact(PRESENT, 0)
                .exact(FRAMES, 0)
                .why("The entry is empty again."),
        ]);
    }
    steps.extend([
        step("write one byte", move |w| first_touch(w, pages, true))
            .known(HELD, tables)
            .exact(FRAMES, pages)
            .exact(HUGE, pages)
            .exact(FAULTS, 1)
            .why("One byte, one fault, a whole huge page of memory: the kernel had to clear it all."),
        step("write all the others", move |w| {
            w.write_value(0, 1..pages, 2)?;
            w.say(0, w.holding(0, 1..pages, 2)?);
            Ok(())
        })
        .exact(FRAMES, pages)
        .exact(HUGE, pages)
        .exact(FAULTS, 0)
        .exact(CONTENTS, pages - 1)
            .known(HELD, tables)
            .why("The one entry covers them all."),
        step("give one page back", move |w| {
            // Else khugepaged may come by and put it together again.
            w.advise(0, 0..pages, MmapAdvise::MADV_NOHUGEPAGE)?;
            w.advise(0, 1..2, MmapAdvise::MADV_DONTNEED)
        })
        .exact(FRAMES, pages - 1)
        .exact(HUGE, 0)
        .exact(CHANGED, 0)
        .known(HELD, tables)
        .why(
            "The huge entry is replaced by small ones, in the page table that was laid by, and one of these is empty now. No \
             frame has moved, and none is free yet: the block stays in one piece until memory is short.",
        ),
        step("write that page again", |w| w.write(0, 1..2))
            .exact(FRAMES, pages)
            .exact(HUGE, 0)
            .exact(FAULTS, 1)
            .exact(CHANGED, 0)
            .why("A small page from somewhere else. All pages are there, and yet it is no huge page any more."),
    ]);
    if collapse {
        steps.push(
            step("collapse (MADV_COLLAPSE)", move |w| {
                w.advise(0, 0..pages, MmapAdvise::MADV_HUGEPAGE)?;
                w.advise_raw(0, 0..pages, MADV_COLLAPSE)
            })
            .exact(FRAMES, pages)
            .exact(HUGE, pages)
            .exact(CHANGED, pages)
            .why("A huge page is in one piece, so all its pages are copied to another block. khugepaged does the same in \
             the background."),
        );
    }
    Ok(steps)
}

/// What was found out about huge pages on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct HugePage {
    /// Base pages of one.
    pub(super) pages: usize,
    /// Reading maps the huge zero page.
    zero: bool,
    /// [`MADV_COLLAPSE`] is known.
    collapse: bool,
}

impl HugePage {
    /// Asks for some, in memory of this process's own.
    pub(super) fn probe(facts: &Facts<'_>) -> Result<Self, Skip> {
        let Some(bytes) = facts.environment.thp_bytes else {
            return Err(Skip("this kernel has no transparent huge pages".to_owned()));
        };
        if bytes > LARGEST {
            return Err(Skip(format!("a huge page is {} MiB here", bytes >> 20)));
        }
        let (bytes, page) = (bytes as usize, facts.page());
        let mapping = Self::map(facts)?;
        // Each is done twice, since what is done for the first time takes faults of the program's own.
        let read = |mapping: &Mapping, offset| faults_of(|| _ = mapping.read(offset)).map(|(minor, _)| minor);
        let write = |mapping: &Mapping| faults_of(|| mapping.write(0, 1)).map(|(minor, _)| minor);
        write(&mapping)?;
        read(&mapping, 0)?;
        if read(&mapping, bytes - page)? > 0 {
            return Err(Skip(why_none(facts)));
        }
        let collapse = mapping.advise_raw(0, bytes, MADV_COLLAPSE).is_ok();
        drop(mapping);
        let mapping = Self::map(facts)?;
        // A read that was given memory of its own leaves nothing for a write to fault for.
        mapping.read(0);
        let zero = write(&mapping)? > 0;
        Ok(Self { pages: bytes / page, zero, collapse })
    }

    /// Room for one, in this process.
    pub(super) fn map(facts: &Facts<'_>) -> nix::Result<Mapping> {
        let bytes = facts.environment.thp_bytes.unwrap_or(0) as usize;
        let place = Some(facts.places.address(0));
        let mapping = Mapping::anonymous(bytes, READ_WRITE, MapFlags::MAP_PRIVATE, place)?;
        mapping.advise(0, bytes, MmapAdvise::MADV_HUGEPAGE)?;
        Ok(mapping)
    }
}

/// Why there was no huge page, as far as the machine tells.
fn why_none(facts: &Facts<'_>) -> String {
    const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let status = text(facts.root.dir(), "proc/self/status").unwrap_or_default();
    let switched_off = status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"]));
    match facts.environment.thp.as_deref() {
        _ if switched_off => "huge pages are switched off for this process (prctl PR_SET_THP_DISABLE)".to_owned(),
        Some("never") => format!("transparent huge pages are switched off: {ENABLED} is never"),
        _ => "the kernel gave no huge page: they are switched off in hugepages-*/enabled, or no block is free, or the memory \
              cgroup is full"
            .to_owned(),
    }
}

/// Maps a huge page's room at the first place, and asks for a huge page.
pub(super) fn map(w: &mut Worker, pages: usize) -> Done {
    w.map_with(0, pages, READ_WRITE, MapFlags::MAP_PRIVATE)?;
    w.advise(0, 0..pages, MmapAdvise::MADV_HUGEPAGE)
}

/// Reads or writes the first byte there, which is to give a huge page.
pub(super) fn first_touch(w: &mut Worker, pages: usize, write: bool) -> Done {
    if write {
        w.write(0, 0..1)?;
    } else {
        w.read(0, 0..1)?;
    }
    // What is done for the first time may take a fault of the program's own, on kernels where it cannot be prepared.
    w.read(0, 0..1)?;
    let faults = w.reply.minor;
    w.read(0, pages - 1..pages)?;
    // The last page was not there: no block of this size is free, or the memory cgroup is full.
    if w.reply.minor > faults { Err(Errno::ENOMEM) } else { Ok(()) }
}
