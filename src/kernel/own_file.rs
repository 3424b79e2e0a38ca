//! A temporary file on a disk, with pages that the kernel can drop and read again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::page_cache::{self, Found};
use crate::kernel::tmpfile;
use crate::unit::PageSize;

/// A new file of this many pages, which are on the disk and not in the page cache. It has no name and is deleted with its last
/// user.
///
/// # Errors
/// Why it failed: files may not be that large, or no directory allows a file with pages that can be dropped from memory (unlike
/// those of tmpfs).
pub fn uncached(pages: u64, page_size: PageSize) -> io::Result<File> {
    if tmpfile::largest()? < page_size.bytes_of(pages) {
        return Err(io::Error::other("files may not be that large here (ulimit -f)"));
    }
    tmpfile::on_disk(|file| write_and_drop(file, pages, page_size).ok().filter(|&cached| cached == 0))
        .map(|(file, _)| file)
        .ok_or_else(|| io::Error::other("file pages cannot be dropped from memory here, or no file can be created"))
}

/// Writes a file, drops its pages, and returns how many are still cached.
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
