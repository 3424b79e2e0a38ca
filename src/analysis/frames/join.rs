//! The merge-join of mappings and scanned regions: both ascend, each is looked at once.

use crate::analysis::frames::VmaRow;
use crate::kernel::scan::{Region, category};
use crate::unit::{PageSize, VirtAddr};

/// Puts regions into rows as they come.
#[derive(Debug)]
pub struct Join<'r> {
    rows: &'r mut [VmaRow],
    at: usize,
    page_size: PageSize,
    /// Pages found outside all rows: the process mapped them after its `maps` was read.
    outside_pages: u64,
}

impl<'r> Join<'r> {
    /// A join into these rows, which must ascend without overlap.
    pub fn new(rows: &'r mut [VmaRow], page_size: PageSize) -> Self {
        Self { rows, at: 0, page_size, outside_pages: 0 }
    }

    /// Takes the next region, which must not begin before the end of the last, and calls `each` with every row it
    /// touches, the index of that row, and the part of the region in it.
    pub fn region<E>(
        &mut self,
        region: &Region,
        mut each: impl FnMut(&mut VmaRow, usize, Region) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = region.start;
        while from < region.end {
            while self.rows.get(self.at).is_some_and(|row| row.vma.range.end <= from) {
                self.at += 1;
            }
            let Some(row) = self.rows.get_mut(self.at) else {
                self.outside(from, region.end);
                return Ok(());
            };
            if row.vma.range.start > from {
                let gap_end = row.vma.range.start.min(region.end);
                self.outside(from, gap_end);
                from = gap_end;
                continue;
            }
            let end = row.vma.range.end.min(region.end);
            each(row, self.at, Region { start: from, end, categories: region.categories })?;
            from = end;
        }
        Ok(())
    }

    /// Ends the join; returns the rows and the pages that were found in none of them.
    pub fn finish(self) -> (&'r mut [VmaRow], u64) {
        (self.rows, self.outside_pages)
    }

    fn outside(&mut self, from: VirtAddr, to: VirtAddr) {
        self.outside_pages += self.page_size.pages_between(&(from..to));
    }
}

/// Counts what a region says for certain: everything but what a swap-like entry really is.
pub fn count(row: &mut VmaRow, region: &Region, page_size: PageSize) {
    let pages = page_size.pages_between(&(region.start..region.end));
    let counts = row.counts.get_or_insert_default();
    let is = |bit| region.categories & bit != 0;
    if is(category::PRESENT) {
        counts.present += pages;
        counts.huge += if is(category::HUGE) { pages } else { 0 };
        counts.zero += if is(category::PFNZERO) { pages } else { 0 };
    } else if is(category::GUARD) {
        counts.guard += pages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::processes::kind::Kind;
    use crate::model::vma::Vma;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::path::Path;

    const PAGE: u64 = 4096;

    fn page_size() -> PageSize {
        PageSize::new(PAGE).unwrap()
    }

    fn rows_of(ranges: &[(u64, u64)]) -> Vec<VmaRow> {
        let vma = |&(from, to): &(u64, u64)| {
            let line = format!("{:08x}-{:08x} rw-p 00000000 00:00 0 ", from * PAGE, to * PAGE);
            VmaRow::new(Vma::parse(line.as_bytes(), Path::new("m"), 1).unwrap(), Kind::Anon, page_size())
        };
        ranges.iter().map(vma).collect()
    }

    fn join(rows: &mut [VmaRow], regions: &[(u64, u64)]) -> u64 {
        let mut join = Join::new(rows, page_size());
        for &(from, to) in regions {
            let region =
                Region { start: VirtAddr(from * PAGE), end: VirtAddr(to * PAGE), categories: category::PRESENT };
            let done: Result<(), Infallible> = join.region(&region, |row, _, part| {
                count(row, &part, page_size());
                Ok(())
            });
            assert!(done.is_ok());
        }
        join.finish().1
    }

    fn present(rows: &[VmaRow]) -> Vec<u64> {
        rows.iter().map(|row| row.counts.unwrap().present).collect()
    }

    #[test]
    fn a_region_across_mappings_is_shared_out() {
        let mut rows = rows_of(&[(10, 20), (20, 30), (40, 50)]);
        assert_eq!(join(&mut rows, &[(5, 25), (26, 45), (48, 60)]), 5 + 10 + 10);
        assert_eq!(present(&rows), [10, 5 + 4, 5 + 2]);
    }

    /// Sorted cut points make ranges that ascend without overlap.
    fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::btree_set(1u64..200, 0..20).prop_map(|cuts| {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
        })
    }

    proptest! {
        #[test]
        fn every_page_is_counted_once(vmas in ranges(), regions in ranges()) {
            let mut rows = rows_of(&vmas);
            let outside = join(&mut rows, &regions);
            let overlap = |a: &(u64, u64), b: &(u64, u64)| a.1.min(b.1).saturating_sub(a.0.max(b.0));
            let expected: Vec<u64> = vmas.iter().map(|v| regions.iter().map(|r| overlap(v, r)).sum()).collect();
            prop_assert_eq!(present(&rows), expected.clone());
            let all: u64 = regions.iter().map(|r| r.1 - r.0).sum();
            prop_assert_eq!(outside, all - expected.iter().sum::<u64>());
        }
    }
}
