//! How `pmem rmap` looks: who maps a frame, a line each, and whether these are all.

use crate::view::field::{Column, Field};
use std::io::{self, Write};

use serde::Serialize;

use super::cell::{Cell, NONE};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::physical::class::Class;
use crate::analysis::rmap::shared::{Matrix, SharedWith, Sharer};
use crate::analysis::rmap::{Asked, FrameMappers, Mapper};
use crate::unit::Pfn;

/// The columns that are shown unless others are asked for.
pub(crate) const DEFAULT: &[&str] = &["pid", "comm", "address", "perm", "name"];

/// The same for programs, whose rows are of several frames.
pub(crate) const DEFAULT_OF_ROWS: &[&str] = &["pfn", "pid", "comm", "address", "perm", "name"];

/// A mapper with the frame it maps: a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The frame.
    pub pfn: Pfn,
    /// Who maps it.
    #[serde(flatten)]
    pub mapper: Mapper,
}

/// All columns.
pub(crate) fn columns() -> Vec<Field<Row>> {
    vec![
        Field::old_number("pfn", "PFN", "The page frame number", |row: &Row| Cell::Pfn(row.pfn)),
        Field::old_number("pid", "PID", "The process", |row: &Row| Cell::Id(row.mapper.pid.into())),
        Field::old_text("comm", "COMM", "Its name", |row: &Row| Cell::Name(&row.mapper.comm)),
        Field::old_text("address", "ADDRESS", "The address of the page", |row: &Row| {
            Cell::Address(row.mapper.address.0)
        }),
        Field::old_text("perm", "PERM", "The permissions of the mapping", |row: &Row| {
            row.mapper.perm.as_ref().map_or(Cell::Unknown, |perm| Cell::Text(perm.as_str()))
        }),
        Field::old_number(
            "shares_with",
            "SHARES",
            "The process with which it shares its address space",
            |row: &Row| row.mapper.shares_with.map_or(Cell::Text(NONE), |pid| Cell::Id(pid.into())),
        ),
        Field::old_text("name", "MAPPING", "The name of the mapping", |row: &Row| match row.mapper.name.is_empty() {
            true => Cell::Unnamed("[anonymous]"),
            false => Cell::Name(&row.mapper.name),
        }),
    ]
}

/// Writes who maps a frame.
pub(crate) fn write_frame(
    out: &mut dyn Write,
    frame: &FrameMappers,
    rows: &[Row],
    columns: &[&Column<Row>],
    layout: &Layout,
) -> io::Result<()> {
    let name = format!("frame {:#x}", frame.pfn.0);
    let what = frame.class.map_or("not known", Class::title);
    let mapped = match frame.mapcount {
        None => String::new(),
        Some(0) => ", mapped by no page-table entry".to_owned(),
        Some(1) => ", mapped by 1 page-table entry".to_owned(),
        Some(count) => format!(", mapped by {} page-table entries", grouped_string(count)),
    };
    writeln!(out, "{}  {what}{mapped}", layout.palette.paint(Emphasis::Accent, &name))?;
    if !rows.is_empty() {
        table::write(out, columns, rows, None, layout)?;
    }
    if frame.not_listed > 0 {
        writeln!(out, "  and {} more, not listed", grouped_string(frame.not_listed))?;
    }
    let text = match (&frame.why, frame.found) {
        (None, 0) => return Ok(()),
        (None, found) => format!("{} found: all there are", grouped_string(found)),
        (Some(why), found) => format!("{} found; {why}", grouped_string(found)),
    };
    let emphasis = if frame.complete { Emphasis::Faint } else { Emphasis::Wrong };
    let text = wrapped(&text, layout.width.unwrap_or(80), 2);
    text.lines().try_for_each(|line| writeln!(out, "{}", layout.palette.paint(emphasis, line)))
}

/// Writes how many processes were asked.
pub(crate) fn write_asked(out: &mut dyn Write, asked: &Asked, layout: &Layout) -> io::Result<()> {
    let mut text = format!("{} processes asked", grouped_string(asked.processes));
    if !asked.unreadable.is_empty() {
        text += &format!(", {} could not be read ({})", asked.unreadable.len(), asked.unreadable.pids());
    }
    if asked.ended > 0 {
        text += &format!(", {} ended meanwhile", asked.ended);
    }
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &text))
}

/// The columns of processes that share frames.
pub(crate) fn sharer_columns() -> Vec<Field<Sharer>> {
    vec![
        Field::old_number("frames", "FRAMES", "How many frames they share", |row: &Sharer| Cell::Pages(row.frames)),
        Field::old_number("pid", "PID", "The process", |row: &Sharer| Cell::Id(row.pid.into())),
        Field::old_text("comm", "COMM", "Its name", |row: &Sharer| Cell::Name(&row.comm)),
    ]
}

/// Those that are shown.
pub(crate) const SHARER_DEFAULT: &[&str] = &["frames", "pid", "comm"];

/// Writes with whom a process shares frames.
pub(crate) fn write_shared(
    out: &mut dyn Write,
    shared: &SharedWith,
    rows: &[Sharer],
    columns: &[&Column<Sharer>],
    layout: &Layout,
) -> io::Result<()> {
    let name = format!("{} ({})", shared.comm.escaped(), shared.pid);
    let (frames, alone) = (grouped_string(shared.frames), grouped_string(shared.alone_frames));
    let size = human_string(layout.scale.page_size.bytes_of(shared.frames));
    let name = layout.palette.paint(Emphasis::Accent, &name);
    writeln!(out, "{name}  {frames} frames = {size}, {alone} of them its own alone")?;
    if !rows.is_empty() {
        table::write(out, columns, rows, None, layout)?;
    }
    write_asked(out, &shared.asked, layout)
}

/// Writes a matrix: a row and a column each process.
pub(crate) fn write_matrix(out: &mut dyn Write, matrix: &Matrix, layout: &Layout) -> io::Result<()> {
    struct Line {
        process: Sharer,
        frames: Vec<u64>,
    }
    let name = Column::text("COMM", |line: &Line| Cell::Name(&line.process.comm));
    let mut columns = vec![Column::number("PID", |line: &Line| Cell::Id(line.process.pid.into()))];
    for (place, process) in matrix.processes.iter().enumerate() {
        let heading = process.pid.to_string();
        columns.push(Column::number(heading.clone(), move |line: &Line| {
            line.frames.get(place).map_or(Cell::Unknown, |frames| Cell::Pages(*frames))
        }));
    }
    columns.push(name);
    writeln!(out, "frames in common; a process with itself: all that it has")?;
    let lines = matrix.processes.iter().cloned().zip(matrix.frames.iter().cloned());
    let lines: Vec<Line> = lines.map(|(process, frames)| Line { process, frames }).collect();
    table::write(out, &columns.iter().collect::<Vec<_>>(), &lines, None, layout)
}
