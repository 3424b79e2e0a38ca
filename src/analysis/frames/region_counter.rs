//! Counts scanned regions: they are joined with the rows, and words are read where a scan does not report enough.

use crate::analysis::frames::VmaRow;
use crate::analysis::frames::by_words::WordCount;
use crate::analysis::frames::join::{self, Join};
use crate::analysis::frames::owners::OwnerCount;
use crate::analysis::processes::kind::Kind;
use crate::error::Result;
use crate::kernel::scan::{Region, category};
use crate::unit::PageSize;

/// Takes scanned regions, joins them with the rows, and looks closer where a scan does not report enough.
pub(super) struct RegionCounter<'k, 'r> {
    join: Join<'r>,
    words: WordCount<'k>,
    owners: Option<OwnerCount<'k>>,
    page_size: PageSize,
    check_huge_zero: &'k dyn Fn() -> bool,
    unsure_of_huge_zero: bool,
}

impl<'k, 'r> RegionCounter<'k, 'r> {
    /// A counter that puts regions into `rows`. If `check_huge_zero` is set, every huge page is checked for being the
    /// zero page, because the scan does not report it.
    pub(super) fn new(
        rows: &'r mut [VmaRow],
        words: WordCount<'k>,
        owners: Option<OwnerCount<'k>>,
        page_size: PageSize,
        check_huge_zero: &'k dyn Fn() -> bool,
    ) -> Self {
        Self { join: Join::new(rows, page_size), words, owners, page_size, check_huge_zero, unsure_of_huge_zero: false }
    }

    /// Takes the next regions.
    pub(super) fn take(&mut self, regions: &[Region]) -> Result<()> {
        let Self { join, words, owners, page_size, check_huge_zero, unsure_of_huge_zero } = self;
        for region in regions {
            join.region(region, |row, number, part| {
                join::count(row, &part, *page_size);
                let counts = row.counts.get_or_insert_default();
                let range = page_size.index_of(part.start)..page_size.index_of(part.end);
                let is = |bit| part.categories & bit != 0;
                if !is(category::PRESENT) {
                    // A guard has been counted; the scan does not report which other swap-like entry it is.
                    return if is(category::GUARD) { Ok(()) } else { words.count_swap_like(range, counts) };
                }
                let maybe_zero =
                    is(category::HUGE) && !is(category::PFNZERO) && row.kind != Kind::Hugetlb && check_huge_zero();
                if maybe_zero {
                    let anonymous = matches!(row.kind, Kind::Anon | Kind::Heap);
                    let zero = words.count_zero(range.clone(), anonymous)?;
                    counts.zero += zero;
                    *unsure_of_huge_zero |= zero == 0 && anonymous && !words.sees_frame_flags();
                }
                match owners {
                    Some(owners) if !is(category::PFNZERO) && row.kind != Kind::Hugetlb => {
                        words.push_frames(range, number, maybe_zero, owners)
                    }
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Ends the join; returns the number of pages in no row, and whether huge zero pages may be counted as resident.
    pub(super) fn finish(self) -> Result<(u64, bool)> {
        let (rows, outside_pages) = self.join.finish();
        if let Some(owners) = self.owners {
            owners.finish(rows)?;
        }
        Ok((outside_pages, self.unsure_of_huge_zero))
    }
}
