//! The output of `pmem where`: the answer in a line, the ledger as a table, and below it notes on both.

pub(crate) mod diff;
pub(crate) mod live;

use std::borrow::Cow;
use std::io::{self, Write};

use super::cell::Cell;
use super::field::{self, Column, Field, Kind};
use super::phys::bar;
use super::size::{Unit, human_string};
use super::style::{Emphasis, Palette};
use super::table::{self, Layout, wrapped};
use crate::analysis::r#where::frames::{OFFLINE, RESERVED, WITHOUT_FLAG};
use crate::analysis::r#where::ledger::{Bound, Part, UNACCOUNTED};
use crate::analysis::r#where::{Report, Row, Trend};

/// The default columns of the plain table, if columns are chosen by name; with `rounds`, those of rounds.
pub(crate) fn default_columns(rounds: bool) -> &'static [&'static str] {
    match rounds {
        false => &["name", "bytes", "source"],
        true => &["name", "bytes", "change_bytes", "since_start_bytes", "per_minute_bytes", "source"],
    }
}

/// The fields of a line; with `rounds`, also how it changes; with `frames`, what the page frames say.
pub(crate) fn fields(rounds: bool, frames: bool) -> Vec<Field<Row>> {
    let trend = |name, heading, help, of: fn(&Trend) -> Option<i64>| {
        let get = move |row: &Row| row.trend.as_ref().and_then(of);
        Field::bytes_change(name, heading, help, get).summed().only_if(rounds)
    };
    let text = |text: Option<&'static str>| text.map_or(Cell::Unknown, Cell::Text);
    vec![
        Field::text("name", "NAME", "Name of the line", |row: &Row| row.line.name),
        Field::text("title", "LINE", "Title of the line in tables", |row: &Row| row.line.title)
            .alias("line")
            .people_only(),
        Field::signed_bytes("bytes", "SIZE", "Size; the lines add up to MemTotal", |row: &Row| row.line.bytes)
            .summed()
            .alias("size"),
        Field::percent_exact("share_percent", "SHARE", "Share of MemTotal", |row: &Row| row.share_percent),
        Field::text("source", "COUNTED BY", "Counters it is computed from", |row: &Row| row.line.source),
        Field::label("note", "NOTE", "Remark on the number", Kind::Text, move |row: &Row| text(row.line.note)),
        Field::nested("parts", "Parts of the line, which may overlap", |row: &Row| &row.line.parts).always(),
        Field::label(
            "frames_group",
            "GROUP",
            "Lines that page frames cannot separate",
            Kind::Text,
            move |row: &Row| text(row.frames_group),
        )
        .only_if(frames)
        .alias("group"),
        Field::signed_bytes(
            "frames_bytes",
            "FRAMES",
            "Size of the group by page frames, once per group",
            |row: &Row| row.frames_bytes,
        )
        .summed()
        .only_if(frames)
        .alias("frames"),
        trend("change_bytes", "CHANGE", "Change since the previous round", |t| Some(t.change_bytes)).alias("change"),
        trend("since_start_bytes", "SINCE START", "Change since the first round", |t| Some(t.since_start_bytes))
            .alias("since_start"),
        trend("per_minute_bytes", "PER MINUTE", "Change per minute, after the first minute", |t| t.per_minute_bytes)
            .alias("per_minute"),
    ]
}

/// A size that can be negative.
fn size(bytes: Option<i64>) -> Cell<'static> {
    bytes.map_or(Cell::Unknown, field::signed_size)
}

/// How much room a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Enough for everything.
    Enough,
    /// None for parts of lines and explanations, nor for this many of the lines: the smallest are left out.
    Brief {
        /// Lines that are left out.
        left_out: usize,
    },
}

/// Writes the report for people. `rounds` says that there are several, so that changes are shown; `explained`, that the
/// explanations that are the same on every machine are wanted.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Report,
    rounds: bool,
    explained: bool,
    room: Room,
    layout: &Layout,
) -> io::Result<()> {
    write_head(out, report, layout)?;
    write_lines(out, report, rounds, room, layout)?;
    if !rounds && room == Room::Enough {
        write_foot(out, report, explained, layout)?;
    }
    Ok(())
}

fn width(layout: &Layout) -> usize {
    layout.width.unwrap_or(80)
}

/// Is this machine short?
fn write_head(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let available = match report.available.bytes {
        Some(bytes) => format!("available {}", layout.scale.sized(bytes)),
        None => "available not known".to_owned(),
    };
    let pressure = match &report.pressure {
        Some(found) => format!("pressure (10 s) some {:.1} % full {:.1} %", found.some.avg10, found.full.avg10),
        None => "pressure not known".to_owned(),
    };
    let total = layout.scale.sized(report.total_bytes.unsigned_abs());
    let line = format!("MemTotal {total} · {available} · {pressure}");
    for line in wrapped(&line, width(layout), 0).lines() {
        writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, line))?;
    }
    if let Some(text) = &report.verdict_text {
        write!(out, "{}", layout.palette.paint(Emphasis::Wrong, &wrapped(text, width(layout), 0)))?;
    }
    writeln!(out)
}

/// A row of the table for people.
struct Shown {
    title: Cow<'static, str>,
    bytes: Option<i64>,
    bar: String,
    /// What the page frames say: a size, or which line shows it.
    frames: Result<Option<i64>, String>,
    trend: Option<Trend>,
    beside: String,
}

/// The title of the row with the sum.
const TOTAL: &str = "total";

fn write_lines(out: &mut dyn Write, report: &Report, rounds: bool, room: Room, layout: &Layout) -> io::Result<()> {
    let rows = &report.lines;
    let longest = match (report.frames.is_some(), layout.scale.unit) {
        (false, _) => 14,
        // There is no room for it.
        (true, Unit::Bytes) => 0,
        (true, Unit::Pages) => 4,
        (true, _) => 8,
    };
    let shows = |row: &Row| !row.line.rare || row.line.bytes.is_some_and(|bytes| bytes > 0) || frames_have(row);
    let most = rows.iter().filter_map(|row| row.line.bytes).max().unwrap_or(0);
    let mut shown_rows: Vec<(usize, &Row)> = rows.iter().enumerate().filter(|(_, row)| shows(row)).collect();
    if let Room::Brief { left_out } = room {
        let mut by_size = shown_rows.clone();
        by_size.sort_by_key(|(_, row)| std::cmp::Reverse(row.line.bytes.unwrap_or(0).unsigned_abs()));
        // The last one is what remains unexplained: it stays.
        let is_last = |row: &Row| row.line.name == UNACCOUNTED;
        let dropped: Vec<usize> =
            by_size.iter().rev().filter(|(_, row)| !is_last(row)).take(left_out).map(|(place, _)| *place).collect();
        shown_rows.retain(|(place, _)| !dropped.contains(place));
    }
    let has_parts = !rounds && room == Room::Enough;
    let mut lines = Vec::new();
    for (place, row) in shown_rows {
        // Another line of the group shows the number; for what no flag identifies, it is the one below all lines.
        let has_it = |of: &Row| of.frames_bytes.is_some() && of.frames_group == row.frames_group;
        let arrow = if rows[..place].iter().any(has_it) { '↑' } else { '↓' };
        lines.push(shown(row, report, arrow, most, longest));
        lines.extend(
            row.line.parts.iter().filter(|part| has_parts && part.bytes > 0).map(|part| part_of(row, part, report)),
        );
    }
    lines.extend(together(report));
    lines.push(Shown {
        title: TOTAL.into(),
        bytes: Some(report.total_bytes),
        bar: String::new(),
        frames: Ok(report.frames.as_ref().map(|frames| {
            frames.groups.iter().filter(|group| !group.lines.is_empty()).map(|group| group.frames_bytes).sum()
        })),
        trend: None,
        beside: "MemTotal".to_owned(),
    });
    if has_parts {
        lines.extend(outside(report));
    }
    let mut columns = vec![
        Column::text("LINE", |row: &Shown| Cell::Text(&row.title)),
        Column::summed("SIZE", |row: &Shown| size(row.bytes)),
    ];
    if rounds {
        let trend = |heading: &'static str, of: fn(&Trend) -> Option<i64>| {
            Column::summed(heading, move |row: &Shown| {
                row.trend.as_ref().and_then(of).map_or(Cell::Text(""), Cell::SizeChange)
            })
        };
        let has_rates = rows.iter().any(|row| row.trend.is_some_and(|trend| trend.per_minute_bytes.is_some()));
        columns.push(trend("CHANGE", |trend| Some(trend.change_bytes)));
        // There is no room for both next to what the page frames say.
        if report.frames.is_none() || !has_rates {
            columns.push(trend("SINCE START", |trend| Some(trend.since_start_bytes)));
        }
        if has_rates {
            columns.push(trend("PER MINUTE", |trend| trend.per_minute_bytes));
        }
    } else if longest > 0 {
        columns.push(Column::text("", |row: &Shown| Cell::Text(&row.bar)));
    }
    if report.frames.is_some() {
        columns.push(Column::summed("FRAMES", |row: &Shown| match &row.frames {
            Ok(bytes) => size(*bytes),
            Err(text) => Cell::Text(text),
        }));
    }
    if !rounds {
        columns.push(Column::text("COUNTED BY", |row: &Shown| Cell::Text(&row.beside)));
    }
    let plain = Layout { palette: Palette { coloured: false }, ..*layout };
    let mut text = Vec::new();
    table::write(&mut text, &columns.iter().collect::<Vec<_>>(), &lines, None, &plain)?;
    for line in String::from_utf8_lossy(&text).lines() {
        if line.starts_with(TOTAL) {
            writeln!(out, "{}", "─".repeat(30))?;
        }
        let matters = line.starts_with(TOTAL) || line.starts_with(UNACCOUNTED);
        writeln!(out, "{}", if matters { layout.palette.paint(Emphasis::Accent, line) } else { line.to_owned() })?;
    }
    Ok(())
}

/// Whether the page frames show something that counters do not.
fn frames_have(row: &Row) -> bool {
    row.frames_bytes.is_some_and(|bytes| bytes > 0)
}

fn shown(row: &Row, report: &Report, arrow: char, most: i64, longest: usize) -> Shown {
    let bytes = row.line.bytes.unwrap_or(0).max(0).unsigned_abs();
    let group = match row.frames_group {
        Some(WITHOUT_FLAG) => "no flag",
        group => group.unwrap_or(""),
    };
    let beside = match row.line.name {
        UNACCOUNTED => format!("{:.1} % of all", report.unaccounted_percent()).replace('-', "−"),
        _ => row.line.source.trim_start_matches("meminfo ").to_owned(),
    };
    Shown {
        title: row.line.title.into(),
        bytes: row.line.bytes,
        bar: bar(bytes, most.max(1).unsigned_abs(), longest),
        frames: match row.frames_bytes {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(format!("{arrow} {group}")),
        },
        trend: row.trend,
        beside,
    }
}

/// A part of a line, below it: indented, because it is not part of the sum.
fn part_of(row: &Row, part: &Part, report: &Report) -> Shown {
    let frames = report.frames.as_ref().filter(|_| row.line.name == "file_cache").and_then(|frames| match part.name {
        "mapped" => Some(frames.file_mapped_bytes),
        "unmapped" => row.frames_bytes.map(|bytes| bytes - frames.file_mapped_bytes),
        "dirty" => Some(frames.file_dirty_bytes),
        _ => None,
    });
    let bound = match part.bound {
        Bound::Exact => "",
        Bound::AtMost => " ≤",
        Bound::AtLeast => " ≥",
    };
    Shown {
        title: format!("  {}{bound}", part.name).into(),
        bytes: Some(part.bytes),
        bar: String::new(),
        frames: frames.map_or_else(|| Err(String::new()), |bytes| Ok(Some(bytes))),
        trend: None,
        beside: "included above".to_owned(),
    }
}

/// The sum of the lines that no flag identifies, with what the page frames say about all of them.
fn together(report: &Report) -> Option<Shown> {
    let group = report.frames.as_ref()?.without_flag()?;
    Some(Shown {
        title: "  all without a flag".into(),
        bytes: group.counters_bytes,
        bar: String::new(),
        frames: Ok(Some(group.frames_bytes)),
        trend: None,
        beside: "all '↓ no flag'".to_owned(),
    })
}

/// What exists but is not in the total.
fn outside(report: &Report) -> impl Iterator<Item = Shown> {
    let group = |name| report.frames.iter().flat_map(|frames| &frames.groups).find(move |group| group.name == name);
    report.outside.iter().map(move |row| {
        let frames = match row.name {
            "outside_of_total" => group(RESERVED),
            _ => group(OFFLINE),
        };
        let frames = frames.map(|group| group.frames_bytes);
        Shown {
            title: row.title.into(),
            bytes: Some(row.bytes),
            bar: String::new(),
            frames: frames.map_or_else(|| Err(String::new()), |bytes| Ok(Some(bytes))),
            trend: None,
            beside: "not in MemTotal".to_owned(),
        }
    })
}

/// How the numbers were computed, and why they differ.
fn write_foot(out: &mut dyn Write, report: &Report, explained: bool, layout: &Layout) -> io::Result<()> {
    writeln!(out)?;
    let mut paragraph = |text: &str| write!(out, "{}", wrapped(text, width(layout), 2));
    if explained {
        paragraph(&available(report))?;
    }
    let size = layout.scale.sized(report.unaccounted().unsigned_abs());
    let sign = if report.unaccounted() < 0 { "−" } else { "" };
    paragraph(&report.about_unaccounted(&format!("unaccounted, {sign}{size}")))?;
    if let Some(memmap) =
        report.outside.iter().filter(|_| explained).find_map(|row| row.memmap_bytes).filter(|&bytes| bytes > 0)
    {
        let memmap = human_string(memmap.unsigned_abs());
        paragraph(&format!(
            "outside of MemTotal: the kernel image, firmware, page descriptors ({memmap}), and memory reserved for a crash \
             kernel, if any"
        ))?;
    }
    let Some(frames) = &report.frames else { return Ok(()) };
    for group in frames.groups.iter().filter(|group| group.is_different() || group.counters_bytes.is_none()) {
        let why = group.why.as_deref().unwrap_or("");
        let Some(difference) = group.difference_bytes else {
            paragraph(&format!("frames, {}: {why}", group.name))?;
            continue;
        };
        let word = if difference < 0 { "less" } else { "more" };
        let size = layout.scale.sized(difference.unsigned_abs());
        paragraph(&format!("frames, {}: {size} {word} than counters: {why}", group.name))?;
    }
    Ok(())
}

/// How MemAvailable is computed, with its numbers if they are known.
fn available(report: &Report) -> String {
    let found = &report.available;
    let (Some(bytes), Some(recomputed)) = (found.bytes, found.recomputed_bytes) else {
        return "available (MemAvailable): free memory minus the reserves of zones, plus the file lists and reclaimable kernel \
                memory, minus half of each or the low watermarks, whichever is less"
            .to_owned();
    };
    let shown = |bytes: Option<u64>| human_string(bytes.unwrap_or(0));
    let part = |whole| format!("{} of {}", shown(found.gain(whole)), shown(whole));
    let mut text = format!(
        "available (MemAvailable): {} free − {} zone reserves + {} of file lists + {} of reclaimable kernel memory",
        shown(found.free_bytes),
        shown(found.reserve_bytes),
        part(found.file_lists_bytes),
        part(found.reclaimable_bytes)
    );
    // Counters of two files, read one after the other.
    if recomputed.abs_diff(bytes) > report.total_bytes.unsigned_abs() / 200 {
        text += &format!(" = {}, but the kernel says {}", human_string(recomputed), human_string(bytes));
    }
    text
}
