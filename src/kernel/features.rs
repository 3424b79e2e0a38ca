//! What this kernel lets pmem see, found by probing: version numbers mean little because stable kernels carry backports.
//!
//! Every probe uses pmem's own memory.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::MmapAdvise;
use serde::{Deserialize, Serialize};

use super::memory::Mapping;
use super::root::{Root, SMALL};
use super::scan::{self, Query, Region, category};
use super::words::Words;
use crate::model::frame_flags;
use crate::model::pagemap::Entry;
use crate::model::vma::{Dev, Vma};
use crate::unit::VirtAddr;

/// What this machine lets this user see. Probed once and passed down; a recorded tree has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Features {
    /// pagemap shows frame numbers and swap slots (CAP_SYS_ADMIN in the initial user namespace).
    pub pfns_visible: bool,
    /// The categories PAGEMAP_SCAN supports (bits of [`category`]); `None` without the ioctl (before Linux 6.7).
    pub scan_categories: Option<u64>,
    /// PAGEMAP_SCAN reports the huge zero page as a zero page; `None` if no huge zero page was available for the probe.
    pub scan_huge_zero: Option<bool>,
    /// The end of the user address space, where a scan ends.
    pub user_end: u64,
    /// The number of page-table levels, if `/proc/cpuinfo` gives it: x86-64 (the flag `la57` means five; it is absent if the
    /// kernel does not use it) and riscv64 (`sv39`, …). Elsewhere it follows from [`user_end`](Self::user_end).
    #[serde(default)]
    pub page_table_levels: Option<u32>,
    /// PROCMAP_QUERY works (since Linux 6.11).
    pub procmap_query: bool,
    /// pagemap reports soft-dirty pages; `None` if pagemap is unreadable.
    pub soft_dirty: Option<bool>,
    /// kpageflags reports every anonymous page as a KSM page (Linux 6.10 to 7.0); `None` without frame numbers or kpageflags.
    pub ksm_flag_wrong: Option<bool>,
    /// statm is exact to the page; `None` if the probe was inconclusive.
    pub statm_exact: Option<bool>,
    /// The number of possible CPUs: the error of inexact counters grows with it.
    pub possible_cpus: u64,
    /// The device number of the kernel-internal tmpfs, which holds shared anonymous memory, memfds and SysV segments.
    pub shmem_dev: Option<(u32, u32)>,
}

/// The largest huge zero page to probe: 2 MiB with 4 KiB pages, 32 MiB with 16 KiB. With 64 KiB it would be 512 MiB.
const LARGEST_HUGE: usize = 32 << 20;

impl Features {
    /// Probes everything once. Takes well under a millisecond.
    pub fn probe(root: &Root) -> Self {
        Self {
            scan_huge_zero: huge_zero_in_scans(root),
            page_table_levels: page_table_levels(root),
            ..Self::probe_cheaply(root)
        }
    }

    /// Likewise, without the two probes that take longer than all others together: [`scan_huge_zero`](Self::scan_huge_zero),
    /// for which the kernel has to clear a huge page, and [`page_table_levels`](Self::page_table_levels), for which some
    /// kernels measure the clock of every CPU.
    pub fn probe_cheaply(root: &Root) -> Self {
        let own = |file| format!("proc/self/{file}");
        let pagemap = root.words(&own("pagemap")).ok();
        let page = Mapping::private(root.page_size().bytes() as usize).ok();
        let entry = match (&pagemap, &page) {
            (Some(pagemap), Some(page)) => {
                page.write(0, 1);
                own_entry(root, pagemap, page)
            }
            _ => None,
        };
        let scan_categories = pagemap.as_ref().and_then(Words::live).and_then(scan_categories);
        Self {
            pfns_visible: entry.is_some_and(|entry| entry.pfn().is_some()),
            scan_categories,
            scan_huge_zero: None,
            user_end: pagemap
                .as_ref()
                .and_then(Words::live)
                .and_then(user_end)
                .or_else(|| end_by_stack(root))
                .unwrap_or(1 << 47),
            page_table_levels: None,
            procmap_query: root.dir().open(own("maps")).is_ok_and(|maps| has_procmap_query(&maps)),
            soft_dirty: entry.map(Entry::is_soft_dirty),
            ksm_flag_wrong: entry.and_then(Entry::pfn).and_then(|pfn| {
                let mut flags = [0];
                let read = root.words("proc/kpageflags").ok()?.read(pfn.0, &mut flags).ok()?;
                (read == 1).then_some(flags[0] & frame_flags::KSM != 0)
            }),
            statm_exact: root.dir().open(own("statm")).ok().and_then(|statm| statm_exact(&statm, root)),
            possible_cpus: possible_cpus(root),
            shmem_dev: shmem_dev(),
        }
    }

    /// The device of the kernel-internal tmpfs.
    pub fn shmem_dev(&self) -> Option<Dev> {
        self.shmem_dev.map(|(major, minor)| Dev { major, minor })
    }

    /// Whether PAGEMAP_SCAN supports a category.
    pub fn scans(&self, category: u64) -> bool {
        self.scan_categories.is_some_and(|known| known & category != 0)
    }
}

/// The pagemap entry of the first page of one of pmem's own mappings.
fn own_entry(root: &Root, pagemap: &Words, mapping: &Mapping) -> Option<Entry> {
    let mut words = [0];
    let read = pagemap.read(root.page_size().index_of(mapping.address()), &mut words).ok()?;
    (read == 1 && Entry(words[0]).is_present()).then_some(Entry(words[0]))
}

/// An unknown bit in a mask gives EINVAL, so the newest supported category is found by removing bits one by one.
fn scan_categories(pagemap: &File) -> Option<u64> {
    (5..=16).rev().map(|bits| (1 << bits) - 1).find(|&known| {
        let query = Query { start: VirtAddr(0), end: VirtAddr(0), max_pages: 0, any_of: known, report: known };
        scan::scan(pagemap, &query, &mut []).is_ok()
    })
}

/// Whether PAGEMAP_SCAN reports the huge zero page as a zero page; `None` if it cannot be probed.
pub fn huge_zero_in_scans(root: &Root) -> Option<bool> {
    let pagemap = root.words("proc/self/pagemap").ok()?;
    let pagemap = pagemap.live()?;
    scan_categories(pagemap)?;
    let setting = |name: &str| super::root::text(root.dir(), &format!("sys/kernel/mm/transparent_hugepage/{name}"));
    let huge: usize = setting("hpage_pmd_size")?.parse().ok()?;
    // Without the huge zero page a read allocates a huge page, which must not be very large.
    if huge > LARGEST_HUGE || setting("use_zero_page").as_deref() == Some("0") {
        return None;
    }
    let arena = Mapping::private(2 * huge).ok()?;
    let offset = arena.address().0.next_multiple_of(huge as u64) - arena.address().0;
    arena.advise(offset as usize, huge, MmapAdvise::MADV_HUGEPAGE).ok()?;
    arena.read(offset as usize);
    let start = VirtAddr(arena.address().0 + offset);
    let query = Query {
        start,
        end: VirtAddr(start.0 + huge as u64),
        max_pages: 0,
        any_of: category::PRESENT,
        report: category::HUGE | category::PFNZERO,
    };
    let mut regions = [Region::default()];
    let (found, _) = scan::scan(pagemap, &query, &mut regions).ok()?;
    (found == 1 && regions[0].categories & category::HUGE != 0).then(|| regions[0].categories & category::PFNZERO != 0)
}

/// A scan that ends beyond the address space gives EFAULT: the result is the largest power of two that does not, or one page
/// less.
fn user_end(pagemap: &File) -> Option<u64> {
    highest_end(|end| {
        let query = Query { start: end, end, max_pages: 0, any_of: category::PRESENT, report: category::PRESENT };
        scan::scan(pagemap, &query, &mut []).map(|(_, stopped)| stopped).ok()
    })
}

/// The highest end that `scan` accepts unchanged: arm64 first strips the tag from addresses, which turns the highest one into
/// 0.
fn highest_end(scan: impl Fn(VirtAddr) -> Option<VirtAddr>) -> Option<u64> {
    let ends = (30..=63).rev().flat_map(|bits| [1u64 << bits, (1 << bits) - 4096]);
    ends.map(VirtAddr).find(|&end| scan(end) == Some(end)).map(|end| end.0)
}

/// Without PAGEMAP_SCAN: the stack starts near the end of the address space, so the next power of two is that end.
fn end_by_stack(root: &Root) -> Option<u64> {
    let maps = root.dir().read("proc/self/maps", SMALL).ok()?;
    let ends = maps.split(|&byte| byte == b'\n').filter_map(|line| {
        let vma = Vma::parse(line, Path::new("maps"), 1).ok()?;
        (!vma.range.start.is_kernel()).then_some(vma.range.end.0)
    });
    ends.max()?.checked_next_power_of_two()
}

/// The number of page-table levels, if `/proc/cpuinfo` gives it.
pub fn page_table_levels(root: &Root) -> Option<u32> {
    // The first CPU speaks for all: the text for one CPU takes about 1,500 bytes.
    let mut head = Vec::new();
    root.dir().open("proc/cpuinfo").ok()?.take(16 * 1024).read_to_end(&mut head).ok()?;
    levels_in(&root.host().arch, &head)
}

fn levels_in(arch: &str, cpuinfo: &[u8]) -> Option<u32> {
    // `flags\t\t: fpu vme …`, `mmu\t\t: sv39`: those of the first CPU, since all use the same tables.
    let value = |key: &str| {
        cpuinfo.split(|&byte| byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            (name.trim_ascii() == key.as_bytes()).then_some(value.strip_prefix(b":")?.trim_ascii())
        })
    };
    match arch {
        "x86_64" => Some(if value("flags")?.split(|&byte| byte == b' ').any(|flag| flag == b"la57") { 5 } else { 4 }),
        "riscv64" => [(&b"sv39"[..], 3), (b"sv48", 4), (b"sv57", 5)]
            .iter()
            .find_map(|(mode, levels)| (value("mmu")? == *mode).then_some(*levels)),
        _ => None,
    }
}

fn has_procmap_query(maps: &File) -> bool {
    // Nothing is mapped at address 0: a kernel that supports the ioctl returns ENOENT.
    matches!(scan::query_vma(maps, VirtAddr(0)), Ok(_) | Err(Errno::ENOENT))
}

/// Touches pages one by one and checks whether statm changes each time. If counters are batched (32 pages per CPU, or 64 faults
/// per thread), most touches do not change it.
fn statm_exact(statm: &File, root: &Root) -> Option<bool> {
    const PAGES: usize = 16;
    let page = root.page_size().bytes() as usize;
    let arena = Mapping::private(PAGES * page).ok()?;
    // One small page each, even if huge pages are set to always.
    arena.keep_small();
    let mut before = resident(statm)?;
    let mut moved = 0;
    for number in 0..PAGES {
        arena.write(number * page, 1);
        let after = resident(statm)?;
        moved += usize::from(after > before);
        before = after;
    }
    // Reclaim may take a page away between two readings.
    Some(moved * 4 >= PAGES * 3)
}

/// The second number of statm, read without allocating, which would change it.
fn resident(statm: &File) -> Option<u64> {
    let mut buffer = [0; 128];
    let length = statm.read_at(&mut buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()?.split(' ').nth(1)?.parse().ok()
}

/// The number of possible CPUs from `/sys/devices/system/cpu/possible`, such as `0-3,8`: the last number plus one.
fn possible_cpus(root: &Root) -> u64 {
    let text = super::root::text(root.dir(), "sys/devices/system/cpu/possible");
    text.and_then(|t| t.rsplit(['-', ',']).next()?.parse::<u64>().ok()).map_or(1, |last| last + 1)
}

fn shmem_dev() -> Option<(u32, u32)> {
    let file = File::from(memfd_create(c"pmem-probe", MFdFlags::MFD_CLOEXEC).ok()?);
    let dev = file.metadata().ok()?.dev();
    Some((nix::libc::major(dev), nix::libc::minor(dev)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_address_space_is_found_on_every_kind_of_kernel() {
        let limit = |limit: u64| highest_end(move |end| (end.0 <= limit).then_some(end));
        assert_eq!(limit(0x7fff_ffff_f000), Some(0x7fff_ffff_f000), "x86-64, four levels");
        assert_eq!(limit(0xff_ffff_ffff_f000), Some(0xff_ffff_ffff_f000), "x86-64, five levels");
        assert_eq!(limit(1 << 48), Some(1 << 48), "arm64, 48 bits");
        // arm64 strips the tag (the top byte) and checks the rest.
        let tagged = highest_end(|end| {
            let untagged = VirtAddr(end.0 & !(0xff << 56));
            (untagged.0 <= 1 << 48).then_some(untagged)
        });
        assert_eq!(tagged, Some(1 << 48));
        // x86-64 up to about Linux 6.11 accepts every address in the lower half.
        assert_eq!(limit((1 << 63) - 1), Some((1 << 63) - 4096));
    }

    #[test]
    fn the_machine_says_how_many_levels_its_page_tables_have() {
        for (arch, cpuinfo, levels) in [
            ("x86_64", "processor\t: 0\nmodel name\t: la57\nflags\t\t: fpu lm nx\n", Some(4)),
            ("x86_64", "flags\t\t: fpu la57 nx\nbugs\t\t:\n", Some(5)),
            ("x86_64", "processor\t: 0\n", None),
            ("riscv64", "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdc\nmmu\t\t: sv48\n", Some(4)),
            ("riscv64", "mmu\t\t: none\n", None),
            ("aarch64", "Features\t: fp\n", None),
            ("x86_64", ":\n\n: :\nflags", None),
        ] {
            assert_eq!(levels_in(arch, cpuinfo.as_bytes()), levels, "{arch}: {cpuinfo:?}");
        }
    }
}
