//! What changed between two looks at the same process.

use std::ops::Range;

use crate::analysis::frames::{ProcessFrames, VmaRow};
use crate::unit::{VirtAddr, difference};

/// The change of a ledger since the last round, in base pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// In present entries.
    pub present_pages: i64,
    /// In resident frames.
    pub resident_pages: i64,
    /// In swapped-out entries.
    pub swapped_pages: i64,
    /// In the number of mappings.
    pub vmas: i64,
}

/// What the next round has to know about this one.
#[derive(Clone, Debug)]
pub struct Before {
    pid: u32,
    start_time_ticks: u64,
    present: u64,
    resident: u64,
    swapped: u64,
    vma_count: usize,
    /// Addresses and present pages of every mapping, ascending.
    rows: Vec<(Range<VirtAddr>, u64)>,
}

impl Before {
    /// What to keep from a round; `None` for a process without a ledger.
    pub fn of(process: &ProcessFrames) -> Option<Self> {
        let ledger = process.ledger.as_ref()?;
        let present = |row: &VmaRow| row.counts.as_ref().map_or(0, |counts| counts.present);
        Some(Self {
            pid: process.pid,
            start_time_ticks: process.start_time_ticks,
            present: ledger.present_pages,
            resident: ledger.resident_pages,
            swapped: ledger.swapped_pages,
            vma_count: process.vma_count,
            rows: process.vmas.iter().map(|row| (row.vma.range.clone(), present(row))).collect(),
        })
    }

    /// The process's PID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether this is the same process: the PID alone may have been reused.
    pub fn is_of(&self, process: &ProcessFrames) -> bool {
        (self.pid, self.start_time_ticks) == (process.pid, process.start_time_ticks)
    }

    /// Writes the changes since then into `now`, the same process with all its mappings, ascending.
    ///
    /// A mapping is compared with what was at its addresses, so that those that grow downwards, are merged or are split
    /// keep their change. The pages of an old mapping count for the first new one that overlaps it.
    pub fn compare(&self, now: &mut ProcessFrames) {
        let Some(ledger) = &now.ledger else { return };
        now.change = Some(Change {
            present_pages: difference(ledger.present_pages, self.present),
            resident_pages: difference(ledger.resident_pages, self.resident),
            swapped_pages: difference(ledger.swapped_pages, self.swapped),
            vmas: difference(now.vma_count as u64, self.vma_count as u64),
        });
        let mut old = self.rows.iter().peekable();
        for row in &mut now.vmas {
            let mut before = 0;
            while let Some((range, present)) = old.peek() {
                if range.start >= row.vma.range.end {
                    break;
                }
                // One that ended before this mapping is gone, and has no row.
                before += if range.end > row.vma.range.start { *present } else { 0 };
                old.next();
            }
            row.present_change = row.counts.as_ref().map(|counts| difference(counts.present, before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::frames::{Counts, ledger};
    use crate::analysis::processes::kind::Kind;
    use crate::model::vma::Vma;
    use crate::name::Name;
    use crate::unit::PageSize;
    use std::path::Path;

    fn process(rows: &[(u64, u64, u64)]) -> ProcessFrames {
        let row = |&(from, to, present): &(u64, u64, u64)| {
            let line = format!("{:08x}-{:08x} rw-p 00000000 00:00 0 ", from << 12, to << 12);
            let vma = Vma::parse(line.as_bytes(), Path::new("m"), 1).unwrap();
            let mut row = VmaRow::new(vma, Kind::Anon, PageSize::new(4096).unwrap());
            row.counts = Some(Counts { present, ..Counts::default() });
            row
        };
        let vmas: Vec<VmaRow> = rows.iter().map(row).collect();
        ProcessFrames {
            pid: 1,
            comm: Name::default(),
            command_line: Name::default(),
            start_time_ticks: 0,
            no_address_space: None,
            ledger: Some(ledger(&vmas, 0, None)),
            owners: None,
            vma_count: vmas.len(),
            vmas,
            change: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_mapping_that_grows_downwards_shows_its_growth() {
        let before = Before::of(&process(&[(10, 20, 5), (50, 60, 7), (80, 90, 3)])).unwrap();
        let mut now = process(&[(10, 15, 4), (15, 20, 4), (40, 60, 17), (95, 99, 2)]);
        before.compare(&mut now);
        let changes: Vec<_> = now.vmas.iter().map(|row| row.present_change).collect();
        assert_eq!(changes, [Some(-1), Some(4), Some(10), Some(2)], "split, grown downwards, new");
        assert_eq!(now.change.map(|change| change.present_pages), Some(27 - 15));
    }
}
