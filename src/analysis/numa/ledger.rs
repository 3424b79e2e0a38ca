//! The ledger of one node: lines that add up to the node's MemTotal exactly, and count no page twice.
//!
//! The counters are those of `nodeN/meminfo`, or if that is missing, those of zoneinfo. Per-CPU data, page descriptors
//! and (before Linux 7.1 or so) vmalloc areas have no per-node counter: they are in the last line, with everything else
//! that no counter covers.

use serde::Serialize;

use crate::analysis::r#where::available::Reclaimable;
use crate::analysis::r#where::ledger::{IN_SLAB_TOO, LARGEST_STACK, possible};
use crate::kernel::numa::{NodeFiles, Sources};
use crate::model::zoneinfo::Zone;
use crate::unit::PageSize;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NumaLine"))]
pub struct Line {
    /// Its name for programs; 'where' uses the same names for the same memory.
    pub name: &'static str,
    /// What people call it.
    #[serde(skip)]
    pub title: &'static str,
    /// Its size; `None` if it is not known: then it is part of another line. Only the last can be negative.
    pub bytes: Option<i64>,
    /// The counters it is computed from.
    pub source: &'static str,
    /// The line that includes it, if its own size is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_in: Option<&'static str>,
    /// A remark on the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// Whether most machines have none of it, so that people are not shown a zero.
    #[serde(skip)]
    pub rare: bool,
}

/// The name of the last line.
pub const REST: &str = "rest";

/// The line of page caches.
const FILE: &str = "file";

/// The lines of a node, and its MemTotal, to which they add up; no lines if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The node's MemTotal, in bytes.
    pub total: Option<i64>,
    /// The lines; the last is `rest`.
    pub lines: Vec<Line>,
}

/// The ledger of this node.
pub fn ledger(node: &Node) -> Ledger {
    let Some(total) = node.total() else { return Ledger::default() };
    let mut lines = node.lines();
    let sum: i64 = lines.iter().filter_map(|line| line.bytes).sum();
    let rest = Line { bytes: Some(total - sum), ..line(REST, "rest", None, "what is left of MemTotal") };
    lines.push(Line { counted_in: None, note: node.why_negative().filter(|_| total < sum), ..rest });
    Ledger { total: Some(total), lines }
}

/// What is known about one node.
#[derive(Debug)]
pub struct Node<'s> {
    sources: &'s Sources,
    files: &'s NodeFiles,
    zones: Vec<&'s Zone>,
    page_size: PageSize,
}

/// A counter: its key in `nodeN/meminfo`, and its name in zoneinfo with the unit there.
type Key = (&'static str, &'static str, InZoneinfo);

/// The unit of a counter of zoneinfo.
#[derive(Clone, Copy, Debug)]
enum InZoneinfo {
    /// Base pages.
    Pages,
    /// KiB, as stacks are counted.
    Kib,
}

use InZoneinfo::{Kib, Pages};

const ANON: Key = ("AnonPages", "nr_anon_pages", Pages);
const FILE_PAGES: Key = ("FilePages", "nr_file_pages", Pages);
const SHMEM: Key = ("Shmem", "nr_shmem", Pages);
const SWAP_CACHED: Key = ("SwapCached", "nr_swapcached", Pages);
const S_RECLAIMABLE: Key = ("SReclaimable", "nr_slab_reclaimable", Pages);
const S_UNRECLAIM: Key = ("SUnreclaim", "nr_slab_unreclaimable", Pages);
const PAGE_TABLES: Key = ("PageTables", "nr_page_table_pages", Pages);
const SEC_PAGE_TABLES: Key = ("SecPageTables", "nr_sec_page_table_pages", Pages);
const KERNEL_STACK: Key = ("KernelStack", "nr_kernel_stack", Kib);
const SHADOW_STACK: Key = ("ShadowCallStack", "nr_shadow_call_stack", Kib);
const BOUNCE: Key = ("Bounce", "nr_bounce", Pages);
const WRITEBACK_TMP: Key = ("WritebackTmp", "nr_writeback_temp", Pages);
const GPU_ACTIVE: Key = ("GPUActive", "nr_gpu_active", Pages);
const GPU_RECLAIM: Key = ("GPUReclaim", "nr_gpu_reclaim", Pages);
const BALLOON: Key = ("Balloon", "nr_balloon_pages", Pages);

/// The LRU lists of file pages.
const FILE_LISTS: [Key; 2] = [("Active(file)", "nr_active_file", Pages), ("Inactive(file)", "nr_inactive_file", Pages)];

/// The other lists.
const OTHER_LISTS: [Key; 3] = [
    ("Active(anon)", "nr_active_anon", Pages),
    ("Inactive(anon)", "nr_inactive_anon", Pages),
    ("Unevictable", "nr_unevictable", Pages),
];

const OTHER_SIZES: &str =
    "huge pages of the default size only: the per-node pools of other sizes cannot be read, and are in rest";

fn line(name: &'static str, title: &'static str, bytes: Option<i64>, source: &'static str) -> Line {
    let counted_in = if bytes.is_none() { Some(REST) } else { None };
    Line { name, title, bytes, source, counted_in, note: None, rare: false }
}

impl Line {
    fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    fn noted(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    /// Says that it is counted in this other line if its own size is not known.
    fn or_in(self, other: Option<&'static str>) -> Self {
        Self { counted_in: self.counted_in.and(other).or(self.counted_in), ..self }
    }
}

impl<'s> Node<'s> {
    /// The node described by these files.
    pub fn new(sources: &'s Sources, files: &'s NodeFiles, page_size: PageSize) -> Self {
        let zones = sources.zones.iter().filter(|zone| zone.node == files.node).collect();
        Self { sources, files, zones, page_size }
    }

    /// Its zones.
    pub fn zones(&self) -> &[&'s Zone] {
        &self.zones
    }

    /// Its MemTotal: the managed pages of its zones.
    pub fn total(&self) -> Option<i64> {
        self.meminfo("MemTotal").or_else(|| self.sum_of_zones(|zone| Some(zone.managed)))
    }

    /// Its MemFree.
    fn free(&self) -> Option<i64> {
        self.meminfo("MemFree").or_else(|| self.sum_of_zones(|zone| Some(zone.free)))
    }

    /// What is free or can be reclaimed on it.
    pub fn reclaimable(&self) -> Reclaimable {
        let size = |bytes: Option<i64>| bytes.map(i64::unsigned_abs);
        Reclaimable {
            free: size(self.free()),
            file_lists: size(self.sum(&FILE_LISTS)),
            kernel: size(self.kernel_reclaimable()).or_else(|| size(self.size(S_RECLAIMABLE))),
        }
    }

    /// This node's part of the machine's counter with this name (see `CHECKS`).
    pub fn of_check(&self, name: &str) -> Option<i64> {
        match name {
            "MemTotal" => self.total(),
            "MemFree" => self.free(),
            "Hugetlb" => self.hugetlb().0.map(|(used, free)| used.saturating_add(free)),
            _ => [ANON, FILE_PAGES, SHMEM, S_RECLAIMABLE, S_UNRECLAIM, PAGE_TABLES, KERNEL_STACK]
                .into_iter()
                .find(|(key, ..)| *key == name)
                .and_then(|key| self.size(key)),
        }
    }

    /// A size of `nodeN/meminfo`.
    fn meminfo(&self, key: &str) -> Option<i64> {
        possible(self.files.meminfo.bytes(key)?)
    }

    /// The sum of pages over its zones that have memory; 0 if none has.
    fn sum_of_zones(&self, pages: impl Fn(&Zone) -> Option<u64>) -> Option<i64> {
        if self.zones.is_empty() {
            return None;
        }
        let with_memory = self.zones.iter().filter(|zone| zone.managed > 0);
        let sum = with_memory.map(|zone| pages(zone)).try_fold(0u64, |sum, pages| Some(sum.saturating_add(pages?)))?;
        possible(self.page_size.bytes_of(sum))
    }

    /// A counter of zoneinfo: the node's, or on kernels that still counted it by zone, the sum of its zones.
    fn zoneinfo(&self, name: &str, unit: InZoneinfo) -> Option<i64> {
        let of_zones = || self.sum_of_zones(|zone| zone.counter(name));
        let of_node = self.zones.iter().find_map(|zone| zone.node_counter(name));
        let bytes = of_node.map_or_else(of_zones, |pages| possible(self.page_size.bytes_of(pages)));
        match unit {
            Pages => bytes,
            // The parser took them for pages.
            Kib => Some(bytes? / i64::try_from(self.page_size.bytes()).ok()?).and_then(|kib| kib.checked_mul(1024)),
        }
    }

    /// A counter; if the machine does not have it at all, neither does a node.
    fn size(&self, (key, counter, unit): Key) -> Option<i64> {
        let none = || self.sources.machine.bytes(key).filter(|&bytes| bytes == 0).and_then(possible);
        self.meminfo(key).or_else(|| self.zoneinfo(counter, unit)).or_else(none)
    }

    fn sum(&self, keys: &[Key]) -> Option<i64> {
        keys.iter().map(|&key| self.size(key)).sum()
    }

    fn kernel_reclaimable(&self) -> Option<i64> {
        let misc = || self.zoneinfo("nr_kernel_misc_reclaimable", Pages);
        self.meminfo("KReclaimable").or_else(|| Some(self.size(S_RECLAIMABLE)? + misc()?))
    }

    fn lines(&self) -> Vec<Line> {
        let without = |a: Option<i64>, b: Option<i64>| Some((a? - b?).max(0));
        let file_pages = self.size(FILE_PAGES);
        // FilePages includes both, and so does the line if they are not known.
        let in_file = file_pages.map(|_| FILE);
        let beside = |key| self.size(key).unwrap_or(0);
        let file = file_pages.map(|pages| (pages - beside(SHMEM) - beside(SWAP_CACHED)).max(0));
        let ((used, free), hugetlb_note) = match self.hugetlb() {
            (Some((used, free)), note) => ((Some(used), Some(free)), note),
            (None, note) => ((None, None), note),
        };
        let hugetlb = |name, title, bytes| line(name, title, bytes, "nodeN/hugepages").noted(hugetlb_note).rare();
        let (swap_cache, swap_cache_note) = self.swap_cache();
        let counter = |name, title, key: Key| line(name, title, self.size(key), key.0);
        let per_cpu_lists = self.sum_of_zones(|zone| Some(zone.per_cpu_pages()));
        vec![
            line("free", "free", self.free(), "MemFree"),
            line("per_cpu_lists", "free, per-CPU lists (pcp)", per_cpu_lists, "zoneinfo pagesets"),
            counter("anonymous", "anonymous", ANON),
            line("swap_cache", "swap cache, unmapped", swap_cache, "SwapCached")
                .noted(swap_cache_note)
                .or_in(in_file)
                .rare(),
            line(FILE, "file cache and buffers", file, "FilePages − Shmem − SwapCached"),
            counter("shared_memory", "shared memory", SHMEM).or_in(in_file),
            counter("slab_reclaimable", "slab, reclaimable", S_RECLAIMABLE),
            counter("slab_unreclaimable", "slab, unreclaimable", S_UNRECLAIM),
            line(
                "other_reclaimable",
                "other reclaimable",
                without(self.kernel_reclaimable(), self.size(S_RECLAIMABLE)),
                "KReclaimable − SReclaimable",
            )
            .rare(),
            counter("page_tables", "page tables", PAGE_TABLES),
            counter("secondary_page_tables", "secondary page tables", SEC_PAGE_TABLES).rare(),
            counter("kernel_stacks", "kernel stacks", KERNEL_STACK).noted(self.stacks_are_slab()),
            counter("shadow_stacks", "shadow call stacks", SHADOW_STACK).rare(),
            self.vmalloc(),
            hugetlb("hugetlb_used", "hugetlb, in use", used),
            hugetlb("hugetlb_free", "hugetlb, free or reserved", free),
            line("zsmalloc", "zram and zswap", self.zoneinfo("nr_zspages", Pages), "zoneinfo nr_zspages").rare(),
            counter("bounce", "bounce buffers", BOUNCE).rare(),
            counter("writeback_tmp", "FUSE writeback", WRITEBACK_TMP).rare(),
            counter("gpu_active", "GPU objects", GPU_ACTIVE).rare(),
            counter("gpu_pool", "GPU pools", GPU_RECLAIM).rare(),
            self.balloon(),
        ]
    }

    /// SwapCached includes mapped pages, which are also in AnonPages. Every page of FilePages and AnonPages is on some
    /// LRU list, so the rest of the lists is what is in the swap cache and not mapped.
    fn swap_cache(&self) -> (Option<i64>, Option<&'static str>) {
        let Some(cached) = self.size(SWAP_CACHED).filter(|&bytes| bytes > 0) else {
            return (self.size(SWAP_CACHED), None);
        };
        let rest = || {
            let lists = self.sum(&FILE_LISTS)? + self.sum(&OTHER_LISTS)?;
            Some(lists - self.size(ANON)? - (self.size(FILE_PAGES)? - cached).max(0))
        };
        let note = "an estimate: LRU lists − AnonPages − FilePages, but at most SwapCached; the rest of SwapCached is \
                    mapped, and in AnonPages";
        // FilePages includes it, and it was subtracted there.
        let unknown = "how much of SwapCached is unmapped is not known; that part is in 'rest'";
        rest().map_or((None, Some(unknown)), |rest| (Some(rest.clamp(0, cached)), Some(note)))
    }

    fn stacks_are_slab(&self) -> Option<&'static str> {
        (self.page_size.bytes() > LARGEST_STACK).then_some(IN_SLAB_TOO)
    }

    /// Stacks are vmalloc areas too.
    fn vmalloc(&self) -> Line {
        let rest = |bytes: i64| {
            let stacks = self.size(KERNEL_STACK)? + self.size(SHADOW_STACK).unwrap_or(0);
            Some((bytes - stacks).max(0))
        };
        let bytes = self.zoneinfo("nr_vmalloc", Pages).and_then(rest);
        line("vmalloc", "vmalloc", bytes, "zoneinfo nr_vmalloc − KernelStack").rare()
    }

    /// In use and free, in bytes, and a note on both.
    fn hugetlb(&self) -> (Option<(i64, i64)>, Option<&'static str>) {
        let machine = &self.sources.machine;
        let split = |pages: u64, free: u64, size: u64| {
            let free = free.min(pages);
            Some((possible((pages - free).saturating_mul(size))?, possible(free.saturating_mul(size))?))
        };
        if !self.files.pools.is_empty() {
            let pools = self.files.pools.iter().map(|pool| split(pool.pages, pool.free, pool.size));
            let sum = pools.reduce(|sum, pool| {
                let ((used, free), (more_used, more_free)) = (sum?, pool?);
                Some((used.saturating_add(more_used), free.saturating_add(more_free)))
            });
            return (sum.flatten().filter(|(used, free)| possible_sum(*used, *free)), None);
        }
        if machine.bytes("Hugetlb") == Some(0) {
            return (Some((0, 0)), None);
        }
        let count = |key| self.files.meminfo.count(key);
        let of_default = || split(count("HugePages_Total")?, count("HugePages_Free")?, machine.bytes("Hugepagesize")?);
        let default = || machine.count("HugePages_Total")?.checked_mul(machine.bytes("Hugepagesize")?);
        let others = machine.bytes("Hugetlb").is_none_or(|all| default() != Some(all));
        (of_default(), others.then_some(OTHER_SIZES).filter(|_| of_default().is_some()))
    }

    /// What a balloon holds, as far as MemTotal still includes it.
    fn balloon(&self) -> Line {
        let bytes = self.size(BALLOON);
        let (bytes, note) = match self.sources.balloon_in_total {
            Some(true) => (bytes, None),
            Some(false) => (bytes.map(|_| 0), None),
            // Nothing says whether MemTotal includes it.
            None => (bytes.filter(|&bytes| bytes == 0), bytes.filter(|&bytes| bytes > 0)),
        };
        let note = note.map(|_| "the balloon's pages are in 'rest' or outside of MemTotal; it is not known which");
        line("balloon", "balloon", bytes, "Balloon").noted(note).rare()
    }

    /// Why the lines exceed MemTotal, if known.
    fn why_negative(&self) -> Option<&'static str> {
        let swaps = self.size(SWAP_CACHED).is_none() && self.sources.machine.bytes("SwapCached") > Some(0);
        let twice = "the swap cache has no per-node counter here: its pages are in FilePages, and mapped ones also in AnonPages";
        if swaps { Some(twice) } else { self.stacks_are_slab() }
    }
}

/// Whether the sum of two sizes is one that a machine can have.
fn possible_sum(a: i64, b: i64) -> bool {
    a.checked_add(b).and_then(|sum| possible(sum.unsigned_abs())).is_some()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
