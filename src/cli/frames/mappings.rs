//! `pmem frames` mapping by mapping: a table and a ledger for each process.

use std::io::Write;

use anyhow::Result;

use super::count::{Lacks, Session};
use crate::analysis::frames::{ProcessFrames, VmaRow};
use crate::analysis::note::Note;
use crate::cli::run::columns::Choice;
use crate::cli::run::context::Context;
use crate::cli::run::parts::{Head, Parts, Receiver};
use crate::cli::run::rounds::Flow;
use crate::view::cell::Cell;
use crate::view::field::{Field, columns};
use crate::view::json::{Plan, Record};
use crate::view::{frames as view, notes, time};

/// The command as the driver runs it.
pub(super) struct Mappings<'a> {
    pub(super) session: Session<'a>,
    /// The part of the document about a process, without its mappings.
    pub(super) process_fields: Vec<Field<ProcessFrames>>,
    /// Notes on the columns.
    pub(super) notes: Vec<Note>,
    pub(super) boot_time: Option<i64>,
    pub(super) owners: bool,
}

impl Parts for Mappings<'_> {
    const SCHEMA: &'static str = "pmem.frames/1";
    const PARTS: Option<&'static str> = Some("processes");
    const ROWS: &'static str = "vmas";
    type Row = VmaRow;

    fn round(
        &mut self,
        cx: &Context<'_>,
        round: Option<u32>,
        choice: &Choice<VmaRow>,
        to: &mut Receiver<'_, VmaRow>,
    ) -> Result<Flow> {
        let Self { session, process_fields, notes: of_columns, boot_time, owners } = self;
        let is_first = round.unwrap_or(0) == 0;
        let mut lacks = Lacks::default();
        let pids = session.find(cx, is_first, &mut lacks)?;
        if is_first {
            to.notes(of_columns.iter().cloned());
        }
        let default = view::default_mapping_fields(cx.layout.width, *owners, round.is_some());
        let shown = columns(&choice.for_people(&default));
        let object: Vec<&Field<ProcessFrames>> = process_fields.iter().filter(|field| !field.on_request).collect();
        let plan = Plan::of(object.iter().map(|field| &*field.name));
        let mut between = false;
        let has_ended = pids.is_empty() && !is_first;
        session.each(cx, &pids, round.is_some(), &mut lacks, |mut process| {
            choice.sort(&mut process.vmas);
            if let Some(out) = to.people() {
                if std::mem::replace(&mut between, true) {
                    writeln!(out)?;
                }
                return Ok(write(out, &process, &shown, *boot_time, cx)?);
            }
            to.notes(process.notes.iter().cloned());
            let cells: Vec<Cell<'_>> = object.iter().map(|field| (field.column.cell)(&process)).collect();
            let before = [("pid", Cell::Id(u64::from(process.pid))), ("comm", Cell::Name(&process.comm))];
            let head = Head { before: &before, object: &Record { plan: &plan, cells: &cells }, has_rows: true };
            to.part(&head, &mut |take| Ok(take(&process.vmas)?))
        })?;
        to.notes(lacks.notes);
        lacks.troubles.iter().for_each(|trouble| to.troubles.add(trouble));
        Ok(if has_ended { Flow::Last } else { Flow::GoOn })
    }
}

/// Writes a process for people: who it is, its mappings, the ledger in words.
fn write(
    out: &mut dyn Write,
    process: &ProcessFrames,
    columns: &[&crate::view::field::Column<VmaRow>],
    boot_time: Option<i64>,
    cx: &Context<'_>,
) -> std::io::Result<()> {
    write_head(out, process, boot_time, cx)?;
    if let Some(why) = process.no_address_space {
        return view::write_no_address_space(out, why);
    }
    writeln!(out)?;
    view::write_vmas(out, process, columns, &cx.layout)?;
    writeln!(out)?;
    view::write_ledger(out, process, &cx.layout)?;
    notes::write(out, &process.notes, &cx.layout)
}

/// Writes which process this is, and since when it has been running.
pub(super) fn write_head(
    out: &mut dyn Write,
    process: &ProcessFrames,
    boot_time: Option<i64>,
    cx: &Context<'_>,
) -> std::io::Result<()> {
    let zone = if cx.root.is_recorded() { time::Zone::Utc } else { time::Zone::Local };
    let ticks = cx.root.clock_ticks();
    let started = boot_time.and_then(|boot| time::started(boot, process.start_time_ticks, ticks, zone));
    view::write_head(out, process, started.as_deref(), &cx.layout)
}
