//! One reading of a process: what was read, whether the process changed, and what the reader must know about that.

use crate::analysis::frames::by_words::Blind;
use crate::analysis::frames::{Ledger, VmaRow, ledger};
use crate::analysis::note::Note;
use crate::error::Result;
use crate::kernel::features::Features;
use crate::kernel::process::Process;

/// What one look at a process found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) rows: Vec<VmaRow>,
    /// The number of mappings: fewer than there are rows if a range cuts some.
    pub(super) vma_count: usize,
    pub(super) torn: bool,
    /// A range was requested, but mappings are shown whole.
    pub(super) whole: bool,
    pub(super) outside_pages: u64,
    pub(super) blind: Blind,
    /// VmSwap, in pages.
    pub(super) vm_swap: Option<u64>,
    /// Huge pages may be the zero page, which cannot be determined.
    pub(super) unsure_of_huge_zero: bool,
    /// What would show that the process changed, read before and after everything else.
    pub(super) witnesses: (Witness, Witness),
    /// Rss of smaps_rollup, in pages, if requested.
    pub(super) rss: Option<u64>,
    pub(super) threads: u64,
}

/// What changes when a process's memory does: its sizes as statm has them, and the faults it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) statm_size: u64,
    pub(super) statm_resident: u64,
    pub(super) statm_shared: u64,
    pub(super) faults: (u64, u64),
}

impl Witness {
    /// Reads them.
    pub(super) fn of(process: &Process) -> Result<Self> {
        let statm = process.statm()?;
        Ok(Self {
            statm_size: statm.size,
            statm_resident: statm.resident,
            statm_shared: statm.shared,
            faults: process.stat()?.faults,
        })
    }
}

impl Look {
    /// What statm says is resident.
    pub(super) fn statm(&self) -> u64 {
        self.witnesses.1.statm_resident
    }

    /// Whether the process was seen to change while it was read.
    pub(super) fn moved(&self) -> bool {
        self.torn || self.outside_pages > 0 || self.witnesses.0 != self.witnesses.1
    }

    /// Whether the kernel's counters agree with what was counted, as far as they are exact.
    pub(super) fn agrees(&self, features: &Features) -> bool {
        let mine = ledger(&self.rows, self.statm(), self.rss);
        let statm_agrees = self.statm() == mine.resident_pages || features.statm_exact == Some(false);
        statm_agrees && self.rss.is_none_or(|rss| rss == mine.resident_pages)
    }

    fn how_it_moved(&self) -> String {
        let (before, after) = self.witnesses;
        let what = match (before, after) {
            _ if before.statm_resident != after.statm_resident => {
                format!("statm went from {} to {} pages", before.statm_resident, after.statm_resident)
            }
            _ if before.faults != after.faults => "it took page faults".to_owned(),
            _ => "its mappings changed".to_owned(),
        };
        format!("the process changed while it was read: {what}")
    }

    /// What the reader must know about it.
    pub(super) fn notes(&self, pid: u32, ledger: &Ledger) -> Vec<Note> {
        let (held_still, unexplained, swapped) = (ledger.held_still, ledger.unexplained_pages, ledger.swapped_pages);
        let exact = ledger.statm_bound_pages.is_none();
        let mut notes = Vec::new();
        let mut note = |code, text: String| notes.push(Note::of(pid, code, text));
        if self.torn {
            note(
                "maps-torn",
                "the process changed its mappings while they were read; overlapping ones were clipped".into(),
            );
        }
        if self.outside_pages > 0 {
            note(
                "mapped-meanwhile",
                format!("{} present or swapped pages were in mappings made after maps was read", self.outside_pages),
            );
        }
        if let Some(bound) = ledger.statm_bound_pages {
            note(
                "statm-approximate",
                format!("on this kernel statm may be off by up to {bound} pages; smaps is exact (--verify)"),
            );
        }
        if !held_still {
            note("moving", self.how_it_moved());
        } else if unexplained != 0 && (ledger.smaps_rss_pages.is_some() || exact) {
            note("unexplained", format!("the readings differ by {unexplained} pages, and no change was seen"));
        }
        if self.unsure_of_huge_zero {
            note(
                "huge-zero-unknown",
                "huge zero pages may be counted as resident: this kernel's PAGEMAP_SCAN does not report them, and \
                 frame flags are hidden"
                    .into(),
            );
        }
        if self.whole {
            note(
                "range-whole",
                "mappings are shown whole, not cut to the range: without PAGEMAP_SCAN some counts come from \
                 smaps, which covers whole mappings only"
                    .into(),
            );
        }
        if let Some(vm_swap) = self.vm_swap.filter(|&pages| held_still && exact && pages != swapped) {
            note(
                "swap-differs",
                format!(
                    "{swapped} entries look swapped out, but VmSwap is {vm_swap} pages: without access to frame numbers, \
                     userfaultfd and poison markers look like swap"
                ),
            );
        }
        if self.blind.passed_over_bytes > 0 {
            note(
                "passed-over",
                format!(
                    "{} bytes of mappings with no pages in smaps were skipped; zero pages and markers in them are not \
                     counted (this kernel has no PAGEMAP_SCAN)",
                    self.blind.passed_over_bytes
                ),
            );
        }
        if self.blind.zero_inferred {
            note(
                "zero-inferred",
                "zero pages are inferred from what smaps omits: frames or their flags are hidden, and this kernel \
                 has no PAGEMAP_SCAN"
                    .into(),
            );
        }
        let unknown: u64 = self.rows.iter().filter_map(|row| row.owners.as_ref()).map(|o| o.unknown).sum();
        if unknown > 0 {
            note(
                "mapcount-unknown",
                format!("the mapcount of {unknown} pages is not known: they were unmapped during the reading"),
            );
        }
        notes
    }
}
