//! `cow`: what fork copies, and when.

use nix::sys::wait::{WaitStatus, waitpid};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{CHANGED, CONTENTS, EXCLUSIVE, FAULTS, FRAMES, PSS, Quantity, Unit};
use super::script::{Step, Subject, Who, step};
use super::worker::{Done, Worker, faults_of};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::memory::forked;
use crate::kernel::root::SMALL;
use crate::model::vmstat::Vmstat;

/// Pages of the arena.
const PAGES: usize = 64;
/// Pages the child writes.
const WRITTEN: usize = 16;
/// Pages the parent writes, both among these and among the others.
const HALF: usize = WRITTEN / 2;

/// The memory of the process that forks.
pub(super) const PARENT: Subject = Subject { name: "parent", who: Who::Worker, place: 0 };
/// The same memory in its child.
pub(super) const CHILD: Subject = Subject { name: "child", who: Who::Child, place: 0 };

/// Write faults, system-wide, that reused an exclusive page. Source: vmstat (pgreuse).
const REUSED: Quantity = Quantity::new("reused_pages", "reused", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "cow",
    question: "what does fork copy, and when?",
    about: "A process writes 64 pages and forks. Child and parent then read and write them: the first to write a \
            shared page copies it, and a process that writes an exclusive page keeps it.",
    learnt: "fork copied page-table entries but no pages. Reading keeps pages shared. The first to write a page \
             faulted and got a copy; the other, now the only one mapping the page, faulted too and kept it. Not every \
             fault is a copy.",
    explain: "fork enters the parent's frames in the child's page tables and removes write permission from both. A \
              write then faults although the mapping is writable. If another process still maps the frame, the kernel \
              allocates a new one, copies the page and maps the copy: copy-on-write. If none does, the kernel just \
              restores write permission: reuse. Bit 56 of pagemap marks pages mapped exactly once (exclusive pages). \
              RSS counts all pages of each process in full; PSS (in smaps) divides each shared page among its \
              processes, so the PSS of both together is the memory they use.",
    functions: &[
        ("copy_page_range", "mm/memory.c"),
        ("do_wp_page", "mm/memory.c"),
        ("wp_page_copy", "mm/memory.c"),
        ("wp_can_reuse_anon_folio", "mm/memory.c"),
        ("wp_page_reuse", "mm/memory.c"),
    ],
    subjects: &[PARENT, CHILD],
    columns: &[
        FAULTS,
        EXCLUSIVE.of(PARENT.name),
        CHANGED.of(PARENT.name),
        EXCLUSIVE.of(CHILD.name),
        CHANGED.of(CHILD.name),
    ],
    says: &[(CONTENTS, "the child's reads")],
    readers: &[reused],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let page = facts.page();
    let reading_faults = usize::from(first_read_faults(facts)?);
    // The expectations once this many pages have been copied: each process has its own.
    let apart = |step: Step, copied: usize| {
        [PARENT.name, CHILD.name].into_iter().fold(step, |step, whose| {
            step.exact(FRAMES.of(whose), PAGES)
                .exact(EXCLUSIVE.of(whose), copied)
                .exact(PSS.of(whose), (copied + PAGES) * page / 2)
        })
    };
    let alone = |step: Step| {
        step.exact(FRAMES.of(PARENT.name), PAGES)
            .exact(EXCLUSIVE.of(PARENT.name), PAGES)
            .exact(PSS.of(PARENT.name), PAGES * page)
    };
    Ok(vec![
        alone(step("write 64 pages", |w| {
            // A new page waits in the LRU-add batch of the CPU it was faulted on, which holds a reference: a write
            // fault on another CPU would mistake the page for a shared one and copy it.
            w.stay_on_processor()?;
            w.map(0, PAGES)?;
            w.write(0, 0..PAGES)
        }))
        .exact(FAULTS, PAGES)
        .why("One frame each, all exclusive to the parent."),
        apart(step("fork", Worker::fork), 0).exact(CHANGED.of(PARENT.name), 0).why(
            "The child has all 64 pages, and no frame was allocated for them: both processes map the same frames, \
                  read-only.",
        ),
        apart(step("the child reads them all", read_all).by(Who::Child), 0)
            .exact(FAULTS, PAGES * reading_faults)
            .exact(CONTENTS, PAGES)
            .exact(CHANGED.of(CHILD.name), 0)
            .why(if reading_faults == 0 {
                "The entries are present and readable: nothing happens."
            } else {
                "The same frames. This CPU does not set accessed bits in hardware: the first access faults, and the \
                 kernel sets the bit."
            }),
        apart(step("the child writes 16", |w| w.write(0, 0..WRITTEN)).by(Who::Child), WRITTEN)
            .exact(FAULTS, WRITTEN)
            .exact(CHANGED.of(PARENT.name), 0)
            .exact(CHANGED.of(CHILD.name), WRITTEN)
            .why(
                "The first writer copies: 16 faults and 16 new frames, all the child's. Each process still has 64 \
                  pages; together they now have 80 frames.",
            ),
        apart(step("the parent writes 8 of them", |w| w.write(0, 0..HALF)), WRITTEN)
            .exact(FAULTS, HALF)
            .at_least(REUSED, HALF as i64)
            .exact(CHANGED.of(PARENT.name), 0)
            .exact(CHANGED.of(CHILD.name), 0)
            .why("Only the parent maps them now, but they are still read-only: one fault each, and no copy."),
        apart(step("the parent writes 8 others", |w| w.write(0, WRITTEN..WRITTEN + HALF)), WRITTEN + HALF)
            .exact(FAULTS, HALF)
            .exact(CHANGED.of(PARENT.name), HALF)
            .exact(CHANGED.of(CHILD.name), 0)
            .why("Nobody had written these pages: now the parent copies, and the child keeps the old frames."),
        alone(step("the child exits", Worker::end_second))
            .exact(CHANGED.of(PARENT.name), 0)
            .why("The shared pages belong to the parent alone again. Its entries are still read-only."),
        alone(step("the parent writes them all", |w| w.write(0, 0..PAGES)))
            .exact(FAULTS, PAGES - WRITTEN)
            .at_least(REUSED, (PAGES - WRITTEN) as i64)
            .exact(CHANGED.of(PARENT.name), 0)
            .why(
                "Its 16 writable pages cost nothing, the other 48 one fault each. Nothing is copied: no one shares \
                  them.",
            ),
    ])
}

fn read_all(w: &mut Worker) -> Done {
    w.read(0, 0..PAGES)?;
    w.say(0, w.holding(0, 0..PAGES, 1)?);
    Ok(())
}

/// Whether the first read through a present entry with a clear accessed bit faults, as it does if the CPU does not set that bit
/// in hardware. A forked child has such entries.
pub(super) fn first_read_faults(facts: &Facts<'_>) -> std::result::Result<bool, Skip> {
    let arena = facts.arena(2)?;
    (0..2).for_each(|page| arena.write(page * facts.page(), 1));
    // The first time also faults in code of the program.
    let faults = |page| faults_of(|| _ = arena.read(page * facts.page())).map_or(2, |(minor, _)| minor as i32);
    let child = forked(|| {
        faults(0);
        faults(1)
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, faults @ 0..=1) => Ok(faults == 1),
        _ => Err(Skip("cannot count the faults of a forked process".to_owned())),
    }
}

/// The kernel's count of reused pages. It is system-wide: other processes add to it.
fn reused(look: &mut Look<'_>) -> Result<()> {
    let text = look.root().dir().read("proc/vmstat", SMALL).unwrap_or_default();
    if let Some(pages) = Vmstat::parse(&text).get("pgreuse") {
        look.add_change(REUSED, "vmstat", pages as i64);
    }
    Ok(())
}
