//! `pmem buddy`: what is free in each zone, in blocks of what size, and how near the watermarks it is.

use serde::Serialize;

use crate::analysis::note::Note;
use crate::analysis::physical::huge_blocks::{self, HugeBlocks};
use crate::analysis::physical::phys;
use crate::error::{Error, Result};
use crate::kernel::catalogue::what_would_help;
use crate::kernel::frame_files::{self, FLAGS};
use crate::kernel::physical::{Physical, overlap};
use crate::kernel::root::{Root, text};
use crate::kernel::sweep::WINDOW;
use crate::model::buddyinfo::{self, FreeBlocks, pages_from};
use crate::model::meminfo::Meminfo;
use crate::model::pagetypeinfo::{self, PageTypes};
use crate::model::zoneinfo::{self, Zone};
use crate::unit::{PageSize, difference};

/// The most to read from one of these files, in bytes: zoneinfo has a few lines for each zone and CPU.
const LARGEST: u64 = 64 << 20;

/// The report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Buddy {
    /// The order of a huge page: it is 2^this base pages.
    pub huge_page_order: u32,
    /// The size of a huge page.
    pub huge_page_bytes: u64,
    /// MemFree minus the free blocks: about 0 unless memory initialisation is deferred.
    pub not_in_blocks_bytes: Option<u64>,
    /// The zones that have memory.
    #[serde(skip)]
    pub zones: Vec<ZoneReport>,
    /// Free blocks and page blocks by migrate type; `None` if they cannot be read.
    pub migrate_types: Option<Vec<MigrateType>>,
    /// The blocks of huge page size in all zones; `None` unless frame flags were read.
    pub huge_blocks: Option<HugeBlocks>,
}

/// One zone of one node.
#[derive(Clone, Debug)]
pub struct ZoneReport {
    /// The node.
    pub node: u32,
    /// The zone's name.
    pub zone: String,
    /// The number of free blocks of 2^order base pages, by order.
    pub free_blocks: Vec<u64>,
    /// Base pages in these blocks.
    pub free_pages: u64,
    /// The same in bytes.
    pub free_bytes: u64,
    /// The change since the round before.
    pub free_change_pages: Option<i64>,
    /// By order, the share of the free memory that is in blocks too small for a request of this order, from 0 to 1;
    /// `None` where nothing is free. (unusable_free_index, mm/vmstat.c)
    pub unusable_index: Option<Vec<f64>>,
    /// Free blocks of the size of a huge page, including those within larger blocks.
    pub free_huge_pages: u64,
    /// Free pages on per-CPU lists: not in any free block, and without a frame flag.
    pub per_cpu_pages: u64,
    /// How near the zone is to being reclaimed.
    pub watermarks: Watermarks,
    /// Pages from the zone's first to its last, holes included.
    pub spanned_pages: u64,
    /// Pages that exist.
    pub present_pages: u64,
    /// Pages that the buddy allocator was given.
    pub managed_pages: u64,
    /// The blocks of the zone that could be huge pages; `None` unless frame flags were read.
    pub huge_blocks: Option<HugeBlocks>,
}

/// The watermarks of a zone, in base pages; they include the boost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The counter of free pages that they are compared with.
    pub free_pages: u64,
    /// Below it only emergency allocations succeed.
    pub min_pages: u64,
    /// Below it kswapd wakes up.
    pub low_pages: u64,
    /// Above it kswapd sleeps.
    pub high_pages: u64,
    /// The one for promotion from a slower tier; `None` before Linux 6.12.
    pub promo_pages: Option<u64>,
    /// By how much they are temporarily raised; `None` before Linux 5.10.
    pub boost_pages: Option<u64>,
    /// The free pages compared with the watermarks.
    pub standing: Standing,
}

/// The free pages of a zone compared with its watermarks. A watermark is met while more pages than that are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// More than `high`: kswapd leaves the zone alone.
    AboveHigh,
    /// More than `low`: kswapd is not woken, but continues if it is running.
    AboveLow,
    /// More than `min`: kswapd is woken.
    AboveMin,
    /// `min` or less: allocations must reclaim directly.
    AtMin,
}

impl Standing {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::AboveHigh => "above_high",
            Self::AboveLow => "above_low",
            Self::AboveMin => "above_min",
            Self::AtMin => "at_min",
        }
    }
}

/// The free blocks and the page blocks of one migrate type in one zone.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MigrateType {
    /// The node.
    pub node: u32,
    /// The zone's name.
    pub zone: String,
    /// The type, as the kernel names it.
    pub migrate_type: String,
    /// The number of free blocks, by order.
    pub free_blocks: Vec<u64>,
    /// Base pages in these blocks.
    pub free_pages: u64,
    /// Whether there may be more: the kernel stops counting the blocks of an order at 100,000.
    pub at_least: bool,
    /// Page blocks of this type, used or free.
    pub page_blocks: Option<u64>,
}

/// What the kernel's files say, read in quick succession.
#[derive(Debug)]
pub struct Machine {
    /// All zones.
    pub zones: Vec<Zone>,
    free: Vec<FreeBlocks>,
    mem_free: Option<u64>,
    types: Result<PageTypes>,
    page_size: PageSize,
    huge_order: u32,
}

/// The number of orders that free blocks are counted by. Reads only buddyinfo: the kernel counts the blocks of
/// pagetypeinfo one by one.
///
/// # Errors
/// As [`Machine::read`].
pub fn orders(root: &Root) -> Result<usize> {
    Ok(free_blocks(root)?.iter().map(|free| free.blocks.len()).max().unwrap_or(0))
}

fn free_blocks(root: &Root) -> Result<Vec<FreeBlocks>> {
    buddyinfo::parse(&needed(root, "proc/buddyinfo")?, &root.dir().path().join("proc/buddyinfo"))
}

/// A file without which there is no report.
fn needed(root: &Root, name: &str) -> Result<Vec<u8>> {
    root.dir().read(name, LARGEST).map_err(|error| match error {
        Error::Missing { path } if root.is_recorded() => {
            Error::Unsupported { what: format!("{}: not in this tree", path.display()) }
        }
        other => other,
    })
}

impl Machine {
    /// Reads zoneinfo, buddyinfo and, if possible, pagetypeinfo.
    ///
    /// # Errors
    /// If one of the first two, which everyone may read, cannot be read or parsed; [`Error::Unsupported`] for a tree
    /// without them.
    pub fn read(root: &Root) -> Result<Self> {
        let (dir, page_size) = (root.dir(), root.page_size());
        let path = |name: &str| dir.path().join(name);
        let free = free_blocks(root)?;
        let zones = zoneinfo::parse(&needed(root, "proc/zoneinfo")?, &path("proc/zoneinfo"))?;
        let has_line = |zone: &Zone| free.iter().any(|free| (free.node, &free.zone) == (zone.node, &zone.name));
        if !zones.iter().filter(|zone| zone.present > 0).all(has_line) {
            return Err(Error::malformed(&path("proc/buddyinfo"), 1, "a zone with memory has no line"));
        }
        let mem_free = dir.read("proc/meminfo", LARGEST).ok().and_then(|text| Meminfo::parse(&text).bytes("MemFree"));
        let types = dir.read("proc/pagetypeinfo", LARGEST);
        let types = types.and_then(|bytes| pagetypeinfo::parse(&bytes, &path("proc/pagetypeinfo")));
        let huge = text(dir, "sys/kernel/mm/transparent_hugepage/hpage_pmd_size").and_then(|size| size.parse().ok());
        Ok(Self { zones, free, mem_free, types, page_size, huge_order: huge_order(page_size, huge) })
    }

    /// Reads the blocks that could be huge pages. `progress` gets the number of frames read so far.
    ///
    /// # Errors
    /// If `/proc/kpageflags` cannot be read, or a recorded tree has only part of it.
    pub fn huge_blocks(&self, root: &Root, progress: impl FnMut(u64)) -> Result<Counted> {
        let flags = frame_files::open(root, FLAGS)?;
        let physical = Physical::of(root, self.zones.clone())?;
        let end = phys::end(root, &physical, &flags)?;
        let zones = huge_blocks::count(&flags, &physical, end, self.huge_order, progress)?;
        Ok(Counted { zones, holes_known: physical.by_iomem })
    }

    /// The report; `before` is that of the round before.
    pub fn report(&self, counted: Option<&Counted>, before: Option<&Buddy>) -> Buddy {
        let mut zones: Vec<ZoneReport> = Vec::new();
        let mut total = counted.map(|_| HugeBlocks::default());
        for (number, zone) in self.zones.iter().enumerate().filter(|(_, zone)| zone.present > 0) {
            let blocks = counted.map(|counted| counted.zones[number].clone());
            if let (Some(total), Some(blocks)) = (&mut total, &blocks) {
                total.add(blocks);
            }
            let mut report = self.zone(zone, blocks);
            let same = |old: &&ZoneReport| (old.node, &old.zone) == (report.node, &report.zone);
            let old = before.and_then(|before| before.zones.iter().find(same));
            report.free_change_pages = old.map(|old| difference(report.free_pages, old.free_pages));
            zones.push(report);
        }
        let in_blocks = zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.free_bytes));
        Buddy {
            huge_page_order: self.huge_order,
            huge_page_bytes: self.page_size.bytes_of(1 << self.huge_order),
            not_in_blocks_bytes: self.mem_free.map(|free| free.saturating_sub(in_blocks)),
            zones,
            migrate_types: self.types.as_ref().ok().map(migrate_types),
            huge_blocks: total,
        }
    }

    fn zone(&self, zone: &Zone, huge_blocks: Option<HugeBlocks>) -> ZoneReport {
        let free = self.free.iter().find(|free| (free.node, &free.zone) == (zone.node, &zone.name));
        let free_blocks = free.map(|free| free.blocks.clone()).unwrap_or_default();
        let free_pages = pages_from(&free_blocks, 0);
        ZoneReport {
            node: zone.node,
            zone: zone.name.clone(),
            free_pages,
            free_bytes: self.page_size.bytes_of(free_pages),
            free_change_pages: None,
            unusable_index: unusable_index(&free_blocks),
            free_huge_pages: pages_from(&free_blocks, self.huge_order as usize) >> self.huge_order,
            free_blocks,
            per_cpu_pages: zone.per_cpu_pages(),
            watermarks: Watermarks {
                free_pages: zone.free,
                min_pages: zone.min,
                low_pages: zone.low,
                high_pages: zone.high,
                promo_pages: zone.promo,
                boost_pages: zone.boost,
                standing: standing(zone),
            },
            spanned_pages: zone.spanned,
            present_pages: zone.present,
            managed_pages: zone.managed,
            huge_blocks,
        }
    }

    /// What the reader must know about this report; with `of_types`, also about free memory by migrate type.
    pub fn notes(&self, counted: Option<&Result<Counted>>, of_types: bool) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(Err(error)) = counted {
            notes.push(missing("blockers-unknown", "what blocks huge pages is not known", error, true));
        }
        match &self.types {
            _ if !of_types => {}
            // An earlier note already says what would help.
            Err(error) => {
                let help = notes.is_empty();
                notes.push(missing("migrate-types-unknown", "free memory by migrate type is not known", error, help));
            }
            Ok(types) if types.free.iter().flat_map(|free| &free.blocks).any(|count| count.cut) => {
                let text = "some migrate types have more free memory than shown: the kernel stops counting blocks of an \
                            order at 100,000";
                notes.push(Note::general("free-blocks-cut", text));
            }
            Ok(_) => {}
        }
        match counted {
            None | Some(Err(_)) => {}
            Some(Ok(counted)) => {
                let text = "movable is judged by flags: a pinned page looks the same. Free pages on per-CPU lists have no \
                            flag, and their blocks count as unclassified.";
                notes.push(Note { in_json_only: true, ..Note::general("movable-by-flags", text) });
                if !counted.holes_known {
                    let text = "/proc/iomem shows no addresses (needs CAP_SYS_ADMIN): holes that the kernel does not \
                                report are among the blocks without a flag";
                    notes.push(Note::general("holes-unknown", text));
                }
            }
        }
        if overlap(&self.zones) {
            let text = "zones of different nodes overlap: a huge-page block without a node in sysfs counts for the first \
                        zone that spans it";
            notes.push(Note::general("zones-overlap", text));
        }
        notes
    }
}

/// The blocks that could be huge pages, by zone.
#[derive(Debug)]
pub struct Counted {
    zones: Vec<HugeBlocks>,
    holes_known: bool,
}

/// A note that something is not known and why; `with_help` adds what would help.
fn missing(code: &'static str, what: &str, error: &Error, with_help: bool) -> Note {
    let help = what_would_help(error).filter(|_| with_help).map(|help| format!(". {help}")).unwrap_or_default();
    Note::general(code, format!("{what}: {error}{help}"))
}

/// The order of a huge page of `bytes`; if that is not a possible size, the order of what one last-level page table
/// maps. At most that of a sweep's window: huge pages are smaller than that on all existing machines.
pub(in crate::analysis) fn huge_order(page_size: PageSize, bytes: Option<u64>) -> u32 {
    let table = (page_size.bytes() / 8).min(WINDOW);
    let pages = bytes.filter(|bytes| bytes % page_size.bytes() == 0).map(|bytes| page_size.pages_in(bytes));
    pages.filter(|pages| pages.is_power_of_two() && (2..=WINDOW).contains(pages)).unwrap_or(table).ilog2()
}

/// By order, the share of free memory that is in smaller blocks; `None` if nothing is free.
fn unusable_index(blocks: &[u64]) -> Option<Vec<f64>> {
    let free = pages_from(blocks, 0);
    let share = |order| (free - pages_from(blocks, order)) as f64 / free as f64;
    (free > 0).then(|| (0..blocks.len()).map(share).collect())
}

/// The free pages of this zone compared with its watermarks.
pub(crate) fn standing(zone: &Zone) -> Standing {
    match zone.free {
        free if free > zone.high => Standing::AboveHigh,
        free if free > zone.low => Standing::AboveLow,
        free if free > zone.min => Standing::AboveMin,
        _ => Standing::AtMin,
    }
}

fn migrate_types(types: &PageTypes) -> Vec<MigrateType> {
    let row = |free: &pagetypeinfo::FreeOfType| {
        let blocks: Vec<u64> = free.blocks.iter().map(|count| count.blocks).collect();
        let page_blocks = types.page_blocks.iter().find(|zone| (zone.node, &zone.zone) == (free.node, &free.zone));
        let of_type = page_blocks.and_then(|zone| zone.by_type.iter().find(|(name, _)| *name == free.migrate_type));
        MigrateType {
            node: free.node,
            zone: free.zone.clone(),
            migrate_type: free.migrate_type.clone(),
            free_pages: pages_from(&blocks, 0),
            free_blocks: blocks,
            at_least: free.blocks.iter().any(|count| count.cut),
            page_blocks: of_type.map(|(_, blocks)| *blocks),
        }
    };
    types.free.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unusable_index_is_the_share_in_smaller_blocks() {
        // 4 + 3 × 2 + 0 + 1 × 8 + 2 × 16 = 50 pages.
        let index = unusable_index(&[4, 3, 0, 1, 2]).unwrap();
        assert_eq!(index, [0.0, 0.08, 0.2, 0.2, 0.36]);
        assert_eq!(unusable_index(&[0, 0, 7]).unwrap(), [0.0, 0.0, 0.0]);
        assert_eq!(unusable_index(&[7, 0, 0]).unwrap(), [0.0, 1.0, 1.0]);
        assert_eq!((unusable_index(&[0, 0]), unusable_index(&[])), (None, None), "nothing is free");
        assert_eq!(unusable_index(&[u64::MAX; 99]).unwrap()[0], 0.0);
    }

    #[test]
    fn a_huge_page_has_the_size_that_the_kernel_says_if_it_can_be_one() {
        for (page_size, bytes, order) in [
            (4096, Some(2 << 20), 9),
            (4096, None, 9),
            (4096, Some(0), 9),
            (4096, Some(4096), 9),
            (4096, Some(3 << 20), 9),
            (4096, Some(1 << 63), 9),
            (4096, Some(4 << 20), 10),
            (16384, None, 11),
            (65536, None, 13),
            (65536, Some(512 << 20), 13),
            (4096, Some(256 << 20), 9),
            (1 << 20, None, 15),
        ] {
            assert_eq!(huge_order(PageSize::new(page_size).unwrap(), bytes), order, "{page_size} {bytes:?}");
        }
    }

    #[test]
    fn a_watermark_is_kept_while_more_is_free() {
        for (free, expected) in [
            (31, Standing::AboveHigh),
            (30, Standing::AboveLow),
            (21, Standing::AboveLow),
            (20, Standing::AboveMin),
            (11, Standing::AboveMin),
            (10, Standing::AtMin),
            (0, Standing::AtMin),
        ] {
            let zone = Zone { free, min: 10, low: 20, high: 30, ..Zone::default() };
            assert_eq!(standing(&zone), expected, "{free}");
        }
    }
}
