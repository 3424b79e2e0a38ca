//! The per-CPU batches (`folio_batch`) that collect pages before they are moved to the LRU lists.

use std::fs::File;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;

/// Drains the batches of all CPUs.
///
/// A new, lazily freed or locked page first goes into a batch of the CPU. The change takes effect when the batch has 31 pages,
/// or when something drains the batches. `posix_fadvise` drains them if it has to leave a page in the page cache, such as one
/// of a running program.
#[derive(Debug)]
pub struct LruDrain(File);

impl LruDrain {
    /// Opens this process's executable.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open() -> std::io::Result<Self> {
        File::open("/proc/self/exe").map(Self)
    }

    /// Drains the batches; `page` is the base page size in bytes. Has no effect if the executable is on a file system that
    /// cannot drop pages, such as tmpfs.
    ///
    /// # Errors
    /// Those of `posix_fadvise`.
    pub fn drain(&self, page: usize) -> nix::Result<()> {
        let page = libc::off_t::try_from(page).unwrap_or(libc::off_t::MAX);
        // For its first page: the kernel ignores a range smaller than a page.
        posix_fadvise(&self.0, 0, page, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
    }
}
