//! What this machine lets pmem see, and what that means for each command.

mod commands;

use serde::Serialize;

use crate::analysis::frames::statm;
use crate::kernel::features::Features;
use crate::kernel::interfaces::{Interface, Setting};
use crate::kernel::manifest::Host;
use crate::kernel::scan::category;
use crate::model::capabilities::{Capabilities, RELEVANT};

/// What pmem can see on this machine.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DoctorReport"))]
pub struct Report {
    /// The capabilities that matter here, and whether pmem has them.
    pub capabilities: Vec<CapabilityRow>,
    /// The kernel's files.
    pub interfaces: Vec<InterfaceRow>,
    /// Kernel features, as probed.
    pub features: Vec<FeatureRow>,
    /// Settings that affect the numbers.
    pub settings: Vec<SettingRow>,
    /// The commands.
    pub commands: Vec<CommandRow>,
}

/// A capability.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CapabilityRow {
    /// Its name.
    pub name: &'static str,
    /// Whether pmem has it; `None` on a recorded tree.
    pub held: Option<bool>,
    /// What it gives access to.
    pub opens: &'static str,
}

/// A file of the kernel.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InterfaceRow {
    /// Its path.
    pub path: String,
    /// Whether it can be read.
    pub readable: bool,
    /// What reading it requires.
    pub needs: String,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A kernel feature.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FeatureRow {
    /// Its name.
    pub name: &'static str,
    /// Whether the kernel has it; `None` if the probe was inconclusive.
    pub available: Option<bool>,
    /// How it was probed.
    pub how_probed: &'static str,
    /// What follows from that.
    pub why: String,
}

/// A setting.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SettingRow {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None` if this machine does not have it.
    pub value: Option<String>,
    /// The file it is read from.
    pub source: String,
}

/// How far a command works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Works {
    /// Fully.
    Fully,
    /// Partly.
    Partly,
    /// Not at all.
    No,
}

/// A command.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommandRow {
    /// The command, with the option this is about.
    pub command: &'static str,
    /// How far it works.
    pub works: Works,
    /// Why it does not work fully; empty if it does.
    pub why: String,
}

/// What was read and tried.
#[derive(Debug)]
pub struct Seen {
    /// The machine.
    pub host: Host,
    /// The features of the kernel, as every command sees them.
    pub features: Features,
    /// The files.
    pub interfaces: Vec<Interface>,
    /// pmem's own capabilities; `None` on a recorded tree.
    pub capabilities: Option<Capabilities>,
    /// Whether a request to clear soft-dirty bits reports success.
    pub clear_soft_dirty_succeeds: Option<bool>,
    /// Whether frame numbers without memory are reported as such.
    pub nopage_reported: Option<bool>,
    /// Whether the idle page bitmap exists.
    pub idle_bitmap: bool,
    /// Settings.
    pub settings: Vec<Setting>,
    /// Swap areas.
    pub swap_areas: Option<Vec<String>>,
}

impl Seen {
    /// What it all means.
    pub fn report(self) -> Report {
        Report {
            capabilities: RELEVANT
                .iter()
                .map(|c| CapabilityRow {
                    name: c.name,
                    held: self.capabilities.map(|held| held.has(c)),
                    opens: c.opens,
                })
                .collect(),
            features: self.features(),
            commands: self.commands(),
            settings: self.settings(),
            interfaces: self
                .interfaces
                .into_iter()
                .map(|i| InterfaceRow {
                    needs: i.file.needs(i.of_others),
                    path: i.path,
                    readable: i.readable,
                    why: i.problem,
                })
                .collect(),
        }
    }

    fn features(&self) -> Vec<FeatureRow> {
        let features = &self.features;
        let row = |name, available, how_probed, why: String| FeatureRow { name, available, how_probed, why };
        let says = |available: Option<bool>, yes: &str, no: &str| {
            match available {
                Some(true) => yes,
                Some(false) => no,
                None => "could not be tested",
            }
            .to_owned()
        };
        let scan = features.scan_categories.is_some();
        vec![
            row(
                "frame numbers",
                Some(features.pfns_visible),
                "a touched page of its own in pagemap",
                says(
                    Some(features.pfns_visible),
                    "pagemap shows frame numbers and swap slots",
                    "hidden: needs CAP_SYS_ADMIN in the initial user namespace",
                ),
            ),
            row(
                "PAGEMAP_SCAN",
                Some(scan),
                "ioctl on own pagemap",
                match features.scan_categories {
                    Some(known) => format!("knows {}", newest_category(known)),
                    None => "before Linux 6.7: pagemap is read word by word, one second per TiB".to_owned(),
                },
            ),
            row(
                "guard regions in scans",
                scan.then(|| features.scans(category::GUARD)),
                "category mask of the ioctl",
                says(
                    scan.then(|| features.scans(category::GUARD)),
                    "distinguished from swap by the scan",
                    "distinguished from swap by pagemap words",
                ),
            ),
            row(
                "huge zero page in scans",
                features.scan_huge_zero,
                "own huge page, only read",
                says(
                    features.scan_huge_zero,
                    "reported as a zero page",
                    "not reported as a zero page: huge pages get an extra check",
                ),
            ),
            row(
                "PROCMAP_QUERY",
                Some(features.procmap_query),
                "ioctl on own maps",
                says(
                    Some(features.procmap_query),
                    "exact names, hugetlb known without smaps",
                    "before Linux 6.11: a newline in a name and a literal \\012 look the same",
                ),
            ),
            row(
                "exact statm",
                features.statm_exact,
                "statm after each of 16 own pages touched",
                match features.statm_exact {
                    Some(false) => format!(
                        "a process with one thread may be off by up to {} pages",
                        self.host.page_size().map_or(0, |size| {
                            statm::bound_pages(&self.host.kernel, features.possible_cpus, 1, size)
                        })
                    ),
                    other => says(other, "updated for every page", ""),
                },
            ),
            row("soft-dirty bits", features.soft_dirty, "bit 55 of an own fresh page", self.soft_dirty()),
            row(
                "KSM flag",
                features.ksm_flag_wrong.map(|wrong| !wrong),
                "own page in kpageflags",
                says(
                    features.ksm_flag_wrong.map(|wrong| !wrong),
                    "set for merged pages only",
                    "set for every anonymous page (a bug in Linux 6.10 to 7.0): ignored",
                ),
            ),
            row(
                "NOPAGE flag",
                self.nopage_reported,
                "a frame number in a missing memory block",
                says(
                    self.nopage_reported,
                    "holes are reported",
                    "holes read as 0, like frames without flags (Linux 6.15 to 7.1)",
                ),
            ),
            row(
                "page-table levels",
                features.page_table_levels.map(|_| true),
                "/proc/cpuinfo (la57, mmu)",
                match features.page_table_levels {
                    Some(levels) => format!("{levels}"),
                    None => "inferred from the end of the address space, if the architecture is known".to_owned(),
                },
            ),
            row(
                "idle page tracking",
                Some(self.idle_bitmap),
                "/sys/kernel/mm/page_idle/bitmap",
                says(Some(self.idle_bitmap), "there", "not built in; any IDLE flag comes from DAMON"),
            ),
        ]
    }

    fn soft_dirty(&self) -> String {
        match (self.features.soft_dirty, self.clear_soft_dirty_succeeds) {
            (Some(true), _) => "writes can be tracked from another process".to_owned(),
            (Some(false), Some(true)) => {
                "not built in, but writing 4 to clear_refs succeeds: tools that trust it see every page as clean"
                    .to_owned()
            }
            (Some(false), _) => "not built in".to_owned(),
            (None, _) => "could not be tested".to_owned(),
        }
    }

    fn settings(&self) -> Vec<SettingRow> {
        let mut rows: Vec<SettingRow> = self
            .settings
            .iter()
            .map(|s| SettingRow { name: s.name, value: s.value.clone(), source: format!("/{}", s.path) })
            .collect();
        let swap =
            self.swap_areas.as_ref().map(|areas| if areas.is_empty() { "none".into() } else { areas.join("; ") });
        rows.push(SettingRow { name: "swap areas", value: swap, source: "/proc/swaps".to_owned() });
        rows
    }
}

/// The newest category in a mask of PAGEMAP_SCAN, by its name in the kernel.
fn newest_category(known: u64) -> String {
    const NAMES: [&str; 10] =
        ["WPALLOWED", "WRITTEN", "FILE", "PRESENT", "SWAPPED", "PFNZERO", "HUGE", "SOFT_DIRTY", "GUARD", "ACCESSED"];
    let newest = 63u32.saturating_sub(known.leading_zeros()) as usize;
    let name = NAMES.get(newest).copied().unwrap_or("categories newer than pmem");
    format!("{} categories, the newest {name}", known.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_category_is_named() {
        assert_eq!(newest_category(0x7f), "7 categories, the newest HUGE");
        assert_eq!(newest_category(0x1ff), "9 categories, the newest GUARD");
        assert_eq!(newest_category(0xfff), "12 categories, the newest categories newer than pmem");
    }
}
