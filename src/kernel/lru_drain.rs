//! The batches in which processors gather pages before they put them onto the kernel's lists.

use std::fs::File;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;

/// Empties the batches of all processors.
///
/// A page that is new, lazily freed or locked is noted down by the processor that did it, and becomes so in the eyes of the
/// kernel when there are 31 of them, or when somebody asks for the lists to be right. `posix_fadvise` asks, where it has to
/// leave a page in the page cache: as it has of a program that runs.
#[derive(Debug)]
pub struct LruDrain(File);

impl LruDrain {
    /// Opens the program of this process.
    ///
    /// # Errors
    /// That it cannot be opened.
    pub fn open() -> std::io::Result<Self> {
        File::open("/proc/self/exe").map(Self)
    }

    /// Empties them, on a machine with pages of so many bytes. Nothing happens where the program's file system has no page
    /// cache to give back, as tmpfs.
    ///
    /// # Errors
    /// What `posix_fadvise` says.
    pub fn drain(&self, page: usize) -> nix::Result<()> {
        let page = libc::off_t::try_from(page).unwrap_or(libc::off_t::MAX);
        // Of its first page: a smaller part would be left in peace without being asked.
        posix_fadvise(&self.0, 0, page, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
    }
}
