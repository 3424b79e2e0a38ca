//! The files with one word per frame: kpageflags, kpagecount and kpagecgroup.

use super::root::Root;
use super::words::Words;
use crate::error::{Error, Result};

/// The flags of each frame.
pub const FLAGS: &str = "proc/kpageflags";
/// The number of page-table entries that map each frame.
pub const COUNT: &str = "proc/kpagecount";
/// The memory cgroup each frame is charged to.
pub const CGROUP: &str = "proc/kpagecgroup";

/// The open files. All are readable only by root (mode 0400).
#[derive(Debug)]
pub struct FrameFiles {
    /// kpageflags.
    pub flags: Words,
    /// kpagecount.
    pub counts: Words,
    /// kpagecgroup; `None` on a kernel without memory cgroups, or in a tree without the file.
    pub cgroups: Option<Words>,
}

impl FrameFiles {
    /// Opens the files.
    ///
    /// # Errors
    /// [`Error::Denied`] for users other than root; [`Error::Unsupported`] if the kernel was built, or the tree recorded,
    /// without them.
    pub fn open(root: &Root) -> Result<Self> {
        let (flags, counts) = (open(root, FLAGS)?, open(root, COUNT)?);
        let cgroups = match open(root, CGROUP) {
            Err(Error::Unsupported { .. }) => None,
            other => Some(other?),
        };
        Ok(Self { flags, counts, cgroups })
    }
}

/// Why a file is not in a recorded tree, if the tree says so.
fn why_missing(root: &Root, file: &str) -> String {
    let gaps = root.manifest().into_iter().flat_map(|manifest| &manifest.gaps);
    gaps.filter(|gap| gap.path == file).map(|gap| format!(": {}", gap.why)).next().unwrap_or_default()
}

/// Opens one of the files.
///
/// # Errors
/// As [`FrameFiles::open`].
pub fn open(root: &Root, file: &str) -> Result<Words> {
    root.words(file).map_err(|error| match error {
        Error::Missing { path } if !root.is_recorded() => Error::not_built_in(&path),
        Error::Missing { path } => {
            Error::Unsupported { what: format!("{}: not in this tree{}", path.display(), why_missing(root, file)) }
        }
        other => other,
    })
}
