//! What shapes the numbers of a demo on this machine.

use serde::Serialize;

use crate::kernel::cgroups;
use crate::kernel::features::Features;
use crate::kernel::root::{Root, SMALL, text};
use crate::model::meminfo::Meminfo;

/// What shapes the numbers.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The kernel's release.
    pub kernel: String,
    /// The size of a base page.
    pub page_size: u64,
    /// The setting of transparent huge pages: `always`, `madvise` or `never`; `None` where the kernel has none.
    pub thp: Option<String>,
    /// The size of such a page, in bytes.
    pub thp_bytes: Option<u64>,
    /// The smaller sizes (mTHP) that are not set to `never`, each with its setting.
    pub mthp: Vec<Mthp>,
    /// How much swap there is, in bytes.
    pub swap_total_bytes: Option<u64>,
    /// `vm.overcommit_memory`: 0 heuristic, 1 always, 2 never.
    pub overcommit: Option<u64>,
    /// The least limit of the memory cgroups that pmem runs in, in bytes; `None` where there is none.
    pub cgroup_limit_bytes: Option<u64>,
    /// Whether pages are moved between nodes by faults (`kernel.numa_balancing`): each is a fault more.
    pub numa_balancing: bool,
    /// Whether KSM runs.
    pub ksm_runs: bool,
    /// Whether frame numbers are seen, and what else only root sees with them.
    pub frame_numbers: bool,
}

/// A smaller size of transparent huge pages.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mthp {
    /// In bytes.
    pub bytes: u64,
    /// `always`, `inherit` or `madvise`.
    pub setting: String,
}

const THP: &str = "sys/kernel/mm/transparent_hugepage";

impl Environment {
    /// Reads it.
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

/// The word in brackets of a setting that lists its choices.
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
