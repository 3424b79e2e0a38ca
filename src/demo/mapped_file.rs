//! What the demos of mapped files share: a file without a name, how many of its pages a fault maps, how many are cached.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise};

use super::Skip;
use super::facts::Facts;
use super::look::Look;
use super::quantity::{Quantity, Unit};
use super::worker::{Done, READ_WRITE, Worker};
use crate::error::{self, errno};
use crate::kernel::cached_pages::How;
use crate::kernel::memory::Mapping;
use crate::kernel::{own_pagemap, tmpfile};

/// Pages of the file.
pub(super) const PAGES: usize = 64;

/// Pages of the file that are in the page cache. Sources: cachestat, mincore.
pub(super) const CACHED: Quantity = Quantity::new("cached_pages", "cached", Unit::Pages);

/// A new file in memory. It has no name, and goes with its last user.
pub(super) fn memory_file(facts: &Facts<'_>) -> Result<File, Skip> {
    room(facts)?;
    tmpfile::in_memory().map_err(|errno| Skip(format!("no file in memory can be made: {}", errno.desc())))
}

/// Finds out whether the file may be as large as that: to write more than that ends a process.
pub(super) fn room(facts: &Facts<'_>) -> Result<(), Skip> {
    let limit = tmpfile::largest()?;
    if limit < facts.page_size.bytes_of(PAGES as u64) {
        return Err(Skip(format!("files may not be larger than {limit} bytes here (ulimit -f)")));
    }
    Ok(())
}

/// Writes the file, each page like this one. Page by page: of much that is written at once the page cache makes large folios,
/// which are mapped as a whole. And whole pages: where a file system has smaller blocks, the rest of a page is not cached.
/// On a disk the pages are dirty then, and so not reclaimed.
pub(super) fn fill(file: &File, page: &[u8]) -> Done {
    let write = |number| file.write_all_at(page, (number * page.len()) as u64);
    (0..PAGES).try_for_each(write).map_err(errno)
}

/// A page to fill a file with: bytes of 1.
pub(super) fn ones(facts: &Facts<'_>) -> Vec<u8> {
    vec![1; facts.page()]
}

/// How many pages of a cached file one fault maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtOnce {
    /// A read of a page: those around it, as many as `fault_around_bytes` says, and all of a large folio.
    pub(super) by_read: usize,
    /// A write: one, or all of a large folio.
    pub(super) by_write: usize,
}

impl AtOnce {
    /// Tries it, where the worker's memory is going to be: what is mapped around a page depends on the address. The file is
    /// filled for that.
    pub(super) fn probe(facts: &Facts<'_>, file: &File) -> Result<Self, Skip> {
        let page = facts.page();
        fill(file, &ones(facts))?;
        let address = Some(facts.places.address(0));
        let mapping = Mapping::file_placed(file, 0, PAGES * page, READ_WRITE, MapFlags::MAP_SHARED, address)?;
        mapping.read(0);
        let by_read = present(facts, &mapping)?;
        mapping.advise(0, mapping.length(), MmapAdvise::MADV_DONTNEED)?;
        mapping.write(0, 1);
        Ok(Self { by_read, by_write: present(facts, &mapping)? })
    }
}

/// How many pages of a mapping of pmem's own are present.
pub(super) fn present(facts: &Facts<'_>, mapping: &Mapping) -> nix::Result<usize> {
    let entries = own_pagemap::entries::<PAGES>(mapping, facts.page_size)?;
    Ok(entries.into_iter().filter(|entry| entry.is_present()).count())
}

impl Worker {
    /// Takes a file that the parent has open: its first.
    pub(super) fn take(&mut self, file: &File) -> Done {
        self.files[0] = Some(file.try_clone().map_err(errno)?);
        Ok(())
    }

    /// Its first file.
    pub(super) fn file(&self) -> nix::Result<&File> {
        self.files[0].as_ref().ok_or(Errno::EFAULT)
    }
}

/// Reads what is cached of the worker's first file.
pub(super) fn cached(look: &mut Look<'_>) -> error::Result<()> {
    let Some(file) = look.file(0)? else { return Ok(()) };
    let page_size = look.facts.page_size;
    let mut in_core = 0;
    file.runs(How::Mincore, page_size, |run, _| in_core += run.end - run.start)?;
    look.add(CACHED, "mincore", in_core as i64);
    if let (How::Cachestat, counts) = file.count(page_size)? {
        look.add(CACHED, "cachestat", counts.cached as i64);
    }
    Ok(())
}
