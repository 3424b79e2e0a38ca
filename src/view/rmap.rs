//! The output of `pmem rmap`: who maps a frame, one per line, and whether these are all.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::cell::Cell;
use super::field::{Column, Field, Kind};
use super::json::Objects;
use super::size::{counted, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::physical::class::Class;
use crate::analysis::rmap::shared::{Matrix, SharedWith, Sharer};
use crate::analysis::rmap::{Asked, FrameMappers, Mapper};
use crate::unit::Pfn;

/// The default columns, below the frame that is mapped.
pub(crate) const DEFAULT: &[&str] = &["pid", "comm", "address", "perm", "name"];

/// A mapper with the frame it maps: a row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The frame.
    pub(crate) pfn: Pfn,
    /// Who maps it.
    pub(crate) mapper: Mapper,
}

/// The fields of a mapper; the frame first, which contains it in JSON.
pub(crate) fn fields() -> Vec<Field<Row>> {
    vec![
        Field::label("pfn", "PFN", "Page frame number", Kind::Unsigned, |row: &Row| Cell::Pfn(row.pfn))
            .always()
            .aligned_right(),
        Field::id("pid", "PID", "Process", |row: &Row| u64::from(row.mapper.pid)),
        Field::name("comm", "COMM", "Name of the process", |row: &Row| &row.mapper.comm),
        Field::address("address", "ADDRESS", "Address of the page", |row: &Row| row.mapper.address.0),
        Field::label("perm", "PERM", "Permissions of the mapping", Kind::Text, |row: &Row| {
            row.mapper.perm.as_ref().map_or(Cell::Unknown, |perm| Cell::Text(perm.as_str()))
        }),
        Field::label("name", "MAPPING", "Name of the mapping", Kind::Name, |row: &Row| {
            match row.mapper.name.is_empty() {
                true => Cell::Unnamed("[anonymous]"),
                false => Cell::Name(&row.mapper.name),
            }
        })
        .always(),
        Field::label("shares_with", "SHARES", "Process that shares its address space", Kind::Unsigned, |row: &Row| {
            row.mapper.shares_with.map_or(Cell::Absent, |pid| Cell::Id(pid.into()))
        })
        .aligned_right(),
    ]
}

/// Who maps frames.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// The frames, without their mappers.
    pub(crate) frames: Vec<FrameMappers>,
    /// The mappers of all of them.
    pub(crate) rows: Vec<Row>,
    /// How many processes could be searched.
    pub(crate) asked: Asked,
}

impl Mapped {
    /// Turns the mappers into rows.
    pub(crate) fn new(mut frames: Vec<FrameMappers>, asked: Asked) -> Self {
        let rows = |frame: &mut FrameMappers| {
            let pfn = frame.pfn;
            std::mem::take(&mut frame.mappers).into_iter().map(move |mapper| Row { pfn, mapper })
        };
        let rows = frames.iter_mut().flat_map(rows).collect();
        Self { frames, rows, asked }
    }
}

impl Serialize for Mapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Frame<'m> {
            #[serde(flatten)]
            frame: &'m FrameMappers,
            mappers: Objects<'m, Row>,
        }
        #[derive(Serialize)]
        struct Document<'m> {
            frames: Vec<Frame<'m>>,
            asked: &'m Asked,
        }
        let fields = fields();
        let mut rows: HashMap<Pfn, Vec<&Row>> = HashMap::new();
        self.rows.iter().for_each(|row| rows.entry(row.pfn).or_default().push(row));
        let mut mappers = |frame: &FrameMappers| Objects(&fields[1..], rows.remove(&frame.pfn).unwrap_or_default());
        let frames = self.frames.iter().map(|frame| Frame { frame, mappers: mappers(frame) }).collect();
        Document { frames, asked: &self.asked }.serialize(serializer)
    }
}

/// Writes who maps frames: `rows`, with these columns, a table for each frame.
pub(crate) fn write(
    out: &mut dyn Write,
    mapped: &Mapped,
    rows: &[Row],
    columns: &[&Column<Row>],
    layout: &Layout,
) -> io::Result<()> {
    let mut by_frame: HashMap<Pfn, Vec<Row>> = HashMap::new();
    rows.iter().for_each(|row| by_frame.entry(row.pfn).or_default().push(row.clone()));
    for (place, frame) in mapped.frames.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        write_frame(out, frame, &by_frame.remove(&frame.pfn).unwrap_or_default(), columns, layout)?;
    }
    write_asked(out, &mapped.asked, layout)
}

/// Writes who maps a frame.
fn write_frame(
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
        Some(count) => format!(", mapped by {}", counted(count, "page-table entry", "page-table entries")),
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
        (None, found) => format!("{} found, as many as the mapcount says", counted(found, "mapping", "mappings")),
        (Some(why), found) => format!("{} found; {why}", grouped_string(found)),
    };
    let emphasis = if frame.complete { Emphasis::Faint } else { Emphasis::Wrong };
    let text = wrapped(&text, layout.width.unwrap_or(80), 2);
    text.lines().try_for_each(|line| writeln!(out, "{}", layout.palette.paint(emphasis, line)))
}

/// Writes how many processes were searched.
fn write_asked(out: &mut dyn Write, asked: &Asked, layout: &Layout) -> io::Result<()> {
    let mut text = format!("{} searched", counted(asked.processes, "process", "processes"));
    if !asked.unreadable.is_empty() {
        text += &format!(", {} could not be read ({})", asked.unreadable.len(), asked.unreadable.pids());
    }
    if asked.ended > 0 {
        text += &format!(", {} ended during the search", asked.ended);
    }
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &text))
}

/// The fields of a process that shares frames with another.
pub(crate) fn sharer_fields() -> Vec<Field<Sharer>> {
    vec![
        Field::id("pid", "PID", "Process", |row: &Sharer| u64::from(row.pid)),
        Field::name("comm", "COMM", "Name of the process", |row: &Sharer| &row.comm),
        Field::frames("frames", "FRAMES", "Number of frames they share", |row: &Sharer| row.frames),
    ]
}

/// The default columns of these.
pub(crate) const SHARER_DEFAULT: &[&str] = &["frames", "pid", "comm"];

/// Who shares frames.
#[derive(Debug)]
pub(crate) enum Sharing {
    /// With one process.
    With(SharedWith),
    /// Several with each other.
    Matrix(Matrix),
}

impl Sharing {
    /// The processes.
    pub(crate) fn rows(&self) -> &[Sharer] {
        match self {
            Self::With(with) => &with.sharers,
            Self::Matrix(matrix) => &matrix.processes,
        }
    }
}

impl Serialize for Sharing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Document<'s> {
            Shared {
                #[serde(flatten)]
                with: &'s SharedWith,
                sharers: Objects<'s, Sharer>,
            },
            Matrix {
                processes: Objects<'s, Sharer>,
                #[serde(flatten)]
                matrix: &'s Matrix,
            },
        }
        let fields = sharer_fields();
        let objects = || Objects(&fields, self.rows().iter().collect());
        match self {
            Self::With(with) => Document::Shared { with, sharers: objects() },
            Self::Matrix(matrix) => Document::Matrix { processes: objects(), matrix },
        }
        .serialize(serializer)
    }
}

/// Writes with which processes a process shares frames.
pub(crate) fn write_shared(
    out: &mut dyn Write,
    shared: &SharedWith,
    columns: &[&Column<Sharer>],
    layout: &Layout,
) -> io::Result<()> {
    let name = format!("{} ({})", shared.comm.escaped(), shared.pid);
    let (frames, alone) = (counted(shared.frames, "frame", "frames"), grouped_string(shared.alone_frames));
    let size = human_string(layout.scale.page_size.bytes_of(shared.frames));
    let name = layout.palette.paint(Emphasis::Accent, &name);
    writeln!(out, "{name}  {frames} = {size}, {alone} of them not shared")?;
    if !shared.sharers.is_empty() {
        table::write(out, columns, &shared.sharers, None, layout)?;
    }
    write_asked(out, &shared.asked, layout)
}

/// Writes a matrix: a row and a column for each process.
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
    writeln!(out, "frames in common; on the diagonal: all frames of the process")?;
    let lines = matrix.processes.iter().cloned().zip(matrix.frames.iter().cloned());
    let lines: Vec<Line> = lines.map(|(process, frames)| Line { process, frames }).collect();
    table::write(out, &columns.iter().collect::<Vec<_>>(), &lines, None, layout)
}
