//! A ledger of the machine's memory: lines that add up to MemTotal exactly, and count no page twice.
//!
//! Overlaps between the kernel's counters (fs/proc/meminfo.c, mm/vmstat.c) are resolved here, with a function for each.
//! What no counter covers is the last line.

use serde::Serialize;

use crate::error::Error;
use crate::kernel::r#where::{HugePool, Sources};
use crate::unit::PageSize;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What programs call it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Its size; `None` if it is not known, and then it is included in another line (see the note), or in the last one.
    /// Only the last can be negative.
    pub bytes: Option<i64>,
    /// The counters it is made of.
    pub source: &'static str,
    /// What it contains, as far as there are counters; these do not add to the sum.
    pub parts: Vec<Part>,
    /// What to know about the number.
    pub note: Option<&'static str>,
    /// The line that includes it if its size is not known, unless that is the last one.
    pub within: Option<&'static str>,
    /// Whether most machines have none of it, so that people need not see a zero.
    pub rare: bool,
}

/// Part of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its size.
    pub bytes: i64,
    /// Whether the size is exact or a bound.
    pub bound: Bound,
    /// The counter.
    pub source: &'static str,
}

/// Whether the size of a part is exact or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Exact.
    Exact,
    /// Upper bound: the counter also includes memory in other lines.
    AtMost,
    /// Lower bound: what remains after subtracting an upper bound.
    AtLeast,
}

use Bound::{AtLeast, AtMost, Exact};

/// The ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// MemTotal, in bytes.
    pub total: i64,
    /// The lines; the last is `unaccounted`.
    pub lines: Vec<Line>,
}

/// The name of the last line.
pub const UNACCOUNTED: &str = "unaccounted";

/// Kernel stacks are no larger than this, except on debugging kernels. (THREAD_SIZE)
pub(crate) const LARGEST_STACK: u64 = 16 << 10;

/// If pages are larger than stacks, stacks that are not vmalloc areas are objects of a slab cache. (kernel/fork.c)
pub(crate) const IN_SLAB_TOO: &str =
    "without CONFIG_VMAP_STACK they are objects of the slab cache thread_stack here, and count as slab too";

/// Why reserved and free hugetlb pages are not known, if they are included in another line.
const IN_HUGETLB_USED: &str = "part of 'hugetlb, in use'; only the pools in sysfs separate it, and they cannot be read";

/// A counter of more bytes is ignored: no machine has 128 PiB. So no sum of lines overflows.
pub(crate) const MOST: i64 = 1 << 57;

/// The ledger of these counters.
///
/// # Errors
/// [`Error::Unsupported`] for a MemTotal that no machine can have.
pub fn ledger(sources: &Sources, page_size: PageSize) -> Result<Ledger, Error> {
    let known = Known { sources, page_size };
    let total = known.size("MemTotal").filter(|&total| total > 0).ok_or_else(|| Error::Unsupported {
        what: "meminfo has an impossible MemTotal: there is nothing to add up to".to_owned(),
    })?;
    let mut lines = known.lines();
    let sum: i64 = lines.iter().filter_map(|line| line.bytes).sum();
    lines.push(line(UNACCOUNTED, UNACCOUNTED, Some(total - sum), "what is left of MemTotal").with(
        "page descriptors since boot",
        known.vmstat("nr_memmap_pages"),
        "vmstat nr_memmap_pages",
        AtMost,
    ));
    Ok(Ledger { total, lines })
}

impl Ledger {
    /// The size of a line; `None` if that is not known.
    pub fn bytes(&self, name: &str) -> Option<i64> {
        self.lines.iter().find(|line| line.name == name)?.bytes
    }

    /// The size of these lines together; `None` if some of it is in `unaccounted`.
    pub fn sum(&self, names: &[&str]) -> Option<i64> {
        let lines = || self.lines.iter().filter(|line| names.contains(&line.name));
        lines().all(|line| !line.is_in_the_rest()).then(|| lines().filter_map(|line| line.bytes).sum())
    }

    /// The size of a part of a line; 0 if there is none.
    pub fn part(&self, line: &str, part: &str) -> i64 {
        let parts = self.lines.iter().filter(|of| of.name == line).flat_map(|line| &line.parts);
        parts.filter(|of| of.name == part).map(|part| part.bytes).sum()
    }
}

fn line(name: &'static str, title: &'static str, bytes: Option<i64>, source: &'static str) -> Line {
    Line { name, title, bytes, source, parts: Vec::new(), note: None, within: None, rare: false }
}

impl Line {
    /// Whether its size is not known, so that the last line includes it. Most machines have none of the rare ones.
    pub fn is_in_the_rest(&self) -> bool {
        // A rare line without a note does not exist on this machine.
        let is_there = !self.rare || self.note.is_some();
        self.bytes.is_none() && self.within.is_none() && is_there
    }

    fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    fn within(self, within: Option<&'static str>) -> Self {
        Self { within, ..self }
    }

    fn noted(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    fn with(mut self, name: &'static str, bytes: Option<i64>, source: &'static str, bound: Bound) -> Self {
        // No part is larger than the whole, though the counters were not read at the same moment.
        let whole = self.bytes.unwrap_or(0).max(0);
        self.parts.extend(bytes.map(|bytes| Part { name, bytes: bytes.min(whole), bound, source }));
        self
    }
}

/// The counters, as sizes that are possible.
struct Known<'s> {
    sources: &'s Sources,
    page_size: PageSize,
}

/// A size, unless no machine can have it.
pub(crate) fn possible(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok().filter(|bytes| *bytes <= MOST)
}

impl Known<'_> {
    /// A size of meminfo.
    fn size(&self, key: &str) -> Option<i64> {
        possible(self.sources.counters.meminfo.bytes(key)?)
    }

    fn pages(&self, pages: u64) -> Option<i64> {
        possible(self.page_size.bytes_of(pages))
    }

    /// A number of pages in vmstat, as a size.
    fn vmstat(&self, name: &str) -> Option<i64> {
        self.pages(self.sources.vmstat.get(name)?)
    }

    /// `a` without `b`, which it includes; every kernel that has `a` has `b`.
    fn without(&self, a: &str, b: &str) -> Option<i64> {
        Some((self.size(a)? - self.size(b)?).max(0))
    }

    fn lines(&self) -> Vec<Line> {
        let (stacks, shadow) = self.stacks_in_vmalloc();
        let [used, reserved, free] = self.hugetlb();
        let hugetlb = |name, title, bytes| line(name, title, bytes, "meminfo Hugetlb, sysfs").rare();
        let apart = if used.is_some() && free.is_none() { Some(IN_HUGETLB_USED) } else { None };
        let in_used = apart.map(|_| "hugetlb_used");
        let (swap_cache, swap_cache_note) = self.swap_cache();
        let lists = self.per_cpu_lists();
        let file = self.without("Cached", "Shmem");
        let unmapped = file.zip(self.size("Mapped")).map(|(file, mapped)| (file - mapped).max(0));
        vec![
            line("free", "free", self.size("MemFree"), "meminfo MemFree")
                .with("not initialised yet", self.not_initialised(), "MemTotal − zoneinfo managed", Exact)
                .with("in CMA areas", self.size("CmaFree"), "meminfo CmaFree", Exact)
                .with("not accepted from the hypervisor yet", self.size("Unaccepted"), "meminfo Unaccepted", Exact),
            line("per_cpu_lists", "free, per-CPU lists (pcp)", lists, "zoneinfo pagesets").noted(match lists {
                None => Some("zoneinfo cannot be read, so this memory is part of 'unaccounted'"),
                Some(_) => None,
            }),
            line("anonymous", "anonymous", self.size("AnonPages"), "meminfo AnonPages")
                .with("in huge pages", self.size("AnonHugePages"), "meminfo AnonHugePages", Exact),
            line("swap_cache", "swap cache, unmapped", swap_cache, "meminfo SwapCached").noted(swap_cache_note).rare(),
            line("file_cache", "file cache", file, "meminfo Cached − Shmem")
                // Mapped includes shared memory too, and Dirty includes buffers.
                .with("mapped", self.size("Mapped"), "meminfo Mapped", AtMost)
                .with("unmapped", unmapped, "meminfo Cached − Shmem − Mapped", AtLeast)
                .with("dirty", self.size("Dirty"), "meminfo Dirty", AtMost)
                .with("under writeback", self.size("Writeback"), "meminfo Writeback", AtMost)
                .with("of the kernel", self.vmstat("nr_kernel_file_pages"), "vmstat nr_kernel_file_pages", Exact),
            line("shared_memory", "shared memory", self.size("Shmem"), "meminfo Shmem")
                .with("in huge pages", self.size("ShmemHugePages"), "meminfo ShmemHugePages", Exact),
            line("buffers", "buffers", self.size("Buffers"), "meminfo Buffers"),
            line("slab_reclaimable", "slab, reclaimable", self.size("SReclaimable"), "meminfo SReclaimable"),
            self.slab_unreclaimable(shadow),
            self.large_kmalloc(),
            line(
                "other_reclaimable",
                "other reclaimable",
                self.without("KReclaimable", "SReclaimable"),
                "meminfo KReclaimable − SReclaimable",
            )
            .rare(),
            line("page_tables", "page tables", self.size("PageTables"), "meminfo PageTables"),
            line("secondary_page_tables", "secondary page tables", self.size("SecPageTables"), "meminfo SecPageTables").rare(),
            line("kernel_stacks", "kernel stacks", self.size("KernelStack"), "meminfo KernelStack")
                .noted((self.page_size.bytes() > LARGEST_STACK).then_some(IN_SLAB_TOO)),
            line("shadow_stacks", "shadow call stacks", self.size("ShadowCallStack"), "meminfo ShadowCallStack").rare(),
            self.vmalloc(stacks, shadow),
            line("per_cpu_data", "per-CPU data", self.size("Percpu"), "meminfo Percpu").noted(self.size("Percpu").map(|_| {
                "includes the first chunk, allocated at boot before MemTotal was counted, so some other line is too small by \
                 that much"
            })),
            // Surplus pages may be free, too.
            hugetlb("hugetlb_used", "hugetlb, in use", used)
                .with("surplus", self.surplus(), "sysfs surplus_hugepages", AtMost)
                .noted(apart.map(|_| "includes reserved and free pages, which cannot be separated here")),
            hugetlb("hugetlb_reserved", "hugetlb, reserved", reserved).noted(apart).within(in_used),
            hugetlb("hugetlb_free", "hugetlb, free", free).noted(apart).within(in_used),
            self.zsmalloc(),
            line("bounce", "bounce buffers", self.size("Bounce"), "meminfo Bounce").rare(),
            line("writeback_tmp", "FUSE writeback", self.size("WritebackTmp"), "meminfo WritebackTmp").rare(),
            line("quicklists", "page-table lists", self.size("Quicklists"), "meminfo Quicklists").rare(),
            line("gpu_active", "GPU objects", self.size("GPUActive"), "meminfo GPUActive").rare(),
            line("gpu_pool", "GPU pools", self.size("GPUReclaim"), "meminfo GPUReclaim").rare(),
            self.balloon(),
            line("hardware_corrupted", "broken", self.size("HardwareCorrupted"), "meminfo HardwareCorrupted").rare(),
        ]
    }

    /// If page descriptors are initialised on demand, MemTotal includes memory that no zone manages yet.
    fn not_initialised(&self) -> Option<i64> {
        let managed = self.sources.zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.managed));
        let rest = self.size("MemTotal")? - self.pages(managed).filter(|&managed| managed > 0)?;
        (rest > 0).then_some(rest)
    }

    /// Free pages on per-CPU lists are neither in MemFree nor in any other counter.
    fn per_cpu_lists(&self) -> Option<i64> {
        let zones = &self.sources.zones;
        let pages = zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.per_cpu_pages()));
        if zones.is_empty() { None } else { self.pages(pages) }
    }

    /// SwapCached includes mapped pages, which are also in AnonPages; Cached includes none of it. All these pages are
    /// on some LRU list, so the rest of the lists is the part that is not mapped.
    fn swap_cache(&self) -> (Option<i64>, Option<&'static str>) {
        const LISTS: [&str; 5] = ["Active(anon)", "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable"];
        let Some(cached) = self.size("SwapCached").filter(|&bytes| bytes > 0) else {
            return (self.size("SwapCached"), None);
        };
        let rest = || {
            let lists = LISTS.iter().map(|list| self.size(list)).sum::<Option<i64>>()?;
            Some(lists - self.size("AnonPages")? - self.size("Cached")? - self.size("Buffers")?)
        };
        let Some(rest) = rest() else {
            return (None, Some("how much of SwapCached is unmapped is not known; that part is in 'unaccounted'"));
        };
        let note = "an estimate: LRU lists − AnonPages − Cached − Buffers, but at most SwapCached; the rest of SwapCached \
                    is mapped, and in AnonPages";
        (Some(rest.clamp(0, cached)), Some(note))
    }

    /// Whether this is a kernel before Linux 5.4, which added FileHugePages; older ones have only AnonHugePages.
    fn is_before_5_4(&self) -> bool {
        self.size("AnonHugePages").is_some() && self.size("FileHugePages").is_none()
    }

    /// Since Linux 5.4 Slab includes large kmalloc, which is in no cache of slabinfo. Before that, any excess is a lag
    /// of the counter.
    fn large(&self) -> Option<i64> {
        if self.is_before_5_4() {
            return None;
        }
        let caches = self.pages(self.sources.counters.slab_pages?)?;
        Some((self.size("Slab")? - caches).clamp(0, self.size("SUnreclaim")?))
    }

    fn slab_unreclaimable(&self, shadow: InVmalloc) -> Line {
        // From Linux 5.8 to 5.11 shadow stacks came from a slab cache (kernel/scs.c).
        let shadow = match shadow {
            InVmalloc::Known(0) => self.size("ShadowCallStack").unwrap_or(0),
            _ => 0,
        };
        let bytes = self.size("SUnreclaim").map(|bytes| (bytes - self.large().unwrap_or(0) - shadow).max(0));
        let note = "includes large kmalloc, which only slabinfo separates (root)";
        line("slab_unreclaimable", "slab, unreclaimable", bytes, "meminfo SUnreclaim").noted(
            match (bytes, self.large()) {
                (Some(_), None) if !self.is_before_5_4() => Some(note),
                _ => None,
            },
        )
    }

    fn large_kmalloc(&self) -> Line {
        let mut within = None;
        let (bytes, note) = match self.large() {
            None if self.size("SUnreclaim").is_none() => (None, None),
            None if self.is_before_5_4() => (
                None,
                Some(
                    "not counted before Linux 5.4, so this memory is part of 'unaccounted' (with SLAB, of the slab lines)",
                ),
            ),
            None => {
                within = Some("slab_unreclaimable");
                (None, Some("part of 'slab, unreclaimable'; only slabinfo (root) separates it"))
            }
            // Hardly any machine really has none.
            Some(0) => (
                None,
                Some(
                    "Slab is not larger than slabinfo: SLAB has caches for all sizes (up to Linux 6.0), and before Linux 5.4 \
                     SLUB does not count large kmalloc, which is then part of 'unaccounted'",
                ),
            ),
            large => (large, None),
        };
        line("large_kmalloc", "large kmalloc", bytes, "meminfo Slab − slabinfo").noted(note).within(within)
    }

    /// How much of KernelStack and ShadowCallStack is also in VmallocUsed: with CONFIG_VMAP_STACK, stacks are vmalloc
    /// areas.
    fn stacks_in_vmalloc(&self) -> (InVmalloc, InVmalloc) {
        // If callers have no names, it is not known which areas are stacks.
        let vmalloc = self.sources.vmalloc.filter(|pages| !pages.nameless);
        let overlap = |key, pages: Option<u64>| {
            let size = self.size(key).unwrap_or(0);
            match pages {
                Some(pages) => InVmalloc::Known(self.pages(pages).unwrap_or(0).min(size)),
                None => InVmalloc::Assumed(size),
            }
        };
        // Linux 5.12 added nr_swapcached, and since then shadow stacks are always vmalloc areas.
        let in_vmalloc = self.sources.vmstat.get("nr_swapcached").is_some();
        let shadow_stacks = vmalloc.map(|pages| pages.shadow_stacks).filter(|&pages| pages > 0 || !in_vmalloc);
        (overlap("KernelStack", vmalloc.map(|pages| pages.stacks)), overlap("ShadowCallStack", shadow_stacks))
    }

    fn vmalloc(&self, stacks: InVmalloc, shadow: InVmalloc) -> Line {
        // Linux 4.4 to 5.2 print a constant 0.
        let counter = self.size("VmallocUsed").filter(|&bytes| bytes > 0);
        let areas = self.sources.vmalloc.and_then(|pages| self.pages(pages.all));
        let used = counter.or(areas);
        // What it includes must be known: every kernel has KernelStack.
        let rest = |used: i64| self.size("KernelStack").map(|_| (used - stacks.bytes() - shadow.bytes()).max(0));
        let bytes = used.and_then(rest);
        let source = match (counter, areas) {
            (None, Some(_)) => "vmallocinfo − stacks",
            _ => "meminfo VmallocUsed − stacks",
        };
        let note = match (bytes, stacks) {
            (None, _) if used.is_some() => {
                Some("includes stacks of unknown size, so all of it is part of 'unaccounted'")
            }
            // The error about the file already says that it is missing.
            (None, _) if self.size("VmallocUsed").is_none() => None,
            (None, _) => Some(
                "this kernel's VmallocUsed is always 0, and vmallocinfo needs root, so this memory is part of 'unaccounted'",
            ),
            (Some(_), InVmalloc::Assumed(_)) => {
                Some("assumes that all stacks are vmalloc areas, as most are; vmallocinfo is exact (root)")
            }
            _ => None,
        };
        line("vmalloc", "vmalloc", bytes, source).noted(note)
    }

    /// In use, reserved and free. Reserved pages are among the free ones of a pool; meminfo's HugePages_* are for one
    /// size only. If there are other sizes, and it is not known how many of those are free, all are in the first.
    fn hugetlb(&self) -> [Option<i64>; 3] {
        let meminfo = &self.sources.counters.meminfo;
        let by_meminfo = || {
            let count = |key| meminfo.count(key);
            Some(HugePool {
                size: meminfo.bytes("Hugepagesize")?,
                pages: count("HugePages_Total")?,
                free: count("HugePages_Free")?,
                reserved: count("HugePages_Rsvd")?,
                surplus: 0,
            })
        };
        let pools = match self.sources.pools.is_empty() {
            true => by_meminfo().into_iter().collect(),
            false => self.sources.pools.clone(),
        };
        let sum = |pages: fn(&HugePool) -> u64| {
            let bytes = pools.iter().map(|pool| pages(pool).saturating_mul(pool.size));
            possible(bytes.fold(0, u64::saturating_add))
        };
        let whole = self.size("Hugetlb").or_else(|| if pools.is_empty() { None } else { sum(|pool| pool.pages) });
        let (Some(whole), Some(free)) = (whole, sum(|pool| pool.free)) else { return [whole, None, None] };
        let is_all = !self.sources.pools.is_empty() || sum(|pool| pool.pages) == Some(whole);
        if whole > 0 && !is_all {
            return [Some(whole), None, None];
        }
        let free = free.min(whole);
        let reserved = sum(|pool| pool.reserved.min(pool.free)).unwrap_or(0).min(free);
        [Some(whole - free), Some(reserved), Some(free - reserved)]
    }

    /// hugetlb pages beyond the configured size of their pool.
    fn surplus(&self) -> Option<i64> {
        let bytes = self.sources.pools.iter().map(|pool| pool.surplus.saturating_mul(pool.size));
        possible(bytes.fold(0, u64::saturating_add))
    }

    /// zram and zswap keep what they compress in zsmalloc; before Linux 6.15 zswap could use other pools, which only
    /// Zswap counts.
    fn zsmalloc(&self) -> Line {
        let (pages, zswap) = (self.vmstat("nr_zspages"), self.size("Zswap"));
        let source = match (pages, zswap) {
            (Some(pages), Some(zswap)) if zswap > pages => "meminfo Zswap",
            (None, Some(_)) => "meminfo Zswap",
            _ => "vmstat nr_zspages",
        };
        let zsmalloc = |bytes| line("zsmalloc", "zram and zswap", bytes, source).rare();
        match self.sources.vmstat.is_empty() {
            true => zsmalloc(None)
                .noted(Some("the counter is in vmstat, which cannot be read, so this memory is part of 'unaccounted'")),
            false => zsmalloc(pages.max(zswap)),
        }
    }

    /// What a balloon holds, as far as MemTotal still includes it.
    fn balloon(&self) -> Line {
        let inside = self.is_balloon_inside();
        let bytes = self.ballooned().map(|bytes| if inside == Some(true) { bytes } else { 0 });
        let note = match (inside, self.ballooned()) {
            (_, None | Some(0)) => None,
            (Some(true), _) if self.sources.balloon_in_total.is_none() => {
                Some("must still be in MemTotal: the memory outside of MemTotal is less than this")
            }
            (Some(true), _) => Some("deflates when memory runs out, so it is still in MemTotal"),
            (Some(false), _) => Some("the balloon's pages are outside of MemTotal"),
            (None, _) => Some(
                "assumed to be outside of MemTotal, as with virtio, Hyper-V and Xen; VMware's is part of 'unaccounted'",
            ),
        };
        line("balloon", "balloon", bytes, "meminfo Balloon").noted(note).rare()
    }

    /// Whether MemTotal still includes what a balloon took. For a balloon that does not say, it does if less than that
    /// is missing from MemTotal.
    fn is_balloon_inside(&self) -> Option<bool> {
        let missing = || {
            let zones = &self.sources.zones;
            let present = zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.present));
            let present = self.pages(present).filter(|_| !zones.is_empty())?;
            Some(present - self.size("MemTotal")?)
        };
        let fits = || Some(missing()? < self.ballooned()?).filter(|&inside| inside);
        self.sources.balloon_in_total.or_else(fits)
    }

    /// What a balloon holds: by its counter, or before Linux 6.16 by the inflate and deflate events of virtio balloons.
    fn ballooned(&self) -> Option<i64> {
        let event = |name| self.sources.vmstat.get(name);
        let events = || {
            self.sources.balloon_in_total?;
            self.pages(event("balloon_inflate")?.saturating_sub(event("balloon_deflate")?))
        };
        self.size("Balloon").or_else(events)
    }
}

/// What a balloon holds outside of MemTotal, in bytes.
pub fn balloon_outside(sources: &Sources, page_size: PageSize) -> i64 {
    let known = Known { sources, page_size };
    if known.is_balloon_inside() == Some(true) { 0 } else { known.ballooned().unwrap_or(0) }
}

/// How much memory of stacks is in vmalloc areas.
#[derive(Clone, Copy, Debug)]
enum InVmalloc {
    /// vmallocinfo says so.
    Known(i64),
    /// All of it, because it is not known.
    Assumed(i64),
}

impl InVmalloc {
    fn bytes(self) -> i64 {
        match self {
            Self::Known(bytes) | Self::Assumed(bytes) => bytes,
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
