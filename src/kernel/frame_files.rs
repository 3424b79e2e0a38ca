//! The machine's files of one word a frame: kpageflags, kpagecount and kpagecgroup.

use super::root::Root;
use super::words::Words;
use crate::error::{Error, Result};

/// What a frame is used for, in flags.
pub const FLAGS: &str = "proc/kpageflags";
/// By how many page-table entries it is mapped.
pub const COUNT: &str = "proc/kpagecount";
/// To which memory cgroup it is charged.
pub const CGROUP: &str = "proc/kpagecgroup";

/// The files of a machine's frames, open. All are readable by root only (file mode 0400).
#[derive(Debug)]
pub struct FrameFiles {
    /// kpageflags.
    pub flags: Words,
    /// kpagecount.
    pub counts: Words,
    /// kpagecgroup; `None` on a kernel without memory cgroups, and in a tree that does not have it.
    pub cgroups: Option<Words>,
}

impl FrameFiles {
    /// Opens them.
    ///
    /// # Errors
    /// [`Error::Denied`] for who is not root; [`Error::Unsupported`] where the kernel was built without them or the tree
    /// was recorded without them.
    pub fn open(root: &Root) -> Result<Self> {
        let (flags, counts) = (open(root, FLAGS)?, open(root, COUNT)?);
        let cgroups = match open(root, CGROUP) {
            Err(Error::Unsupported { .. }) => None,
            other => Some(other?),
        };
        Ok(Self { flags, counts, cgroups })
    }
}

/// Why a file is not in a recorded tree, where that says so.
fn why_missing(root: &Root, file: &str) -> String {
    let gaps = root.manifest().into_iter().flat_map(|manifest| &manifest.gaps);
    gaps.filter(|gap| gap.path == file).map(|gap| format!(": {}", gap.why)).next().unwrap_or_default()
}

/// Opens one of them.
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
