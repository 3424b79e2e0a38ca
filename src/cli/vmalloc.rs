//! `pmem vmalloc`: what is in the kernel's vmalloc address space, and who allocated it.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;
use regex_lite::Regex;
use serde::Serialize;

use super::options::{GlobalOptions, Repeat};
use super::output::Output;
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::run::trouble::Trouble;
use super::status::Status;
use crate::analysis::vmalloc::{AreaRow, Found, Group, Machine, Report};
use crate::kernel::root::Root;
use crate::view::field::Field;
use crate::view::vmalloc as view;

/// Show what is in the kernel's vmalloc address space, and who allocated it
///
/// For memory that need not be physically contiguous, and to map devices, the kernel allocates areas of its vmalloc
/// address space: kernel stacks, BPF programs and maps, modules, large tables. This shows the areas by the function
/// that allocated them, with the memory they own, compared with the kernel's counters, and the kernel's other mappings:
/// the direct map, kmap and fixmap. With -o, --areas or --filter only the table is shown. Needs root.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("delay", |delay| delay.help("Repeat every SECONDS")))]
#[command(after_long_help = "Examples:
  sudo pmem vmalloc                who has how much
  sudo pmem vmalloc --filter 'bpf|htab'
                                   what BPF programs and maps have
  sudo pmem vmalloc --areas -s -size -o size,pages,caller
                                   the largest areas first
  sudo pmem vmalloc --json | jq '.data.callers[] | select(.module == \"xfs\")'
                                   the areas of one module")]
pub struct Args {
    /// Show each area
    #[arg(long)]
    areas: bool,
    /// Only areas with a caller that matches, as shown: 'function [module]'; for areas without a caller, the kind is
    /// matched
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    filter: Option<Regex>,
    /// Show all rows, even if they do not fit on the terminal
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    repeat: Repeat,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    // Which nodes have columns of their own is known after the first reading.
    let first = look(args, &cx.root);
    let (nodes, rounds) = (view::nodes(&first.report), args.repeat.rounds());
    let looks = Looks { args, nodes, first: Some(first) };
    match args.areas {
        true => command::run(&mut Areas(looks), rounds, &cx, output),
        false => command::run(&mut Callers(looks), rounds, &cx, output),
    }
}

/// Reads everything.
fn look(args: &Args, root: &Root) -> Found {
    let wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| filter.is_match(name));
    Machine::read(root).report(args.areas, wanted)
}

/// What both commands read with.
struct Looks<'a> {
    args: &'a Args,
    /// The nodes that areas have pages on.
    nodes: Vec<u32>,
    /// The first reading, until it is shown.
    first: Option<Found>,
}

impl Looks<'_> {
    fn next(&mut self, cx: &Context<'_>) -> Found {
        self.first.take().unwrap_or_else(|| look(self.args, &cx.root))
    }
}

/// Turns a look into a reading. Unless `is_shown`, there is nothing to show, and what is missing is the reason.
fn reading<D>(
    found: Found,
    is_shown: bool,
    (cx, asked): (&Context<'_>, &Asked<'_>),
    report: impl FnOnce(Report) -> D,
) -> Result<Reading<D>> {
    let adds = cx.words().columns.is_some_and(|list| list.starts_with('+'));
    let shows_default = cx.is_for_people() && (!asked.only_columns || adds);
    let notes = found.notes(shows_default || asked.has("may_be_huge_pages"));
    let mut troubles = Vec::new();
    match found.missing {
        Some(error) if !is_shown => return Err(error.into()),
        Some(error) => {
            if found.lines_missing > 1 {
                let text = format!("{} lines of vmallocinfo could not be parsed; the first:", found.lines_missing);
                troubles.push(Trouble::incomplete(text));
            }
            troubles.push(error.into());
        }
        None => {}
    }
    let reading = Reading { troubles, ..Reading::of(report(found.report), notes) };
    Ok(Reading { report: reading.report.filter(|_| is_shown), ..reading })
}

/// The command with callers as rows.
struct Callers<'a>(Looks<'a>);

impl command::Command for Callers<'_> {
    const SCHEMA: &'static str = "pmem.vmalloc/1";
    const ROWS: &'static str = "callers";
    type Row = Group;
    type Report = Report;

    fn fields(&self) -> Vec<Field<Group>> {
        view::fields(&self.0.nodes)
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Report>> {
        let found = self.0.next(cx);
        // Without callers, the rest is still shown.
        let has_more = asked.document || (cx.is_for_people() && !self.only_table(asked.only_columns));
        let is_shown = found.report.callers.is_some() || has_more;
        reading(found, is_shown, (cx, asked), |report| report)
    }

    fn rows(report: &Report) -> &[Group] {
        report.callers.as_deref().unwrap_or_default()
    }

    fn rows_mut(report: &mut Report) -> &mut [Group] {
        report.callers.as_deref_mut().unwrap_or_default()
    }

    fn has_rows(report: &Report) -> bool {
        report.callers.is_some()
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let Shown { report, layout, .. } = *shown;
        let columns = shown.columns(&view::default_columns(report, layout.scale.unit));
        let callers = |out: &mut dyn Write| shown.table(out, &columns, Some("total"));
        match self.only_table(shown.only_columns()) {
            true => callers(out)?,
            false => view::write(out, report, callers, layout)?,
        }
        shown.notes(out)
    }

    fn may_be_cut(&self) -> bool {
        !self.0.args.all
    }
}

impl Callers<'_> {
    /// Whether only the table is shown.
    fn only_table(&self, only_columns: bool) -> bool {
        only_columns || self.0.args.filter.is_some()
    }
}

/// The command with areas as rows.
struct Areas<'a>(Looks<'a>);

/// A report whose rows are areas.
#[derive(Serialize)]
struct ByArea {
    callers: view::Callers,
    #[serde(flatten)]
    report: Report,
}

impl command::Command for Areas<'_> {
    const SCHEMA: &'static str = "pmem.vmalloc/1";
    const ROWS: &'static str = "areas";
    type Row = AreaRow;
    type Report = ByArea;

    fn fields(&self) -> Vec<Field<AreaRow>> {
        view::area_fields(&self.0.nodes)
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<ByArea>> {
        let found = self.0.next(cx);
        let is_shown = found.report.areas.is_some();
        reading(found, is_shown, (cx, asked), |mut report| ByArea {
            callers: view::Callers(report.callers.take()),
            report,
        })
    }

    fn rows(of: &ByArea) -> &[AreaRow] {
        of.report.areas.as_deref().unwrap_or_default()
    }

    fn rows_mut(of: &mut ByArea) -> &mut [AreaRow] {
        of.report.areas.as_deref_mut().unwrap_or_default()
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let default = view::default_area_columns(&shown.report.report, shown.layout.scale.unit);
        shown.table(out, &shown.columns(&default), Some("total"))?;
        shown.notes(out)
    }

    fn may_be_cut(&self) -> bool {
        !self.0.args.all
    }
}
