//! `pmem buddy`: free blocks by order and zone, watermarks, and what blocks huge pages.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{GlobalOptions, Top};
use super::output::Output;
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::run::screen::{self, Watched};
use super::status::Status;
use crate::analysis::physical::buddy::{self, Buddy, Counted, Machine, ZoneReport};
use crate::view::buddy::{self as view, live::Zones};
use crate::view::field::Field;
use crate::view::size::grouped_string;

/// Show free memory by zone and block size, and what blocks huge pages
///
/// Shows for each zone the free blocks by order, the share of free memory in blocks too small for a request of each
/// order, the free pages on the per-CPU lists (in no free block), and free pages compared with the watermarks; if
/// /proc/pagetypeinfo is readable (as root), also free memory by migrate type. If /proc/kpageflags is readable (as
/// root), every block of huge page size is classified as free, a huge page, one that compaction can empty, or blocked,
/// and by what. With -o only the table of zones is shown.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem buddy                  everything
  pmem buddy -d 1 -o node,zone,free,change,free_huge
                                   watch free memory and the huge pages in it
  sudo pmem buddy --json | jq '.data.huge_blocks.blockers[]'
                                   what blocks huge pages, by class")]
pub struct Args {
    /// Fail if it cannot be determined what blocks huge pages
    #[arg(long, conflicts_with = "no_blockers")]
    blockers: bool,
    /// Skip the search for what blocks huge pages, which takes about a second for 50 GiB of memory
    #[arg(long)]
    no_blockers: bool,
    #[command(flatten)]
    top: Top,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    let orders = buddy::orders(&cx.root)?;
    screen::run(&mut Free { args, orders, before: None }, args.top.top, args.top.rounds(), &cx, output)
}

/// The command as the driver runs it.
struct Free<'a> {
    args: &'a Args,
    /// The block orders of this machine.
    orders: usize,
    /// The round before.
    before: Option<Buddy>,
}

impl command::Command for Free<'_> {
    const SCHEMA: &'static str = "pmem.buddy/1";
    const ROWS: &'static str = "zones";
    type Row = ZoneReport;
    type Report = Buddy;

    fn fields(&self) -> Vec<Field<ZoneReport>> {
        view::fields(self.orders, self.args.top.rounds().is_repeated())
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Buddy>> {
        let machine = Machine::read(&cx.root)?;
        let shows_blocks = !asked.only_columns || asked.document || view::OF_BLOCKS.iter().any(|name| asked.has(name));
        let counted = match self.args.blockers || (!self.args.no_blockers && shows_blocks) {
            true => Some(look(self.args, cx, &machine)?),
            false => None,
        };
        // The rows of zones have nothing by migrate type.
        let with_types = asked.document || (cx.is_for_people() && !asked.only_columns);
        let notes = machine.notes(counted.as_ref(), with_types);
        let report = machine.report(counted.as_ref().and_then(|counted| counted.as_ref().ok()), self.before.as_ref());
        if asked.round.is_some() {
            self.before = Some(report.clone());
        }
        Ok(Reading::of(report, notes))
    }

    fn rows(report: &Buddy) -> &[ZoneReport] {
        &report.zones
    }

    fn rows_mut(report: &mut Buddy) -> &mut [ZoneReport] {
        &mut report.zones
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> std::io::Result<()> {
        let columns = shown.columns(&view::default_columns(shown.layout.width, shown.round.is_some()));
        match shown.only_columns() {
            true => view::write_zones(out, shown.report, &columns, shown.layout)?,
            false => view::write(out, shown.report, &columns, shown.layout)?,
        }
        shown.notes(out)
    }
}

impl Watched for Free<'_> {
    type Live = Zones;
}

/// What blocks huge pages; if unknown, an error only if `--huge` was given.
fn look(args: &Args, cx: &Context<'_>, machine: &Machine) -> Result<crate::error::Result<Counted>> {
    let mut progress = cx.progress();
    let counted =
        machine.huge_blocks(&cx.root, |pfn| progress.show(|| format!("kpageflags: {} frames", grouped_string(pfn))));
    match counted {
        Err(error) if args.blockers => Err(error.into()),
        counted => Ok(counted),
    }
}
