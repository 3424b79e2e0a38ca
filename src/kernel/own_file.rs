//! A file of pmem's own on a disk, whose pages the kernel can drop and read again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::page_cache::{self, Found};
use crate::kernel::tmpfile;
use crate::unit::PageSize;

/// A new file of so many pages that are on the disk and not in the page cache. It has no name, and goes with its last user.
///
/// # Errors
/// Why there is none: it may not be that large, or in no directory can one be made whose pages do not stay in memory (as those
/// of a tmpfs do).
pub fn uncached(pages: u64, page_size: PageSize) -> io::Result<File> {
    if tmpfile::largest()? < page_size.bytes_of(pages) {
        return Err(io::Error::other("files may not be that large here (ulimit -f)"));
    }
    tmpfile::on_disk(|file| write_and_drop(file, pages, page_size).ok().filter(|&cached| cached == 0))
        .map(|(file, _)| file)
        .ok_or_else(|| io::Error::other("the pages of a file stay in memory here, or none can be made"))
}

/// Writes a file, has its pages dropped, and tells how many are cached all the same.
fn write_and_drop(mut file: &File, pages: u64, page_size: PageSize) -> io::Result<u64> {
    let page = vec![1; page_size.bytes() as usize];
    for _ in 0..pages {
        file.write_all(&page)?;
    }
    file.sync_data()?;
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(match page_cache::open(&path, true) {
        Ok(Found::File(file)) => file.count(page_size).map_or(pages, |(_, counts)| counts.cached),
        _ => pages,
    })
}
