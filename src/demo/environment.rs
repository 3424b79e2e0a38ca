//! The settings of this machine that affect a demo's numbers.

use serde::Serialize;

use crate::kernel::cgroups;
use crate::kernel::features::Features;
use crate::kernel::root::{Root, SMALL, text};
use crate::model::meminfo::Meminfo;

/// The settings that affect the numbers.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The kernel release.
    pub kernel: String,
    /// The size of a base page, in bytes.
    pub page_size: u64,
    /// The transparent huge page setting: `always`, `madvise` or `never`; `None` if the kernel does not support them.
    pub thp: Option<String>,
    /// The size of a transparent huge page, in bytes.
    pub thp_bytes: Option<u64>,
    /// The smaller sizes (mTHP) not set to `never`.
    pub mthp: Vec<Mthp>,
    /// Total swap, in bytes.
    pub swap_total_bytes: Option<u64>,
    /// `vm.overcommit_memory`: 0 heuristic, 1 always, 2 never.
    pub overcommit: Option<u64>,
    /// The lowest limit of the memory cgroups pmem runs in, in bytes; `None` if unlimited.
    pub cgroup_limit_bytes: Option<u64>,
    /// Whether NUMA balancing is on (`kernel.numa_balancing`): its hinting faults add to the counts.
    pub numa_balancing: bool,
    /// Whether KSM is running.
    pub ksm_runs: bool,
    /// Whether frame numbers, and everything that needs them, are visible.
    pub frame_numbers: bool,
}

/// A transparent huge page size below the PMD size.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mthp {
    /// The size, in bytes.
    pub bytes: u64,
    /// `always`, `inherit` or `madvise`.
    pub setting: String,
}

const THP: &str = "sys/kernel/mm/transparent_hugepage";

impl Environment {
    /// Reads the settings.
    pub fn read(root: &Root, features: &Features) -> Self {
        let number = |file: &str| text(root.dir(), file)?.parse::<u64>().ok();
        let meminfo = root.dir().read("proc/meminfo", SMALL).map(|text| Meminfo::parse(&text));
        Self {
            kernel: root.host().kernel.clone(),
            page_size: root.page_size().bytes(),
            thp: chosen(root, &format!("{THP}/enabled")),
            thp_bytes: number(&format!("{THP}/hpage_pmd_size")),
            mthp: mthp(root),
            swap_total_bytes: meminfo.ok().and_then(|meminfo| meminfo.bytes("SwapTotal")),
            overcommit: number("proc/sys/vm/overcommit_memory"),
            cgroup_limit_bytes: cgroups::own_limit(root),
            numa_balancing: number("proc/sys/kernel/numa_balancing").is_some_and(|mode| mode != 0),
            ksm_runs: number("sys/kernel/mm/ksm/run") == Some(1),
            frame_numbers: features.pfns_visible,
        }
    }
}

/// The word in brackets, in a file that lists all choices of a setting.
fn chosen(root: &Root, file: &str) -> Option<String> {
    let text = text(root.dir(), file)?;
    text.split_whitespace().find_map(|word| Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()))
}

fn mthp(root: &Root) -> Vec<Mthp> {
    let huge = text(root.dir(), &format!("{THP}/hpage_pmd_size")).and_then(|bytes| bytes.parse::<u64>().ok());
    let names = root.dir().open_dir(THP).and_then(|dir| dir.names()).unwrap_or_default();
    let size = |name: &[u8]| {
        let name = std::str::from_utf8(name).ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let bytes = kib.checked_mul(1024).filter(|bytes| Some(*bytes) != huge)?;
        let setting = chosen(root, &format!("{THP}/{name}/enabled")).filter(|setting| setting != "never")?;
        Some(Mthp { bytes, setting })
    };
    let mut sizes: Vec<Mthp> = names.iter().filter_map(|name| size(name)).collect();
    sizes.sort_unstable_by_key(|size| size.bytes);
    sizes
}
