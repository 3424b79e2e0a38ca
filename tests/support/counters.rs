//! The kernel's counters of the whole machine, which change while anything is compared with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::kernel::pages;
use super::skipped;

/// A number of pages that pmem reports, and the kernel's number before and after.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) name: &'static str,
    pub(crate) ours: u64,
    pub(crate) kernel: [u64; 2],
    /// How many of these a run of pmem uses and causes itself, at most: it does not exist before or after.
    pub(crate) own: u64,
}

impl Compared {
    /// How far ours is outside the range of the kernel's numbers.
    fn off(&self) -> u64 {
        let (low, high) = (self.kernel[0].min(self.kernel[1]), self.kernel[0].max(self.kernel[1]));
        low.saturating_sub(self.ours).max(self.ours.saturating_sub(high))
    }
}

/// Fails unless each of pmem's numbers agrees with the kernel's at least once: within the kernel's numbers before and
/// after, give or take what pmem uses itself and how far the kernel's counters can lag.
///
/// The kernel also reports how much changed in the meantime: every page that was allocated, freed or moved to another
/// list. A number that is off by more than that is certainly wrong, and so is one that is off in every try if one of
/// them was quiet, or off by a quarter in every try. Other numbers for which it was never quiet are reported as
/// skipped.
#[track_caller]
pub(crate) fn assert_same_as_counters(test: &str, compare: impl Fn() -> Vec<Compared>) {
    const TRIES: usize = 8;
    /// A run of pmem alone moves a quarter of this.
    const QUIET: u64 = 20_000;
    let lag = counters_lag();
    let mut right = BTreeSet::new();
    let mut wrong: BTreeMap<&'static str, Vec<(Compared, u64)>> = BTreeMap::new();
    for _ in 0..TRIES {
        let before = moved();
        let tried = compare();
        let moved = moved() - before;
        for one in tried {
            assert!(one.off() <= lag + one.own + moved, "no more than {moved} pages moved, and {lag} can lag: {one:?}");
            if one.off() <= lag + one.own {
                right.insert(one.name);
            } else {
                wrong.entry(one.name).or_default().push((one, moved));
            }
        }
        wrong.retain(|name, _| !right.contains(name));
        if wrong.is_empty() {
            return;
        }
    }
    for (name, tries) in wrong {
        let quiet = tries.iter().any(|(_, moved)| *moved <= QUIET);
        let near = tries.iter().any(|(one, _)| one.off() <= lag + one.own + one.kernel[0] / 4);
        assert!(near && !quiet, "{name} was never right, with so many pages moved: {tries:?}");
        skipped(&format!("{test}: {name}"), &format!("the machine was never quiet: {tries:?}"));
    }
}

/// How many pages were ever allocated, freed, or moved to another list.
fn moved() -> u64 {
    const EVENTS: [&str; 5] = ["pgalloc_", "pgfree ", "pgactivate ", "pgdeactivate ", "pglazyfree "];
    let text = fs::read_to_string("/proc/vmstat").unwrap();
    let events = text.lines().filter(|line| EVENTS.iter().any(|event| line.starts_with(event)));
    events.map(|line| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// How far the kernel's counters can be off, in pages: each CPU keeps up to this many to itself in each zone.
/// (`mm/vmstat.c`)
pub(crate) fn counters_lag() -> u64 {
    let zones = fs::read_to_string("/proc/zoneinfo").unwrap();
    let thresholds = zones.lines().filter_map(|line| line.trim().strip_prefix("vm stats threshold:"));
    thresholds.map(|pages| pages.trim().parse::<u64>().unwrap()).sum()
}

/// A counter of `/proc/meminfo`, in pages.
#[track_caller]
pub(crate) fn meminfo(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).expect(key);
    pages(value.trim().trim_end_matches(" kB").parse().unwrap())
}

/// The free pages of `/proc/buddyinfo`, from the number of blocks of each order.
pub(crate) fn buddyinfo() -> u64 {
    let text = fs::read_to_string("/proc/buddyinfo").unwrap();
    let orders = |line: &str| -> u64 {
        let blocks = line.split_whitespace().skip(4).map(|blocks| blocks.parse::<u64>().unwrap());
        blocks.enumerate().map(|(order, blocks)| blocks << order).sum()
    };
    text.lines().map(orders).sum()
}

/// The pages of all slabs by `/proc/slabinfo`, which only root can read.
pub(crate) fn slabinfo() -> u64 {
    let text = fs::read_to_string("/proc/slabinfo").unwrap();
    let pages = |line: &str| -> u64 {
        // name <active_objs> … <pagesperslab> : tunables … : slabdata <active_slabs> <num_slabs> <sharedavail>
        let parts: Vec<&str> = line.rsplitn(3, " : ").collect();
        let per_slab: u64 = parts[2].split_whitespace().last().unwrap().parse().unwrap();
        let slabs: u64 = parts[0].split_whitespace().nth(2).unwrap().parse().unwrap();
        per_slab * slabs
    };
    text.lines().filter(|line| line.contains(" : slabdata ") && !line.starts_with('#')).map(pages).sum()
}
