//! `pmem frames --summary`: a row for each process.

use std::io::{self, Write};

use anyhow::Result;

use super::count::{Lacks, Session};
use super::mappings::write_head;
use crate::analysis::frames::{ProcessFrames, Processes};
use crate::cli::run::command::{Asked, Command, Reading, Shown};
use crate::cli::run::context::Context;
use crate::cli::run::screen::Watched;
use crate::view::field::Field;
use crate::view::frames::{self as view, live::Tasks};
use crate::view::notes;
use crate::view::table::Layout;

/// The command as the driver runs it.
pub(super) struct Summary<'a> {
    pub(super) session: Session<'a>,
    pub(super) cx: &'a Context<'a>,
    pub(super) boot_time: Option<i64>,
    pub(super) owners: bool,
    /// Whether each process is a line of one table. A single process's ledger reads best in words.
    pub(super) as_lines: bool,
    pub(super) is_repeated: bool,
}

impl Command for Summary<'_> {
    const SCHEMA: &'static str = "pmem.frames/1";
    const ROWS: &'static str = "processes";
    type Row = ProcessFrames;
    type Report = Processes;

    fn fields(&self) -> Vec<Field<ProcessFrames>> {
        view::process_fields(self.owners, self.is_repeated)
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Processes>> {
        let (mut lacks, mut rows, mut notes) = (Lacks::default(), Vec::new(), Vec::new());
        let is_first = asked.round.unwrap_or(0) == 0;
        let pids = self.session.find(cx, is_first, &mut lacks)?;
        self.session.each(cx, &pids, asked.round.is_some(), &mut lacks, |process| {
            notes.extend(process.notes.iter().cloned());
            rows.push(process);
            Ok(())
        })?;
        if asked.document {
            notes.append(&mut lacks.notes);
        }
        let has_ended = pids.is_empty() && !is_first;
        Ok(Reading {
            report: Some(Processes { rows }).filter(|_| !has_ended),
            troubles: lacks.troubles,
            is_last: has_ended,
            ..Reading::of(Processes { rows: Vec::new() }, notes)
        })
    }

    fn rows(report: &Processes) -> &[ProcessFrames] {
        &report.rows
    }

    fn rows_mut(report: &mut Processes) -> &mut [ProcessFrames] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let layout = shown.layout;
        if self.as_lines || shown.only_columns() {
            let default = view::default_process_fields(
                layout.width,
                self.session.args.verify,
                self.owners,
                shown.round.is_some(),
            );
            shown.table(out, &shown.columns(&default), Some("total"))?;
            view::write_processes_end(out, shown.rows.len(), layout)?;
            return notes::write(out, shown.notes, layout);
        }
        for (number, process) in shown.rows.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            self.write_process(process, out, shown.layout)?;
        }
        Ok(())
    }
}

impl Watched for Summary<'_> {
    type Live = Tasks;
}

impl Summary<'_> {
    fn write_process(&self, process: &ProcessFrames, out: &mut dyn Write, layout: &Layout) -> io::Result<()> {
        write_head(out, process, self.boot_time, self.cx)?;
        if let Some(why) = process.no_address_space {
            return view::write_no_address_space(out, why);
        }
        writeln!(out)?;
        view::write_ledger(out, process, layout)?;
        notes::write(out, &process.notes, layout)
    }
}
