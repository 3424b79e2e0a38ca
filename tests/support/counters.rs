//! The kernel's counters of the whole machine, which move while anything is compared with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::kernel::pages;
use super::skipped;

/// A number of pages that pmem has, and the kernel's before and after it.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) name: &'static str,
    pub(crate) ours: u64,
    pub(crate) kernel: [u64; 2],
    /// How many of these a run of pmem has and causes itself, at most: it is not there before nor after.
    pub(crate) own: u64,
}

impl Compared {
    /// How far ours is outside of what the kernel said.
    fn off(&self) -> u64 {
        let (low, high) = (self.kernel[0].min(self.kernel[1]), self.kernel[0].max(self.kernel[1]));
        low.saturating_sub(self.ours).max(self.ours.saturating_sub(high))
    }
}

/// Fails unless each of pmem's numbers is once the kernel's: within what it said before and after, but for what pmem has
/// itself and for how far the kernel's counters can lag.
///
/// How much moved meanwhile the kernel tells too: every page that was allocated, freed or put on another list. A number
/// that is further off than that is wrong for sure, and so is one that is off in every try, one of them quiet, or off by a
/// quarter in every try. What else was never quiet is said to be skipped.
#[track_caller]
pub(crate) fn assert_same_as_counters(test: &str, compare: impl Fn() -> Vec<Compared>) {
    const TRIES: usize = 8;
    /// A run of pmem by itself moves a quarter of it.
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

/// How many pages were ever allocated, freed, or put on another list.
fn moved() -> u64 {
    const EVENTS: [&str; 5] = ["pgalloc_", "pgfree ", "pgactivate ", "pgdeactivate ", "pglazyfree "];
    let text = fs::read_to_string("/proc/vmstat").unwrap();
    let events = text.lines().filter(|line| EVENTS.iter().any(|event| line.starts_with(event)));
    events.map(|line| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// How far the kernel's counters can be off, in pages: each processor keeps up to so many to itself in each zone.
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

/// The free pages of `/proc/buddyinfo`: so many blocks of each order.
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
