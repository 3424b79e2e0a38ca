//! Demos as rows: the list, and what was observed.

use std::io::{self, Write};

use anyhow::Result;

use super::Args;
use crate::analysis::note::Note;
use crate::cli::output::Output;
use crate::cli::run::columns::Choice;
use crate::cli::run::command::{self, Asked, OnlyRows, Reading, Shown};
use crate::cli::run::context::Context;
use crate::cli::run::document;
use crate::cli::status::UsageError;
use crate::demo::Demo;
use crate::demo::report::DemoReport;
use crate::view::demo::{self as view, Row};
use crate::view::field::Field;

/// The chosen columns of the observations.
///
/// # Errors
/// [`UsageError::Invalid`] for an unknown column, and for a format that has no columns.
pub(super) fn choice(cx: &Context<'_>) -> Result<Choice<Row>> {
    let words = cx.words();
    if (words.columns.is_some() || words.sort.is_some()) && (cx.is_for_people() || cx.is_document()) {
        let text =
            "demo: --columns and --sort go with --format csv or jsonl: the steps of a demo have columns of their own";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    Choice::new(words, view::fields(), &[])
}

/// Writes a row for each observation.
pub(super) fn write(
    output: &mut Output,
    cx: &Context<'_>,
    choice: &Choice<Row>,
    reports: &[&DemoReport],
) -> Result<()> {
    let mut rows: Vec<Row> = reports.iter().flat_map(|report| view::rows(report)).collect();
    // Nothing around the rows says which demo they belong to.
    let of = |report: &&DemoReport| {
        let demo = report.demo;
        let named = move |note: Note| Note { text: format!("{demo}: {}", note.text), ..note };
        report.notes().into_iter().map(named).collect::<Vec<_>>()
    };
    let notes: Vec<Note> = reports.iter().flat_map(of).collect();
    document::rows(&mut rows, choice, &notes, cx, output)
}

/// The list of demos, as the driver runs it.
pub(super) struct List<'a> {
    /// The arguments.
    pub(super) args: &'a Args,
    /// The demos.
    pub(super) demos: Vec<&'static Demo>,
}

impl command::Command for List<'_> {
    const SCHEMA: &'static str = "pmem.demo-list/1";
    const ROWS: &'static str = "demos";
    type Row = &'static Demo;
    type Report = OnlyRows<&'static Demo>;

    fn fields(&self) -> Vec<Field<&'static Demo>> {
        view::list_fields(self.args.explain)
    }

    fn read(&mut self, _: &Context<'_>, _: &Asked<'_>) -> Result<Reading<Self::Report>> {
        Ok(Reading::of(OnlyRows { rows: self.demos.clone() }, Vec::new()))
    }

    fn rows(report: &Self::Report) -> &[&'static Demo] {
        &report.rows
    }

    fn rows_mut(report: &mut Self::Report) -> &mut [&'static Demo] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        if !self.args.explain {
            return shown.table(out, &shown.columns(&["name", "question"]), None);
        }
        for (number, demo) in shown.rows.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            view::explain(out, demo, shown.layout)?;
        }
        Ok(())
    }
}
