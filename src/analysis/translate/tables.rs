//! How many page tables a process needs, from one walk over its entries.

use std::ops::Range;

use serde::Serialize;

use crate::analysis::processes::address_space::Space;
use crate::analysis::processes::kind::Kind;
use crate::error::Result;
use crate::kernel::features::Features;
use crate::kernel::populated::populated;
use crate::kernel::scan::{Region, category};
use crate::kernel::walk::{self, Walk};
use crate::kernel::words::WINDOW;
use crate::model::page_table::Levels;
use crate::model::pagemap::Entry;
use crate::model::status;
use crate::model::vma::Vma;
use crate::unit::{PageSize, VirtAddr, difference};

/// The tables of one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LevelTables {
    /// The level's name: `PTE` tables are those that hold PTEs.
    pub name: &'static str,
    /// The number of tables that the entries below need.
    pub tables: u64,
    /// Of these, tables preallocated for splitting transparent huge pages; `None` if huge pages cannot be recognised.
    pub deposited: Option<u64>,
    /// Whether VmPTE counts this level.
    pub in_vm_pte: bool,
}

/// The tables that a process needs, compared with those it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// By level, from the top down.
    pub levels: Vec<LevelTables>,
    /// The sum of the levels that VmPTE counts.
    pub needed: u64,
    /// What VmPTE says, in tables.
    pub vm_pte: Option<u64>,
    /// How many more VmPTE says than are needed.
    pub more: Option<i64>,
    /// Why that may be, as a sentence.
    pub why: Option<&'static str>,
    /// Bytes of mappings that were skipped because pagemap had to be read word by word.
    pub passed_over_bytes: u64,
    /// Whether huge pages were recognised. Without a scan they are counted as small ones. For anonymous ones this is
    /// right, because their tables are kept in reserve; those of files and shared memory are counted with tables that
    /// do not exist.
    pub huge_told: bool,
}

/// Counts the page tables that the entries of a process need.
pub fn tables(space: &Space<'_>, levels: &Levels, features: &Features, page_size: PageSize) -> Result<Tables> {
    let kinds = space.kinds(&space.vmas, features)?;
    let mut mappings = Vec::new();
    for (vma, kind) in space.vmas.iter().zip(&kinds).filter(|(vma, _)| !vma.range.start.is_kernel()) {
        let page = match kind {
            Kind::Hugetlb => space.kernel_page_size(vma, features)?.unwrap_or(page_size.bytes()),
            _ => page_size.bytes(),
        };
        // Only memory that may later be split into anonymous pages needs a table for that.
        let deposits = matches!(kind, Kind::Anon | Kind::Heap | Kind::Stack);
        mappings.push(Mapping { vma, page, hugetlb: *kind == Kind::Hugetlb, deposits });
    }
    let mut count = Count::new(levels);
    let mut place = 0;
    let mut take = |region: &Region| {
        for mapping in mappings[place..].iter().take_while(|mapping| mapping.vma.range.start < region.end) {
            count.region(mapping, region);
        }
        place += mappings[place..].partition_point(|mapping| mapping.vma.range.end <= region.end);
    };
    let mut passed_over_bytes = 0;
    if !space.can_scan(features) {
        passed_over_bytes = by_words(space, features, page_size, &mut take)?;
    } else if let Some(recorded) = &space.recorded_scan {
        walk::replay(recorded, page_size, |regions| {
            regions.iter().for_each(&mut take);
            Ok(())
        })?;
    } else {
        walk::walk(&space.pagemap, &Walk::of(features, &space.status, page_size), |regions| {
            regions.iter().for_each(&mut take);
            Ok(())
        })?;
    }
    Ok(count.report(&space.status, page_size, passed_over_bytes, space.can_scan(features)))
}

/// What determines which tables the entries of a mapping need.
struct Mapping<'v> {
    vma: &'v Vma,
    /// The size of its pages, in bytes.
    page: u64,
    hugetlb: bool,
    deposits: bool,
}

struct Count<'l> {
    levels: &'l Levels,
    /// For each level, the tables, how many of them are deposited, and the index after the last table that was counted.
    tables: Vec<(u64, u64, u64)>,
}

impl<'l> Count<'l> {
    fn new(levels: &'l Levels) -> Self {
        Self { levels, tables: vec![(0, 0, 0); levels.all().len()] }
    }

    /// Counts the tables for the part of a region that is in a mapping. Regions ascend.
    fn region(&mut self, mapping: &Mapping<'_>, region: &Region) {
        let first = region.start.max(mapping.vma.range.start);
        let last = VirtAddr(region.end.min(mapping.vma.range.end).0.saturating_sub(1));
        if last < first {
            return;
        }
        let huge = !mapping.hugetlb && region.categories & category::HUGE != 0;
        let at = if huge { self.levels.huge() } else { self.levels.mapping(mapping.page) };
        for level in 1..self.tables.len() {
            let needed = self.levels.all()[level].shift >= at.shift;
            // The table for small pages exists too, deposited for when the huge page is split.
            let deposited = !needed && huge && mapping.deposits;
            if needed || deposited {
                // A table is what one entry of the level above covers.
                let shift = self.levels.all()[level - 1].shift;
                let (tables, deposits, behind) = &mut self.tables[level];
                let from = (first.0 >> shift).max(*behind);
                let new = ((last.0 >> shift) + 1).saturating_sub(from);
                *tables += new;
                *deposits += if deposited { new } else { 0 };
                *behind = from + new;
            }
        }
    }

    fn report(self, status: &[u8], page_size: PageSize, passed_over_bytes: u64, huge_told: bool) -> Tables {
        let levels: Vec<LevelTables> = self.levels.all()[1..]
            .iter()
            .zip(&self.tables[1..])
            // The kernel counts PTE, PMD and PUD tables. (mm_inc_nr_ptes etc., include/linux/mm.h)
            .map(|(level, &(tables, deposited, _))| LevelTables {
                name: level.name,
                tables,
                deposited: huge_told.then_some(deposited),
                in_vm_pte: level.name != "P4D",
            })
            .collect();
        let needed = levels.iter().filter(|level| level.in_vm_pte).map(|level| level.tables).sum();
        let vm_pte = status::bytes_of(status, "VmPTE").map(|bytes| page_size.pages_in(bytes));
        let more = vm_pte.map(|vm_pte| difference(vm_pte, needed));
        let why = more.and_then(|more| match more {
            0 => None,
            1.. => Some(
                "empty tables remain where memory was freed (MADV_DONTNEED keeps them) or file pages were reclaimed; \
                 and the entries of some mappings are not shown ([vvar], devices)",
            ),
            _ if !huge_told => Some(
                "huge pages of files and shared memory were counted with tables that they do not need, or the process \
                 changed its memory during the reading",
            ),
            _ => Some("the process changed its memory during the reading"),
        });
        Tables { levels, needed, vm_pte, more, why, passed_over_bytes, huge_told }
    }
}

/// Without a scan: passes on what is not empty in the page map, word by word. Returns how many bytes were skipped
/// because smaps counts nothing in them.
fn by_words(
    space: &Space<'_>,
    features: &Features,
    page_size: PageSize,
    take: &mut impl FnMut(&Region),
) -> Result<u64> {
    let address = |index: u64| VirtAddr(page_size.bytes_of(index));
    let region = |from: u64, to: u64| Region { start: address(from), end: address(to), categories: 0 };
    if let Some(runs) = space.pagemap.recorded() {
        let not_empty = runs.between(0, u64::MAX).filter(|run| run.step != 0 || !Entry(run.word).is_empty());
        not_empty.for_each(|run| take(&region(run.index, run.end())));
        return Ok(0);
    }
    let mut words = vec![0; WINDOW];
    populated(space.process, &space.pagemap, features, page_size, &EVERYTHING, false, |range| {
        space.pagemap.windows(range, &mut words, |first, part| {
            for (index, _) in (first..).zip(part).filter(|(_, word)| !Entry(**word).is_empty()) {
                take(&region(index, index + 1));
            }
            Ok(())
        })
    })
}

const EVERYTHING: Range<VirtAddr> = VirtAddr(0)..VirtAddr(1 << 63);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const PAGE: u64 = 4096;

    fn x86(levels: u32) -> Levels {
        Levels::of("x86_64", PageSize::new(PAGE).unwrap(), 1 << 47, Some(levels)).unwrap()
    }

    /// Tables by level for regions `(start, pages, categories)` in one mapping of everything.
    fn counted(
        levels: &Levels,
        page: u64,
        deposits: bool,
        regions: &[(u64, u64, u64)],
    ) -> Vec<(&'static str, u64, u64)> {
        let vma = Vma::parse(b"00001000-7ffffffff000 rw-p 00000000 00:00 0 ", Path::new("m"), 1).unwrap();
        let mut count = Count::new(levels);
        for &(start, pages, categories) in regions {
            let region = Region { start: VirtAddr(start), end: VirtAddr(start + pages * PAGE), categories };
            count.region(&Mapping { vma: &vma, page, hugetlb: page > PAGE, deposits }, &region);
        }
        let report = count.report(b"VmPTE:\t40 kB\n", PageSize::new(PAGE).unwrap(), 0, true);
        report.levels.iter().map(|level| (level.name, level.tables, level.deposited.unwrap())).collect()
    }

    #[test]
    fn tables_are_those_that_hold_the_entries() {
        let levels = x86(4);
        // 100 pages 10 GiB apart, seen on Linux 6.18: 100 + 100 + 2 tables (two slots of 512 GiB, from 0x200000000000).
        let sparse: Vec<_> = (0..100).map(|n| (0x2000_0000_0000 + n * (10 << 30), 1, 0)).collect();
        assert_eq!(counted(&levels, PAGE, true, &sparse), [("PUD", 2, 0), ("PMD", 100, 0), ("PTE", 100, 0)]);
        // Two pages around the end of a table, then one more in the second.
        let around = [(0x7f00_001f_f000, 2, 0), (0x7f00_0030_0000, 1, 0)];
        assert_eq!(counted(&levels, PAGE, true, &around), [("PUD", 1, 0), ("PMD", 1, 0), ("PTE", 2, 0)]);
        let five = counted(&x86(5), PAGE, true, &around);
        assert_eq!(five, [("P4D", 1, 0), ("PUD", 1, 0), ("PMD", 1, 0), ("PTE", 2, 0)]);
        assert_eq!(counted(&levels, PAGE, true, &[]), [("PUD", 0, 0), ("PMD", 0, 0), ("PTE", 0, 0)]);
    }

    #[test]
    fn a_huge_page_needs_no_table_of_small_ones_but_may_have_one() {
        let levels = x86(4);
        let huge = [(0x2000_0000_0000, 1024, category::HUGE)];
        assert_eq!(counted(&levels, PAGE, true, &huge), [("PUD", 1, 0), ("PMD", 1, 0), ("PTE", 2, 2)]);
        assert_eq!(counted(&levels, PAGE, false, &huge), [("PUD", 1, 0), ("PMD", 1, 0), ("PTE", 0, 0)]);
        assert_eq!(counted(&levels, 2 << 20, false, &huge), [("PUD", 1, 0), ("PMD", 1, 0), ("PTE", 0, 0)]);
        let giant = [(0x2000_0000_0000, 1 << 18, category::HUGE)];
        assert_eq!(counted(&levels, 1 << 30, false, &giant), [("PUD", 1, 0), ("PMD", 0, 0), ("PTE", 0, 0)]);
    }

    #[test]
    fn a_difference_is_told_and_the_fourth_level_is_not_in_it() {
        let levels = x86(5);
        let report =
            |status: &str| Count::new(&levels).report(status.as_bytes(), PageSize::new(PAGE).unwrap(), 0, true);
        assert_eq!((report("VmPTE:\t8 kB\n").more, report("VmPTE:\t8 kB\n").why.is_some()), (Some(2), true));
        assert_eq!((report("VmPTE:\t0 kB\n").more, report("VmPTE:\t0 kB\n").why), (Some(0), None));
        assert_eq!(report("").vm_pte, None);
        assert!(!report("").levels[0].in_vm_pte);
    }
}
