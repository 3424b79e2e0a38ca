//! The two ioctls of `/proc/PID`: PAGEMAP_SCAN (on pagemap, since Linux 6.7) and PROCMAP_QUERY (on maps, since 6.11).
//!
//! Layouts, numbers and error codes are those of `include/uapi/linux/fs.h`.

#![allow(unsafe_code)]
#![allow(unreachable_pub, private_interfaces, reason = "the ioctl macros make public functions")]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::unit::VirtAddr;

/// The PAGEMAP_SCAN categories that pmem uses.
pub mod category {
    /// In a mapping with `kernel::touched::WriteWatch`: the page has been written since. Elsewhere kernels
    /// differ.
    pub const WRITTEN: u64 = 1 << 1;
    /// The page is not anonymous: file-backed or shared memory. Requested only if needed, because the kernel then examines
    /// every page's `struct page`, which is four to five times slower.
    pub const FILE: u64 = 1 << 2;
    /// The page-table entry is present.
    pub const PRESENT: u64 = 1 << 3;
    /// The entry is neither empty nor present: swap, but also guard regions, userfaultfd markers and migration.
    pub const SWAPPED: u64 = 1 << 4;
    /// The shared zero page; the huge zero page only with `Features::scan_huge_zero`.
    pub const PFNZERO: u64 = 1 << 5;
    /// Mapped by a PMD (or PUD): a transparent huge page or hugetlb. Not set for a huge page mapped by PTEs.
    pub const HUGE: u64 = 1 << 6;
    /// A guard region (`MADV_GUARD_INSTALL`), together with [`SWAPPED`].
    pub const GUARD: u64 = 1 << 8;
}

/// A range of pages with the same categories, as written by PAGEMAP_SCAN (`struct page_region`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Region {
    /// The address of the first page.
    pub start: VirtAddr,
    /// The end address (exclusive).
    pub end: VirtAddr,
    /// Bits of [`category`].
    pub categories: u64,
}

/// `struct pm_scan_arg`.
#[derive(Default)]
#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

nix::ioctl_readwrite! {
    /// PAGEMAP_SCAN.
    pagemap_scan, b'f', 16, ScanArg
}

/// The arguments of one [`scan`] call.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The first address, a multiple of the page size.
    pub start: VirtAddr,
    /// The end address (exclusive).
    pub end: VirtAddr,
    /// The maximum number of matching pages per call; 0 for no limit.
    pub max_pages: u64,
    /// Pages with any of these categories match.
    pub any_of: u64,
    /// The categories to report; pages are grouped into regions by them.
    pub report: u64,
}

/// One PAGEMAP_SCAN call on an open pagemap: fills `regions` from its start and returns how many were written and the
/// address where the walk ended (less than the query's end when `regions` or `max_pages` was full).
///
/// # Errors
/// ENOTTY on a kernel without the ioctl, EINVAL for an unsupported category, ESRCH if the address space is gone.
pub fn scan(pagemap: &File, query: &Query, regions: &mut [Region]) -> Result<(usize, VirtAddr), Errno> {
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start: query.start.0,
        end: query.end.0,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        max_pages: query.max_pages,
        category_anyof_mask: query.any_of,
        return_mask: query.report,
        ..ScanArg::default()
    };
    // SAFETY: `arg` is laid out as the kernel's `struct pm_scan_arg`, and `vec`/`vec_len` describe `regions`, which is
    // borrowed for the whole call; the kernel writes at most `vec_len` elements of the layout of `Region`.
    let written = unsafe { pagemap_scan(pagemap.as_raw_fd(), &raw mut arg) }?;
    Ok((usize::try_from(written).unwrap_or(0).min(regions.len()), VirtAddr(arg.walk_end)))
}

/// `struct procmap_query`.
#[derive(Default)]
#[repr(C)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

nix::ioctl_readwrite! {
    /// PROCMAP_QUERY.
    procmap_query, b'f', 17, ProcmapQuery
}

/// What PROCMAP_QUERY reports about a VMA beyond its line in `maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmaDetail {
    /// The page size of the VMA, in bytes: larger than the base page only for hugetlb.
    pub page_size: u64,
    /// The unescaped name: `maps` writes a newline as `\012`, which a name can also contain literally.
    pub name: Vec<u8>,
}

/// Queries an open `maps` file for the VMA that contains `address`.
///
/// # Errors
/// ENOTTY on a kernel without the ioctl, ENOENT if there is no VMA, ESRCH if the address space is gone.
pub fn query_vma(maps: &File, address: VirtAddr) -> Result<VmaDetail, Errno> {
    // PATH_MAX, and room for the " (deleted)" that the kernel appends.
    let mut name = vec![0u8; 4096 + 16];
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_addr: address.0,
        vma_name_size: 4096,
        vma_name_addr: name.as_mut_ptr() as u64,
        ..ProcmapQuery::default()
    };
    // SAFETY: `query` is laid out as the kernel's `struct procmap_query` and says its own size; the name buffer is
    // longer than the size given for it and lives until after the call.
    unsafe { procmap_query(maps.as_raw_fd(), &raw mut query) }?;
    // The size counts the terminating NUL and is 0 for a VMA without a name.
    name.truncate((query.vma_name_size as usize).saturating_sub(1));
    Ok(VmaDetail { page_size: query.vma_page_size, name })
}
