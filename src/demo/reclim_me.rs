//! `reclim-me`: the process in an operating-systems lab where students count present page-table entries.

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, PRESENT, Quantity, SIZE, Unit, ZERO};
use super::script::{Step, Who, step};
use super::{BLANK, Demo, Skip};
use crate::error::Result;

/// Pages written by default.
const PAGES: usize = 10;

/// Present entries of the whole process. Source: pagemap.
const ALL_PRESENT: Quantity = Quantity::new("process_present_pages", "present", Unit::Pages);
/// Present entries that map the zero page. Source: pagemap.
const ALL_ZERO: Quantity = Quantity::new("process_zero_pages", "zero", Unit::Pages);
/// The process's memory as the kernel counts it. Source: statm.
const ALL_RSS: Quantity = Quantity::new("process_rss_pages", "RSS", Unit::Pages);
/// Present − zero − RSS. Source: statm, if it is exact and the process did not change during the read.
const REST: Quantity = Quantity::new("process_unexplained_pages", "rest", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "reclim-me",
    question: "how many of a process's pages are really in memory?",
    about: "A process from a lab exercise: it allocates a block, writes one page at a time, and finally only reads \
            one. At each step, its present page-table entries are counted and compared with its RSS. Its name is \
            reclim-me: watch it from another terminal with 'pmem frames reclim-me'.",
    learnt: "The block was only addresses. Each write made one entry present and raised RSS by one page. The page that \
             was only read is present too, but it maps the zero page, which all processes share and none is charged \
             for. So the present entries equal RSS once the zero page is subtracted: present − zero = RSS.",
    explain: "In the lab, a kernel module walks the page tables of a process called reclim-me (pgd, p4d, pud, pmd, \
              pte) and counts the entries that are pte_present. pagemap does the same walk in the kernel, for anyone \
              with permission. RSS is kept in a different way: it is a counter in the mm that goes up when a frame is \
              mapped and down when it is unmapped. A read fault in private anonymous memory maps the zero page as a \
              special entry, which is not a frame of the process and is not counted.",
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
            .why("A range of addresses is recorded. No entry becomes present."),
        step(format!("write {pages}, one by one"), |w| w.write(0, w.time..w.time + 1))
            .times(pages)
            .exact(FRAMES, pages)
            .exact(FAULTS, pages)
            .exact(REST, 0)
            .why("Each first write faults: one frame, one present entry, and one more page of RSS."),
        step("read the last", move |w| w.read(0, pages..pages + 1))
            .exact(FRAMES, pages)
            .exact(PRESENT, pages + 1)
            .exact(ZERO, 1)
            .exact(FAULTS, 1)
            .exact(REST, 0)
            .why("A read faults too, and its entry becomes present. It maps the zero page, so RSS does not change."),
    ])
}
