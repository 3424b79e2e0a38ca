//! The device numbers of tmpfs and hugetlbfs: of the mounts visible to a process, and of the kernel-internal ones, which no
//! mount table lists.

use std::fs::File;

use super::features::Features;
use super::process::Process;
use super::scan;
use crate::error::Result;
use crate::model::mountinfo;
use crate::model::smaps::Value;
use crate::model::vma::{Dev, Vma};
use crate::unit::{PageSize, VirtAddr};

/// The device numbers of file systems without a device. Names are not reliable: any user can create a file called `/SYSVx` or,
/// in a container, `/memfd:x (deleted)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystems {
    /// Of the kernel-internal tmpfs and all mounted ones.
    pub tmpfs: Vec<Dev>,
    /// Of hugetlbfs: the kernel-internal ones, one per page size, and all mounted ones.
    pub hugetlb: Vec<Dev>,
}

impl FileSystems {
    /// Identifies the devices of these mappings of `process`. `maps` is its open `maps` file.
    ///
    /// Free for a process that maps only disk files and the kernel-internal tmpfs. Otherwise it reads the mounts once, and
    /// makes one query per device that is in none of them.
    pub fn of<'v>(
        process: &Process,
        maps: &File,
        vmas: impl Iterator<Item = &'v Vma>,
        features: &Features,
        page_size: PageSize,
    ) -> Result<Self> {
        let mut systems = Self { tmpfs: features.shmem_dev().into_iter().collect(), hugetlb: Vec::new() };
        let mut unknown: Vec<(Dev, VirtAddr)> = Vec::new();
        for vma in vmas.filter(|vma| vma.dev.major == 0 && vma.name.bytes().starts_with(b"/")) {
            if !systems.tmpfs.contains(&vma.dev) && !unknown.iter().any(|(dev, _)| *dev == vma.dev) {
                unknown.push((vma.dev, vma.range.start));
            }
        }
        if unknown.is_empty() {
            return Ok(systems);
        }
        // Without mountinfo the devices can still be queried one by one.
        let mounts = process.read("mountinfo").map(|text| mountinfo::devices(&text)).unwrap_or_default();
        unknown.retain(|(dev, _)| match mounts.iter().find(|(mounted, _)| mounted == dev) {
            Some((_, system)) => {
                match system.as_str() {
                    "tmpfs" => systems.tmpfs.push(*dev),
                    "hugetlbfs" => systems.hugetlb.push(*dev),
                    _ => {}
                }
                false
            }
            None => true,
        });
        if unknown.is_empty() {
            return Ok(systems);
        }
        let sizes =
            if features.procmap_query && !process.is_recorded() { None } else { Some(kernel_page_sizes(process)?) };
        for (dev, address) in unknown {
            let size = match &sizes {
                None => scan::query_vma(maps, address).ok().map(|detail| detail.page_size),
                Some(sizes) => sizes.iter().find(|(start, _)| *start == address).map(|(_, size)| *size),
            };
            if size.is_some_and(|size| size > page_size.bytes()) {
                systems.hugetlb.push(dev);
            }
        }
        Ok(systems)
    }
}

/// The start and KernelPageSize of every mapping, from smaps: larger than a base page only for hugetlb.
fn kernel_page_sizes(process: &Process) -> Result<Vec<(VirtAddr, u64)>> {
    let mappings = process.smaps(&["KernelPageSize".to_owned()])?;
    let size = |values: &[Option<Value>]| match values {
        [Some(Value::Bytes(bytes))] => Some(*bytes),
        _ => None,
    };
    Ok(mappings.iter().filter_map(|m| Some((m.range.start, size(&m.values)?))).collect())
}
