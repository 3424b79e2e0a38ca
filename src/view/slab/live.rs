//! The live screen of `pmem slab --top`.

use crate::analysis::series::{Series, Tracked};
use crate::analysis::slab::diff::SLACK;
use crate::analysis::slab::names::meaning;
use crate::analysis::slab::show::SlabSizes;
use crate::analysis::slab::{Counts, Details, Report, Row};
use crate::view::screen::{CHANGE, Live, OF_CHANGES, Said, Shown, Spec, Sum, in_time, joined, pick};
use crate::view::size::{Scale, grouped_string};

/// The smallest object, in pages, that has no cache if large allocations have none. Objects of 2 pages can have a
/// cache, and are somewhat larger if the kernel checks objects (`slab_debug`).
const LARGE_PAGES: u64 = 4;

/// The screen of caches.
pub(crate) enum Caches {}

impl Live for Caches {
    type Row = Row;
    type Report = Report;

    const SPEC: Spec = Spec {
        command: "slab",
        rows: ["cache", "caches"],
        identity: &["name"],
        followed: &["size_bytes", "active_objects"],
        columns: &[
            pick('o', "objects", 7),
            pick('a', "active_objects", 5).heading("ACTIVE≤"),
            pick('u', "use_percent", 8),
            pick('s', "object_size_bytes", 6).heading("OBJ SIZE").help("object size").small(),
            pick('b', "objects_per_slab", 3),
            pick('p', "pages_per_slab", 2),
            pick('v', "active_slabs", 1),
            pick('l', "slabs", 4),
            pick('c', "size_bytes", 11),
            pick('d', CHANGE, 10).also("size_change"),
            pick('n', "names", u8::MAX).also("name"),
        ],
        sort: 'c',
        help: &[
            "ACTIVE≤, USE≤: upper bound; free objects in per-CPU slabs count as used.",
            "CACHE SIZE: slabs times the preferred slab size, as in slabtop.",
            OF_CHANGES,
            "Growing (g, --growing): the cache size is larger than a minute ago.",
            "Bars: a cache's size, scaled from minimum to maximum; flat: no change.",
            "A name with = : caches merged by the kernel; the counts belong to all of them.",
        ],
    };

    fn total(report: &Report) -> Option<(&'static str, i64)> {
        let reconcile = report.reconcile.as_ref()?;
        let bytes = reconcile.meminfo_slab_bytes.or(reconcile.held_bytes)?;
        Some(("Slab", i64::try_from(bytes).unwrap_or(i64::MAX)))
    }

    /// How much of all slabs can be reclaimed, and how much cannot.
    fn parts(report: &Report, scale: &Scale) -> Option<String> {
        let reconcile = report.reconcile.as_ref()?;
        let (reclaimable, not) = (reconcile.meminfo_reclaimable_bytes?, reconcile.meminfo_unreclaimable_bytes?);
        Some(format!("{} reclaimable + {} not", scale.sized(reclaimable), scale.sized(not)))
    }

    /// The sums of slabtop, and what is in no cache.
    fn sums(report: &Report, scale: &Scale, is_whole: bool) -> Vec<Sum> {
        let Some(totals) = &report.totals else { return Vec::new() };
        let percent = u128::from(totals.active_objects) * 100 / u128::from(totals.objects.max(1));
        let mut sums = vec![
            Sum::new(3, format!("{} caches", grouped_string(totals.caches))),
            Sum::new(4, format!("{} objects, ≤{percent}% used", grouped_string(totals.objects))),
            Sum::new(2, format!("{} slabs", grouped_string(totals.slabs))),
        ];
        let difference = report.reconcile.as_ref().and_then(|reconcile| reconcile.held_difference_bytes);
        if let Some(less @ ..0) = difference {
            let more = scale.sized(less.unsigned_abs());
            let is_large = is_whole && is_large_kmalloc(report, less, scale);
            let cause = if is_large { " (large kmalloc)" } else { "" };
            sums.push(Sum::new(1, format!("{more} more not in any cache{cause}")));
        }
        sums
    }

    fn detail(row: &Row, scale: &Scale, (width, height): (usize, usize)) -> Option<Vec<Said>> {
        let mut lines = Vec::new();
        let mut say = |label: &'static str, words: String| lines.push((label.into(), words));
        match row.aliases.as_deref() {
            None => say("also called", "not known: /sys/kernel/slab cannot be read".to_owned()),
            Some([]) => {}
            Some(aliases) => say("also called", joined(aliases, width * height)),
        }
        let names = row.names().map(|name| name.escaped());
        for (name, what) in names.filter_map(|name| meaning(&name).map(|(what, _)| (name, what))).take(height) {
            let of = if row.aliases.as_deref().unwrap_or_default().is_empty() { "" } else { &format!("{name}: ") };
            say("holds", format!("{of}{what}"));
        }
        if let Some(counts) = &row.counts {
            of_slabinfo(counts, scale, &mut say);
        }
        Some(lines)
    }

    /// What the files in its directory say.
    fn closer(row: &Row) -> Vec<Said> {
        let Details { reclaimable, partial_slabs, cpu_slabs, cpu_partial_slabs, nodes } = &row.details;
        let reclaimable = match reclaimable {
            Some(true) => "reclaimable",
            Some(false) => "not reclaimable",
            None => "not known whether reclaimable",
        };
        let count = |count: &Option<u64>| count.map_or_else(|| "-".to_owned(), grouped_string);
        let (partial, cpu) = (count(partial_slabs), count(cpu_slabs));
        // They are included in the per-CPU slabs: see `Details`.
        let waiting = match cpu_partial_slabs {
            Some(waiting @ 1..) => format!(" ({} of them on partial lists)", grouped_string(*waiting)),
            _ => String::new(),
        };
        let words = format!("{reclaimable}; {partial} partial on per-node lists, {cpu} per-CPU{waiting}");
        let mut lines = vec![("slabs".into(), words)];
        if let Some(nodes) = nodes.as_deref().filter(|nodes| nodes.len() > 1) {
            let nodes: Vec<String> =
                nodes.iter().map(|(node, slabs)| format!("{} of node {node}", grouped_string(*slabs))).collect();
            lines.push(("".into(), nodes.join(", ")));
        }
        lines
    }

    /// How its size and its objects changed.
    fn changes(tracked: &Tracked<Shown>, scale: &Scale) -> Option<String> {
        let [size, active] = &tracked.courses[..] else { return None };
        let [bytes, objects] = [size, active].map(Series::change_per_minute);
        let (bytes, objects) = (bytes?, objects?);
        if (bytes, objects) == (0, 0) {
            return None;
        }
        let sign = |change: i64| if change < 0 { "−" } else { "+" };
        let (size, count) = (scale.sized(bytes.unsigned_abs()), grouped_string(objects.unsigned_abs()));
        let time = in_time(&tracked.courses[0]);
        Some(format!("{}{size} and {}{count} objects in use {time}", sign(bytes), sign(objects)))
    }

    /// More objects in use than there are.
    fn is_wrong(row: &Row, field: &str) -> bool {
        matches!(field, "active_objects" | "use_percent")
            && row.counts.as_ref().is_some_and(|counts| counts.cache.active_objects > counts.cache.objects)
    }
}

/// Whether what meminfo counts beyond all caches (`less`, which is negative) is large allocations: no cache is for
/// them, and it is more than the lag of counters. The caller has checked that slabinfo is complete.
fn is_large_kmalloc(report: &Report, less: i64, scale: &Scale) -> bool {
    let is_for_them = |row: &Row| {
        let large = scale.page_size.bytes_of(LARGE_PAGES);
        row.name.bytes().starts_with(b"kmalloc-") && row.counts.as_ref().is_some_and(|of| of.cache.object_size >= large)
    };
    less.unsigned_abs() > SLACK && !report.caches.iter().any(is_for_them)
}

/// What the line of slabinfo says, in words.
fn of_slabinfo(counts: &Counts, scale: &Scale, say: &mut impl FnMut(&'static str, String)) {
    let cache = &counts.cache;
    let size = |bytes| scale.sized(bytes);
    let percent = cache.use_percent();
    say(
        "objects",
        format!(
            "{}, at most {} of them in use ({percent}%)",
            grouped_string(cache.objects),
            grouped_string(cache.active_objects)
        ),
    );
    let slab = SlabSizes::new(cache.object_size, cache.objects_per_slab, cache.pages_per_slab, scale.page_size);
    let slabs = grouped_string(cache.slabs);
    say("size", format!("{} in {slabs} slabs of {}", size(counts.size_bytes), size(slab.slab_bytes)));
    if counts.small_slabs > 0 {
        let small = grouped_string(counts.small_slabs);
        say("", format!("in fact {}: {small} slabs are smaller", size(counts.held_bytes)));
    }
    let percent = u128::from(slab.waste_bytes) * 100 / u128::from(slab.slab_bytes.max(1));
    let bytes = grouped_string(cache.object_size);
    let many = grouped_string(cache.objects_per_slab);
    say("an object", format!("{bytes} B; {many} per slab, {} B unused ({percent}%)", grouped_string(slab.waste_bytes)));
}
