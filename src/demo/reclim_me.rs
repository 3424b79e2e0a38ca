//! `reclim-me`: the process whose present page-table entries a lab of operating systems has its students count.

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, PRESENT, Quantity, SIZE, Unit, ZERO};
use super::script::{Step, Who, step};
use super::{BLANK, Demo, Skip};
use crate::error::Result;

/// Pages that are written, where no number was asked for.
const PAGES: usize = 10;

/// Present entries of the whole process. Source: pagemap.
const ALL_PRESENT: Quantity = Quantity::new("process_present_pages", "present", Unit::Pages);
/// Of these, entries of the zero page. Source: pagemap.
const ALL_ZERO: Quantity = Quantity::new("process_zero_pages", "zero", Unit::Pages);
/// What the kernel counts as the process's memory. Source: statm.
const ALL_RSS: Quantity = Quantity::new("process_rss_pages", "RSS", Unit::Pages);
/// Present less zero less that. Source: statm, where it is exact and the process held still.
const REST: Quantity = Quantity::new("process_unexplained_pages", "rest", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "reclim-me",
    question: "how many of a process's pages are really there?",
    about: "The process of a lab: it allocates a block, writes a page of it now and then, and at last only reads one. Its \
            present page-table entries are counted meanwhile, and held against its RSS. Its name is reclim-me: look at it from \
            another terminal with 'pmem frames reclim-me'.",
    learnt: "The block was addresses only. Each write made one entry present, and RSS a page larger. The page that was \
    only read \
             is present too, but what it maps is the zero page, which all processes share and none is charged for. So the \
             count \
             of present entries is the RSS once the zero page is taken out: present − zero = RSS.",
    explain: "The lab has a kernel module walk the page tables of a process called reclim-me (pgd, p4d, pud, pmd, pte) \
    and count \
              the entries of which pte_present says yes. pagemap is the same walk, made by the kernel for whoever may \
              look. RSS \
              is kept otherwise: a counter of the mm that goes up where a frame is mapped and down where it is unmapped. The \
              fault of a read in private anonymous memory maps the zero page as a special entry, without a frame of the \
              process's own, and counts nothing.",
    functions: &[
        ("do_anonymous_page", "mm/memory.c"),
        ("vm_normal_page", "mm/memory.c"),
        ("pagemap_read", "fs/proc/task_mmu.c"),
        ("add_mm_counter", "include/linux/mm.h"),
        ("task_statm", "fs/proc/task_mmu.c"),
    ],
    paced: true,
    columns: &[ALL_PRESENT, ALL_ZERO, ALL_RSS, REST, FRAMES],
    readers: &[whole_process],
    script,
    ..BLANK
};

/// The ledger of `pmem frames`.
fn whole_process(look: &mut Look<'_>) -> Result<()> {
    let Some(ledger) = look.ledger(Who::Worker) else { return Ok(()) };
    let exact = look.facts.features.statm_exact == Some(true) && ledger.held_still;
    look.add(ALL_PRESENT, "pagemap", ledger.present_pages as i64);
    look.add(ALL_ZERO, "pagemap", ledger.zero_pages as i64);
    look.add(ALL_RSS, "statm", ledger.statm_resident_pages as i64);
    if exact {
        look.add(REST, "statm", ledger.unexplained_pages);
    }
    Ok(())
}

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let pages = facts.pages.unwrap_or(PAGES);
    Ok(vec![
        step(format!("allocate {} pages", pages + 1), move |w| w.map(0, pages + 1))
            .exact(SIZE, pages + 1)
            .exact(FRAMES, 0)
            .exact(FAULTS, 0)
            .exact(REST, 0)
            .why("A range of addresses is written down. No entry becomes present."),
        step(format!("write {pages}, one by one"), |w| w.write(0, w.time..w.time + 1))
            .times(pages)
            .exact(FRAMES, pages)
            .exact(FAULTS, pages)
            .exact(REST, 0)
            .why("Each first write faults: one frame, one present entry, and RSS one page larger."),
        step("read the last", move |w| w.read(0, pages..pages + 1))
            .exact(FRAMES, pages)
            .exact(PRESENT, pages + 1)
            .exact(ZERO, 1)
            .exact(FAULTS, 1)
            .exact(REST, 0)
            .why("A read faults too, and its entry is present. What it maps is the zero page: RSS stays."),
    ])
}
