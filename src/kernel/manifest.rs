//! `pmem-capture.json`: what a recorded tree says of the machine it was taken on.

use serde::{Deserialize, Serialize};

use super::features::Features;
use crate::unit::PageSize;

/// The file's name, at the top of the tree.
pub const FILE: &str = "pmem-capture.json";

/// The form that this version writes and reads.
pub const SCHEMA: &str = "pmem.capture/1";

/// The machine that numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Host {
    /// The kernel's release, as `uname -r` gives it.
    pub kernel: String,
    /// The architecture, as `uname -m` gives it.
    pub arch: String,
    /// The base page size in bytes.
    pub page_size: u64,
    /// `/proc/sys/kernel/random/boot_id`, which tells one boot from another; `None` where it is not readable.
    pub boot_id: Option<String>,
}

impl Host {
    /// The page size, where it is one.
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::new(self.page_size)
    }
}

/// Something that was asked for and is not in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CaptureGap"))]
pub struct Gap {
    /// Its path below the tree.
    pub path: String,
    /// Why it is not there.
    pub why: String,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was taken, UTC, in the form of RFC 3339.
    pub time: String,
    /// The machine.
    pub host: Host,
    /// Clock ticks a second, the unit of a process's start time.
    pub clock_ticks: u64,
    /// What was probed on the machine and cannot be probed on a tree.
    pub features: Features,
    /// The PID of the process that made the tree: what `self` is in it, if it recorded itself.
    pub recorder: Option<u32>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Where the tree is from, in words: fixtures say it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}
