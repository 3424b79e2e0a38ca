//! Which slab caches grew between two readings, and how fast.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::analysis::comparison::{Origin, between, no_rates, same_boot};
use crate::analysis::note::Note;
use crate::analysis::series::{MINUTE, rate};
use crate::analysis::slab::{Reading, Row};
use crate::kernel::manifest::Host;
use crate::name::Name;
use crate::unit::difference;

/// One of the two readings that are compared.
#[derive(Debug)]
pub struct Side {
    /// When it was read, UTC, in the form of RFC 3339; `None` for a saved slabinfo, which does not say.
    pub time: Option<String>,
    /// `live`, `recorded`, or `file` for a saved slabinfo.
    pub source: &'static str,
    /// The machine; `None` for a saved slabinfo.
    pub host: Option<Host>,
    /// Its caches.
    pub reading: Reading,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diff {
    /// The origin of the numbers of BEFORE.
    pub before: Origin,
    /// The origin of the numbers of AFTER.
    pub after: Origin,
    /// The time between them; `None` if it is not known or AFTER is older.
    pub seconds: Option<f64>,
    /// Whether both can be from the same boot; if not, changes are not growth.
    pub same_boot: bool,
    /// The caches; those that grew most in bytes come first.
    #[serde(skip)]
    pub caches: Vec<Change>,
    /// Sums over all caches that were compared, selected or not; `None` if the numbers are impossible.
    pub totals: Option<Totals>,
    /// Allocations of kmalloc that are too large for a cache; `None` if their size is not known.
    pub large_kmalloc: Option<LargeKmalloc>,
    /// meminfo's slab counters.
    pub meminfo: Sides<Option<Meminfo>>,
    /// Whether all caches of both are among those that were compared.
    #[serde(skip)]
    pub is_whole: bool,
    /// Of each side whose numbers cannot all be: which caches are left out for it, in a sentence.
    #[serde(skip)]
    pub impossible: Vec<String>,
}

/// The same for both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Sides<T> {
    /// In BEFORE.
    pub before: T,
    /// In AFTER.
    pub after: T,
}

/// meminfo's slab counters, in bytes; `None` if it lacks them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SlabMeminfo"))]
pub struct Meminfo {
    /// `Slab`.
    pub slab_bytes: Option<u64>,
    /// `SReclaimable`.
    pub reclaimable_bytes: Option<u64>,
    /// `SUnreclaim`.
    pub unreclaimable_bytes: Option<u64>,
}

/// Allocations of more than two pages, which SLUB takes straight from the page allocator: they are in no cache, and
/// `Slab` in meminfo includes them. So this is `Slab` minus the memory of all caches, and only as exact as the counters
/// it is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LargeKmalloc {
    /// Their size before, in bytes.
    pub before_bytes: u64,
    /// Their size after, in bytes.
    pub after_bytes: u64,
    /// `after_bytes` minus `before_bytes`.
    pub change_bytes: i64,
    /// Change per hour; `None` if the time is not known.
    pub bytes_per_hour: Option<i64>,
}

/// A change in large allocations of up to this many bytes may be an artefact: each CPU keeps up to 125 pages of a
/// counter to itself (`vm_stat_diff` in mm/vmstat.c) and folds them in every second, and slabs come and go between the
/// reads of slabinfo and meminfo. 1 MiB is what two CPUs can keep; a leak soon exceeds it.
pub const SLACK: u64 = 1 << 20;

impl LargeKmalloc {
    /// Whether they changed by more than their counters may be off.
    pub fn is_change(&self) -> bool {
        self.change_bytes.unsigned_abs() > SLACK
    }

    /// From `Slab` of meminfo and what the caches hold. `None` if the latter is more than `Slab`: then the kernel does
    /// not count them there (mm/slub.c before Linux 5.4), or there is nothing to see but the lag of the counters.
    fn of(meminfo: Sides<Option<Meminfo>>, held: Sides<u64>, time: Option<Duration>) -> Option<Self> {
        let slab = |side: Option<Meminfo>| side?.slab_bytes;
        let before_bytes = slab(meminfo.before)?.checked_sub(held.before)?;
        let after_bytes = slab(meminfo.after)?.checked_sub(held.after)?;
        let change_bytes = difference(after_bytes, before_bytes);
        let bytes_per_hour = time.and_then(|time| rate(change_bytes, time, HOUR));
        Some(Self { before_bytes, after_bytes, change_bytes, bytes_per_hour })
    }
}

/// The objects and slabs of a cache, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SlabAmount"))]
pub struct Amount {
    /// Objects in use (upper bound): under SLUB, free objects in per-CPU slabs count as used.
    pub active_objects: u64,
    /// Objects, used or free.
    pub objects: u64,
    /// Slabs.
    pub slabs: u64,
    /// Memory the slabs occupy.
    pub bytes: u64,
}

/// One amount minus another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SlabDifference"))]
pub struct Difference {
    /// Objects in use.
    pub active_objects: i64,
    /// Objects, used or free.
    pub objects: i64,
    /// Slabs.
    pub slabs: i64,
    /// Memory the slabs occupy.
    pub bytes: i64,
}

/// A change per hour; `None` if the time is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rate {
    /// Memory the slabs occupy.
    pub bytes_per_hour: Option<i64>,
    /// Objects, used or free.
    pub objects_per_hour: Option<i64>,
    /// Objects in use.
    pub active_objects_per_hour: Option<i64>,
}

/// One cache, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its name in slabinfo.
    pub name: Name,
    /// The names of the caches that were merged into it; `None` if not known.
    pub aliases: Option<Vec<Name>>,
    /// Whether its slabs can be reclaimed; `None` if not known.
    pub reclaimable: Option<bool>,
    /// It is only in the second.
    pub new: bool,
    /// It is only in the first.
    pub gone: bool,
    /// What it had, and has.
    pub amount: Sides<Amount>,
    /// The second minus the first.
    pub change: Difference,
    /// How fast that is.
    pub rate: Rate,
}

/// Sums over all caches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SlabDiffTotals"))]
pub struct Totals {
    /// What there was, and is.
    #[serde(flatten)]
    pub amount: Sides<Amount>,
    /// AFTER minus BEFORE.
    pub change: Difference,
    /// How fast that is.
    #[serde(flatten)]
    pub rate: Rate,
}

impl Amount {
    /// What slabinfo counts for a cache; `None` if no machine can have that much.
    fn of(row: &Row) -> Option<Self> {
        let Some(counts) = &row.counts else { return Some(Self::default()) };
        let cache = &counts.cache;
        let amount = Self {
            active_objects: cache.active_objects,
            objects: cache.objects,
            slabs: cache.slabs,
            bytes: counts.held_bytes,
        };
        Self::default().plus(amount)
    }

    /// Adds another amount; `None` if any of the sums does not fit, see [`FITS`].
    fn plus(self, other: Self) -> Option<Self> {
        let sum = |a: u64, b: u64| a.checked_add(b).filter(|sum| *sum <= FITS);
        Some(Self {
            active_objects: sum(self.active_objects, other.active_objects)?,
            objects: sum(self.objects, other.objects)?,
            slabs: sum(self.slabs, other.slabs)?,
            bytes: sum(self.bytes, other.bytes)?,
        })
    }
}

/// The largest number whose changes can be represented; no machine has that much of anything.
const FITS: u64 = i64::MAX as u64;

impl Sides<Amount> {
    fn change(&self) -> Difference {
        let Self { before, after } = self;
        Difference {
            active_objects: difference(after.active_objects, before.active_objects),
            objects: difference(after.objects, before.objects),
            slabs: difference(after.slabs, before.slabs),
            bytes: difference(after.bytes, before.bytes),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

impl Difference {
    /// How fast it is, if it took `time`, which is not 0.
    fn rate(&self, time: Option<Duration>) -> Rate {
        let rate = |change: i64| rate(change, time?, HOUR);
        Rate {
            bytes_per_hour: rate(self.bytes),
            objects_per_hour: rate(self.objects),
            active_objects_per_hour: rate(self.active_objects),
        }
    }
}

impl Diff {
    /// Whether enough time passed between the readings to show rates.
    pub fn has_rates(&self) -> bool {
        self.same_boot && self.seconds.is_some_and(|seconds| seconds >= MINUTE.as_secs_f64())
    }
}

impl Change {
    /// Whether anything about it changed.
    pub fn is_change(&self) -> bool {
        self.new || self.gone || self.change != Difference::default()
    }

    /// The names of the caches that were merged into it, as far as known.
    pub fn further_names(&self) -> &[Name] {
        self.aliases.as_deref().unwrap_or_default()
    }

    /// All of its names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.name).chain(self.further_names())
    }
}

/// The names of the two sides.
const SIDES: [&str; 2] = ["first", "second"];

impl Side {
    fn origin(&self) -> Origin {
        let kernel = self.host.as_ref().map(|host| host.kernel.clone());
        Origin { time: self.time.clone(), source: self.source, kernel }
    }

    fn meminfo(&self) -> Option<Meminfo> {
        // A saved slabinfo has no meminfo; the one at hand is from another time.
        self.host.as_ref()?;
        let reconcile = self.reading.reconcile.as_ref()?;
        Some(Meminfo {
            slab_bytes: reconcile.meminfo_slab_bytes,
            reclaimable_bytes: reconcile.meminfo_reclaimable_bytes,
            unreclaimable_bytes: reconcile.meminfo_unreclaimable_bytes,
        })
    }

    /// Caches by name, without those whose numbers are impossible. Kernels allow two with the same name: these count as
    /// one.
    fn by_name(&self) -> BTreeMap<&Name, (&Row, Amount)> {
        let mut found = BTreeMap::new();
        for row in &self.reading.caches {
            let entry = found.entry(&row.name).or_insert((row, Some(Amount::default())));
            entry.1 = entry.1.zip(Amount::of(row)).and_then(|(sum, amount)| sum.plus(amount));
        }
        found.into_iter().filter_map(|(name, (row, amount))| Some((name, (row, amount?)))).collect()
    }

    /// Caches whose numbers no machine can have.
    fn impossible(&self) -> impl Iterator<Item = &Name> {
        let possible = self.by_name();
        self.reading.caches.iter().map(|row| &row.name).filter(move |name| !possible.contains_key(name))
    }

    /// The caches left out of this side because of their numbers, in a sentence.
    fn left_out(&self, which: &str) -> Option<String> {
        let impossible: Vec<_> = self.impossible().map(Name::escaped).collect();
        let [first, others @ ..] = &impossible[..] else { return None };
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        Some(format!("the {which} slabinfo has impossible numbers: {first}{more} is left out"))
    }

    /// Whether the allocator is SLAB (up to Linux 6.7), whose caches have tunables.
    fn is_slab(&self) -> bool {
        let mut counts = self.reading.caches.iter().filter_map(|row| row.counts.as_ref());
        counts.any(|counts| counts.cache.tunables.limit > 0)
    }

    /// Whether a cache that is missing here did not exist: the lost part of a truncated file may have listed any cache.
    pub fn is_whole(&self) -> bool {
        self.reading.trouble.is_none() && self.impossible().next().is_none()
    }
}

/// Compares two readings. `measured` is the time between them, if it was measured with a monotonic clock.
pub fn compare(before: &Side, after: &Side, measured: Option<Duration>) -> (Diff, Vec<Note>) {
    let mut notes = Vec::new();
    let between = measured.or_else(|| between(before.time.as_deref()?, after.time.as_deref()?));
    let same_boot = same_boot(before.host.as_ref(), after.host.as_ref());
    notes.extend(match same_boot && (before.time.is_none() || after.time.is_none()) {
        true => {
            let text = "a saved slabinfo has no time and no boot ID: there are no rates";
            Some(Note::general("time-unknown", text))
        }
        false => no_rates(same_boot, between),
    });
    let time = between.filter(|time| !time.is_zero() && same_boot);
    let caches = changes(before, after, time);
    let sum = |of: fn(&Change) -> Amount| caches.iter().map(of).try_fold(Amount::default(), Amount::plus);
    let amount = sum(|row| row.amount.before).zip(sum(|row| row.amount.after));
    let totals = amount.map(|(before, after)| {
        let amount = Sides { before, after };
        let change = amount.change();
        Totals { amount, change, rate: change.rate(time) }
    });
    let meminfo = Sides { before: before.meminfo(), after: after.meminfo() };
    let large_kmalloc = totals
        .as_ref()
        .filter(|_| [before, after].into_iter().all(|side| side.is_whole() && !side.is_slab()))
        .and_then(|Totals { amount: Sides { before, after }, .. }| {
            LargeKmalloc::of(meminfo, Sides { before: before.bytes, after: after.bytes }, time)
        });
    notes.extend(other_notes(before, after, &caches));
    let diff = Diff {
        before: before.origin(),
        after: after.origin(),
        seconds: between.map(|time| time.as_secs_f64()),
        same_boot,
        caches,
        totals,
        large_kmalloc,
        meminfo,
        is_whole: before.is_whole() && after.is_whole(),
        impossible: SIDES.iter().zip([before, after]).filter_map(|(which, side)| side.left_out(which)).collect(),
    };
    (diff, notes)
}

fn changes(before: &Side, after: &Side, time: Option<Duration>) -> Vec<Change> {
    let (old, new) = (before.by_name(), after.by_name());
    let [before_is_whole, after_is_whole] = [before, after].map(Side::is_whole);
    let names: BTreeSet<&Name> = old.keys().chain(new.keys()).copied().collect();
    let mut changes: Vec<Change> = names
        .into_iter()
        .filter_map(|name| match (old.get(name), new.get(name)) {
            (None, Some(_)) if !before_is_whole => None,
            (Some(_), None) if !after_is_whole => None,
            (old, new) => Some(change(name, old, new, time)),
        })
        .collect();
    changes.sort_by(|a, b| {
        let growth = |row: &Change| (row.change.bytes, row.change.active_objects);
        growth(b).cmp(&growth(a)).then_with(|| a.name.cmp(&b.name))
    });
    changes
}

fn change(name: &Name, old: Option<&(&Row, Amount)>, new: Option<&(&Row, Amount)>, time: Option<Duration>) -> Change {
    // What is shown of a cache comes from the last reading that has it.
    let rows = || new.into_iter().chain(old).map(|(row, _)| *row);
    let aliases = rows().find_map(|row| row.aliases.clone());
    let amount = |side: Option<&(&Row, Amount)>| side.map_or_else(Amount::default, |(_, amount)| *amount);
    let amount = Sides { before: amount(old), after: amount(new) };
    let change = amount.change();
    Change {
        name: name.clone(),
        aliases,
        reclaimable: rows().find_map(|row| row.details.reclaimable),
        new: old.is_none(),
        gone: new.is_none(),
        amount,
        change,
        rate: change.rate(time),
    }
}

/// What else the reader must know.
fn other_notes(before: &Side, after: &Side, caches: &[Change]) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |code, text: &str| notes.push(Note::general(code, text));
    let kernel = |side: &Side| side.host.as_ref().map(|host| host.kernel.clone());
    if let (Some(before), Some(after)) = (kernel(before), kernel(after))
        && before != after
    {
        let text = format!("the kernels differ, {before} and {after}: so may their objects and names");
        note("different-kernels", &text);
    }
    for (side, which) in [before, after].into_iter().zip(SIDES) {
        if let Some(text) = side.left_out(which) {
            note("numbers-impossible", &text);
        }
        if side.reading.trouble.is_some() {
            let text = format!("the {which} slabinfo is truncated: the missing caches are left out");
            note("torn", &text);
        }
    }
    if caches.iter().any(|row| row.aliases.is_none()) {
        let text = "not all names of merged caches are known (/sys/kernel/slab): a cache may hold objects of another \
                    name";
        note("names-unknown", text);
    }
    if before.source == "file" && after.source == "file" && caches.iter().any(|row| row.aliases.is_some()) {
        let text = "a saved slabinfo does not say which caches were merged: other names, and which caches are \
                    reclaimable, are from this machine as it is now";
        note("names-of-now", text);
    }
    let text = "objects in use are an upper bound: with SLUB, free objects in per-CPU slabs count as used, so a change can be \
                off by a few slabs per CPU";
    notes.push(Note { in_json_only: true, ..Note::general("active-objects-upper-bound", text) });
    notes
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
