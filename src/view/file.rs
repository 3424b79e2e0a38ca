//! The output of `pmem file`: the cached pages of files.

use std::io::{self, Write};
use std::sync::Arc;

use super::cell::{Cell, Nested};
use super::field::{self, Column, Field, Kind};
use super::size::Unit;
use super::style::Emphasis;
use super::table::{self, Layout};
use crate::analysis::file::{Counts, FileRow, Run};
use crate::kernel::cached_pages::State;
use crate::name::Name;

/// The fields of a file; with `mapped`, also how much of it is mapped; with `runs`, which parts of it are cached.
pub(crate) fn fields(mapped: bool, runs: bool) -> Vec<Field<FileRow>> {
    let pages = |name, heading, help, of: fn(&Counts) -> Option<u64>| {
        Field::pages(name, heading, help, move |row: &FileRow| of(&row.counts)).summed()
    };
    vec![
        Field::bytes("size_bytes", "SIZE", "Size of the file", |row: &FileRow| row.counts.size_bytes)
            .summed()
            .alias("size"),
        pages("pages", "PAGES", "Size of the file in pages", |c| c.pages),
        pages("cached_pages", "CACHED", "Pages in the page cache", |c| c.cached_pages).alias("cached"),
        Field::count("cached_percent", "%", "Share of the file that is cached, in percent", |row: &FileRow| {
            row.counts.cached_percent()
        })
        .quantity_in(field::Unit::Percent)
        .alias("percent"),
        pages("dirty_pages", "DIRTY", "Cached pages that are dirty, by whole folios", |c| c.dirty_pages).alias("dirty"),
        pages("writeback_pages", "WRITEBACK", "Cached pages under writeback", |c| c.writeback_pages).alias("writeback"),
        pages("evicted_pages", "EVICTED", "Evicted pages with a shadow entry; on tmpfs: swapped out", |c| {
            c.evicted_pages
        })
        .alias("evicted"),
        pages("recently_evicted_pages", "RECENT", "Evicted pages that were evicted recently", |c| {
            c.recently_evicted_pages
        })
        .alias("recent"),
        pages("mapped_pages", "MAPPED", "Cached pages in page tables of processes (--mapped)", |c| c.mapped_pages)
            .only_if(mapped)
            .alias("mapped"),
        Field::label("runs", "RUNS", "Runs of cached pages (--runs)", Kind::Counted, |row: &FileRow| {
            row.runs.as_ref().map_or(Cell::Unknown, |runs| Cell::Counted(Nested(runs), runs.len() as u64))
        })
        .counted()
        .only_if(runs),
        Field::label("how", "HOW", "Source of the numbers: cachestat, mincore, blocks", Kind::Text, |row: &FileRow| {
            row.how.map_or(Cell::Unknown, |how| Cell::Text(how.name()))
        }),
        Field::label("refused", "REFUSED", "Why there are no numbers", Kind::Text, |row: &FileRow| {
            row.refused.map_or(Cell::Absent, Cell::Text)
        }),
        Field::name("path", "FILE", "Path of the file", |row: &FileRow| &row.path).alias("name"),
    ]
}

/// The default columns, chosen to fit into 80 columns.
pub(crate) fn default_fields(width: Option<usize>, mapped: bool, runs: bool) -> Vec<&'static str> {
    let mut names = vec!["size_bytes", "pages", "cached_pages", "cached_percent", "dirty_pages"];
    let more = width.is_some_and(|width| width >= 110).then_some(["writeback_pages", "evicted_pages"]);
    names.extend(more.into_iter().flatten());
    names.extend(mapped.then_some("mapped_pages"));
    names.extend(runs.then_some("runs"));
    names.push("path");
    names
}

/// A run of cached pages, and the file it is in.
#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    /// The path of the file.
    pub(crate) path: Arc<Name>,
    /// The run.
    pub(crate) run: Run,
}

/// The fields of a run of cached pages.
pub(crate) fn run_fields() -> Vec<Field<RunRow>> {
    let mut fields = vec![Field::name("path", "FILE", "Path of the file", |row: &RunRow| &row.path).alias("name")];
    fields.extend(fields_of_runs(|row: &RunRow| &row.run));
    fields
}

/// The same without the file.
fn fields_of_runs<R: 'static>(run: impl Fn(&R) -> &Run + Copy + Send + Sync + 'static) -> Vec<Field<R>> {
    vec![
        Field::label("offset_bytes", "OFFSET", "Offset in the file where it begins", Kind::Unsigned, move |row: &R| {
            Cell::Offset(run(row).offset_bytes)
        })
        .in_bytes()
        .always()
        .alias("offset"),
        Field::pages("pages", "PAGES", "Length of the run", move |row: &R| run(row).pages).summed(),
        Field::text("state", "STATE", "State of its pages: clean, dirty, writeback, cached", move |row: &R| match run(
            row,
        )
        .state
        {
            State::Clean => "clean",
            State::Dirty => "dirty",
            State::Writeback => "writeback",
            State::Cached => "cached",
        }),
    ]
}

/// Writes the runs of each file, if requested.
pub(crate) fn write_runs(out: &mut dyn Write, files: &[FileRow], layout: &Layout) -> io::Result<()> {
    let fields = fields_of_runs(|run: &Run| run);
    let columns: Vec<&Column<Run>> = fields.iter().map(|field| &field.column).collect();
    for row in files {
        if let Some(runs) = row.runs.as_ref().filter(|runs| !runs.is_empty()) {
            writeln!(out, "\n{}", layout.palette.paint(Emphasis::Accent, &row.path.escaped()))?;
            table::write(out, &columns, runs, None, layout)?;
        }
    }
    Ok(())
}

/// Writes what the counts are in.
pub(crate) fn write_unit(out: &mut dyn Write, layout: &Layout) -> io::Result<()> {
    if matches!(layout.scale.unit, Unit::Human | Unit::Pages) {
        let line = format!("counts are pages of {} KiB", layout.scale.page_size.bytes() / 1024);
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))?;
    }
    Ok(())
}
