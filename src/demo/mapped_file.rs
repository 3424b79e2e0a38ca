//! Common parts of the mapped-file demos: an unnamed file, how many of its pages one fault maps, how many are cached.

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

/// A new in-memory file. It has no name and is freed with its last user.
pub(super) fn memory_file(facts: &Facts<'_>) -> Result<File, Skip> {
    room(facts)?;
    tmpfile::in_memory().map_err(|errno| Skip(format!("cannot create an in-memory file: {}", errno.desc())))
}

/// Checks RLIMIT_FSIZE: a process that writes more than that is killed.
pub(super) fn room(facts: &Facts<'_>) -> Result<(), Skip> {
    let limit = tmpfile::largest()?;
    if limit < facts.page_size.bytes_of(PAGES as u64) {
        return Err(Skip(format!("files are limited to {limit} bytes here (ulimit -f)")));
    }
    Ok(())
}

/// Writes this page to every page of the file. Page by page, because large writes create large folios in the page cache, which
/// are mapped as a whole; and whole pages, because on a file system with smaller blocks the rest of a page would not be cached.
/// On a disk the pages are then dirty, and so not reclaimed.
pub(super) fn fill(file: &File, page: &[u8]) -> Done {
    let write = |number| file.write_all_at(page, (number * page.len()) as u64);
    (0..PAGES).try_for_each(write).map_err(errno)
}

/// A page of bytes with the value 1, to fill a file with.
pub(super) fn ones(facts: &Facts<'_>) -> Vec<u8> {
    vec![1; facts.page()]
}

/// How many pages of a cached file one fault maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtOnce {
    /// By a read: the pages in the `fault_around_bytes` window, or all of a large folio.
    pub(super) by_read: usize,
    /// By a write: one page, or all of a large folio.
    pub(super) by_write: usize,
}

impl AtOnce {
    /// Probes at the address the worker will use, because fault-around depends on the address. Fills the file.
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

/// The number of present pages in one of pmem's own mappings.
pub(super) fn present(facts: &Facts<'_>, mapping: &Mapping) -> nix::Result<usize> {
    let entries = own_pagemap::entries::<PAGES>(mapping, facts.page_size)?;
    Ok(entries.into_iter().filter(|entry| entry.is_present()).count())
}

impl Worker {
    /// Takes over a file the parent has open, as its first file.
    pub(super) fn take(&mut self, file: &File) -> Done {
        self.files[0] = Some(file.try_clone().map_err(errno)?);
        Ok(())
    }

    /// Its first file.
    pub(super) fn file(&self) -> nix::Result<&File> {
        self.files[0].as_ref().ok_or(Errno::EFAULT)
    }
}

/// Reads how much of the worker's first file is cached.
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
