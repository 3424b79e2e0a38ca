//! For commands that are not the driver's yet.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::columns::{Choice as New, Words};
use crate::analysis::note::Note;
use crate::cli::options::{Format, GlobalOptions};
use crate::cli::output::Output;
use crate::cli::status::say;
use crate::kernel::root::Root;
use crate::view::cell::Cell;
use crate::view::field::{Column, Field, Rows, Table, columns};
use crate::view::{csv, json, table, time};

pub(in crate::cli) struct Choice<R> {
    new: New<R>,
    default: Vec<String>,
    pub(in crate::cli) help: Option<Vec<u8>>,
}

impl<R> Choice<R> {
    pub(in crate::cli) fn new(global: &GlobalOptions, fields: Vec<Field<R>>, default: &[&str]) -> Result<Self> {
        let help = match global.columns.as_deref() {
            Some("help") => {
                let mut help = Vec::new();
                table::write_help(&mut help, &fields)?;
                Some(help)
            }
            _ => None,
        };
        let words =
            Words { columns: global.columns.as_deref().filter(|_| help.is_none()), sort: global.sort.as_deref() };
        Ok(Self {
            new: New::new(words, fields, &[])?,
            default: default.iter().map(|&name| name.to_owned()).collect(),
            help,
        })
    }

    pub(in crate::cli) fn shown(&self) -> Vec<&Field<R>> {
        self.new.for_people(&self.default.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(in crate::cli) fn columns(&self) -> Vec<&Column<R>> {
        columns(&self.shown())
    }

    pub(in crate::cli) fn sort(&self, rows: &mut [R]) {
        self.new.sort(rows);
    }
}

pub(in crate::cli) fn write_csv<R>(
    output: &mut dyn Write,
    headings: bool,
    before: &[(&'static str, Cell<'_>)],
    fields: &[&Field<R>],
    rows: &[R],
) -> std::io::Result<()> {
    let mut writer = csv::Writer::new(output);
    if headings {
        writer.header(before.iter().map(|(name, _)| *name).chain(fields.iter().map(|field| &*field.name)))?;
    }
    Table { fields, rows }.each(&mut |cells| writer.record(before.iter().map(|(_, cell)| cell).chain(cells)))?;
    writer.flush()
}

pub(in crate::cli) struct Report<'a, D, R> {
    pub(in crate::cli) schema: &'static str,
    pub(in crate::cli) data: D,
    pub(in crate::cli) rows: &'a [R],
    pub(in crate::cli) choice: &'a Choice<R>,
    pub(in crate::cli) notes: Vec<Note>,
}

impl<D: Serialize, R: Serialize> Report<'_, D, R> {
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
            Format::Csv => write_csv(output, !global.no_headings, &[], &choice.shown(), rows)?,
        }
        if !matches!(global.format(), Format::Table | Format::Json) && !global.quiet {
            notes.iter().filter(|note| !note.in_json_only).for_each(|note| say(&note.text));
        }
        Ok(())
    }
}
