//! Unnamed files for probes: they are deleted with their last user, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};

/// The maximum file size for this process, in bytes: writing beyond it kills the process (SIGXFSZ).
///
/// # Errors
/// Those of `getrlimit`.
pub fn largest() -> nix::Result<u64> {
    getrlimit(Resource::RLIMIT_FSIZE).map(|(limit, _)| limit)
}

/// The directories for temporary files.
pub fn directories() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from("/var/tmp")]
}

/// A new in-memory file.
///
/// # Errors
/// Those of `memfd_create`.
pub fn in_memory() -> nix::Result<File> {
    memfd_create(c"pmem-demo", MFdFlags::MFD_CLOEXEC).map(File::from)
}

/// A new file in the first of the [`directories`] that allows a suitable one, and the result of checking it.
pub fn on_disk<T>(mut is_fit: impl FnMut(&File) -> Option<T>) -> Option<(File, T)> {
    directories().iter().find_map(|directory| {
        let file = in_directory(directory).ok()?;
        let found = is_fit(&file)?;
        Some((file, found))
    })
}

/// A new file on the file system of a directory.
///
/// # Errors
/// Those of `open`: EOPNOTSUPP if the file system does not support `O_TMPFILE`.
fn in_directory(directory: &Path) -> io::Result<File> {
    File::options().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory)
}
