//! An open directory: every file pmem reads is opened relative to one, never by an absolute path.
//!
//! On the live machine this fixes the identity of a process: files opened below an open `/proc/PID` belong to that process or
//! fail with ESRCH, even if its PID has been reused. In a recorded tree, which may come from an untrusted source, it confines
//! reads to the tree: no symbolic link is followed and only regular files are opened.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Component, Path, PathBuf};

use nix::dir::{Dir as DirStream, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::error::{Error, Result};

/// An open directory of the live machine or of a recorded tree.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// In a recorded tree: follow no symbolic link and open regular files only.
    confined: bool,
}

/// A symbolic link: its name and its target.
pub type Link = (Vec<u8>, Vec<u8>);

impl Dir {
    /// Opens a directory of the live machine by its path.
    pub fn live(path: impl Into<PathBuf>) -> Result<Self> {
        Self::top(path.into(), false)
    }

    /// Opens the top of a recorded tree by its path.
    pub fn confined(path: impl Into<PathBuf>) -> Result<Self> {
        Self::top(path.into(), true)
    }

    fn top(path: PathBuf, confined: bool) -> Result<Self> {
        let fd = nix::fcntl::open(&path, DIRECTORY, Mode::empty()).map_err(|e| Error::from_errno(e, &path))?;
        Ok(Self { fd, path, confined })
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `relative` below this one.
    pub fn open_dir(&self, relative: impl AsRef<Path>) -> Result<Self> {
        let relative = relative.as_ref();
        let fd = self.openat(relative, DIRECTORY)?;
        Ok(Self { fd, path: self.path.join(relative), confined: self.confined })
    }

    /// Opens the file `relative` below this directory for reading.
    pub fn open(&self, relative: impl AsRef<Path>) -> Result<File> {
        let relative = relative.as_ref();
        // O_NONBLOCK: a FIFO in a recorded tree must not block pmem until someone writes to it.
        let extra = if self.confined { OFlag::O_NONBLOCK } else { OFlag::empty() };
        let file = File::from(self.openat(relative, OFlag::O_RDONLY | extra)?);
        if self.confined {
            let metadata = file.metadata().map_err(|e| Error::from_io(e, self.path.join(relative)))?;
            if !metadata.is_file() {
                let cause = std::io::Error::other("not a regular file");
                return Err(Error::Io { path: self.path.join(relative), cause });
            }
        } else if relative.starts_with("proc")
            && is_masked(&file).map_err(|e| Error::from_io(e, self.path.join(relative)))?
        {
            return Err(Error::Masked { path: self.path.join(relative) });
        }
        Ok(file)
    }

    /// Reads the whole file `relative`, which must not be larger than `limit` bytes.
    pub fn read(&self, relative: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
        let relative = relative.as_ref();
        // Most files fit and take one read call, plus one that finds the end.
        let mut bytes = Vec::with_capacity(4096);
        self.open(relative)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::from_io(e, self.path.join(relative)))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { path: self.path.join(relative), limit });
        }
        Ok(bytes)
    }

    /// Whether `relative` exists here and this process may look it up.
    pub fn exists(&self, relative: impl AsRef<Path>) -> bool {
        self.openat(relative.as_ref(), OFlag::O_PATH).is_ok()
    }

    /// The names in this directory, without `.` and `..`, in directory order.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.entries()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The names of the directories in this one, and of entries of unknown type.
    pub fn directories(&self) -> Result<Vec<Vec<u8>>> {
        let entries = self.entries()?.into_iter();
        Ok(entries.filter(|(_, kind)| is_directory(*kind)).map(|(name, _)| name).collect())
    }

    /// Likewise, and on the live machine also the symbolic links with their targets; no links in a recorded tree.
    pub fn directories_and_links(&self) -> Result<(Vec<Vec<u8>>, Vec<Link>)> {
        let (mut directories, mut links) = (Vec::new(), Vec::new());
        for (name, kind) in self.entries()? {
            if is_directory(kind) {
                directories.push(name);
            } else if kind == Some(Type::Symlink)
                && !self.confined
                // A link that has disappeared in the meantime is skipped.
                && let Ok(target) = readlinkat(&self.fd, OsStr::from_bytes(&name))
            {
                links.push((name, target.into_vec()));
            }
        }
        Ok((directories, links))
    }

    fn entries(&self) -> Result<Vec<(Vec<u8>, Option<Type>)>> {
        let failed = |e: Errno| Error::from_errno(e, &self.path);
        let fd = openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
        let mut entries = Vec::new();
        for entry in DirStream::from_fd(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push((name.to_vec(), entry.file_type()));
            }
        }
        Ok(entries)
    }

    fn openat(&self, relative: &Path, flags: OFlag) -> Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC;
        let failed = |e: Errno| Error::from_errno(e, self.path.join(relative));
        if !self.confined {
            return openat(&self.fd, relative, flags, Mode::empty()).map_err(failed);
        }
        // One component at a time, so that no link in the middle is followed either. openat2(RESOLVE_BENEATH) could do it in
        // one call, since Linux 5.6.
        let mut components = relative.components().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else { return Err(failed(Errno::EACCES)) };
            let flags = if components.peek().is_some() { DIRECTORY } else { flags } | OFlag::O_NOFOLLOW;
            let from = at.as_ref().map_or_else(|| self.fd.as_fd(), AsFd::as_fd);
            at = Some(openat(from, name, flags, Mode::empty()).map_err(|errno| match errno {
                Errno::ELOOP => {
                    let cause = std::io::Error::other("symbolic links are not followed in a recorded tree");
                    Error::Io { path: self.path.join(relative), cause }
                }
                other => failed(other),
            })?);
        }
        at.ok_or_else(|| failed(Errno::ENOENT))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

fn is_directory(kind: Option<Type>) -> bool {
    kind.is_none_or(|kind| kind == Type::Directory)
}

/// Whether a file below /proc is none of procfs, and empty. One that another file system fills, such as lxcfs, is not
/// masked.
fn is_masked(file: &File) -> std::io::Result<bool> {
    let metadata = file.metadata()?;
    if metadata.file_type().is_char_device() {
        return Ok(true);
    }
    // procfs gives most of its files no length.
    Ok(metadata.is_file()
        && metadata.len() == 0
        && fstatfs(file)?.filesystem_type() != PROC_SUPER_MAGIC
        && file.read_at(&mut [0], 0)? == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_recorded_tree_cannot_lead_out_of_itself() {
        let top = tempfile::tempdir().unwrap();
        let tree = top.path().join("tree");
        std::fs::create_dir_all(tree.join("proc")).unwrap();
        std::fs::write(top.path().join("secret"), "secret").unwrap();
        std::fs::write(tree.join("proc/file"), "inside").unwrap();
        symlink("../../secret", tree.join("proc/link")).unwrap();
        symlink("..", tree.join("up")).unwrap();
        mkfifo(&tree.join("proc/fifo"), Mode::S_IRWXU).unwrap();

        let dir = Dir::confined(&tree).unwrap();
        assert_eq!(dir.read("proc/file", 100).unwrap(), b"inside");
        for out in ["proc/link", "up/secret", "../secret", "/etc/hostname", "proc/fifo", "proc", ""] {
            assert!(dir.read(out, 100).is_err(), "{out:?} was read");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("file"), "12345").unwrap();
        let dir = Dir::confined(top.path()).unwrap();
        assert_eq!(dir.read("file", 5).unwrap(), b"12345");
        assert!(matches!(dir.read("file", 4), Err(Error::TooLarge { limit: 4, .. })));
    }
}
