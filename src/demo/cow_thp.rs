//! `cow-thp`: what a write copies of a huge page after a fork.

use nix::sys::mman::MmapAdvise;
use nix::sys::wait::{WaitStatus, waitpid};

use super::cow::{CHILD, PARENT};
use super::facts::Facts;
use super::look::Look;
use super::quantity::{CHANGED, FAULTS, FRAMES, HUGE, PSS, Quantity, Unit};
use super::script::{Step, Who, step};
use super::thp::{HugePage, first_touch, map};
use super::worker::{Worker, faults_of};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::memory::{Mapping, forked};
use crate::kernel::process::Process;
use crate::model::smaps::Value;

/// Exclusive pages. Sources: smaps (Private_Clean, Private_Dirty); kpagecount if frame numbers are visible. (Not bit 56 of
/// pagemap, which on some kernels describes only one page of a huge page.)
const PRIVATE: Quantity = Quantity::new("private_pages", "own", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "cow-thp",
    question: "what does a write to a shared huge page copy?",
    about: "A process with one huge page forks. Then the child writes one byte of it, and the parent writes all its \
            pages.",
    learnt: "The byte the child wrote cost one small page. The child's huge entry was split into small ones; the \
             parent's was not: each process maps the page in its own way. A process that writes after a fork has small \
             pages from then on.",
    explain: "fork shares a huge page by copying its single entry, as it does with small pages. A write splits the \
              writer's entry into small entries for the same frames and then copies one page as usual; only up to \
              Linux 5.7 was the whole huge page copied. The frames remain one block as long as any part of it is \
              mapped: the parent, which has copied every page, and the child, which keeps all but one of the old \
              pages, end up with twice the memory, and neither has a huge page.",
    functions: &[
        ("copy_huge_pmd", "mm/huge_memory.c"),
        ("do_huge_pmd_wp_page", "mm/huge_memory.c"),
        ("__split_huge_pmd", "mm/huge_memory.c"),
        ("wp_page_copy", "mm/memory.c"),
    ],
    huge_pages: true,
    subjects: &[PARENT, CHILD],
    columns: &[FAULTS, HUGE.of(PARENT.name), PRIVATE.of(PARENT.name), HUGE.of(CHILD.name), PRIVATE.of(CHILD.name)],
    readers: &[private],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let HugePage { pages, .. } = HugePage::probe(facts)?;
    let page = facts.page();
    // Kernels without a mapcount for each page of a folio report an average.
    let by_page = match copies_small_pages(facts, pages)? {
        Copies::Block => return Err(Skip("this kernel copies a huge page as a whole".to_owned())),
        Copies::Page { known } => known,
    };
    // The expectations once this many pages have been copied, and which processes still have a huge entry.
    let apart = move |step: Step, copied: usize, huge: [bool; 2]| {
        [PARENT.name, CHILD.name].into_iter().zip(huge).fold(step, |step, (whose, huge)| {
            let exact = |number: usize| by_page.then_some(number as i64);
            step.exact(FRAMES.of(whose), pages)
                .exact(HUGE.of(whose), if huge { pages } else { 0 })
                .known(PRIVATE.of(whose), exact(copied))
                .known(PSS.of(whose), exact((copied + pages) * page / 2))
        })
    };
    Ok(vec![
        step("write a huge page: one byte", move |w| {
            map(w, pages)?;
            first_touch(w, pages, true)?;
            // Otherwise khugepaged might collapse what is about to be split.
            w.advise(0, 0..pages, MmapAdvise::MADV_NOHUGEPAGE)
        })
        .exact(FRAMES.of(PARENT.name), pages)
        .exact(HUGE.of(PARENT.name), pages)
        .exact(PRIVATE.of(PARENT.name), pages)
        .exact(FAULTS, 1)
        .why("One fault, one huge page."),
        apart(step("fork", Worker::fork), 0, [true, true]).exact(CHANGED.of(PARENT.name), 0).why(
            "One entry was copied. Both now map the huge page, and it is no longer exclusive to either. (In \
                  smaps, PSS charges half of it to each.)",
        ),
        apart(step("the child writes one byte", |w| w.write(0, 0..1)).by(Who::Child), 1, [true, false])
            .exact(FAULTS, 1)
            .exact(CHANGED.of(PARENT.name), 0)
            .exact(CHANGED.of(CHILD.name), 1)
            .why(
                "The child's entry is split into small ones, and one page is copied. The parent's entry is unchanged.",
            ),
        apart(step("the parent writes all pages", move |w| w.write(0, 0..pages)), pages, [false, false])
            .exact(FAULTS, pages)
            .exact(CHANGED.of(PARENT.name), pages)
            .exact(CHANGED.of(CHILD.name), 0)
            .why(
                "One fault and one copy per page, even for the page the child no longer maps: the rest of the block is \
                 still mapped by the child, and the kernel does not reuse part of a block.",
            ),
    ])
}

/// What a write copies after a fork.
enum Copies {
    /// The huge page as a whole.
    Block,
    /// A small page; `known` is whether smaps then reports exactly one private page.
    Page { known: bool },
}

/// Probes it. The child reports the result in its exit status.
fn copies_small_pages(facts: &Facts<'_>, pages: usize) -> std::result::Result<Copies, Skip> {
    const BLOCK: i32 = 0;
    const PAGE: i32 = 1;
    const PAGE_KNOWN: i32 = 2;
    let mapping = HugePage::map(facts)?;
    mapping.write(0, 1);
    let child = forked(|| {
        mapping.write(0, 1);
        let known = private_bytes(facts, &mapping) == Some(facts.page() as u64);
        let others = || (1..pages).for_each(|page| mapping.write(page * facts.page(), 1));
        match faults_of(others) {
            Ok((minor, _)) if minor as usize >= pages - 1 => {
                if known {
                    PAGE_KNOWN
                } else {
                    PAGE
                }
            }
            _ => BLOCK,
        }
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, BLOCK) => Ok(Copies::Block),
        WaitStatus::Exited(_, status @ (PAGE | PAGE_KNOWN)) => Ok(Copies::Page { known: status == PAGE_KNOWN }),
        _ => Err(Skip("cannot find out what a forked process copies".to_owned())),
    }
}

/// The private bytes of a mapping of this process, by smaps.
fn private_bytes(facts: &Facts<'_>, mapping: &Mapping) -> Option<u64> {
    let keys = ["Private_Clean", "Private_Dirty"].map(str::to_owned);
    let own = Process::open(facts.root, std::process::id()).ok()?.smaps(&keys).ok()?;
    let values = &own.iter().find(|values| values.range.start == mapping.address())?.values;
    values.iter().map(|value| if let Some(Value::Bytes(bytes)) = value { Some(bytes) } else { None }).sum()
}

/// Reads [`PRIVATE`].
fn private(look: &mut Look<'_>) -> Result<()> {
    for subject in look.subjects {
        if look.process(subject.who).is_none() {
            continue;
        }
        let keys = ["Private_Clean", "Private_Dirty"].map(|key| look.smaps_pages(subject, key));
        if let [Some(clean), Some(dirty)] = keys {
            look.add(PRIVATE.of(subject.name), "smaps", clean + dirty);
        }
        if look.frame_reader.is_some() {
            let once = look.count_pages(subject, |run| run.mapcount == Some(1))?;
            look.add(PRIVATE.of(subject.name), "kpagecount", once);
        }
    }
    Ok(())
}
