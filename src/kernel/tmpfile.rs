//! Files without a name, to try things with: they go with their last user, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};

/// How large a file of this process may be, in bytes: to write behind that ends it.
///
/// # Errors
/// What `getrlimit` says.
pub fn largest() -> nix::Result<u64> {
    getrlimit(Resource::RLIMIT_FSIZE).map(|(limit, _)| limit)
}

/// The directories that temporary files are made in.
pub fn directories() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from("/var/tmp")]
}

/// A new file in memory.
///
/// # Errors
/// What `memfd_create` says.
pub fn in_memory() -> nix::Result<File> {
    memfd_create(c"pmem-demo", MFdFlags::MFD_CLOEXEC).map(File::from)
}

/// A new file in the first of the [`directories`] in which one can be made that is fit, and what was found out about it.
pub fn on_disk<T>(mut is_fit: impl FnMut(&File) -> Option<T>) -> Option<(File, T)> {
    directories().iter().find_map(|directory| {
        let file = in_directory(directory).ok()?;
        let found = is_fit(&file)?;
        Some((file, found))
    })
}

/// A new file on the file system that a directory is on.
///
/// # Errors
/// What `open` says: EOPNOTSUPP where the file system has no such files (`O_TMPFILE`).
fn in_directory(directory: &Path) -> io::Result<File> {
    File::options().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory)
}
