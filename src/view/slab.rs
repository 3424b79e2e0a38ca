//! How `pmem slab` looks: the sums, a line a cache, and what the slabs hold beside meminfo.

pub mod diff;
pub mod show;

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::record::{Cell, Column};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::slab::{Change, Counts, Reconcile, Report, Row, Totals};

/// The columns that are shown: slabtop's; with `rounds` the changes.
pub fn default_columns(rounds: bool) -> &'static [&'static str] {
    match rounds {
        false => &["objects", "active", "use", "object_size", "objects_per_slab", "slabs", "size", "names"],
        true => &["objects", "objects_change", "active", "use", "object_size", "slabs", "size", "size_change", "names"],
    }
}

/// Which columns make room for the names on a narrow terminal, the first first.
const DISPENSABLE: [&str; 8] =
    ["objects_per_slab", "object_size", "active", "slabs", "held", "use", "objects", "objects_change"];

/// The room that names get before any number does: that of `signal_cache = UNIX = UNIX-STREAM`.
const NAMES: usize = 33;

/// The default columns for these rows, as far as there is room; where some slabs are smaller than their cache prefers, what
/// they really hold beside slabtop's size, or a mark on that; without slabinfo the names alone.
pub fn fitting(rows: &[Row], rounds: bool, layout: &Layout) -> Vec<Column<Row>> {
    if rows.iter().all(|row| row.counts.is_none()) {
        return chosen(&["names"]);
    }
    let is_less = rows.iter().filter_map(|row| row.counts.as_ref()).any(|of| of.small_slabs > 0);
    let mut names = default_columns(rounds).to_vec();
    if let Some(size) = names.iter().position(|name| *name == "size").filter(|_| is_less) {
        names.insert(size + 1, "held");
    }
    let widths = table::widths(&chosen(&names), rows, layout);
    let mut widths: Vec<(&str, usize)> = names.into_iter().zip(widths).collect();
    for dispensable in DISPENSABLE {
        let needed =
            |(name, width): &(&str, usize)| if *name == "names" { *width.min(&NAMES) } else { width + table::GAP };
        let mark = usize::from(is_less && !widths.iter().any(|(name, _)| *name == "held"));
        if layout.width.is_none_or(|width| widths.iter().map(needed).sum::<usize>() + mark <= width) {
            break;
        }
        widths.retain(|(name, _)| *name != dispensable);
    }
    let names: Vec<&str> = widths.into_iter().map(|(name, _)| name).collect();
    let mut columns = chosen(&names);
    if is_less && !names.contains(&"held") {
        columns.iter_mut().filter(|column| column.name == "size").for_each(|column| column.heading.push('≤'));
    }
    columns
}

/// The columns of these names, in this order.
fn chosen(names: &[&str]) -> Vec<Column<Row>> {
    let mut all = columns();
    let place = |name: &&str| all.iter().position(|column| column.name == *name);
    let places: Vec<usize> = names.iter().filter_map(place).collect();
    let mut all: Vec<Option<Column<Row>>> = all.drain(..).map(Some).collect();
    places.into_iter().filter_map(|place| all[place].take()).collect()
}

/// The columns for programs: all that cost nothing more, and whether the slabs are reclaimable.
pub const PLAIN: &[&str] = &[
    "name",
    "aliases",
    "active",
    "objects",
    "object_size",
    "objects_per_slab",
    "pages_per_slab",
    "active_slabs",
    "slabs",
    "size",
    "held",
    "small_slabs",
    "use",
    "reclaimable",
    "objects_change",
    "size_change",
];

/// slabtop's keys and what they sort by: all descending but the name.
pub const KEYS: &[(&str, &str)] = &[
    ("a", "-active"),
    ("b", "-objects_per_slab"),
    ("c", "-size"),
    ("l", "-slabs"),
    ("n", "name"),
    ("o", "-objects"),
    ("p", "-pages_per_slab"),
    ("s", "-object_size"),
    ("u", "-use"),
    ("v", "-active_slabs"),
];

/// All columns.
pub fn columns() -> Vec<Column<Row>> {
    let number = |name, heading, help, of: fn(&Counts) -> u64| {
        Column::number(name, heading, help, move |row: &Row| known(row.counts.as_ref().map(of), Cell::Number))
    };
    // A column with a total has its unit above it.
    let size = |name, heading, help, of: fn(&Counts) -> u64| {
        Column::summed(name, heading, help, move |row: &Row| known(row.counts.as_ref().map(of), Cell::Bytes))
    };
    let detail = |name, heading, help, of: fn(&Row) -> Option<u64>| {
        Column::number(name, heading, help, move |row: &Row| known(of(row), Cell::Number))
    };
    vec![
        number("objects", "OBJECTS", "Objects there is room for", |of| of.cache.objects),
        number("active", "ACTIVE", "Objects in use, at most: free ones that processors keep count", |of| {
            of.cache.active_objects
        }),
        Column::number("use", "USE≤", "Objects in use, at most, in per cent of all", |row: &Row| {
            known(row.counts.as_ref().map(|of| of.cache.use_percent()), Cell::Percent)
        }),
        number("object_size", "OBJ SIZE B", "The size of an object with what belongs to it, in bytes", |of| {
            of.cache.object_size
        }),
        number("objects_per_slab", "OBJ/SLAB", "Objects in a slab of the preferred order", |of| {
            of.cache.objects_per_slab
        }),
        number("pages_per_slab", "PAGES/SLAB", "Pages of a slab of the preferred order", |of| of.cache.pages_per_slab),
        number("active_slabs", "ACT SLABS", "Slabs with objects in use (SLUB: all)", |of| of.cache.active_slabs),
        number("slabs", "SLABS", "Slabs", |of| of.cache.slabs),
        size("size", "CACHE SIZE", "The size of its slabs, were all of the preferred order", |of| of.size_bytes),
        size("held", "HELD", "What its slabs really hold: some may be smaller than preferred", |of| of.held_bytes),
        number("small_slabs", "SMALL", "Slabs smaller than the cache prefers", |of| of.small_slabs),
        Column::number("objects_change", "Δ OBJECTS", "The change in objects since the round before", |row: &Row| {
            known(row.change.map(|Change { objects, .. }| objects), Cell::CountChange)
        }),
        Column::summed(
            "size_change",
            "Δ SIZE",
            "The change in the cache's size since the round before",
            |row: &Row| known(row.change.map(|Change { size_bytes, .. }| size_bytes), Cell::SizeChange),
        ),
        Column::text("reclaimable", "RECLAIMABLE", "Whether its slabs can be reclaimed", |row: &Row| {
            known(row.details.reclaimable, |yes| Cell::Text(if yes { "yes" } else { "no" }))
        }),
        detail("partial", "PARTIAL", "Slabs with free objects in the lists of nodes", |row| row.details.partial_slabs),
        detail("cpu_slabs", "CPU SLABS", "Slabs that processors have taken for themselves", |row| {
            row.details.cpu_slabs
        }),
        detail("cpu_partial", "CPU PARTIAL", "Those of them that wait in the processors' lists", |row| {
            row.details.cpu_partial_slabs
        }),
        Column::text("nodes", "NODES", "Slabs by NUMA node", |row: &Row| {
            known(row.details.nodes.as_deref(), Cell::Nodes)
        }),
        number("limit", "LIMIT", "SLAB: the most objects that a processor keeps", |of| of.cache.tunables.limit),
        number("batchcount", "BATCH", "SLAB: objects that a processor takes or gives back at once", |of| {
            of.cache.tunables.batch_count
        }),
        number("sharedfactor", "FACTOR", "SLAB: batches that the list of all processors holds", |of| {
            of.cache.tunables.shared_factor
        }),
        number("shared", "SHARED", "SLAB: free objects in the list of all processors", |of| of.cache.shared_available),
        Column::text("name", "NAME", "The name that slabinfo has for it", |row: &Row| Cell::Name(&row.name)),
        Column::text("aliases", "ALIASES", "The names of caches that were merged into it", |row: &Row| {
            match row.aliases.as_deref() {
                None => Cell::Unknown,
                Some([]) => Cell::Unnamed(""),
                Some([first, others @ ..]) => Cell::Names(first, others),
            }
        }),
        Column::text("names", "NAME", "All of its names", |row: &Row| {
            Cell::Names(&row.name, row.aliases.as_deref().unwrap_or_default())
        }),
    ]
}

/// What is known in its cell; else a dash.
fn known<'r, T>(value: Option<T>, cell: impl FnOnce(T) -> Cell<'r>) -> Cell<'r> {
    value.map_or(Cell::Unknown, cell)
}

/// Writes the report for people; `own_columns` says that they were chosen by name, and the table is all that is wanted;
/// `none` is said where there is no cache to show.
pub fn write(
    out: &mut dyn Write,
    report: &Report,
    columns: &[&Column<Row>],
    own_columns: bool,
    none: &str,
    layout: &Layout,
) -> io::Result<()> {
    if own_columns {
        return table::write(out, columns, &report.caches, None, layout);
    }
    let totals = report.shown_totals.as_ref().or(report.totals.as_ref());
    if let Some(totals) = totals.filter(|totals| totals.caches > 0) {
        if let (Some(shown), Some(all)) = (&report.shown_totals, &report.totals) {
            let text = format!("shown: {} of {}", grouped_string(shown.caches), some(all.caches, "cache"));
            writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, &text))?;
        }
        write_totals(out, totals, report, layout)?;
        writeln!(out)?;
    }
    match report.caches.is_empty() {
        false => table::write(out, columns, &report.caches, None, layout)?,
        true => writeln!(out, "{none}")?,
    }
    report.reconcile.as_ref().map_or(Ok(()), |reconcile| write_reconcile(out, report, reconcile, layout))
}

/// Writes text behind what it is about, in lines of the terminal's width that begin below each other.
pub(super) fn told(out: &mut dyn Write, about: &str, text: &str, width: Option<usize>) -> io::Result<()> {
    let indent = about.width();
    let lines = wrapped(text, width.unwrap_or(usize::MAX), indent);
    write!(out, "{about}{}", &lines[indent..])
}

/// `1 slab`, `2 slabs`.
pub(super) fn some(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped_string(number), if number == 1 { "" } else { "s" })
}

/// slabtop's sums, about three things.
fn write_totals(out: &mut dyn Write, totals: &Totals, report: &Report, layout: &Layout) -> io::Result<()> {
    let size = |bytes| layout.scale.sized(bytes);
    let rows = report.caches.iter();
    let held = rows.filter_map(|row| Some(row.counts.as_ref()?.held_bytes)).fold(0, u64::saturating_add);
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
    tell("objects  ", &format!("{objects}, of them at most {active} in use ({percent}): {active_size} of {all_size}"))?;
    let empty = match (report.left_out, totals.caches.saturating_sub(totals.active_caches)) {
        (0, 0) => String::new(),
        (0, _) => format!("; {} with the empty ones", grouped_string(totals.caches)),
        (left_out, _) => format!("; {left_out} more have nothing and are left out (--all shows them)"),
    };
    let with = some(totals.active_caches, "cache");
    tell("slabs    ", &format!("{slabs}, which hold {}, of {with}{empty}", size(held)))?;
    let [least, average, most] =
        [totals.object_size_min_bytes, totals.object_size_avg_bytes, totals.object_size_max_bytes].map(human_string);
    tell("object   ", &format!("{least} at least, {average} on average, {most} at most"))
}

/// Per cent with one decimal, cut off: what is not all is not 100 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// What the slabs of all caches hold, beside meminfo, and what the difference is: as far as both are known.
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
            line(difference.unsigned_abs(), "less there: its counters lag, and slabs came and went meanwhile")
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

    /// Seen on Linux 6.18; `small` slabs of the second are smaller than it prefers.
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
        let layout = Layout { scale, width: Some(width), headings: true, palette: Palette::default() };
        let columns = fitting(rows, rounds, &layout);
        let mut out = Vec::new();
        table::write(&mut out, &columns.iter().collect::<Vec<_>>(), rows, None, &layout).unwrap();
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
        // Where there is no room for what they hold, slabtop's size is marked.
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
