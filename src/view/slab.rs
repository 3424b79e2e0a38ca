//! The output of `pmem slab`: the sums, a line per cache, and the size of the slabs compared with meminfo.

pub(crate) mod diff;
pub(crate) mod live;
pub(crate) mod show;

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::cell::Cell;
use super::field::{Field, Kind, columns};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::slab::{Counts, Reconcile, Report, Row, Totals};

/// The default columns: slabtop's; with `rounds`, also the changes.
pub(crate) fn default_columns(rounds: bool) -> &'static [&'static str] {
    match rounds {
        false => &[
            "objects",
            "active_objects",
            "use_percent",
            "object_size_bytes",
            "objects_per_slab",
            "slabs",
            "size_bytes",
            "names",
        ],
        true => &[
            "objects",
            "objects_change",
            "active_objects",
            "use_percent",
            "object_size_bytes",
            "slabs",
            "size_bytes",
            "size_change_bytes",
            "names",
        ],
    }
}

/// The columns that make room for the names on a narrow terminal, in this order.
const DISPENSABLE: [&str; 8] = [
    "objects_per_slab",
    "object_size_bytes",
    "active_objects",
    "slabs",
    "held_bytes",
    "use_percent",
    "objects",
    "objects_change",
];

/// The width that names get before any number: that of `signal_cache = UNIX = UNIX-STREAM`.
const NAMES: usize = 33;

/// The columns for these rows, as far as there is room. If some slabs are smaller than their cache prefers, also what
/// they really hold, next to slabtop's size; without slabinfo, only the names.
pub(crate) fn fitting(rows: &[Row], rounds: bool, layout: &Layout) -> Vec<&'static str> {
    if rows.iter().all(|row| row.counts.is_none()) {
        return vec!["names"];
    }
    let mut names = default_columns(rounds).to_vec();
    if let Some(size) = names.iter().position(|name| *name == "size_bytes").filter(|_| has_small_slabs(rows)) {
        names.insert(size + 1, "held_bytes");
    }
    let fields = fields(true);
    let shown = names.iter().filter_map(|name| fields.iter().find(|field| field.name == *name));
    let widths = table::widths(&columns(&shown.collect::<Vec<_>>()), rows, layout);
    let mut widths: Vec<(&str, usize)> = names.into_iter().zip(widths).collect();
    for dispensable in DISPENSABLE {
        let needed =
            |(name, width): &(&str, usize)| if *name == "names" { *width.min(&NAMES) } else { width + table::GAP };
        let mark = usize::from(has_small_slabs(rows) && !widths.iter().any(|(name, _)| *name == "held_bytes"));
        if layout.width.is_none_or(|width| widths.iter().map(needed).sum::<usize>() + mark <= width) {
            break;
        }
        widths.retain(|(name, _)| *name != dispensable);
    }
    let mut names: Vec<&str> = widths.into_iter().map(|(name, _)| name).collect();
    if has_small_slabs(rows) && !names.contains(&"held_bytes") {
        names.iter_mut().filter(|name| **name == "size_bytes").for_each(|name| *name = AT_MOST);
    }
    names
}

/// The size, if it is an upper bound and there is no room for what the slabs really hold.
const AT_MOST: &str = "size_at_most_bytes";

/// Whether some slabs are smaller than their cache prefers: then their size by slabtop's arithmetic is an upper bound.
fn has_small_slabs(rows: &[Row]) -> bool {
    rows.iter().filter_map(|row| row.counts.as_ref()).any(|counts| counts.small_slabs > 0)
}

/// slabtop's keys and what they sort by: all descending except the name.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("a", "-active_objects"),
    ("b", "-objects_per_slab"),
    ("c", "-size_bytes"),
    ("l", "-slabs"),
    ("n", "name"),
    ("o", "-objects"),
    ("p", "-pages_per_slab"),
    ("s", "-object_size_bytes"),
    ("u", "-use_percent"),
    ("v", "-active_slabs"),
];

/// The fields of a cache; with `rounds`, also how it changed.
pub(crate) fn fields(rounds: bool) -> Vec<Field<Row>> {
    let count = |name, heading, help, of: fn(&Counts) -> u64| {
        Field::count(name, heading, help, move |row: &Row| row.counts.as_ref().map(of))
    };
    let bytes = |name, heading, help, of: fn(&Counts) -> u64| {
        Field::bytes(name, heading, help, move |row: &Row| row.counts.as_ref().map(of))
    };
    let detail = |name, heading, help, of: fn(&Row) -> Option<u64>| Field::count(name, heading, help, of).on_request();
    let tunable = |name, heading, help, of: fn(&Counts) -> u64| count(name, heading, help, of).on_request();
    vec![
        Field::name("name", "NAME", "Name in slabinfo", |row: &Row| &row.name),
        Field::label("aliases", "ALIASES", "Names of the caches merged into it", Kind::List, |row: &Row| {
            match row.aliases.as_deref() {
                None => Cell::Unknown,
                Some([]) => Cell::List(&[]),
                Some(names) => Cell::List(names),
            }
        }),
        count(
            "active_objects",
            "ACTIVE",
            "Objects in use (upper bound: free objects in per-CPU slabs count as used)",
            |of| of.cache.active_objects,
        )
        .alias("active"),
        count("objects", "OBJECTS", "Objects, used or free", |of| of.cache.objects),
        bytes("object_size_bytes", "OBJ SIZE B", "Size of an object, with its metadata and padding", |of| {
            of.cache.object_size
        })
        .alias("object_size")
        .shown_as(Cell::Number),
        count("objects_per_slab", "OBJ/SLAB", "Objects in a slab of the preferred order", |of| {
            of.cache.objects_per_slab
        }),
        count("pages_per_slab", "PAGES/SLAB", "Pages in a slab of the preferred order", |of| of.cache.pages_per_slab),
        count("active_slabs", "ACT SLABS", "Slabs with objects in use (SLUB: all)", |of| of.cache.active_slabs),
        count("slabs", "SLABS", "Slabs", |of| of.cache.slabs),
        bytes("size_bytes", "CACHE SIZE", "Size of its slabs if all had the preferred order", |of| of.size_bytes)
            .summed()
            .alias("size"),
        bytes(AT_MOST, "CACHE SIZE≤", "Like size_bytes, marked as an upper bound", |of| of.size_bytes).people_only(),
        bytes("held_bytes", "HELD", "Real size of its slabs: some may be smaller than preferred", |of| of.held_bytes)
            .summed()
            .alias("held"),
        count("small_slabs", "SMALL", "Slabs smaller than the cache prefers", |of| of.small_slabs),
        Field::percent("use_percent", "USE≤", "Objects in use (upper bound), in percent of all", |row: &Row| {
            row.counts.as_ref().map(|of| of.cache.use_percent())
        })
        .alias("use"),
        Field::bool("reclaimable", "RECLAIMABLE", "Whether its slabs can be reclaimed", |row: &Row| {
            row.details.reclaimable
        }),
        Field::count_change(
            "objects_change",
            "Δ OBJECTS",
            "Change in objects since the previous round",
            |row: &Row| row.change.map(|change| change.objects),
        )
        .only_if(rounds),
        Field::bytes_change(
            "size_change_bytes",
            "Δ SIZE",
            "Change in the cache's size since the previous round",
            |row: &Row| row.change.map(|change| change.size_bytes),
        )
        .summed()
        .only_if(rounds)
        .alias("size_change"),
        detail("partial_slabs", "PARTIAL", "Slabs with free objects on the per-node lists", |row| {
            row.details.partial_slabs
        })
        .alias("partial"),
        detail("cpu_slabs", "CPU SLABS", "Per-CPU slabs", |row| row.details.cpu_slabs),
        detail("cpu_partial_slabs", "CPU PARTIAL", "Per-CPU slabs on the per-CPU partial lists", |row| {
            row.details.cpu_partial_slabs
        })
        .alias("cpu_partial"),
        Field::label("nodes", "NODES", "Slabs by NUMA node", Kind::Nodes, |row: &Row| {
            row.details.nodes.as_deref().map_or(Cell::Unknown, Cell::Nodes)
        })
        .on_request(),
        tunable("limit", "LIMIT", "SLAB: maximum of objects that a CPU keeps", |of| of.cache.tunables.limit),
        tunable("batchcount", "BATCH", "SLAB: objects that a CPU takes or returns at a time", |of| {
            of.cache.tunables.batch_count
        }),
        tunable("sharedfactor", "FACTOR", "SLAB: batches that the shared list holds", |of| {
            of.cache.tunables.shared_factor
        }),
        tunable("shared", "SHARED", "SLAB: free objects in the shared list", |of| of.cache.shared_available),
        Field::label("names", "NAME", "All of its names", Kind::List, |row: &Row| {
            Cell::Names(&row.name, row.aliases.as_deref().unwrap_or_default())
        })
        .always()
        .people_only(),
    ]
}

/// Writes the sums, above the table.
pub(crate) fn write_head(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let totals = report.shown_totals.as_ref().or(report.totals.as_ref());
    let Some(totals) = totals.filter(|totals| totals.caches > 0) else { return Ok(()) };
    if let (Some(shown), Some(all)) = (&report.shown_totals, &report.totals) {
        let text = format!("shown: {} of {}", grouped_string(shown.caches), some(all.caches, "cache"));
        writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, &text))?;
    }
    write_totals(out, totals, report, layout)?;
    writeln!(out)
}

/// Writes the size of the slabs compared with meminfo, below the table.
pub(crate) fn write_foot(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    report.reconcile.as_ref().map_or(Ok(()), |reconcile| write_reconcile(out, report, reconcile, layout))
}

/// Writes text after its label, wrapped to the terminal's width with a hanging indent.
pub(super) fn told(out: &mut dyn Write, about: &str, text: &str, width: Option<usize>) -> io::Result<()> {
    let indent = about.width();
    let lines = wrapped(text, width.unwrap_or(usize::MAX), indent);
    write!(out, "{about}{}", &lines[indent..])
}

/// `1 slab`, `2 slabs`.
pub(super) fn some(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped_string(number), if number == 1 { "" } else { "s" })
}

/// slabtop's sums, in three lines.
fn write_totals(out: &mut dyn Write, totals: &Totals, report: &Report, layout: &Layout) -> io::Result<()> {
    let size = |bytes| layout.scale.sized(bytes);
    let held =
        report.caches.iter().filter_map(|row| Some(row.counts.as_ref()?.held_bytes)).fold(0, u64::saturating_add);
    let [objects, active] = [totals.objects, totals.active_objects].map(grouped_string);
    let percent = percent(totals.active_objects, totals.objects);
    let [active_size, all_size] = [totals.active_size_bytes, totals.size_bytes].map(size);
    let slabs = match totals.active_slabs == totals.slabs {
        true => grouped_string(totals.slabs),
        false => {
            format!("{} (with objects in use: {})", grouped_string(totals.slabs), grouped_string(totals.active_slabs))
        }
    };
    let mut tell = |about, text: &str| told(out, about, text, layout.width);
    tell("objects  ", &format!("{objects}, at most {active} in use ({percent}): {active_size} of {all_size}"))?;
    let empty = match (report.left_out, totals.caches.saturating_sub(totals.active_caches)) {
        (0, 0) => String::new(),
        (0, _) => format!("; {} with the empty ones", grouped_string(totals.caches)),
        (left_out, _) => format!("; {left_out} more without objects, not shown (--all shows them)"),
    };
    let with = some(totals.active_caches, "cache");
    tell("slabs    ", &format!("{slabs}, holding {}, of {with}{empty}", size(held)))?;
    let [least, average, most] =
        [totals.object_size_min_bytes, totals.object_size_avg_bytes, totals.object_size_max_bytes].map(human_string);
    tell("object   ", &format!("min {least}, average {average}, max {most}"))
}

/// Percent with one decimal, rounded down: only all of it is 100 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The size of the slabs of all caches compared with meminfo, and the difference, if both are known.
fn write_reconcile(out: &mut dyn Write, report: &Report, reconcile: &Reconcile, layout: &Layout) -> io::Result<()> {
    let size = |bytes| layout.scale.sized(bytes);
    if reconcile.held_bytes.or(reconcile.meminfo_slab_bytes).is_none() {
        return Ok(());
    }
    writeln!(out)?;
    let mut line = |bytes, what: &str| told(out, &format!("  {:>11}  ", size(bytes)), what, layout.width);
    let split = |reclaimable: Option<u64>, unreclaimable: Option<u64>| match (reclaimable, unreclaimable) {
        (Some(yes), Some(no)) => format!(" = {} reclaimable + {} not", size(yes), size(no)),
        _ => String::new(),
    };
    if let Some(held) = reconcile.held_bytes {
        let all = if report.shown_totals.is_some() { "all caches" } else { "these caches" };
        let rest = reconcile.reclaimable_bytes.map(|yes| held.saturating_sub(yes));
        line(held, &format!("in slabs of {all}{}", split(reconcile.reclaimable_bytes, rest)))?;
        let too_much = reconcile.slabinfo_bytes.unwrap_or(0).saturating_sub(held);
        if too_much > 0 {
            line(too_much, "less than the sum of CACHE SIZE: some slabs are smaller than their cache prefers")?;
        }
    }
    let Some(slab) = reconcile.meminfo_slab_bytes else { return Ok(()) };
    let theirs = split(reconcile.meminfo_reclaimable_bytes, reconcile.meminfo_unreclaimable_bytes);
    line(slab, &format!("Slab in meminfo{theirs}"))?;
    match reconcile.held_difference_bytes {
        None | Some(0) => Ok(()),
        Some(difference @ 1..) => {
            line(difference.unsigned_abs(), "less there: its counters lag, and slabs came and went during the reading")
        }
        Some(difference) => line(difference.unsigned_abs(), &format!("more there: {}", report.beyond_caches)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::slabinfo::Cache;
    use crate::name::Name;
    use crate::unit::PageSize;
    use crate::view::size::{Scale, Unit};
    use crate::view::style::Palette;

    /// Seen on Linux 6.18; `small` slabs of the second cache are smaller than it prefers.
    fn rows(small: u64) -> Vec<Row> {
        let name = |text: &str| Name::new(text.as_bytes());
        let row = |names: [&str; 3], objects: u64, object_size: u64, objects_per_slab: u64, slabs: u64| {
            let page_size = PageSize::new(4096).unwrap();
            let cache = Cache {
                name: name(names[0]),
                active_objects: objects,
                objects,
                object_size,
                objects_per_slab,
                pages_per_slab: 4,
                slabs,
                ..Cache::default()
            };
            let aliases = names[1..].iter().filter(|of| !of.is_empty()).map(|of| name(of)).collect();
            let counts = Some(Counts::of(cache, page_size));
            Row { name: name(names[0]), aliases: Some(aliases), counts, ..Row::default() }
        };
        vec![
            row(["ext4_inode_cache", "", ""], 545_272, 1128, 14, 38_948),
            row(["signal_cache", "UNIX", "UNIX-STREAM"], 14 * 100 - 11 * small, 1152, 14, 100),
        ]
    }

    fn shown(rows: &[Row], width: usize, rounds: bool) -> Vec<String> {
        let scale = Scale { unit: Unit::Human, page_size: PageSize::new(4096).unwrap() };
        let layout = Layout { scale, width: Some(width), height: None, headings: true, palette: Palette::default() };
        let fields = fields(rounds);
        let names = fitting(rows, rounds, &layout);
        let shown: Vec<_> = names.iter().filter_map(|name| fields.iter().find(|field| field.name == *name)).collect();
        let mut out = Vec::new();
        table::write(&mut out, &columns(&shown), rows, None, &layout).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn names_come_before_numbers_where_there_is_little_room() {
        let heading = |width, small, rounds| {
            let lines = shown(&rows(small), width, rounds);
            assert!(lines[2].ends_with("  signal_cache = UNIX = UNIX-STREAM"), "{lines:#?}");
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:#?}");
            lines[0].split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(heading(100, 0, false), "OBJECTS ACTIVE USE≤ OBJ SIZE B OBJ/SLAB SLABS CACHE SIZE NAME");
        assert_eq!(heading(80, 0, false), "OBJECTS ACTIVE USE≤ SLABS CACHE SIZE NAME");
        assert_eq!(heading(60, 0, false), "OBJECTS USE≤ CACHE SIZE NAME");
        assert_eq!(heading(80, 1, false), "OBJECTS USE≤ SLABS CACHE SIZE HELD NAME");
        // If there is no room for what they hold, slabtop's size is marked.
        assert_eq!(heading(60, 1, false), "OBJECTS CACHE SIZE≤ NAME");
        assert_eq!(heading(60, 0, true), "CACHE SIZE Δ SIZE NAME");
    }

    #[test]
    fn without_counts_there_are_names_only() {
        let rows: Vec<Row> = rows(0).into_iter().map(|row| Row { counts: None, ..row }).collect();
        assert_eq!(shown(&rows, 80, false), ["NAME", "ext4_inode_cache", "signal_cache = UNIX = UNIX-STREAM"]);
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!([percent(119_501, 119_551), percent(1, 1), percent(0, 0)], ["99.9 %", "100.0 %", "0.0 %"]);
    }
}
