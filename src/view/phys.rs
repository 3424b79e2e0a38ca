//! The output of `pmem phys`: bars by class, then folios, zones, flags, and what the kernel's counters say.

pub(crate) mod map;

use crate::view::field::{Column, Field};
use std::io::{self, Write};
use std::time::Duration;

use super::cell::{Cell, NONE};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, clipped, wrapped};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::phys::{CgroupRow, ClassRow, FlagsRow, FolioRow, MapcountRow, Report, ZoneRow};
use crate::analysis::physical::reconcile::Check;

/// The columns of the plain table of classes.
pub(crate) const DEFAULT: &[&str] = &["class", "frames", "bytes"];

/// The fields of a class.
pub(crate) fn fields() -> Vec<Field<ClassRow>> {
    vec![
        Field::text("class", "CLASS", "What the frames are used for", |row: &ClassRow| row.class.name()),
        Field::frames("frames", "FRAMES", "Number of frames", |row: &ClassRow| row.frames).summed(),
        Field::bytes("bytes", "SIZE", "Size of these frames", |row: &ClassRow| row.bytes).summed(),
    ]
}

/// Writes the tables below the heading: classes, folios, zones, flags, what else was requested, and the kernel's
/// counters.
pub(crate) fn write(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    write_classes(out, report, layout)?;
    write_folios(out, report, layout)?;
    write_zones(out, report, layout)?;
    write_flags(out, report, layout)?;
    if let Some(rows) = &report.mapcounts {
        write_mapcounts(out, rows, layout)?;
    }
    if let Some(rows) = &report.cgroups {
        write_cgroups(out, rows, layout)?;
    }
    write_checks(out, report, layout)
}

/// Writes the heading: how much was read.
pub(crate) fn write_head(out: &mut dyn Write, report: &Report, took: Duration, layout: &Layout) -> io::Result<()> {
    let size = |frames| human_string(layout.scale.page_size.bytes_of(frames));
    let line = format!(
        "{} frames read ({} of addresses, {} of RAM), {:.2} s",
        grouped_string(report.frames),
        size(report.frames),
        size(report.ram_frames),
        took.as_secs_f64()
    );
    writeln!(out, "{}\n", layout.palette.paint(Emphasis::Heading, &line))
}

/// The width of the longest bar.
const BAR: usize = 24;

/// Writes a bar for each class, in the order of classes, holes last.
fn write_classes(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let rows = || report.classes.iter().filter(|row| row.class != Class::Hole);
    let most = rows().map(|row| row.frames).max().unwrap_or(0);
    let width = layout.width.unwrap_or(100);
    for row in rows() {
        let bar = bar(row.frames, most, BAR);
        let bar = layout.palette.paint(Emphasis::Accent, &bar);
        let padding = BAR.saturating_sub(bar_width(row.frames, most, BAR));
        let beside = clipped(&beside(row.class, report), width.saturating_sub(BAR + 30));
        let line = format!("  {:<14}{:>10}  {bar}{:padding$}  {beside}", row.class.title(), shown(row, layout), "");
        writeln!(out, "{}", line.trim_end())?;
    }
    if let Some(holes) = report.classes.iter().find(|row| row.class == Class::Hole) {
        writeln!(out, "  {:<14}{:>10}  of addresses without memory", "holes", shown(holes, layout))?;
    }
    Ok(())
}

fn shown(row: &ClassRow, layout: &Layout) -> String {
    table::cell_text(&Cell::Bytes(row.bytes), &layout.scale)
}

/// A bar of at most `width` columns, in eighths of a column.
pub(super) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = eighths(part, whole, width);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn bar_width(part: u64, whole: u64, width: usize) -> usize {
    eighths(part, whole, width).div_ceil(8)
}

fn eighths(part: u64, whole: u64, width: usize) -> usize {
    (u128::from(part) * 8 * width as u128 / u128::from(whole.max(1))) as usize
}

/// The smallest difference worth reporting, in bytes: per-CPU lists of free pages account for less.
const NOTEWORTHY: u64 = 1 << 30;

/// The remark next to the bar of a class.
fn beside(class: Class, report: &Report) -> String {
    let folios = &report.folios;
    match class {
        Class::Unclassified => {
            // Memory that is in MemFree but in no free block is not initialised yet, and has no flag.
            let free = report.checks.iter().find(|check| check.name == "free memory");
            let more = free.map_or(0, |check| check.difference_bytes.min(0).unsigned_abs());
            match more >= NOTEWORTHY {
                true => format!("{} counted as free in MemFree", human_string(more)),
                false => "no flag names an owner".to_owned(),
            }
        }
        Class::Anon | Class::File | Class::Shmem => {
            let largest = folios.iter().filter(|row| row.class == class && row.order > 0);
            let bytes = largest.fold(0, |sum: u64, row| sum.saturating_add(row.bytes));
            if bytes == 0 { String::new() } else { format!("{} in large folios", human_string(bytes)) }
        }
        _ => String::new(),
    }
}

/// Writes folios by size and class.
fn write_folios(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let page = layout.scale.page_size;
    let columns: Vec<Column<FolioRow>> = vec![
        Column::number("ORDER", |row: &FolioRow| Cell::Id(row.order.into())),
        Column::number("SIZE", move |row: &FolioRow| Cell::Bytes(page.bytes_of(1 << row.order))),
        Column::text("CLASS", |row: &FolioRow| Cell::Text(row.class.title())),
        Column::number("FOLIOS", |row: &FolioRow| Cell::Number(row.folios)),
        Column::number("TOTAL", |row: &FolioRow| Cell::Bytes(row.bytes)),
    ];
    let mut rows: Vec<FolioRow> = report.folios.iter().filter(|row| row.order > 0).cloned().collect();
    rows.sort_by_key(|row| (row.class, row.order));
    section(out, "Folios of more than one frame", &columns, &rows, layout)?;
    if report.torn_folios > 0 {
        let text = format!("{} more were split or merged during the reading", grouped_string(report.torn_folios));
        writeln!(out, "  {text}")?;
    }
    Ok(())
}

/// Writes zones, one per line, with the main classes as columns.
fn write_zones(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let page = layout.scale.page_size;
    let columns: Vec<Column<ZoneRow>> = vec![
        Column::number("NODE", |row: &ZoneRow| Cell::Id(row.node.into())),
        Column::text("ZONE", |row: &ZoneRow| Cell::Text(&row.zone)),
        Column::number("SPAN", move |row: &ZoneRow| Cell::Bytes(page.bytes_of(row.frames))),
        Column::number("FREE", |row: &ZoneRow| bytes_of(row, &[Class::Free])),
        Column::number("ANON", |row: &ZoneRow| bytes_of(row, &[Class::Anon, Class::Ksm])),
        Column::number("FILE", |row: &ZoneRow| bytes_of(row, &[Class::File])),
        Column::number("SLAB", |row: &ZoneRow| bytes_of(row, &[Class::Slab])),
        Column::number("OTHER", |row: &ZoneRow| {
            const SHOWN: [Class; 5] = [Class::Free, Class::Anon, Class::Ksm, Class::File, Class::Slab];
            Cell::Bytes(row.classes.iter().filter(|row| !SHOWN.contains(&row.class)).map(|row| row.bytes).sum())
        }),
    ];
    section(out, "Zones", &columns, &report.zones, layout)
}

fn bytes_of(row: &ZoneRow, classes: &[Class]) -> Cell<'static> {
    Cell::Bytes(row.classes.iter().filter(|row| classes.contains(&row.class)).map(|row| row.bytes).sum())
}

/// The most combinations of flags to show; programs get all.
const MOST_FLAGS: usize = 12;

/// Writes the most frequent combinations of flags.
fn write_flags(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let columns: Vec<Column<FlagsRow>> = vec![
        Column::number("FRAMES", |row: &FlagsRow| Cell::Number(row.frames)),
        Column::text("CLASS", |row: &FlagsRow| Cell::Text(row.class.title())),
        Column::text("FLAGS", |row: &FlagsRow| match row.flags.names().is_empty() {
            true => Cell::Text(NONE),
            false => Cell::FrameFlags(row.flags),
        }),
    ];
    let shown = &report.flags[..report.flags.len().min(MOST_FLAGS)];
    section(out, "Flags", &columns, shown, layout)?;
    match report.flags.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(out, "  {more} more combinations: --json"),
    }
}

/// Writes the histogram of mapcounts.
fn write_mapcounts(out: &mut dyn Write, rows: &[MapcountRow], layout: &Layout) -> io::Result<()> {
    let page = layout.scale.page_size;
    let columns: Vec<Column<MapcountRow>> = vec![
        Column::number("MAPPED", |row: &MapcountRow| Cell::Id(row.mapcount)),
        Column::number("FRAMES", |row: &MapcountRow| Cell::Number(row.frames)),
        Column::number("SIZE", move |row: &MapcountRow| Cell::Bytes(page.bytes_of(row.frames))),
    ];
    section(out, "Frames by mapcount", &columns, rows, layout)
}

/// Writes the cgroups.
fn write_cgroups(out: &mut dyn Write, rows: &[CgroupRow], layout: &Layout) -> io::Result<()> {
    let columns: Vec<Column<CgroupRow>> = vec![
        Column::number("FRAMES", |row: &CgroupRow| Cell::Number(row.frames)),
        Column::number("SIZE", |row: &CgroupRow| Cell::Bytes(row.bytes)),
        Column::text("CGROUP", |row: &CgroupRow| row.cgroup.as_ref().map_or(Cell::Unknown, Cell::Cgroup)),
    ];
    section(out, "Memory cgroups that frames are charged to", &columns, rows, layout)
}

/// Writes what the kernel's counters say, and for those that differ, why.
fn write_checks(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let columns: Vec<Column<Check>> = vec![
        Column::text("BY FRAMES", |check: &Check| Cell::Text(check.name)),
        Column::number("SIZE", |check: &Check| Cell::Bytes(check.ours_bytes)),
        Column::number("KERNEL", |check: &Check| Cell::Bytes(check.kernel_bytes)),
        Column::number("DIFF", |check: &Check| Cell::SizeChange(check.difference_bytes)),
        Column::text("COUNTER", |check: &Check| Cell::Text(check.source)),
    ];
    section(out, "Compared with the kernel's own counters", &columns, &report.checks, layout)?;
    for check in &report.checks {
        if let Some(why) = check.why {
            write!(out, "{}", wrapped(&format!("{}: {why}", check.name), layout.width.unwrap_or(80), 2))?;
        }
    }
    Ok(())
}

/// Writes a title and a table, indented, unless there are no rows.
fn section<R: Sync>(
    out: &mut dyn Write,
    title: &str,
    columns: &[Column<R>],
    rows: &[R],
    layout: &Layout,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", layout.palette.paint(Emphasis::Heading, title))?;
    let width = layout.width.map(|width| width.saturating_sub(2));
    let mut text = Vec::new();
    let columns: Vec<&Column<R>> = columns.iter().collect();
    let plain = Layout { width, palette: super::style::Palette { coloured: false }, ..*layout };
    table::write(&mut text, &columns, rows, None, &plain)?;
    String::from_utf8_lossy(&text).lines().try_for_each(|line| writeln!(out, "  {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        assert_eq!(bar(0, 100, 10), "");
        assert_eq!(bar(100, 100, 10), "██████████");
        assert_eq!(bar(55, 100, 10), "█████▌");
        assert_eq!((bar_width(55, 100, 10), bar_width(0, 0, 10)), (6, 0));
        assert_eq!(eighths(u64::MAX, u64::MAX, 10), 80);
    }
}
