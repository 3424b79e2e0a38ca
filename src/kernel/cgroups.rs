//! The memory cgroups: the path for each inode number in kpagecgroup.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::fstat;

use super::dir::Dir;
use super::root::{Root, SMALL, text};
use crate::error::{Error, Result};
use crate::model::mountinfo;
use crate::name::Name;

/// The file with the groups in a recorded tree: one line each, with the inode number and the path in hexadecimal.
pub const RECORDED: &str = "memory_cgroups";

/// The nesting depth at which the walk stops: the kernel's limit is INT_MAX, and no real system reaches forty.
const DEEPEST: usize = 64;

/// The visible memory cgroups, by inode number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    paths: HashMap<u64, Name>,
}

impl Cgroups {
    /// Walks the hierarchy with the memory controller: version 1 if it is mounted, else version 2.
    ///
    /// Paths are relative to the mount, as in `/proc/PID/cgroup`. Groups created or removed during the walk may or may not be
    /// included.
    ///
    /// # Errors
    /// [`Error::Missing`] if no such hierarchy is mounted.
    pub fn read(root: &Root) -> Result<Self> {
        if root.is_recorded() {
            return Self::parse(&root.dir().read(RECORDED, SMALL)?);
        }
        let place = mount(root)?.ok_or_else(|| Error::Missing { path: "a mounted memory cgroup hierarchy".into() })?;
        let mut groups = Self::default();
        groups.walk(&root.dir().open_dir(relative(&place))?, &mut Vec::new(), 0);
        Ok(groups)
    }

    /// The path of the group with this inode number; `None` if it does not exist (any more) or is not visible.
    pub fn path(&self, inode: u64) -> Option<&Name> {
        self.paths.get(&inode)
    }

    /// The groups in the format of a recorded tree, sorted by number.
    pub fn recorded(&self) -> String {
        let mut lines: Vec<_> = self.paths.iter().collect();
        lines.sort_unstable();
        lines.iter().map(|(inode, path)| format!("{inode} {}\n", path.to_hex())).collect()
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let line = |line: &[u8]| {
            let (inode, path) = line.split_at_checked(line.iter().position(|&b| b == b' ')?)?;
            Some((std::str::from_utf8(inode).ok()?.parse().ok()?, Name::from_hex(&path[1..])?))
        };
        let lines = text.split(|&b| b == b'\n').zip(1..).filter(|(text, _)| !text.is_empty());
        let malformed = |number| Error::malformed(RECORDED.as_ref(), number, "expected 'INODE PATH'");
        let paths = lines.map(|(text, number)| line(text).ok_or_else(|| malformed(number))).collect::<Result<_>>()?;
        Ok(Self { paths })
    }

    fn walk(&mut self, group: &Dir, path: &mut Vec<u8>, depth: usize) {
        if let Ok(stat) = fstat(group) {
            self.paths.insert(stat.st_ino, Name::new(if path.is_empty() { b"/" } else { path }));
        }
        for name in group.directories().unwrap_or_default() {
            let child = group.open_dir(OsStr::from_bytes(&name));
            if let (Ok(child), true) = (child, depth < DEEPEST) {
                let length = path.len();
                path.push(b'/');
                path.extend_from_slice(&name);
                self.walk(&child, path, depth + 1);
                path.truncate(length);
            }
        }
    }
}

/// The mount point of the hierarchy with the memory controller.
pub fn mount(root: &Root) -> Result<Option<PathBuf>> {
    let mounts = root.dir().read("proc/self/mountinfo", SMALL)?;
    Ok(mountinfo::memory_cgroup(&mounts, |place| {
        let controllers = root.dir().read(relative(place).join("cgroup.controllers"), SMALL);
        controllers.is_ok_and(|text| text.split(u8::is_ascii_whitespace).any(|word| word == b"memory"))
    }))
}

/// The directory of pmem's own memory cgroup; `None` if it is not visible.
pub fn own(root: &Root) -> Option<PathBuf> {
    let groups = text(root.dir(), "proc/self/cgroup")?;
    let path = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some((controllers.to_owned(), path.to_owned()))
    };
    let lines = || groups.lines().filter_map(path);
    let first = lines().find(|(controllers, _)| controllers.split(',').any(|controller| controller == "memory"));
    let (_, path) = first.or_else(|| lines().find(|(controllers, _)| controllers.is_empty()))?;
    let directory = mount(root).ok()??.join(relative(Path::new(&path)));
    root.dir().open_dir(relative(&directory)).is_ok().then_some(directory)
}

/// The lowest limit of pmem's memory cgroup and its ancestors, in bytes; `None` if there is no limit, or the groups are not
/// visible.
pub fn own_limit(root: &Root) -> Option<u64> {
    let limit = |directory: &Path| {
        let number = |file: &str| text(root.dir(), relative(&directory.join(file)).to_str()?)?.parse::<u64>().ok();
        // For "no limit", version 1 prints the largest page-aligned number, version 2 a word.
        number("memory.max").or_else(|| number("memory.limit_in_bytes")).filter(|&bytes| bytes < 1 << 62)
    };
    own(root)?.ancestors().filter_map(limit).min()
}

/// The path of a mount, relative to the root.
fn relative(place: &Path) -> &Path {
    place.strip_prefix("/").unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_comes_back() {
        let mut groups = Cgroups::default();
        groups.paths.insert(1, Name::new(b"/"));
        groups.paths.insert(9605, Name::new(b"/a\nb"));
        let text = groups.recorded();
        assert_eq!(text, "1 2f\n9605 2f610a62\n");
        assert_eq!(Cgroups::parse(text.as_bytes()).unwrap(), groups);
        for bad in ["x 2f\n", "1\n", "1 2\n"] {
            assert!(Cgroups::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
