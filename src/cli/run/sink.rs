//! Where reports go, in the requested format: the only place that checks it.

use std::cell::Cell as Flag;
use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

use super::context::Context;
use crate::analysis::note::Note;
use crate::cli::options::Format;
use crate::cli::output::Output;
use crate::cli::status::say;
use crate::view::cell::Cell;
use crate::view::field::Rows;
use crate::view::{csv, json, time};

/// What programs get from a command without rows.
pub(in crate::cli) struct Report<'d> {
    /// The name and version of the document: `pmem.NAME/1`; `None` if the data is the whole document.
    pub(in crate::cli) schema: Option<&'static str>,
    /// Its data.
    pub(in crate::cli) data: &'d dyn erased_serde::Serialize,
    /// What the reader must know.
    pub(in crate::cli) notes: &'d [Note],
}

/// The output of one run.
pub(in crate::cli) struct Sink<'o, 'c> {
    cx: &'c Context<'c>,
    output: &'o mut Output,
    /// Whether there are rounds: CSV has a column that distinguishes them, tables a line above each.
    is_repeated: bool,
    /// How many rounds have been written.
    written: u32,
    /// When the round began: all its rows have this time, and no other round does.
    time: String,
    /// Whether the CSV header has been written.
    has_header: bool,
}

/// One report, for programs.
pub(super) struct Document<'d> {
    /// Its name and version.
    pub(super) schema: &'static str,
    /// The members of its `data`, without the rows.
    pub(super) data: &'d dyn erased_serde::Serialize,
    /// The name of the rows in the data; `None` if the data already has them.
    pub(super) list: Option<&'static str>,
    /// Whether the rows are known.
    pub(super) has_rows: bool,
    /// The names of the fields.
    pub(super) names: Vec<&'d str>,
    /// The rows.
    pub(super) rows: &'d dyn Rows,
    /// What the reader must know.
    pub(super) notes: &'d [Note],
}

impl<'o, 'c> Sink<'o, 'c> {
    /// The output of a run.
    pub(in crate::cli) fn new(cx: &'c Context<'c>, output: &'o mut Output, is_repeated: bool) -> Self {
        Self { cx, output, is_repeated, written: 0, time: time::now(), has_header: false }
    }

    /// Begins a round. Rounds can be less than a second apart.
    pub(super) fn begin_round(&mut self) {
        self.time = if self.is_repeated { time::now_to_the_millisecond() } else { time::now() };
    }

    /// Whether nothing has been written yet.
    pub(super) fn is_first(&self) -> bool {
        self.written == 0
    }

    /// Ends a round.
    pub(super) fn end_round(&mut self) -> Result<()> {
        self.written = self.written.saturating_add(1);
        Ok(self.output.flush()?)
    }

    /// Begins a round for people; returns the writer.
    pub(super) fn people(&mut self) -> io::Result<&mut dyn Write> {
        if self.is_repeated {
            writeln!(self.output, "{}{}", if self.is_first() { "" } else { "\n" }, time::clock())?;
        }
        Ok(self.output)
    }

    /// Writes a report for programs. Notes for which the format has no place go to standard error, in the first round.
    pub(super) fn programs(&mut self, document: &Document<'_>) -> Result<()> {
        if !self.cx.is_document() {
            self.part(&[], &document.names, document.rows)?;
            if self.is_first() {
                self.say(document.notes);
            }
            return Ok(());
        }
        let rows = document.has_rows.then_some(document.rows);
        let list = document.list.map(|key| List { key, names: &document.names, rows });
        let (host, source) = (self.cx.root.host(), self.cx.root.source());
        let (schema, data, notes) = (document.schema, &Data { data: document.data, list }, &document.notes);
        Ok(json::pretty(self.output, &json::Document { schema, time: &self.time, host, source, data, notes })?)
    }

    /// Prints notes on standard error.
    pub(super) fn say(&self, notes: &[Note]) {
        let shown = notes.iter().filter(|note| !note.in_json_only && !self.cx.is_quiet());
        shown.for_each(|note| match note.pid {
            Some(pid) => say(&format!("{pid}: {}", note.text)),
            None => say(&note.text),
        });
    }

    /// Writes a report without rows, in a format for programs; returns whether it did.
    pub(super) fn single(&mut self, report: &Report<'_>) -> Result<bool> {
        let Report { schema, data, notes } = report;
        let (host, source) = (self.cx.root.host(), self.cx.root.source());
        let document = schema.map(|schema| json::Document { schema, time: &self.time, host, source, data, notes });
        let document: &dyn erased_serde::Serialize = match &document {
            Some(document) => document,
            None => data,
        };
        match self.cx.format() {
            Format::Json => json::pretty(self.output, &document)?,
            Format::Jsonl => json::line(self.output, &document)?,
            Format::Table | Format::Csv => return Ok(false),
        }
        Ok(true)
    }

    /// Writes a document whose data is read while it is written. Nothing is written before `began` is set, and nothing
    /// at all if it fails before that.
    pub(super) fn held_document(
        &mut self,
        schema: &'static str,
        // Not a trait object: its rows would be a third slower.
        data: &impl Serialize,
        notes: &dyn erased_serde::Serialize,
        began: &Flag<bool>,
    ) -> Result<()> {
        let (host, source, time) = (self.cx.root.host(), self.cx.root.source(), self.time.clone());
        let mut held = Held { text: Vec::new(), began, out: self.output };
        json::pretty(&mut held, &json::Document { schema, time: &time, host, source, data, notes })?;
        began.set(true);
        Ok(held.flush()?)
    }

    /// Writes rows of a part, each with the cells of `before` in front.
    pub(super) fn part(
        &mut self,
        before: &[(&'static str, Cell<'_>)],
        names: &[&str],
        rows: &dyn Rows,
    ) -> io::Result<()> {
        let time = self.time.clone();
        let with_time: Vec<_> = std::iter::once(("time", Cell::Text(&time))).chain(before.iter().copied()).collect();
        match self.cx.format() {
            Format::Jsonl => self.lines(&with_time, names, rows),
            Format::Csv => self.records(if self.is_repeated { &with_time } else { before }, names, rows),
            Format::Table | Format::Json => Ok(()),
        }
    }

    /// Writes one JSON object per line, each with the cells of `before` in front.
    fn lines(&mut self, before: &[(&'static str, Cell<'_>)], names: &[&str], rows: &dyn Rows) -> io::Result<()> {
        let (plan, output) = (json::Plan::of(names.iter().copied()), &mut *self.output);
        rows.each(&mut |cells| json::line(output, &json::Line { before, record: json::Record { plan: &plan, cells } }))
    }

    /// Writes CSV records, each with the cells of `before` in front; the header before the first.
    fn records(&mut self, before: &[(&'static str, Cell<'_>)], names: &[&str], rows: &dyn Rows) -> io::Result<()> {
        let has_header = self.cx.has_headings() && !std::mem::replace(&mut self.has_header, true);
        let mut writer = csv::Writer::new(self.output);
        if has_header {
            writer.header(before.iter().map(|(name, _)| *name).chain(names.iter().copied()))?;
        }
        rows.each(&mut |cells| writer.record(before.iter().map(|(_, cell)| cell).chain(cells)))?;
        writer.flush()
    }
}

/// The data of a document: a report, and its rows as one of its members.
#[derive(Serialize)]
struct Data<'d> {
    #[serde(flatten)]
    data: &'d dyn erased_serde::Serialize,
    #[serde(flatten)]
    list: Option<List<'d>>,
}

/// Rows under their key.
struct List<'d> {
    key: &'static str,
    names: &'d [&'d str],
    /// `None` if they are not known.
    rows: Option<&'d dyn Rows>,
}

impl Serialize for List<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = json::Plan::of(self.names.iter().copied());
        serializer.collect_map([(self.key, self.rows.map(|rows| json::Records { plan: &plan, rows }))])
    }
}

/// A writer that holds back what is written until a flag is set.
struct Held<'h> {
    text: Vec<u8>,
    began: &'h Flag<bool>,
    out: &'h mut dyn Write,
}

impl Write for Held<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.began.get() {
            self.text.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        if !self.text.is_empty() {
            self.out.write_all(&std::mem::take(&mut self.text))?;
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.began.get() { self.out.write_all(&std::mem::take(&mut self.text)) } else { Ok(()) }
    }
}
