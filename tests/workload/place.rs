//! Where memory is placed, and what the kernel reports about it to this process itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::unistd::{SysconfVar, sysconf};
use pmem::internal::memory::Mapping;

/// The size of a base page.
pub(crate) static PAGE: LazyLock<usize> =
    LazyLock::new(|| sysconf(SysconfVar::PAGE_SIZE).ok().flatten().map_or(4096, |bytes| bytes as usize));

/// Where the settings of transparent huge pages are.
pub(crate) const THP: &str = "/sys/kernel/mm/transparent_hugepage";

/// For reading and writing.
pub(crate) const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Far from where the kernel places mappings by itself, so that none of ours merges with one of the C library.
pub(crate) const FAR: usize = 0x2000_0000_0000;

/// Places that lie far from one another, so that no two mappings merge, and that are aligned for any huge page.
#[derive(Debug)]
pub(crate) struct Places(usize);

impl Places {
    pub(crate) fn new() -> Self {
        Self(FAR)
    }

    /// Anonymous memory of `pages` pages at the next place, without huge pages unless it is advised again.
    pub(crate) fn anonymous(&mut self, pages: usize, flags: MapFlags) -> Result<Mapping> {
        let address = self.0;
        self.0 += 1 << 30;
        let mapping = Mapping::anonymous(pages * *PAGE, READ_WRITE, flags, Some(address))?;
        small_pages(&mapping);
        Ok(mapping)
    }

    /// Private memory for exactly `count` transparent huge pages, none of which is allocated yet, and its size in
    /// pages.
    pub(crate) fn huge(&mut self, count: usize) -> Result<(Mapping, usize)> {
        let enabled = setting(&format!("{THP}/enabled"));
        ensure!(!enabled.is_empty() && !enabled.contains("[never]"), "transparent huge pages are off");
        let bytes = count * setting(&format!("{THP}/hpage_pmd_size")).parse::<usize>()?;
        let mapping = self.anonymous(bytes / *PAGE, MapFlags::MAP_PRIVATE)?;
        mapping.advise(0, bytes, MmapAdvise::MADV_HUGEPAGE)?;
        Ok((mapping, bytes / *PAGE))
    }
}

/// Keeps huge pages out. A kernel without huge pages does not know the advice, and needs none.
pub(crate) fn small_pages(mapping: &Mapping) {
    let _ = mapping.advise(0, mapping.length(), MmapAdvise::MADV_NOHUGEPAGE);
}

/// Writes the first byte of every page in a range of page numbers.
pub(crate) fn write_pages(mapping: &Mapping, pages: std::ops::Range<usize>) {
    pages.for_each(|page| mapping.write(page * *PAGE, 1));
}

/// Reads the first byte of every page in a range of page numbers.
pub(crate) fn read_pages(mapping: &Mapping, pages: std::ops::Range<usize>) {
    pages.for_each(|page| {
        mapping.read(page * *PAGE);
    });
}

/// The value of `key` in `smaps` for the mapping of this process that begins where `mapping` does, in pages.
pub(crate) fn smaps_pages(mapping: &Mapping, key: &str) -> Result<usize> {
    let text = fs::read("/proc/self/smaps")?;
    let text = String::from_utf8_lossy(&text);
    let header = format!("{:x}-", mapping.address().0);
    let line = text
        .lines()
        .skip_while(|line| !line.starts_with(&header))
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .with_context(|| format!("smaps has no {key} of {header}"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024 / *PAGE)
}

/// Whether the page-table entry of page number `page` is present, by `/proc/self/pagemap`.
pub(crate) fn is_present(mapping: &Mapping, page: usize) -> Result<bool> {
    let mut word = [0; 8];
    let index = mapping.address().0 / *PAGE as u64 + page as u64;
    File::open("/proc/self/pagemap")?.read_exact_at(&mut word, index * 8)?;
    Ok(u64::from_ne_bytes(word) >> 63 == 1)
}

/// The trimmed content of a small kernel file; empty if it cannot be read.
pub(crate) fn setting(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
