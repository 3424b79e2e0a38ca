//! `pmem buddy`: free blocks by order and zone, watermarks, and what blocks huge pages.

use std::io::Write;
use std::thread::sleep;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{Format, GlobalOptions, Repeat};
use super::output::Output;
use super::progress::Progress;
use super::status::{Status, say};
use crate::analysis::note::Note;
use crate::analysis::physical::buddy::{Buddy, Counted, Machine, ZoneReport};
use crate::cli::run::columns::Choice;
use crate::cli::run::sink::Report;
use crate::kernel::root::Root;
use crate::view::record::Cell;
use crate::view::size::grouped_string;
use crate::view::table::Layout;
use crate::view::{buddy as view, csv, notes as below, time};

/// Tell what is free in which zone, in blocks of what size, and what blocks huge pages
///
/// Shows for each zone the free blocks by order, which share of the free memory is in blocks too small for a request of each
/// order, the free pages on the lists of processors (in no free block), where it stands among its watermarks, and where
/// /proc/pagetypeinfo can be read (by root), free memory by migrate type. Where /proc/kpageflags can be read (by root), every
/// block of the size of a huge page is looked at: free, a huge page, emptied by compaction, or blocked, and by what. With -o
/// only the table of zones is shown.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem buddy                  everything
  pmem buddy -d 1 -o node,zone,free,change,free_huge
                                   watch free memory and the huge pages in it
  sudo pmem buddy --json | jq '.data.huge_blocks.blockers[]'
                                   what blocks huge pages, by class")]
pub struct Args {
    /// Fail where what blocks huge pages cannot be told
    #[arg(long, conflicts_with = "no_blockers")]
    blockers: bool,
    /// Do not look what blocks huge pages, which takes about a second for 50 GiB of memory
    #[arg(long)]
    no_blockers: bool,
    #[command(flatten)]
    repeat: Repeat,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    let rounds = args.repeat.rounds();
    let mut before: Option<Buddy> = None;
    let mut done = 0;
    loop {
        let machine = Machine::read(&root)?;
        let choice = choice(machine.orders(), global, &layout, rounds != Some(1))?;
        if let Some(help) = &choice.help {
            output.write_all(help)?;
            return Ok(Status::Complete);
        }
        let counted = match args.blockers || (!args.no_blockers && shows_blocks(global, &choice)) {
            true => Some(look(args, global, &root, &machine)?),
            false => None,
        };
        let mut notes = machine.notes(counted.as_ref());
        if global.format() != Format::Json && (global.format() != Format::Table || global.columns.is_some()) {
            // The rows of zones, which are all there is, have nothing by migrate type.
            notes.retain(|note| !OF_TYPES.contains(&note.code));
        }
        let mut report = machine.report(counted.as_ref().and_then(|counted| counted.as_ref().ok()), before.as_ref());
        choice.sort(&mut report.zones);
        if rounds != Some(1) && global.format() == Format::Table {
            writeln!(output, "{}{}", if done > 0 { "\n" } else { "" }, time::clock())?;
        }
        match global.format() {
            Format::Csv => write_csv(output, &report, &choice, &notes, global, done == 0)?,
            _ => write(output, &report, &choice, notes, global, &root, &layout)?,
        }
        output.flush()?;
        before = Some(report);
        done += 1;
        if rounds.is_some_and(|rounds| done >= rounds) {
            return Ok(Status::Complete);
        }
        sleep(args.repeat.pause());
    }
}

/// The notes that are about migrate types.
const OF_TYPES: [&str; 2] = ["migrate-types-unknown", "free-blocks-cut"];

/// Whether what is shown has what blocks huge pages.
fn shows_blocks(global: &GlobalOptions, choice: &Choice<ZoneReport>) -> bool {
    let column = || choice.shown().iter().any(|column| view::OF_BLOCKS.contains(&column.name.as_str()));
    matches!(global.format(), Format::Json | Format::Jsonl) || global.columns.is_none() || column()
}

/// The columns that are shown: for programs all of them.
fn choice(orders: usize, global: &GlobalOptions, layout: &Layout, rounds: bool) -> Result<Choice<ZoneReport>> {
    let columns = view::columns(orders);
    let all: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let default = match global.format() {
        Format::Csv => all.iter().map(String::as_str).collect(),
        _ => view::default_columns(layout.width, rounds),
    };
    Choice::new(global, columns, &default)
}

/// What blocks huge pages; that it cannot be told is an error only where it was asked for by name.
fn look(args: &Args, global: &GlobalOptions, root: &Root, machine: &Machine) -> Result<crate::error::Result<Counted>> {
    let mut progress = Progress::new(global.quiet);
    let counted =
        machine.huge_blocks(root, |pfn| progress.show(|| format!("kpageflags: {} frames", grouped_string(pfn))));
    match counted {
        Err(error) if args.blockers => Err(error.into()),
        counted => Ok(counted),
    }
}

fn write(
    output: &mut Output,
    report: &Buddy,
    choice: &Choice<ZoneReport>,
    notes: Vec<Note>,
    global: &GlobalOptions,
    root: &Root,
    layout: &Layout,
) -> Result<()> {
    let rows = &report.zones;
    Report { schema: "pmem.buddy/1", data: report, rows, choice, notes }.write(
        output,
        global,
        root,
        |out, report, notes| {
            match global.columns {
                Some(_) => view::write_zones(out, report, &choice.shown(), layout)?,
                None => view::write(out, report, &choice.shown(), layout)?,
            }
            below::write(out, notes, layout)
        },
    )
}

/// A record a zone; where rounds are, they are told apart by their time.
fn write_csv(
    output: &mut Output,
    report: &Buddy,
    choice: &Choice<ZoneReport>,
    notes: &[Note],
    global: &GlobalOptions,
    first: bool,
) -> Result<()> {
    let now = time::now();
    let mut writer = csv::Writer::new(output, first && !global.no_headings);
    writer.rows(&["time"], &[Cell::Text(&now)], &choice.shown(), &report.zones)?;
    if first && !global.quiet {
        notes.iter().filter(|note| !note.in_json_only).for_each(|note| say(&note.text));
    }
    Ok(())
}
