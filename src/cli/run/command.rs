//! A command as a value that the driver runs.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

use super::columns::Choice;
use super::context::Context;
use super::rounds::{Flow, Rounds};
use super::sink::{Document, Sink};
use super::trouble::{Trouble, Troubles};
use crate::analysis::note::Note;
use crate::cli::output::Output;
use crate::cli::status::{Status, say};
use crate::view::field::{self, Column, Field, Table};
use crate::view::notes;
use crate::view::table::{self, Layout};

/// A command that has rows: what it reads, what its rows are, and how people see it. The driver does everything else.
pub(in crate::cli) trait Command {
    /// The name and version of its JSON document: `pmem.NAME/1`.
    const SCHEMA: &'static str;
    /// The name of the rows in the document.
    const ROWS: &'static str;
    /// Whether the report's `Serialize` writes the rows itself, within something else.
    const ROWS_IN_REPORT: bool = false;
    /// A row.
    type Row: Sync + 'static;
    /// A report: the rows and the rest of the document. Its `Serialize` skips the rows.
    type Report: Serialize;

    /// The fields of a row.
    fn fields(&self) -> Vec<Field<Self::Row>>;

    /// Short words for `--sort`, each with its field: see [`Choice::new`].
    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Reads the data of one round. A command that compares rounds keeps the earlier ones itself.
    ///
    /// # Errors
    /// Why nothing can be shown.
    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Self::Report>>;

    /// The rows of a report.
    fn rows(report: &Self::Report) -> &[Self::Row];

    /// The rows of a report, to be sorted.
    fn rows_mut(report: &mut Self::Report) -> &mut [Self::Row];

    /// Whether the rows are known: if not, the document has `null` for them.
    fn has_rows(_: &Self::Report) -> bool {
        true
    }

    /// Writes a round for people.
    ///
    /// # Errors
    /// Those of the writer.
    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()>;

    /// Whether a table may be cut to the height of a terminal. It then says how many more rows there are, and that
    /// `--all` shows them.
    fn may_be_cut(&self) -> bool {
        false
    }
}

/// What the command line asks for, as far as it affects what is read.
pub(in crate::cli) struct Asked<'a> {
    has: &'a dyn Fn(&str) -> bool,
    /// Whether columns are chosen by name: then a table is all that people want to see.
    pub(in crate::cli) only_columns: bool,
    /// Whether the document is wanted, which has everything.
    pub(in crate::cli) document: bool,
    /// The round, counted from 0; `None` if there is only one.
    pub(in crate::cli) round: Option<u32>,
    /// Whether it is for a live screen: all rows are wanted, and quickly.
    pub(in crate::cli) is_live: bool,
}

impl<'a> Asked<'a> {
    /// What a live screen asks for; `has` says which fields it shows.
    pub(super) fn live(has: &'a dyn Fn(&str) -> bool, round: u32) -> Self {
        Self { has, only_columns: true, document: false, round: Some(round), is_live: true }
    }
}

impl Asked<'_> {
    /// Whether a field is written or sorted by. For people these are the named ones: the default columns of a table are
    /// the command's own choice.
    pub(in crate::cli) fn has(&self, name: &str) -> bool {
        (self.has)(name)
    }
}

/// What was read in a round.
pub(in crate::cli) struct Reading<D> {
    /// The report; `None` if there is nothing to show yet.
    pub(in crate::cli) report: Option<D>,
    /// What the reader must know.
    pub(in crate::cli) notes: Vec<Note>,
    /// What happened since the round before, for standard error.
    pub(in crate::cli) said: Option<String>,
    /// What the report lacks.
    pub(in crate::cli) troubles: Vec<Trouble>,
    /// The exit status, if it is worse than that of the troubles.
    pub(in crate::cli) status: Status,
    /// Whether this is the last round.
    pub(in crate::cli) is_last: bool,
}

impl<D> Reading<D> {
    /// A report that lacks nothing.
    pub(in crate::cli) fn of(report: D, notes: Vec<Note>) -> Self {
        Self { report: Some(report), notes, said: None, troubles: Vec::new(), status: Status::Complete, is_last: false }
    }
}

/// A report to be shown to people.
pub(in crate::cli) struct Shown<'s, C: Command + ?Sized> {
    /// The report.
    pub(in crate::cli) report: &'s C::Report,
    /// Its rows: all of them, or as many as a terminal has room for.
    pub(in crate::cli) rows: &'s [C::Row],
    /// How many more rows there are.
    pub(in crate::cli) more: usize,
    /// Whether the terminal has no room for anything but rows, as far as the rest can be left out.
    pub(in crate::cli) is_brief: bool,
    /// The notes.
    pub(in crate::cli) notes: &'s [Note],
    /// The round, counted from 0; `None` if there is only one.
    pub(in crate::cli) round: Option<u32>,
    /// How tables are laid out.
    pub(in crate::cli) layout: &'s Layout,
    /// Whether rows are in a requested order.
    pub(in crate::cli) is_sorted: bool,
    /// Whether more explanations are wanted.
    pub(in crate::cli) is_verbose: bool,
    choice: &'s Choice<C::Row>,
}

impl<C: Command + ?Sized> Shown<'_, C> {
    /// Whether columns were chosen by name: then only a table is wanted.
    pub(in crate::cli) fn only_columns(&self) -> bool {
        self.choice.is_named()
    }

    /// Whether a column was chosen by this name, or rows are sorted by it.
    pub(in crate::cli) fn names(&self, name: &str) -> bool {
        self.choice.names(name)
    }

    /// The columns that were chosen, else those in `default`.
    pub(in crate::cli) fn columns(&self, default: &[&str]) -> Vec<&Column<C::Row>> {
        field::columns(&self.choice.for_people(default))
    }

    /// Writes the rows as a table of these columns, and how many more there are. A table of only some rows has no
    /// total.
    pub(in crate::cli) fn table(
        &self,
        out: &mut dyn Write,
        columns: &[&Column<C::Row>],
        total: Option<&str>,
    ) -> io::Result<()> {
        table::write(out, columns, self.rows, total.filter(|_| self.more == 0), self.layout)?;
        self.write_more(out)
    }

    /// Says how many more rows there are, if a table was cut.
    pub(in crate::cli) fn write_more(&self, out: &mut dyn Write) -> io::Result<()> {
        table::write_more(out, self.more, self.layout)
    }

    /// Writes the notes, in the first round.
    pub(in crate::cli) fn notes(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.round.unwrap_or(0) {
            0 => notes::write(out, self.notes, self.layout),
            _ => Ok(()),
        }
    }
}

/// A report that consists only of its rows.
#[derive(Serialize)]
pub(in crate::cli) struct OnlyRows<R> {
    /// The rows.
    #[serde(skip)]
    pub(in crate::cli) rows: Vec<R>,
}

/// Runs a command: the requested number of rounds, each in the requested format.
///
/// # Errors
/// Those of the command, and of the output.
pub(in crate::cli) fn run<C: Command>(
    command: &mut C,
    rounds: Rounds,
    cx: &Context<'_>,
    output: &mut Output,
) -> Result<Status> {
    let fields = command.fields();
    if cx.asks_for_columns() {
        table::write_help(output, &fields)?;
        return Ok(Status::Complete);
    }
    let choice = Choice::new(cx.words(), fields, command.keys())?;
    let written = cx.for_programs(&choice);
    let mut troubles = Troubles::new(cx.is_quiet());
    let mut sink = Sink::new(cx, output, rounds.is_repeated());
    rounds.each(|number| {
        sink.begin_round();
        let round = rounds.is_repeated().then_some(number);
        let is_written = |name: &str| written.iter().any(|field| field.is_called(name));
        let has = |name: &str| choice.names(name) || (!cx.is_for_people() && is_written(name));
        let asked =
            Asked { has: &has, only_columns: choice.is_named(), document: cx.is_document(), round, is_live: false };
        let Reading { report, notes, said, troubles: lacks, status, is_last } = command.read(cx, &asked)?;
        if let Some(text) = said.filter(|_| !cx.is_quiet()) {
            say(&text);
        }
        if let Some(mut report) = report {
            choice.sort(C::rows_mut(&mut report));
            let rows = C::rows(&report);
            if cx.is_for_people() {
                let shown = Shown {
                    report: &report,
                    rows,
                    more: 0,
                    is_brief: false,
                    notes: &notes,
                    round,
                    layout: &cx.layout,
                    is_sorted: choice.is_sorted(),
                    is_verbose: cx.is_verbose(),
                    choice: &choice,
                };
                let height = cx.layout.height.filter(|_| command.may_be_cut());
                people(command, &shown, height, sink.people()?)?;
            } else {
                sink.programs(&Document {
                    schema: C::SCHEMA,
                    data: &report,
                    list: (!C::ROWS_IN_REPORT).then_some(C::ROWS),
                    has_rows: C::has_rows(&report),
                    names: written.iter().map(|field| &*field.name).collect(),
                    rows: &Table { fields: &written, rows },
                    notes: &notes,
                })?;
            }
            sink.end_round()?;
        }
        lacks.iter().for_each(|trouble| troubles.add(trouble));
        troubles.status = troubles.status.max(status);
        Ok(if is_last { Flow::Last } else { Flow::GoOn })
    })?;
    Ok(troubles.status)
}

/// Writes a report for people. If it is higher than the terminal, and may be cut, it is made brief, and if necessary
/// has fewer rows.
fn people<C: Command>(command: &C, shown: &Shown<'_, C>, height: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let Some(height) = height else { return command.people(shown, out) };
    let written = |is_brief, rows: usize| {
        let mut text = Vec::new();
        let (rows, more) = (&shown.rows[..rows], shown.rows.len() - rows);
        command.people(&Shown { rows, more, is_brief, ..*shown }, &mut text)?;
        io::Result::Ok(text)
    };
    // The shell prompt takes a line.
    let excess = |text: &[u8]| (memchr::memchr_iter(b'\n', text).count() + 1).saturating_sub(height);
    let mut text = written(false, shown.rows.len())?;
    if excess(&text) > 0 {
        text = written(true, shown.rows.len())?;
    }
    if excess(&text) > 0 {
        // The message about the rows that are left out takes another line.
        text = written(true, shown.rows.len().saturating_sub(excess(&text) + 1).max(LEAST_ROWS.min(shown.rows.len())))?;
    }
    out.write_all(&text)
}

/// Rows to show even on the lowest terminal.
const LEAST_ROWS: usize = 5;
