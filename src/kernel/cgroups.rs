//! The memory cgroups: which inode number of kpagecgroup is which group.

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

/// Where a recorded tree keeps the groups: a line each, the inode number and the path in hexadecimal.
pub const RECORDED: &str = "memory_cgroups";

/// How deep groups are nested at most before the walk stops: the kernel's own limit is INT_MAX, and no system has forty.
const DEEPEST: usize = 64;

/// The memory cgroups that can be seen, by inode number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    paths: HashMap<u64, Name>,
}

impl Cgroups {
    /// Walks the hierarchy that has the memory controller: version 1's where it is mounted, else version 2's.
    ///
    /// Paths are from the mount on, as in `/proc/PID/cgroup`. Groups that come and go meanwhile are seen or not.
    ///
    /// # Errors
    /// [`Error::Missing`] where no such hierarchy is mounted.
    pub fn read(root: &Root) -> Result<Self> {
        if root.is_recorded() {
            return Self::parse(&root.dir().read(RECORDED, SMALL)?);
        }
        let place = mount(root)?.ok_or_else(|| Error::Missing { path: "a mounted memory cgroup hierarchy".into() })?;
        let mut groups = Self::default();
        groups.walk(&root.dir().open_dir(relative(&place))?, &mut Vec::new(), 0);
        Ok(groups)
    }

    /// The path of the group with this inode number; `None` where there is none (any more), or it is not in sight.
    pub fn path(&self, inode: u64) -> Option<&Name> {
        self.paths.get(&inode)
    }

    /// The groups as a recorded tree keeps them, in the order of their numbers.
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

/// Where the hierarchy that has the memory controller is mounted.
pub fn mount(root: &Root) -> Result<Option<PathBuf>> {
    let mounts = root.dir().read("proc/self/mountinfo", SMALL)?;
    Ok(mountinfo::memory_cgroup(&mounts, |place| {
        let controllers = root.dir().read(relative(place).join("cgroup.controllers"), SMALL);
        controllers.is_ok_and(|text| text.split(u8::is_ascii_whitespace).any(|word| word == b"memory"))
    }))
}

/// The directory of the memory cgroup that pmem itself is in; `None` where it is out of sight.
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

/// The least limit of the memory cgroup that pmem is in and of those around it, in bytes; `None` where there is none, or the
/// groups are out of sight.
pub fn own_limit(root: &Root) -> Option<u64> {
    let limit = |directory: &Path| {
        let number = |file: &str| text(root.dir(), relative(&directory.join(file)).to_str()?)?.parse::<u64>().ok();
        // Version 1 writes the greatest number of pages for "none", version 2 a word.
        number("memory.max").or_else(|| number("memory.limit_in_bytes")).filter(|&bytes| bytes < 1 << 62)
    };
    own(root)?.ancestors().filter_map(limit).min()
}

/// A mount's place below the root that is held.
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
