//! How the cached pages of files look.

use crate::view::field::{self, Column, Field};
use std::io::{self, Write};

use super::cell::Cell;
use super::notes;
use super::size::Unit;
use super::style::Emphasis;
use super::table::{self, Layout};
use crate::analysis::file::{Counts, FileRow, Run};
use crate::analysis::note::Note;
use crate::kernel::cached_pages::{How, State};

/// The columns of files.
pub(crate) fn columns() -> Vec<Field<FileRow>> {
    let pages = |name: &'static str, heading: &'static str, help: &'static str, field: fn(&Counts) -> Option<u64>| {
        Field::old_summed(name, heading, help, move |row: &FileRow| {
            field(&row.counts).map_or(Cell::Unknown, Cell::Pages)
        })
    };
    vec![
        Field::old_summed("size", "SIZE", "size", |row: &FileRow| {
            row.counts.size_bytes.map_or(Cell::Unknown, Cell::Bytes)
        }),
        pages("pages", "PAGES", "pages the file has room for", |c| c.pages),
        pages("cached", "CACHED", "in the page cache", |c| c.cached_pages),
        Field::old_number("percent", "%", "how much of the file is cached, in per cent", |row: &FileRow| {
            row.counts.cached_percent().map_or(Cell::Unknown, Cell::Number)
        }),
        pages("dirty", "DIRTY", "of the cached: dirty, by whole folios", |c| c.dirty_pages),
        pages("writeback", "WRITEBACK", "of the cached: being written back", |c| c.writeback_pages),
        pages("evicted", "EVICTED", "remembered as evicted; on tmpfs: swapped out", |c| c.evicted_pages),
        pages("recent", "RECENT", "of the evicted: recently", |c| c.recently_evicted_pages),
        pages("mapped", "MAPPED", "of the cached: in page tables of processes (--mapped)", |c| c.mapped_pages),
        Field::old_number("runs", "RUNS", "runs of cached pages (--runs)", |row: &FileRow| {
            row.runs.as_ref().map_or(Cell::Unknown, |runs| Cell::Number(runs.len() as u64))
        }),
        Field::old_text("how", "HOW", "by what it was found: cachestat, mincore, blocks", |row: &FileRow| {
            row.how.map_or(Cell::Unknown, |how| {
                Cell::Text(match how {
                    How::Cachestat => "cachestat",
                    How::Mincore => "mincore",
                    How::Blocks => "blocks",
                })
            })
        }),
        Field::old_text("name", "FILE", "path of the file", |row: &FileRow| Cell::Name(&row.path)),
    ]
}

/// The columns that are shown unless others are asked for: such that 80 columns suffice.
pub(crate) fn default_columns(width: Option<usize>, mapped: bool, runs: bool) -> Vec<&'static str> {
    let mut names = vec!["size", "pages", "cached", "percent", "dirty"];
    names.extend(width.is_some_and(|width| width >= 110).then_some(["writeback", "evicted"]).into_iter().flatten());
    names.extend(mapped.then_some("mapped"));
    names.extend(runs.then_some("runs"));
    names.push("name");
    names
}

/// The columns of runs.
pub(crate) fn run_columns() -> Vec<Field<Run>> {
    vec![
        Field::old_number("offset", "OFFSET", "where it begins", |run: &Run| Cell::Address(run.offset_bytes)),
        Field::old_summed("pages", "PAGES", "its length", |run: &Run| Cell::Pages(run.pages)),
        Field::old_text("state", "STATE", "what its pages are", |run: &Run| {
            Cell::Text(match run.state {
                State::Clean => "clean",
                State::Dirty => "dirty",
                State::Writeback => "writeback",
                State::Cached => "cached",
            })
        }),
    ]
}

/// The table of files, of which the last may stand for all, and below it the runs of each where they were asked for.
pub(crate) fn write(
    out: &mut dyn Write,
    columns: &[&Column<FileRow>],
    rows: &[FileRow],
    notes: &[Note],
    layout: &Layout,
) -> io::Result<()> {
    table::write(out, columns, rows, None, layout)?;
    for row in rows {
        if let Some(runs) = row.runs.as_ref().filter(|runs| !runs.is_empty()) {
            writeln!(out, "\n{}", layout.palette.paint(Emphasis::Accent, &row.path.escaped()))?;
            table::write(out, &field::columns(&run_columns().iter().collect::<Vec<_>>()), runs, None, layout)?;
        }
    }
    if matches!(layout.scale.unit, Unit::Human | Unit::Pages) {
        let line = format!("counts are pages of {} KiB", layout.scale.page_size.bytes() / 1024);
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))?;
    }
    notes::write(out, notes, layout)
}
