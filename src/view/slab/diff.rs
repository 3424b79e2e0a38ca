//! The output of `pmem slab diff`: what changed in words, and a row for each cache.

use std::io::{self, Write};
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::analysis::series::MINUTE;
use crate::analysis::slab::diff::{Change, Diff, Difference, LargeKmalloc, Meminfo};
use crate::unit::difference;
use crate::view::cell::Cell;
use crate::view::field::{Field, Kind};
use crate::view::size::{Scale, Unit, human_string};
use crate::view::table::{Layout, cell_text, wrapped};
use crate::view::time::in_words;

/// The default columns.
const DEFAULT: &[&str] =
    &["change.bytes", "bytes_per_hour", "change.active_objects", "after.bytes", "reclaimable", "state", "names"];

/// The fields of a cache.
pub(crate) fn fields() -> Vec<Field<Change>> {
    let bytes = |name, heading, help, of: fn(&Change) -> u64| Field::bytes(name, heading, help, of).summed();
    vec![
        Field::name("name", "NAME", "Name in slabinfo", |row: &Change| &row.name),
        Field::label("aliases", "ALIASES", "Names of the caches merged into it", Kind::List, |row: &Change| {
            row.aliases.as_deref().map_or(Cell::Unknown, Cell::List)
        }),
        Field::bool("reclaimable", "RECL", "Whether its slabs can be reclaimed", |row: &Change| row.reclaimable),
        Field::bool("new", "NEW", "Whether it exists only in AFTER", |row: &Change| row.new),
        Field::bool("gone", "GONE", "Whether it exists only in BEFORE", |row: &Change| row.gone),
        Field::count(
            "before.active_objects",
            "ACTIVE BEFORE",
            "Objects in use before (upper bound)",
            |row: &Change| row.amount.before.active_objects,
        )
        .alias("active_before"),
        Field::count("before.objects", "OBJECTS BEFORE", "Objects before, used or free", |row: &Change| {
            row.amount.before.objects
        }),
        Field::count("before.slabs", "SLABS BEFORE", "Slabs before", |row: &Change| row.amount.before.slabs),
        bytes("before.bytes", "BEFORE", "Size of its slabs before", |row| row.amount.before.bytes).alias("before"),
        Field::count("after.active_objects", "ACTIVE NOW", "Objects in use after (upper bound)", |row: &Change| {
            row.amount.after.active_objects
        })
        .alias("active_after"),
        Field::count("after.objects", "OBJECTS NOW", "Objects after, used or free", |row: &Change| {
            row.amount.after.objects
        }),
        Field::count("after.slabs", "SLABS NOW", "Slabs after", |row: &Change| row.amount.after.slabs),
        bytes("after.bytes", "NOW", "Size of its slabs after", |row| row.amount.after.bytes).alias("after"),
        Field::count_change(
            "change.active_objects",
            "ACTIVE",
            "Change in objects in use (upper bound)",
            |row: &Change| row.change.active_objects,
        )
        .alias("active"),
        Field::count_change("change.objects", "OBJECTS", "Change in objects, used or free", |row: &Change| {
            row.change.objects
        })
        .alias("objects"),
        Field::count_change("change.slabs", "SLABS", "Change in the number of slabs", |row: &Change| row.change.slabs)
            .alias("slabs"),
        Field::bytes_change("change.bytes", "CHANGE", "Change in the size of its slabs", |row: &Change| {
            row.change.bytes
        })
        .summed()
        .alias("change"),
        Field::bytes_change("bytes_per_hour", "PER HOUR", "Change in size per hour", |row: &Change| {
            row.rate.bytes_per_hour
        })
        .summed()
        .alias("rate"),
        Field::count_change(
            "objects_per_hour",
            "OBJECTS/H",
            "Change in objects, used or free, per hour",
            |row: &Change| row.rate.objects_per_hour,
        ),
        Field::count_change(
            "active_objects_per_hour",
            "ACTIVE/H",
            "Change in objects in use per hour",
            |row: &Change| row.rate.active_objects_per_hour,
        )
        .alias("active_rate"),
        Field::text("state", "", "Whether it is new or gone", |row: &Change| match () {
            () if row.new => "new",
            () if row.gone => "gone",
            () => "",
        })
        .people_only(),
        Field::label("names", "NAMES", "All of its names", Kind::List, |row: &Change| {
            Cell::Names(&row.name, row.further_names())
        })
        .always()
        .people_only(),
    ]
}

/// The columns for people, for these caches: those that fit next to the names, which are shortened last.
pub(crate) fn fitting(diff: &Diff, layout: &Layout) -> Vec<&'static str> {
    // In the order in which they are dropped.
    const LESS_NEEDED: [&str; 3] = ["after.bytes", "bytes_per_hour", "reclaimable"];
    let rows = &diff.caches;
    let mut shown = DEFAULT.to_vec();
    shown.retain(|name| match *name {
        "bytes_per_hour" => diff.has_rates(),
        "state" => rows.iter().any(|row| row.new || row.gone),
        _ => true,
    });
    let Some(width) = layout.width else { return shown };
    let columns = fields();
    let cell_width = |field: &Field<Change>, row| cell_text(&(field.column.cell)(row), &layout.scale).width();
    let widest = |name: &&str| {
        let Some(column) = columns.iter().find(|column| column.name == **name) else { return 0 };
        let cells = rows.iter().map(|row| cell_width(column, row)).max().unwrap_or(0);
        cells.max(column.column.heading.width() + layout.scale.unit.heading().width()) + GAP
    };
    let room = |shown: &[&str]| width.saturating_sub(shown.iter().filter(|name| **name != "names").map(widest).sum());
    let needed: Vec<&str> = shown.iter().copied().filter(|name| !LESS_NEEDED.contains(name)).collect();
    // Names that would not fit anyway do not cause a column to be dropped.
    let names = columns.iter().filter(|column| column.name == "names");
    let names = names.flat_map(|column| rows.iter().map(|row| cell_width(column, row)));
    let longest = names.filter(|names| *names <= room(&needed)).max().unwrap_or(0);
    for less_needed in LESS_NEEDED {
        if longest <= room(&shown) {
            break;
        }
        shown.retain(|name| *name != less_needed);
    }
    shown
}

/// The gap between two columns.
const GAP: usize = 2;

/// Writes what changed in words.
pub(crate) fn write_head(out: &mut dyn Write, diff: &Diff, layout: &Layout) -> io::Result<()> {
    let words = Words { diff, scale: Scale { unit: Unit::Human, ..layout.scale } };
    let mut sentences = vec![words.slab()];
    sentences.extend(words.beyond_caches());
    let grown = || diff.caches.iter().filter(|row| row.change.bytes > 0);
    let stays = |row: &&Change| row.reclaimable == Some(false) && row.change.active_objects > 0;
    match grown().max_by_key(|row| row.change.bytes) {
        None => sentences.push(nothing_grew(diff).to_owned()),
        Some(most) if !diff.same_boot => sentences.extend(words.grower(most, "The largest gain is in")),
        Some(most) => {
            sentences.extend(words.grower(most, "The largest growth is in"));
            let stays = grown().filter(stays).max_by_key(|row| row.change.bytes);
            if let Some(stays) = stays.filter(|stays| stays.name != most.name) {
                sentences.extend(
                    words.grower(stays, "Among unreclaimable caches with more objects, the largest growth is in"),
                );
            }
        }
    }
    let width = layout.width.unwrap_or(80).min(100);
    sentences.iter().try_for_each(|sentence| write!(out, "{}", wrapped(sentence, width, 0)))
}

fn nothing_grew(diff: &Diff) -> &'static str {
    if diff.caches.iter().any(Change::is_change) {
        "No cache holds more than before."
    } else if diff.totals.as_ref().is_some_and(|totals| totals.change == Difference::default()) {
        "No cache changed."
    } else {
        "None of the selected caches changed."
    }
}

/// Numbers in sentences.
struct Words<'d> {
    diff: &'d Diff,
    scale: Scale,
}

impl Words<'_> {
    fn signed(&self, bytes: i64) -> String {
        cell_text(&Cell::SizeChange(bytes), &self.scale).replace('·', "unchanged")
    }

    fn objects(&self, count: i64) -> String {
        let number = cell_text(&Cell::CountChange(count), &self.scale).replace('·', "±0");
        format!("{number} {}", if count.unsigned_abs() == 1 { "object" } else { "objects" })
    }

    /// A rate after a change; empty if the time was too short.
    fn rate(&self, per_hour: Option<i64>) -> String {
        let rate = per_hour.filter(|_| self.diff.has_rates());
        rate.map(|rate| format!(", {} an hour", self.signed(rate))).unwrap_or_default()
    }

    /// A number from meminfo, before and after.
    fn meminfo(&self, of: fn(&Meminfo) -> Option<u64>) -> Option<(u64, u64)> {
        let (before, after) = self.diff.meminfo.before.zip(self.diff.meminfo.after)?;
        of(&before).zip(of(&after))
    }

    /// How all slabs together changed: by meminfo, or else by the sum of the caches.
    fn slab(&self) -> String {
        let diff = self.diff;
        let slab = self.meminfo(|meminfo| meminfo.slab_bytes).map(|slab| ("Slab", slab));
        let sum = || {
            let amount = diff.totals.as_ref()?.amount;
            Some(("All caches together", (amount.before.bytes, amount.after.bytes)))
        };
        let Some((what, (before, after))) = slab.or_else(sum) else {
            return "The total size of all caches is not known.".to_owned();
        };
        let change = difference(after, before);
        let now = human_string(after);
        let mut text = match change {
            _ if !diff.same_boot => format!("{what}: {} in the first, {now} in the second", human_string(before)),
            0 => format!("{what} unchanged at {now}"),
            _ => format!("{what} {} by {} to {now}", verb(change), human_string(change.unsigned_abs())),
        };
        if let Some(seconds) = diff.seconds.filter(|_| diff.same_boot) {
            text += &format!(" in {}", in_words(Duration::try_from_secs_f64(seconds).unwrap_or_default()));
        }
        let parts = [
            self.meminfo(|meminfo| meminfo.reclaimable_bytes).map(|part| ("reclaimable", part)),
            self.meminfo(|meminfo| meminfo.unreclaimable_bytes).map(|part| ("not reclaimable", part)),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .flatten()
            .map(|(what, (before, after))| (what, difference(after, before)))
            // If neither changed, they say no more than their sum.
            .filter(|(_, part)| change != 0 || *part != 0)
            .map(|(what, part)| format!("{what} {}", self.signed(part)))
            .collect();
        match parts[..] {
            [] => text + ".",
            _ => format!("{text}: {}.", parts.join(", ")),
        }
    }

    /// The part of the change in `Slab` that is in no cache.
    fn beyond_caches(&self) -> Option<String> {
        let diff = self.diff;
        let larger = format!("over {}", human_string(self.scale.page_size.bytes_of(2)).replace(".0", ""));
        if let Some(large) = diff.large_kmalloc.filter(LargeKmalloc::is_change) {
            let (change, rate) = (self.signed(large.change_bytes), self.rate(large.bytes_per_hour));
            let leak = if diff.same_boot && large.change_bytes > 0 { self.leak() } else { String::new() };
            return Some(format!("Allocations {larger}, in no cache (large kmalloc): {change}{rate}{leak}."));
        }
        let (before, after) = self.meminfo(|meminfo| meminfo.slab_bytes).filter(|_| diff.same_boot && diff.is_whole)?;
        let caches = diff.totals.as_ref()?.change.bytes;
        let rest = difference(after, before).saturating_sub(caches);
        let why = match diff.large_kmalloc {
            Some(_) => format!("large kmalloc ({larger}), and counters that lag"),
            None => "counters that lag, and slabs that came and went during the reading".to_owned(),
        };
        let (caches, rest) = (self.signed(caches), Some(rest).filter(|rest| *rest != 0)?);
        Some(format!("All caches together: {caches}; the other {} is not in any cache: {why}.", self.signed(rest)))
    }

    /// How a cache changed, what that means, and that its name is not the only one.
    fn grower(&self, row: &Change, how: &str) -> Vec<String> {
        let names: Vec<_> = row.names().map(|name| name.escaped()).collect();
        let names = names.join(" = ");
        let (bytes, objects) = (self.signed(row.change.bytes), self.objects(row.change.active_objects));
        let rate = self.rate(row.rate.bytes_per_hour);
        let means = if self.diff.same_boot { self.means(row) } else { String::new() };
        let mut sentences = vec![format!("{how} {names}: {bytes}, {objects}{rate}.{means}")];
        if !row.further_names().is_empty() {
            sentences.push(format!(
                "That is one cache under {} names, merged by the kernel: the objects can belong to any of them, not only to {}.",
                row.names().count(),
                row.name.escaped()
            ));
        }
        sentences
    }

    /// What it means that a cache grew, as a further sentence.
    fn means(&self, row: &Change) -> String {
        let fragmented = "more slabs than before: fragmentation, not a leak.";
        match (row.change.active_objects, row.reclaimable) {
            (..0, _) => format!(" Fewer objects in use occupy {fragmented}"),
            (0, _) => format!(" The same number of objects in use occupies {fragmented}"),
            (_, Some(true)) => " Reclaimable: it shrinks under memory pressure.".to_owned(),
            (_, Some(false)) => format!(" Not reclaimable{}.", self.leak()),
            (_, None) => " Whether it is reclaimable is not known.".to_owned(),
        }
    }

    /// That something may be a leak: a few seconds say little.
    fn leak(&self) -> String {
        match self.diff.seconds {
            Some(seconds) if seconds < MINUTE.as_secs_f64() => {
                ": a leak candidate only if it keeps growing over a longer time (-d 300)".to_owned()
            }
            _ => ": a leak candidate if it continues".to_owned(),
        }
    }
}

fn verb(change: i64) -> &'static str {
    if change < 0 { "shrank" } else { "grew" }
}
