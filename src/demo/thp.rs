//! `thp`: one fault allocates a huge page, and giving back part of it splits it.

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise};

use super::facts::Facts;
use super::quantity::{CHANGED, CONTENTS, FAULTS, FRAMES, HELD, HUGE, PRESENT, SIZE, ZERO};
use super::script::{Step, step};
use super::worker::{Done, READ_WRITE, Worker, faults_of};
use super::{BLANK, Demo, Skip};
use crate::kernel::memory::Mapping;
use crate::kernel::root::text;

/// The largest huge page the demo uses: 2 MiB with 4 KiB base pages, 32 MiB with 16 KiB. With 64 KiB it would be 512 MiB.
const LARGEST: u64 = 32 << 20;

/// The madvise advice to collapse small pages into huge pages synchronously (Linux 6.1).
const MADV_COLLAPSE: i32 = 25;

pub(super) const DEMO: Demo = Demo {
    name: "thp",
    question: "what does a process get when it asks for huge pages?",
    about: "A process maps room for one huge page and advises the kernel to use one (MADV_HUGEPAGE). It reads a byte, \
            writes a byte, and then gives one small page back.",
    learnt: "Reading one byte took no memory; writing one byte took a whole huge page, with a single fault for all its \
             pages. When one page was given back, the huge entry was split into small ones, and writing that page \
             again did not restore it.",
    explain: "If a mapping covers an aligned range as large as a huge page and transparent huge pages are enabled, a \
              fault is handled with a single entry one level higher in the page tables. A read maps the huge zero \
              page, which all processes share. A write takes a contiguous block of frames; if none is free, the kernel \
              silently falls back to small pages. A page table is preallocated with each huge page in case it is \
              split, so a huge page needs as much page-table memory as small pages do. madvise(MADV_COLLAPSE), or \
              khugepaged in the background, copies small pages back into a huge page.",
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
            .why("Addresses and advice, but no memory."),
    ];
    if zero {
        steps.extend([
            step("read one byte", move |w| first_touch(w, pages, false))
                .exact(PRESENT, pages)
                .exact(ZERO, pages)
                .exact(FRAMES, 0)
                .exact(FAULTS, 1)
                .why(
                    "The huge zero page, shared by all readers: all pages are present at once, and no process is \
                      charged.",
                ),
            step("give it back (MADV_DONTNEED)", move |w| w.advise(0, 0..pages, MmapAdvise::MADV_DONTNEED))
                .exact(PRESENT, 0)
                .exact(FRAMES, 0)
                .why("The entry is cleared."),
        ]);
    }
    steps.extend([
        step("write one byte", move |w| first_touch(w, pages, true))
            .known(HELD, tables)
            .exact(FRAMES, pages)
            .exact(HUGE, pages)
            .exact(FAULTS, 1)
            .why("One byte, one fault, one huge page of memory: the kernel had to clear all of it."),
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
        .why("The single entry covers them all."),
        step("give one page back", move |w| {
            // Otherwise khugepaged might collapse it again.
            w.advise(0, 0..pages, MmapAdvise::MADV_NOHUGEPAGE)?;
            w.advise(0, 1..2, MmapAdvise::MADV_DONTNEED)
        })
        .exact(FRAMES, pages - 1)
        .exact(HUGE, 0)
        .exact(CHANGED, 0)
        .known(HELD, tables)
        .why(
            "The huge entry is replaced by small ones, in the preallocated page table, and one of them is now empty. \
             No frame has moved and none is free yet: the folio is not split until memory is short.",
        ),
        step("write that page again", |w| w.write(0, 1..2))
            .exact(FRAMES, pages)
            .exact(HUGE, 0)
            .exact(FAULTS, 1)
            .exact(CHANGED, 0)
            .why("A small page from somewhere else. All pages are present, but it is no longer a huge page."),
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
            .why(
                "A huge page is contiguous, so all pages are copied into a new block. khugepaged does the same in the \
                  background.",
            ),
        );
    }
    Ok(steps)
}

/// What was found about huge pages on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct HugePage {
    /// Base pages per huge page.
    pub(super) pages: usize,
    /// Reading maps the huge zero page.
    zero: bool,
    /// [`MADV_COLLAPSE`] is supported.
    collapse: bool,
}

impl HugePage {
    /// Probes with memory of this process.
    pub(super) fn probe(facts: &Facts<'_>) -> Result<Self, Skip> {
        let Some(bytes) = facts.environment.thp_bytes else {
            return Err(Skip("this kernel does not support transparent huge pages".to_owned()));
        };
        if bytes > LARGEST {
            return Err(Skip(format!("a huge page is {} MiB here", bytes >> 20)));
        }
        let (bytes, page) = (bytes as usize, facts.page());
        let mapping = Self::map(facts)?;
        // Each is done twice, because the first time also faults in code of the program.
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
        // If the read allocated memory, the write does not fault.
        mapping.read(0);
        let zero = write(&mapping)? > 0;
        Ok(Self { pages: bytes / page, zero, collapse })
    }

    /// Maps room for one huge page in this process.
    pub(super) fn map(facts: &Facts<'_>) -> nix::Result<Mapping> {
        let bytes = facts.environment.thp_bytes.unwrap_or(0) as usize;
        let place = Some(facts.places.address(0));
        let mapping = Mapping::anonymous(bytes, READ_WRITE, MapFlags::MAP_PRIVATE, place)?;
        mapping.advise(0, bytes, MmapAdvise::MADV_HUGEPAGE)?;
        Ok(mapping)
    }
}

/// Why there was no huge page, as far as it can be found out.
fn why_none(facts: &Facts<'_>) -> String {
    const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let status = text(facts.root.dir(), "proc/self/status").unwrap_or_default();
    let switched_off = status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"]));
    match facts.environment.thp.as_deref() {
        _ if switched_off => "huge pages are disabled for this process (prctl PR_SET_THP_DISABLE)".to_owned(),
        Some("never") => format!("transparent huge pages are disabled: {ENABLED} is never"),
        _ => "the kernel allocated no huge page: they are disabled in hugepages-*/enabled, no block is free, or the \
              memory cgroup is full"
            .to_owned(),
    }
}

/// Maps room for a huge page at the first place, with MADV_HUGEPAGE.
pub(super) fn map(w: &mut Worker, pages: usize) -> Done {
    w.map_with(0, pages, READ_WRITE, MapFlags::MAP_PRIVATE)?;
    w.advise(0, 0..pages, MmapAdvise::MADV_HUGEPAGE)
}

/// Reads or writes the first byte there, which should allocate a huge page.
pub(super) fn first_touch(w: &mut Worker, pages: usize, write: bool) -> Done {
    if write {
        w.write(0, 0..1)?;
    } else {
        w.read(0, 0..1)?;
    }
    // The first time may fault in code of the program, on kernels where it cannot be prefaulted.
    w.read(0, 0..1)?;
    let faults = w.reply.minor;
    w.read(0, pages - 1..pages)?;
    // The last page was not present: no block of this size is free, or the memory cgroup is full.
    if w.reply.minor > faults { Err(Errno::ENOMEM) } else { Ok(()) }
}
