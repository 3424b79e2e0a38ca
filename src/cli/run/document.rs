//! Commands without rows, which have a document for programs and text for people; and rows that the document contains
//! in another form.

use std::io::{self, Write};

use anyhow::Result;

use super::columns::Choice;
use super::context::Context;
pub(in crate::cli) use super::sink::Report;
use super::sink::Sink;
use crate::analysis::note::Note;
use crate::cli::output::Output;
use crate::cli::status::UsageError;
use crate::view::field::Table;

/// Shows a report, on a single line if JSON lines were requested; `people` writes it as text.
///
/// # Errors
/// Those of the output.
pub(in crate::cli) fn show(
    report: &Report<'_>,
    cx: &Context<'_>,
    output: &mut Output,
    people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut sink = Sink::new(cx, output, false);
    if !sink.single(report)? {
        people(sink.people()?)?;
    }
    sink.end_round()
}

/// Writes rows that were made elsewhere, in a format of rows: those that the document contains in another form.
///
/// # Errors
/// Those of the output.
pub(in crate::cli) fn rows<R>(
    rows: &mut [R],
    choice: &Choice<R>,
    notes: &[Note],
    cx: &Context<'_>,
    output: &mut Output,
) -> Result<()> {
    let mut sink = Sink::new(cx, output, false);
    choice.sort(rows);
    let fields = cx.for_programs(choice);
    let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    sink.part(&[], &names, &Table { fields: &fields, rows })?;
    sink.say(notes);
    sink.end_round()
}

/// Refuses options for rows: `--columns` and `--sort` with the text `columns`, CSV with the text `csv`.
///
/// # Errors
/// [`UsageError::Invalid`].
pub(in crate::cli) fn refuse_rows(cx: &Context<'_>, columns: &str, csv: &str) -> Result<()> {
    let words = cx.words();
    let refused = match () {
        () if words.columns.is_some() || words.sort.is_some() => columns,
        () if cx.is_records() => csv,
        () => return Ok(()),
    };
    Err(UsageError::Invalid(refused.to_owned()).into())
}
