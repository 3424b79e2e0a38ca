//! `pmem-capture.json`: the description of the recorded machine.

use serde::{Deserialize, Serialize};

use super::features::Features;
use crate::unit::PageSize;

/// The name of the file, at the top of the tree.
pub const FILE: &str = "pmem-capture.json";

/// The schema this version writes and reads.
pub const SCHEMA: &str = "pmem.capture/1";

/// The machine the numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Host {
    /// The kernel release, as in `uname -r`.
    pub kernel: String,
    /// The architecture, as in `uname -m`.
    pub arch: String,
    /// The base page size in bytes.
    pub page_size: u64,
    /// `/proc/sys/kernel/random/boot_id`, which identifies the boot; `None` if it cannot be read.
    pub boot_id: Option<String>,
}

impl Host {
    /// The page size, if it is a valid one.
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::new(self.page_size)
    }
}

/// Something requested that is not in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CaptureGap"))]
pub struct Gap {
    /// Its path, relative to the tree.
    pub path: String,
    /// Why it is missing.
    pub why: String,
}

/// The manifest of a recorded tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The time of recording, in UTC, in RFC 3339 format.
    pub time: String,
    /// The machine.
    pub host: Host,
    /// Clock ticks per second, the unit of a process's start time.
    pub clock_ticks: u64,
    /// The features probed on the machine, which cannot be probed on a tree.
    pub features: Features,
    /// The PID of the recording process: the meaning of `self` in the tree, if it recorded itself.
    pub recorder: Option<u32>,
    /// What was requested but is missing.
    pub gaps: Vec<Gap>,
    /// The origin of the tree, as text; used by fixtures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}
