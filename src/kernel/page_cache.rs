//! Opening files to query their page cache without leaving a trace: nothing is read or changed, not even the access time. The
//! queries are in [`super::cached_pages`].

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::stat::Mode;
use nix::sys::statfs::{
    BPF_FS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, FsType, HUGETLBFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC, PROC_SUPER_MAGIC, SECURITYFS_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, fstatfs, statfs,
};

use super::lines;
use super::memory::Mapping;
use super::root::Root;
use crate::error::{Error, Result};
use crate::model::vma::{Dev, Vma};
use crate::unit::PageSize;

/// What was found at a path.
#[derive(Debug)]
pub enum Found {
    /// An open regular file or block device.
    File(CachedFile),
    /// A directory.
    Directory,
    /// Anything without pages in the page cache, which was not opened: a FIFO, a socket, a character device, a link, a procfs
    /// file and so on.
    Other,
}

/// An open file, to query its cached pages.
#[derive(Debug)]
pub struct CachedFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// The size in bytes.
    pub size: u64,
    /// The device and inode, as in `stat`.
    pub identity: (Dev, u64),
    /// Opened with O_NOATIME: pmem owns the file or has CAP_FOWNER. Only then does mapping it not change the access time.
    pub(super) owned: bool,
    pub(super) store: Store,
}

/// Where a file system keeps its file pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Usual,
    /// In the underlying files (overlay).
    Overlay,
    /// In the hugetlb pool, with this page size in bytes.
    Hugetlb(u64),
}

/// Opens the file at `path`, following a final link if `follow` is set.
///
/// It is opened for reading only once it is known to be a regular file or a block device: opening others can block (FIFO) or
/// have effects (a tape, a watchdog).
///
/// # Errors
/// Those of looking up the path; [`Error::Hidden`] for a file that may not be opened for reading.
pub fn open(path: &Path, follow: bool) -> Result<Found> {
    let failed = |e: Errno| Error::from_errno(e, path);
    let link = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let open = |path: &Path, flags| nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty()).map(File::from);
    let place = open(path, OFlag::O_PATH | link).map_err(|e| if is_denial(e) { not_reachable() } else { failed(e) })?;
    let kind = place.metadata().map_err(|e| Error::from_io(e, path))?.file_type();
    if kind.is_dir() {
        return Ok(Found::Directory);
    }
    let system = fstatfs(&place).map_err(failed)?.filesystem_type();
    if !(kind.is_file() && !WITHOUT_PAGES.contains(&system) || kind.is_block_device()) {
        return Ok(Found::Other);
    }
    // Reopen the same file, whatever the path refers to by now.
    let place = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
    let reading = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let (opened, owned) = match open(&place, reading | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => (open(&place, reading), false),
        other => (other, true),
    };
    let file = opened.map_err(|e| if is_denial(e) { not_readable() } else { failed(e) })?;
    CachedFile::new(file, path, system, owned).map(Found::File)
}

/// Whether a directory is on a file system without page cache (procfs, sysfs and so on). Opening their files can have effects,
/// and they have very many of them.
pub fn is_without_pages(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|system| WITHOUT_PAGES.contains(&system.filesystem_type()))
}

const WITHOUT_PAGES: [FsType; 8] = [
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
    DEBUGFS_MAGIC,
    TRACEFS_MAGIC,
    SECURITYFS_MAGIC,
    CGROUP_SUPER_MAGIC,
    CGROUP2_SUPER_MAGIC,
    BPF_FS_MAGIC,
];

fn is_denial(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM)
}

fn not_reachable() -> Error {
    Error::Hidden {
        what: "permission denied",
        help: "A directory on the way to it may not be searched: this needs search permission or CAP_DAC_READ_SEARCH.",
    }
}

fn not_readable() -> Error {
    Error::Hidden {
        what: "permission denied",
        help: "Querying the cached pages of a file requires opening it for reading: this needs read permission or \
               CAP_DAC_READ_SEARCH.",
    }
}

impl CachedFile {
    fn new(mut file: File, path: &Path, system: FsType, owned: bool) -> Result<Self> {
        let failed = |e| Error::from_io(e, path);
        let metadata = file.metadata().map_err(failed)?;
        let size = match metadata.file_type().is_block_device() {
            true => file.seek(SeekFrom::End(0)).map_err(failed)?,
            false => metadata.len(),
        };
        let store = match system {
            OVERLAYFS_SUPER_MAGIC => Store::Overlay,
            HUGETLBFS_MAGIC => Store::Hugetlb(metadata.blocks().saturating_mul(512)),
            _ => Store::Usual,
        };
        let dev = Dev { major: libc::major(metadata.dev()), minor: libc::minor(metadata.dev()) };
        Ok(Self { file, path: path.to_owned(), size, identity: (dev, metadata.ino()), owned, store })
    }

    /// Whether it is on an overlay.
    pub fn is_on_overlay(&self) -> bool {
        self.store == Store::Overlay
    }

    /// Its size in pages, including a partial last page.
    pub fn pages(&self, page_size: PageSize) -> u64 {
        self.size.div_ceil(page_size.bytes())
    }

    /// The byte at an offset; `None` beyond the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn byte(&self, offset: u64) -> Result<Option<u8>> {
        let mut byte = [0];
        let read = self.file.read_at(&mut byte, offset).map_err(|e| Error::from_io(e, &self.path))?;
        Ok((read == 1).then_some(byte[0]))
    }

    /// Whether `/proc/PID/maps` shows the same device and inode for this file as `stat`: on btrfs and some overlays they
    /// differ. `None` if that cannot be found out without changing the access time.
    pub fn is_numbered_as_in_maps(&self, root: &Root) -> Option<bool> {
        if !self.owned || self.size == 0 {
            return None;
        }
        let page = root.page_size().bytes() as usize;
        let length =
            if let Store::Hugetlb(_) = self.store { self.file.metadata().ok()?.blksize() as usize } else { page };
        let mapping = Mapping::file(&self.file, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED).ok()?;
        let (path, mut found) = (Path::new("proc/self/maps"), None);
        lines::for_each(&mut root.dir().open(path).ok()?, path, |number, line| {
            let vma = Vma::parse(line, path, number)?;
            if vma.range.contains(&mapping.address()) {
                found = Some((vma.dev, vma.inode));
            }
            Ok(())
        })
        .ok()?;
        found.map(|found| found == self.identity)
    }
}
