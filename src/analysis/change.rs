//! What changed between two looks at the same process.

use serde::Serialize;

use super::frames::ProcessFrames;
use crate::unit::VirtAddr;

/// The change of a ledger since the last round, in base pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of the present entries.
    pub present_pages: i64,
    /// Of the resident frames.
    pub resident_pages: i64,
    /// Of the swapped-out entries.
    pub swapped_pages: i64,
    /// Of the number of mappings.
    pub vmas: i64,
}

/// What the next round has to know of this one.
#[derive(Clone, Debug)]
pub struct Before {
    pid: u32,
    start_time_ticks: u64,
    present: u64,
    resident: u64,
    swapped: u64,
    vma_count: usize,
    /// Start and present pages of every row, ascending by start.
    rows: Vec<(VirtAddr, u64)>,
}

impl Before {
    /// What to keep of a round; `None` for a process without a ledger.
    pub fn of(process: &ProcessFrames) -> Option<Self> {
        let ledger = process.ledger.as_ref()?;
        Some(Self {
            pid: process.pid,
            start_time_ticks: process.start_time_ticks,
            present: ledger.present_pages,
            resident: ledger.resident_pages,
            swapped: ledger.swapped_pages,
            vma_count: process.vma_count,
            rows: process
                .vmas
                .iter()
                .filter_map(|row| Some((row.vma.range.start, row.counts.as_ref()?.present)))
                .collect(),
        })
    }

    /// Whether this is of the same process: the PID alone may have been given to another.
    pub fn is_of(&self, process: &ProcessFrames) -> bool {
        (self.pid, self.start_time_ticks) == (process.pid, process.start_time_ticks)
    }

    /// Writes the change since then into `now`, the same process.
    pub fn compare(&self, now: &mut ProcessFrames) {
        let Some(ledger) = &now.ledger else { return };
        now.change = Some(Change {
            present_pages: difference(ledger.present_pages, self.present),
            resident_pages: difference(ledger.resident_pages, self.resident),
            swapped_pages: difference(ledger.swapped_pages, self.swapped),
            vmas: difference(now.vma_count as u64, self.vma_count as u64),
        });
        for row in &mut now.vmas {
            let Some(counts) = &row.counts else { continue };
            let before = self.rows.binary_search_by_key(&row.vma.range.start, |(start, _)| *start);
            row.present_change = before.ok().map(|at| difference(counts.present, self.rows[at].1));
        }
    }
}

/// `now - before`, both counts of pages, which are far below `i64::MAX`.
fn difference(now: u64, before: u64) -> i64 {
    now.cast_signed() - before.cast_signed()
}
