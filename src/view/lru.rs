//! The output of `pmem lru`: the four states by class, what is on no list, and the kernel's counters.

use crate::view::field::{Column, Field};
use std::io::{self, Write};

use super::cell::Cell;
use super::style::Emphasis;
use super::table::{self, Layout};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::lru::{CLASSES, ClassFrames, ListCheck, Report, State};

/// The columns of the plain table of states.
pub(crate) const DEFAULT: &[&str] = &["active", "referenced", "class", "frames"];

/// The fields of a state.
pub(crate) fn fields() -> Vec<Field<State>> {
    vec![
        Field::bool("active", "ACTIVE", "On the active list", |row: &State| row.active),
        Field::bool("referenced", "REFERENCED", "Marked as referenced", |row: &State| row.referenced),
        Field::text("class", "CLASS", "Class of the frames: anon, shmem or file", |row: &State| row.class.name()),
        Field::frames("frames", "FRAMES", "Number of frames", |row: &State| row.frames).summed(),
    ]
}

/// What a column of comparisons with counters is.
pub(super) const MOVED: &str = "MOVED: change in the kernel's counter during the reading";

/// A line of the table for people: a state, and its frames by class.
struct Line {
    what: &'static str,
    means: &'static str,
    frames: [u64; 3],
}

/// Writes the report for people.
pub(crate) fn write(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let state = |active: bool, referenced: bool, what, means| {
        let of = |class: Class| {
            let row =
                report.states.iter().find(|row| (row.active, row.referenced, row.class) == (active, referenced, class));
            row.map_or(0, |row| row.frames)
        };
        Line { what, means, frames: CLASSES.map(of) }
    };
    let of = |rows: &[ClassFrames], what, means| {
        let frames = CLASSES.map(|class| rows.iter().find(|row| row.class == class).map_or(0, |row| row.frames));
        Line { what, means, frames }
    };
    let lines = [
        state(true, true, "active, referenced", "used again: stays"),
        state(true, false, "active", "next to become inactive"),
        state(false, true, "inactive, referenced", "one more use makes it active"),
        state(false, false, "inactive", "next to be reclaimed"),
        of(&report.unevictable, "unevictable", "mlock, ramfs, secretmem"),
        of(&report.not_on_lru, "on no list", "not yet added, isolated, or a driver's"),
    ];
    let columns = [
        Column::text("STATE", |line: &Line| Cell::Text(line.what)),
        Column::summed("ANON", |line: &Line| Cell::Pages(line.frames[0])),
        Column::summed("SHMEM", |line: &Line| Cell::Pages(line.frames[1])),
        Column::summed("FILE", |line: &Line| Cell::Pages(line.frames[2])),
        Column::text("", |line: &Line| Cell::Text(line.means)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &lines, Some("total"), layout)?;
    if report.checks.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", layout.palette.paint(Emphasis::Heading, "Compared with the kernel's own counters"))?;
    let columns = [
        Column::text("LIST", |check: &ListCheck| Cell::Text(check.name)),
        Column::number("BY FRAMES", |check: &ListCheck| Cell::Bytes(check.ours_bytes)),
        Column::number("MEMINFO", |check: &ListCheck| Cell::Bytes(check.kernel_bytes)),
        Column::number("DIFF", |check: &ListCheck| Cell::SizeChange(check.difference_bytes)),
        Column::number("MOVED", |check: &ListCheck| Cell::Bytes(check.moved_bytes)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &report.checks, None, layout)?;
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, MOVED))?;
    if report.checks.iter().any(|check| check.difference_bytes.unsigned_abs() > check.moved_bytes) {
        let text = "a counter changes only when a per-CPU batch is added to or removed from a list, a flag at once, so the two \
                    may differ by up to 31 folios of any size per CPU and list";
        write!(out, "{}", table::wrapped(text, layout.width.unwrap_or(80), 2))?;
    }
    Ok(())
}
