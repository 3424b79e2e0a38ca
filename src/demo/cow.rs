//! `cow`: what a fork copies, and when.

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
/// Pages that the child writes.
const WRITTEN: usize = 16;
/// Of these, and of the others, pages that the parent writes.
const HALF: usize = WRITTEN / 2;

/// The memory of the process that forks.
pub(super) const PARENT: Subject = Subject { name: "parent", who: Who::Worker, place: 0 };
/// The same memory in its child.
pub(super) const CHILD: Subject = Subject { name: "child", who: Who::Child, place: 0 };

/// Write faults on this machine that found that a page is nobody else's. Source: vmstat (pgreuse).
const REUSED: Quantity = Quantity::new("reused_pages", "reused", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "cow",
    question: "what does fork copy, and when?",
    about: "A process writes 64 pages and forks. Child and parent then read and write them: whoever first writes a page that \
            both have copies it, and whoever writes a page that it has to itself keeps it.",
    learnt: "fork copied page-table entries and no page. Reading goes on sharing. The first to write a page faulted and got a \
             copy; the other, which was then alone with the page, faulted too and kept it. A fault is not yet a copy.",
    explain: "fork enters the parent's frames in the child's page tables, and takes the permission to write away from both. A \
              write then faults although the mapping may be written. If others have the frame, the kernel allocates one, \
              copies the page and enters the new frame: copy on write. If nobody has it any more it only gives the permission \
              back: reuse. Bit 56 of pagemap tells which pages are mapped once: a process's own. RSS counts all pages of each \
              process, PSS (in smaps) each shared page in parts, so that the PSS of both together is the memory that both \
              take.",
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
    // What is seen when so many pages are shared no more: each has a copy of these.
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
            // A new page waits in a batch of the processor that it came on, which holds it: a write fault on another would take
            // it for shared, and copy it.
            w.stay_on_processor()?;
            w.map(0, PAGES)?;
            w.write(0, 0..PAGES)
        }))
        .exact(FAULTS, PAGES)
        .why("A frame each, and all of them the parent's own."),
        apart(step("fork", Worker::fork), 0)
            .exact(CHANGED.of(PARENT.name), 0)
            .why("The child has all 64 pages, and no frame was allocated for them: both map the same frames, read-only."),
        apart(step("the child reads them all", read_all).by(Who::Child), 0)
            .exact(FAULTS, PAGES * reading_faults)
            .exact(CONTENTS, PAGES)
            .exact(CHANGED.of(CHILD.name), 0)
            .why(if reading_faults == 0 {
                "The entries are there, and reading is permitted: nothing happens."
            } else {
                "The same frames. This processor does not note by itself that a page was accessed: the first access faults, \
                 and the kernel notes it."
            }),
        apart(step("the child writes 16", |w| w.write(0, 0..WRITTEN)).by(Who::Child), WRITTEN)
            .exact(FAULTS, WRITTEN)
            .exact(CHANGED.of(PARENT.name), 0)
            .exact(CHANGED.of(CHILD.name), WRITTEN)
            .why("Who writes first copies: 16 faults, 16 new frames, all the child's. Each still has 64 pages, and both \
                 together now 80 frames."),
        apart(step("the parent writes 8 of these", |w| w.write(0, 0..HALF)), WRITTEN)
            .exact(FAULTS, HALF)
            .at_least(REUSED, HALF as i64)
            .exact(CHANGED.of(PARENT.name), 0)
            .exact(CHANGED.of(CHILD.name), 0)
            .why("They are the parent's alone by now, and yet read-only: a fault each, and no copy."),
        apart(step("the parent writes 8 others", |w| w.write(0, WRITTEN..WRITTEN + HALF)), WRITTEN + HALF)
            .exact(FAULTS, HALF)
            .exact(CHANGED.of(PARENT.name), HALF)
            .exact(CHANGED.of(CHILD.name), 0)
            .why("Nobody had written these: now it is the parent who copies, and the child keeps the old frames."),
        alone(step("the child ends", Worker::end_second))
            .exact(CHANGED.of(PARENT.name), 0)
            .why("What was shared is the parent's again. Its entries do not know yet."),
        alone(step("the parent writes them all", |w| w.write(0, 0..PAGES)))
            .exact(FAULTS, PAGES - WRITTEN)
            .at_least(REUSED, (PAGES - WRITTEN) as i64)
            .exact(CHANGED.of(PARENT.name), 0)
            .why("Its 16 writable pages cost nothing, the other 48 a fault each. Nothing is copied: there is nobody to \
             share with."),
    ])
}

fn read_all(w: &mut Worker) -> Done {
    w.read(0, 0..PAGES)?;
    w.say(0, w.holding(0, 0..PAGES, 1)?);
    Ok(())
}

/// Whether the first read of a page that is there, but that nobody has accessed since its entry was made or its accessed bit
/// taken off, faults: where the processor does not set that bit itself. The entries of a forked child are such.
pub(super) fn first_read_faults(facts: &Facts<'_>) -> std::result::Result<bool, Skip> {
    let arena = facts.arena(2)?;
    (0..2).for_each(|page| arena.write(page * facts.page(), 1));
    // What is done for the first time takes faults of the program's own.
    let faults = |page| faults_of(|| _ = arena.read(page * facts.page())).map_or(2, |(minor, _)| minor as i32);
    let child = forked(|| {
        faults(0);
        faults(1)
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, faults @ 0..=1) => Ok(faults == 1),
        _ => Err(Skip("the faults of a forked process could not be counted".to_owned())),
    }
}

/// The kernel's own count of reuse. It is the whole machine's: others add to it.
fn reused(look: &mut Look<'_>) -> Result<()> {
    let text = look.root().dir().read("proc/vmstat", SMALL).unwrap_or_default();
    if let Some(pages) = Vmstat::parse(&text).get("pgreuse") {
        look.add_change(REUSED, "vmstat", pages as i64);
    }
    Ok(())
}
