//! How a process shares its frames: kpagecount for each, by the kernel's own arithmetic.

use std::collections::HashMap;

use crate::analysis::frames::{Owners, VmaRow};
use crate::error::Result;
use crate::kernel::words::Words;
use crate::unit::{PageSize, Pfn};

/// Frames that are looked up together. Sorting brings neighbours together, so that one call reads many; a larger batch
/// costs more memory than the calls it saves are worth.
const BATCH: usize = 256 * 1024;

/// A frame, the row that maps it (a process has at most 2³¹), and how often.
#[derive(Debug)]
struct Mapped {
    pfn: Pfn,
    row: u32,
    times: u32,
}

/// Collects the frames of rows and looks up their mapcounts, a batch at a time.
#[derive(Debug)]
pub struct OwnerCount<'k> {
    kpagecount: &'k Words,
    page_size: PageSize,
    pending: Vec<Mapped>,
    counted: HashMap<u32, Owners>,
}

impl<'k> OwnerCount<'k> {
    /// A count that reads this file.
    pub fn new(kpagecount: &'k Words, page_size: PageSize) -> Self {
        Self { kpagecount, page_size, pending: Vec::new(), counted: HashMap::new() }
    }

    /// Adds a frame that row number `row` maps, `times` times.
    pub fn push(&mut self, pfn: Pfn, row: usize, times: u64) -> Result<()> {
        let mut left = times;
        while left > 0 {
            let times = u32::try_from(left).unwrap_or(u32::MAX);
            self.pending.push(Mapped { pfn, row: row as u32, times });
            left -= u64::from(times);
            if self.pending.len() >= BATCH {
                self.look_up()?;
            }
        }
        Ok(())
    }

    /// Looks up what is left, and puts what was counted into the rows.
    pub fn finish(mut self, rows: &mut [VmaRow]) -> Result<()> {
        self.look_up()?;
        for (row, owners) in self.counted {
            rows[row as usize].owners = Some(Box::new(owners));
        }
        Ok(())
    }

    fn look_up(&mut self) -> Result<()> {
        let Self { kpagecount, page_size, pending, counted } = self;
        pending.sort_unstable_by_key(|mapped| mapped.pfn);
        kpagecount.gather(pending.iter().map(|mapped| mapped.pfn.0), |position, mapcount| {
            let Mapped { row, times, .. } = pending[position];
            add(counted.entry(row).or_default(), mapcount, u64::from(times), *page_size);
        })?;
        pending.clear();
        Ok(())
    }
}

/// The share of `pages` pages with this mapcount: the size of each shifted left by 12, divided by its mapcount, and what is
/// left over is dropped. (fs/proc/task_mmu.c, smaps_page_accumulate; PSS_SHIFT)
fn add(owners: &mut Owners, mapcount: Option<u64>, pages: u64, page_size: PageSize) {
    match mapcount {
        // A present page whose frame is not mapped: it was unmapped between the two reads.
        None | Some(0) => owners.unknown += pages,
        Some(1) => owners.exclusive += pages,
        Some(_) => owners.shared += pages,
    }
    if let Some(mapcount @ 1..) = mapcount {
        let share = (page_size.bytes() << 12) / mapcount;
        owners.pss_shifted = owners.pss_shifted.saturating_add(share.saturating_mul(pages));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_is_the_kernels_arithmetic() {
        let mut owners = Owners::default();
        for mapcount in [Some(1), Some(3), Some(3), Some(0), None] {
            add(&mut owners, mapcount, 1, PageSize::new(4096).unwrap());
        }
        assert_eq!((owners.exclusive, owners.shared, owners.unknown), (1, 2, 2));
        // (4096 << 12) / 3 = 5592405 each, cut off; twice that and a whole page, shifted back: 6826 bytes.
        assert_eq!(owners.pss_bytes(), 6826);
    }
}
