//! The forms of a report that programs read, said once for the commands that have rows and a document around them.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::analysis::note::Note;
use crate::cli::options::{Format, GlobalOptions};
use crate::cli::output::Output;
use crate::cli::run::columns::Choice;
use crate::kernel::root::Root;
use crate::view::{csv, json, time};

/// A report: its document for JSON, its rows for the forms that have a line for each.
pub(in crate::cli) struct Report<'a, D, R> {
    /// The schema of its document: `pmem.NAME/1`.
    pub(in crate::cli) schema: &'static str,
    /// What the document has as `data`.
    pub(in crate::cli) data: D,
    /// The rows of JSONL and CSV.
    pub(in crate::cli) rows: &'a [R],
    /// The columns of CSV.
    pub(in crate::cli) choice: &'a Choice<R>,
    /// What a reader must know.
    pub(in crate::cli) notes: Vec<Note>,
}

impl<D: Serialize, R: Serialize> Report<'_, D, R> {
    /// Writes the report in the form that was asked for; `table` writes the one for people, notes and all.
    pub(in crate::cli) fn write(
        self,
        output: &mut Output,
        global: &GlobalOptions,
        root: &Root,
        table: impl FnOnce(&mut dyn Write, &D, &[Note]) -> std::io::Result<()>,
    ) -> Result<()> {
        #[derive(Serialize)]
        struct Line<'r, R> {
            time: &'r str,
            #[serde(flatten)]
            row: &'r R,
        }
        let Self { schema, data, rows, choice, notes } = self;
        let time = time::now();
        match global.format() {
            Format::Table => table(output, &data, &notes)?,
            Format::Json => {
                let (host, source) = (root.host(), root.source());
                json::pretty(output, &json::Document { schema, time: &time, host, source, data, notes: &notes })?;
            }
            Format::Jsonl => {
                for row in rows {
                    json::line(output, &Line { time: &time, row })?;
                }
            }
            Format::Csv => csv::Writer::new(output, !global.no_headings).rows(&[], &[], &choice.shown(), rows)?,
        }
        if !matches!(global.format(), Format::Table | Format::Json) && !global.quiet {
            notes.iter().filter(|note| !note.in_json_only).for_each(|note| crate::cli::status::say(&note.text));
        }
        Ok(())
    }
}
