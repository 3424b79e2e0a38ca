//! The slab caches: what `/proc/slabinfo` counts, under all the names that each cache has, compared with meminfo.

pub mod diff;
pub mod names;
mod reader;
pub mod show;

use std::collections::BTreeMap;

use serde::Serialize;

use super::note::Note;
pub use crate::analysis::slab::reader::Reader;
use crate::error::Error;
use crate::model::meminfo::Meminfo;
use crate::model::slabinfo::{Cache, Held};
use crate::name::Name;
use crate::unit::{PageSize, decimal, difference};

/// What to read for every cache in `/sys/kernel/slab`: each is a file per cache, so only what will be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whether its slabs can be reclaimed (`reclaim_account`).
    pub reclaimable: bool,
    /// Slabs with free objects on the lists of nodes (`partial`).
    pub partial_slabs: bool,
    /// Per-CPU slabs (`cpu_slabs`).
    pub cpu_slabs: bool,
    /// Slabs with free objects on the lists of CPUs (`slabs_cpu_partial`).
    pub cpu_partial_slabs: bool,
    /// Slabs by node (`slabs`).
    pub nodes: bool,
}

/// One cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its name in slabinfo.
    pub name: Name,
    /// The names of the caches that were merged into it; `None` where `/sys/kernel/slab` cannot be read.
    pub aliases: Option<Vec<Name>>,
    /// What slabinfo counts; `None` where it cannot be read.
    pub counts: Option<Counts>,
    /// What was read in `/sys/kernel/slab`.
    pub details: Details,
    /// How it changed since the reading before; `None` if there is none to compare with.
    pub change: Option<Change>,
}

/// How a cache changed between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Objects it has room for.
    pub objects: i64,
    /// The size of its slabs, in bytes.
    pub size_bytes: i64,
}

impl Change {
    /// Whether it has grown.
    pub fn is_growth(&self) -> bool {
        self.objects > 0 || self.size_bytes > 0
    }
}

/// What slabinfo counts of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The line of slabinfo.
    pub cache: Cache,
    /// The size of its slabs in bytes as slabtop computes it, as if all had the order that the cache prefers.
    pub size_bytes: u64,
    /// What its slabs really hold, in bytes.
    pub held_bytes: u64,
    /// Slabs that are smaller than the cache prefers.
    pub small_slabs: u64,
}

/// What the directory of a cache says. `None` is what was not requested or cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Whether its slabs count as reclaimable.
    pub reclaimable: Option<bool>,
    /// Slabs with free objects on the lists of nodes.
    pub partial_slabs: Option<u64>,
    /// Slabs that CPUs have taken for themselves: those they allocate from, and those on their lists.
    pub cpu_slabs: Option<u64>,
    /// Of these, those on the lists of CPUs.
    pub cpu_partial_slabs: Option<u64>,
    /// Slabs by node.
    pub nodes: Option<Vec<(u32, u64)>>,
}

/// The sums that slabtop shows above its table, computed as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Totals {
    /// Objects in use (upper bound).
    pub active_objects: u64,
    /// Objects, used or free.
    pub objects: u64,
    /// Slabs with objects in use.
    pub active_slabs: u64,
    /// Slabs.
    pub slabs: u64,
    /// Caches that have objects.
    pub active_caches: u64,
    /// Caches.
    pub caches: u64,
    /// Objects in use times their size, in bytes.
    pub active_size_bytes: u64,
    /// Objects times their size, in bytes, excluding the space between and after objects.
    pub size_bytes: u64,
    /// The smallest object, in bytes.
    pub object_size_min_bytes: u64,
    /// `size_bytes` divided by `objects`, in bytes, rounded down.
    pub object_size_avg_bytes: u64,
    /// The largest object, in bytes.
    pub object_size_max_bytes: u64,
}

/// slabinfo compared with meminfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reconcile {
    /// The size of the slabs of all caches by slabtop's arithmetic, in bytes; `None` without slabinfo.
    pub slabinfo_bytes: Option<u64>,
    /// The memory they really occupy, in bytes; `None` without slabinfo.
    pub held_bytes: Option<u64>,
    /// The part in reclaimable caches; `None` unless known for all.
    pub reclaimable_bytes: Option<u64>,
    /// `Slab` in meminfo.
    pub meminfo_slab_bytes: Option<u64>,
    /// `SReclaimable` in meminfo.
    pub meminfo_reclaimable_bytes: Option<u64>,
    /// `SUnreclaim` in meminfo.
    pub meminfo_unreclaimable_bytes: Option<u64>,
    /// `slabinfo_bytes` minus `Slab`.
    pub difference_bytes: Option<i64>,
    /// `held_bytes` minus `Slab`: negative if there are large kmalloc allocations, which are in no cache.
    pub held_difference_bytes: Option<i64>,
}

/// All caches at one time.
#[derive(Debug, Default)]
pub struct Reading {
    /// The caches in the order of slabinfo, or by name if that cannot be read.
    pub caches: Vec<Row>,
    /// Sums over all of them; `None` without slabinfo.
    pub totals: Option<Totals>,
    /// The comparison with meminfo.
    pub reconcile: Option<Reconcile>,
    /// Why slabinfo could not be read, or not completely.
    pub trouble: Option<Error>,
    /// Why the names in `/sys/kernel/slab` are not known; `None` if they are.
    pub names_unknown: Option<String>,
    /// Why the counts of slabinfo are not known; `None` if they are.
    pub counts_unknown: Option<String>,
    /// Why meminfo cannot be read; `None` if it can.
    pub meminfo_unknown: Option<String>,
    /// Whether meminfo counts large allocations of kmalloc as slab: it does since Linux 5.4.
    pub counts_large_kmalloc: bool,
    /// Whether slabinfo has lines that could not be parsed, or lacks some: the sums do not include those.
    pub is_torn: bool,
    /// The caches that a torn slabinfo lacks, as far as `/sys/kernel/slab` names them.
    pub lacking: Vec<Name>,
}

/// The report.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SlabReport"))]
pub struct Report {
    /// The caches that are wanted.
    #[serde(skip)]
    pub caches: Vec<Row>,
    /// Sums over all caches; `None` without slabinfo.
    pub totals: Option<Totals>,
    /// Sums over the selected caches; `None` if all are selected, and without slabinfo.
    pub shown_totals: Option<Totals>,
    /// Comparison with meminfo.
    pub reconcile: Option<Reconcile>,
    /// What meminfo counts as slab that is in no cache, in words.
    #[serde(skip)]
    pub beyond_caches: String,
    /// Whether slabinfo could not be read whole.
    #[serde(skip)]
    pub is_torn: bool,
    /// The caches that it lacks then, as far as they are known.
    #[serde(skip)]
    pub lacking: Vec<Name>,
    /// Why the names of merged caches are not known, where they are not.
    #[serde(skip)]
    pub names_unknown: Option<String>,
    /// Why the counts of slabinfo are not known, where they are not.
    #[serde(skip)]
    pub counts_unknown: Option<String>,
    /// Why meminfo cannot be read, where it cannot.
    #[serde(skip)]
    pub meminfo_unknown: Option<String>,
    /// How many caches were left out since they have nothing.
    #[serde(skip)]
    pub left_out: usize,
}

impl Report {
    /// The caches of a reading for which `keeps` is true.
    pub fn new(reading: Reading, page_size: PageSize, keeps: impl FnMut(&Row) -> bool) -> Self {
        let beyond_caches = reading.beyond_caches(page_size);
        let all = reading.caches.len();
        let mut caches = reading.caches;
        caches.retain(keeps);
        let shown_totals = (caches.len() < all && reading.totals.is_some()).then(|| totals(&caches));
        Self {
            caches,
            totals: reading.totals,
            shown_totals,
            reconcile: reading.reconcile,
            beyond_caches,
            is_torn: reading.is_torn,
            lacking: reading.lacking,
            names_unknown: reading.names_unknown,
            counts_unknown: reading.counts_unknown,
            meminfo_unknown: reading.meminfo_unknown,
            left_out: 0,
        }
    }

    /// Leaves out the caches that have neither objects nor slabs.
    pub fn leave_out_empty(&mut self) {
        let before = self.caches.len();
        self.caches.retain(|row| row.counts.as_ref().is_none_or(|of| of.cache.objects > 0 || of.cache.slabs > 0));
        self.left_out = before - self.caches.len();
    }

    /// What the reader must know.
    pub fn notes(&self) -> Vec<Note> {
        let full = |row: &Row| row.counts.as_ref().is_some_and(|of| of.cache.use_percent() >= 99);
        let text = "objects in use are an upper bound: free objects in per-CPU slabs, lists and sheaves count as used";
        let in_json_only = !self.caches.iter().any(full);
        let mut notes = Vec::new();
        if self.totals.is_some() {
            notes.push(Note { in_json_only, ..Note::general("active-at-most", text) });
        }
        if self.is_torn {
            let names: Vec<_> = self.lacking.iter().take(3).map(Name::escaped).collect();
            let more = match self.lacking.len().saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = if names.is_empty() { String::new() } else { format!(" ({}{more})", names.join(", ")) };
            let text = format!("slabinfo could not be read completely: the sums leave out the missing caches{named}");
            notes.push(Note::general("slabinfo-torn", text));
        }
        notes.extend(unknown(&self.counts_unknown, &self.names_unknown));
        if let Some(why) = &self.meminfo_unknown {
            let text = format!("meminfo's slab counters are not known: {why}");
            notes.push(Note::general("meminfo-unknown", text));
        }
        notes
    }
}

/// What is not known because slabinfo or `/sys/kernel/slab` cannot be read, each with the reason.
pub fn unknown(counts: &Option<String>, names: &Option<String>) -> Vec<Note> {
    // People see the error about slabinfo on standard error.
    let counts = counts.as_ref().map(|why| Note {
        in_json_only: true,
        ..Note::general("slabinfo-unknown", format!("the contents of the caches are not known: {why}"))
    });
    let names = names.as_ref().map(|why| {
        let text = format!("the names of merged caches, and which caches are reclaimable, are not known: {why}");
        Note::general("names-unknown", text)
    });
    counts.into_iter().chain(names).collect()
}

impl Reading {
    /// What meminfo counts as slab that is in no cache of slabinfo, in words.
    ///
    /// kmalloc takes sizes it has no cache for from the page allocator: over two pages with SLUB, and since Linux 6.1
    /// with SLAB too. (commit d6a71648dbc0)
    pub fn beyond_caches(&self, page_size: PageSize) -> String {
        let two_pages = page_size.bytes_of(2);
        let is_larger = |row: &Row| kmalloc_bytes(&row.name).is_some_and(|bytes| bytes > two_pages);
        if self.is_torn {
            "it includes the caches missing from slabinfo".to_owned()
        } else if !self.counts_large_kmalloc || self.caches.iter().any(is_larger) {
            "its counters lag, and slabs came and went during the reading".to_owned()
        } else {
            format!("large kmalloc (over {} KiB), which is in no cache", two_pages / 1024)
        }
    }
}

/// The size that a cache of kmalloc is for, in bytes: `kmalloc-rcl-8k`, or `kmalloc-8192` before Linux 5.4.
fn kmalloc_bytes(name: &Name) -> Option<u64> {
    let (family, size) = std::str::from_utf8(name.bytes()).ok()?.rsplit_once('-')?;
    let (digits, unit) = match size.strip_suffix('k') {
        Some(digits) => (digits, 1 << 10),
        None => size.strip_suffix('M').map_or((size, 1), |digits| (digits, 1 << 20)),
    };
    decimal(digits).filter(|_| family.contains("kmalloc"))?.checked_mul(unit)
}

impl Counts {
    /// The counts in a line of slabinfo, and those derived from it.
    pub fn of(cache: Cache, page_size: PageSize) -> Self {
        let Held { pages, small_slabs } = cache.held(page_size);
        Self {
            size_bytes: page_size.bytes_of(cache.pages()),
            held_bytes: page_size.bytes_of(pages),
            small_slabs,
            cache,
        }
    }
}

impl Row {
    /// Its name with those of the caches merged into it: `signal_cache = UNIX`.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.name).chain(self.aliases.iter().flatten())
    }
}

/// Records in `now` how its caches changed since `before`. A cache that did not exist then has grown from nothing.
/// Caches with the same name cannot be distinguished.
pub fn compare(now: &mut [Row], before: &[Row]) {
    let mut readings: BTreeMap<Name, [Vec<Counts>; 2]> = BTreeMap::new();
    for (place, rows) in [&*now, before].into_iter().enumerate() {
        for row in rows {
            if let Some(counts) = &row.counts {
                readings.entry(row.name.clone()).or_default()[place].push(counts.clone());
            }
        }
    }
    for row in now {
        let nothing = Counts::default();
        let (now, before) = match readings.get(&row.name).map(|[now, before]| (&now[..], &before[..])) {
            Some(([now], [before])) => (now, before),
            Some(([now], [])) => (now, &nothing),
            _ => continue,
        };
        row.change = Some(Change {
            objects: difference(now.cache.objects, before.cache.objects),
            size_bytes: difference(now.size_bytes, before.size_bytes),
        });
    }
}

/// The sums over all caches.
pub fn totals(rows: &[Row]) -> Totals {
    let caches = || rows.iter().filter_map(|row| row.counts.as_ref()).map(|counts| &counts.cache);
    let sum = |of: fn(&Cache) -> u64| caches().map(of).fold(0, u64::saturating_add);
    let objects = sum(|cache| cache.objects);
    let size_bytes = sum(|cache| cache.objects.saturating_mul(cache.object_size));
    Totals {
        active_objects: sum(|cache| cache.active_objects),
        objects,
        active_slabs: sum(|cache| cache.active_slabs),
        slabs: sum(|cache| cache.slabs),
        active_caches: sum(|cache| u64::from(cache.objects > 0)),
        caches: sum(|_| 1),
        active_size_bytes: sum(|cache| cache.active_objects.saturating_mul(cache.object_size)),
        size_bytes,
        object_size_min_bytes: caches().map(|cache| cache.object_size).min().unwrap_or(0),
        object_size_avg_bytes: size_bytes.checked_div(objects).unwrap_or(0),
        object_size_max_bytes: caches().map(|cache| cache.object_size).max().unwrap_or(0),
    }
}

impl Reconcile {
    /// Compares what slabinfo counts, if it can be read, with meminfo.
    pub(super) fn new(rows: Option<&[Row]>, meminfo: &Meminfo) -> Self {
        let sum = |of: &dyn Fn(&Row, &Counts) -> u64| {
            let each = rows?.iter().filter_map(|row| Some(of(row, row.counts.as_ref()?)));
            Some(each.fold(0, u64::saturating_add))
        };
        let all_known = rows.is_some_and(|rows| rows.iter().all(|row| row.details.reclaimable.is_some()));
        let reclaimable = |row: &Row, counts: &Counts| match row.details.reclaimable {
            Some(true) => counts.held_bytes,
            _ => 0,
        };
        let slab = meminfo.bytes("Slab");
        let less_slab = |ours: Option<u64>| Some(difference(ours?, slab?));
        let (slabinfo_bytes, held_bytes) = (sum(&|_, of| of.size_bytes), sum(&|_, of| of.held_bytes));
        Self {
            slabinfo_bytes,
            held_bytes,
            reclaimable_bytes: sum(&reclaimable).filter(|_| all_known),
            meminfo_slab_bytes: slab,
            meminfo_reclaimable_bytes: meminfo.bytes("SReclaimable"),
            meminfo_unreclaimable_bytes: meminfo.bytes("SUnreclaim"),
            difference_bytes: less_slab(slabinfo_bytes),
            held_difference_bytes: less_slab(held_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, objects: u64, size_bytes: u64) -> Row {
        let cache = Cache { name: Name::new(name.as_bytes()), objects, ..Cache::default() };
        let name = cache.name.clone();
        Row { name, counts: Some(Counts { cache, size_bytes, ..Counts::default() }), ..Row::default() }
    }

    #[test]
    fn changes_are_of_the_cache_of_the_same_name() {
        let before =
            [row("grows", 1, 4096), row("gone", 7, 4096), row("wraps", u64::MAX, u64::MAX), row("twice", 1, 1)];
        let mut now =
            [row("new", 5, 8192), row("wraps", 0, 0), row("twice", 2, 2), row("twice", 3, 3), row("grows", 3, 4096)];
        compare(&mut now, &before);
        let changes = now.each_ref().map(|row| row.change.map(|change| (change.objects, change.size_bytes)));
        assert_eq!(changes, [Some((5, 8192)), Some((i64::MIN, i64::MIN)), None, None, Some((2, 0))]);
        assert_eq!(
            now.map(|row| row.change.is_some_and(|change| change.is_growth())),
            [true, false, false, false, true]
        );
    }

    #[test]
    fn what_is_in_no_cache_is_large_kmalloc_where_no_cache_is_that_large() {
        let page_size = PageSize::new(4096).unwrap();
        for (name, is_torn, counts_large_kmalloc, words) in [
            ("kmalloc-8k", false, true, "large kmalloc (over 8 KiB)"),
            ("kmalloc-cg-8k", false, false, "counters lag"),
            ("kmalloc-rcl-16k", false, true, "counters lag"),
            ("kmalloc-4M", false, true, "counters lag"),
            ("dma-kmalloc-16384", false, true, "counters lag"),
            ("bio-16384", false, true, "large kmalloc"),
            ("kmalloc-4M", true, true, "missing from slabinfo"),
        ] {
            let caches = vec![row(name, 1, 1)];
            let reading = Reading { caches, is_torn, counts_large_kmalloc, ..Reading::default() };
            let said = reading.beyond_caches(page_size);
            assert!(said.contains(words), "{name}: {said}");
        }
    }

    #[test]
    fn what_is_shown_has_sums_of_its_own() {
        let caches = vec![row("a", 1, 4096), row("b", 2, 4096)];
        let page_size = PageSize::new(4096).unwrap();
        let reading = || Reading { totals: Some(totals(&caches)), caches: caches.clone(), ..Reading::default() };
        let some = Report::new(reading(), page_size, |row| row.name.bytes() == b"b");
        assert_eq!((some.totals.unwrap().objects, some.shown_totals.unwrap().objects), (3, 2));
        assert_eq!(Report::new(reading(), page_size, |_| true).shown_totals, None);
    }
}
