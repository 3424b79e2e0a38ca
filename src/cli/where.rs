//! `pmem where`: where the machine's memory is, in lines that add up.

mod diff;

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::sleep;
use std::time::Instant;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use super::options::{Format, GlobalOptions, Repeat};
use super::output::Output;
use super::phys::percent;
use super::progress::Progress;
use super::status::{Status, say};
use crate::analysis::note::Note;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::phys;
use crate::analysis::r#where::frames::{self, Frames};
use crate::analysis::r#where::{self, ledger};
use crate::cli::run::columns::Choice;
use crate::cli::run::sink::Report as Document;
use crate::error::Error;
use crate::kernel::root::Root;
use crate::kernel::r#where::Sources;
use crate::view::notes::write as write_notes;
use crate::view::record::Cell;
use crate::view::{csv, table, time, r#where as view};

/// Tell where the machine's memory is: lines that add up to all of it
///
/// The first line answers whether the machine is short of memory. Below it a ledger: lines of which no two count the same
/// page, and which add up to MemTotal exactly; what no counter names is the last. As root, what the flags of every page
/// frame say stands beside it, and every difference is explained.
#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:
  pmem where                       the ledger
  pmem where -d 5                  how each line moves, every 5 seconds
  pmem where diff BEFORE           what has changed since a capture
  pmem where --json | jq '.data.lines[] | select(.name == \"unaccounted\").bytes'
                                   what no counter names, for a program"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Put beside it what page frames say, also in rounds; fail where they cannot be looked at
    #[arg(long)]
    frames: bool,
    /// Do not look at page frames, which takes about a second for 100 GiB of memory
    #[arg(long, conflicts_with = "frames")]
    no_frames: bool,
    /// Repeat every second, or as -d says
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    repeat: Repeat,
}

#[derive(Debug, Subcommand)]
enum What {
    Diff(diff::Args),
}

impl Args {
    /// How many rounds; `None` for no end.
    fn rounds(&self) -> Option<u32> {
        if self.watch && self.repeat.count.is_none() { None } else { self.repeat.rounds() }
    }
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if let Some(What::Diff(args)) = &args.what {
        return diff::run(args, global, output);
    }
    let rounds = args.rounds();
    let repeated = rounds != Some(1);
    let mut default = if repeated { view::OF_ROUNDS } else { view::DEFAULT }.to_vec();
    // The longest column: last, it is what a narrow terminal cuts.
    let more = global.columns.as_deref().and_then(|list| list.strip_prefix('+'));
    default.extend(more.filter(|more| more.split(',').any(|name| name == "note")).map(|_| "note"));
    let choice = Choice::new(global, view::columns(), &default)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let mut began = None;
    let mut rows: Option<[Vec<r#where::Row>; 2]> = None;
    let mut done = 0;
    let (mut status, mut told) = (Status::Complete, BTreeSet::new());
    loop {
        let Look { mut report, notes, troubles, at } = look(args, global, &root, repeated)?;
        let began = *began.get_or_insert(at);
        if let Some([first, last]) = &rows {
            report.compare(first, last, at.duration_since(began).as_secs_f64());
        }
        show(&report, notes, &choice, global, &root, output, repeated.then_some(done))?;
        let first = rows.map_or_else(|| report.lines.clone(), |[first, _]| first);
        rows = Some([first, report.lines]);
        for trouble in troubles {
            status = Status::Incomplete;
            // The rounds are likely to have the same.
            if told.insert(trouble.clone()) {
                say(&trouble);
            }
        }
        done += 1;
        if rounds.is_some_and(|rounds| done >= rounds) {
            return Ok(status);
        }
        sleep(args.repeat.pause());
    }
}

/// One look at the machine.
struct Look {
    report: r#where::Report,
    notes: Vec<Note>,
    /// Why it is not complete.
    troubles: Vec<String>,
    /// When the counters were read that are in it.
    at: Instant,
}

/// Reads everything and makes the report.
fn look(args: &Args, global: &GlobalOptions, root: &Root, repeated: bool) -> Result<Look> {
    let mut sources = Sources::read(root)?;
    let mut at = Instant::now();
    let mut frames = None;
    let mut not_looked_at = None;
    if args.frames || !(args.no_frames || repeated) {
        match beside(global, root, &mut sources) {
            Ok(found) => (frames, at) = (Some(found), Instant::now()),
            Err(error) if args.frames => return Err(error.into()),
            Err(error) => {
                let text = format!("what page frames say is not known: {error}");
                if !matches!(error, Error::Denied { .. } | Error::Missing { .. } | Error::Unsupported { .. }) {
                    sources.troubles.push(text.clone());
                }
                not_looked_at = Some(Note { in_json_only: true, ..Note::general("no-frames", text) });
            }
        }
    }
    let report = r#where::Report::new(&sources, frames, root.page_size())?;
    let mut notes = report.notes(&sources, global.verbose);
    notes.extend(not_looked_at);
    Ok(Look { report, notes, troubles: sources.troubles, at })
}

/// Looks at every frame. The counters are read again then, and are those of the report.
fn beside(global: &GlobalOptions, root: &Root, sources: &mut Sources) -> crate::error::Result<Frames> {
    let frame_reader = FrameReader::new(root, &root.features_cheaply())?;
    let end = phys::end(root, &frame_reader.physical, &frame_reader.files.flags)?;
    let before = ledger::ledger(sources, root.page_size())?;
    let mut progress = Progress::new(global.quiet);
    let counted = frames::count(&frame_reader, end, |done| progress.show(|| percent(done, end)))?;
    *sources = Sources::read(root)?;
    let after = ledger::ledger(sources, root.page_size())?;
    let (reserved, offline) = r#where::outside_of_total(sources, after.total, root.page_size());
    Ok(counted.beside([&before, &after], reserved, offline, root.page_size()))
}

/// Shows a round; `round` is its number where there are several.
fn show(
    report: &r#where::Report,
    notes: Vec<Note>,
    choice: &Choice<r#where::Row>,
    global: &GlobalOptions,
    root: &Root,
    output: &mut Output,
    round: Option<u32>,
) -> Result<()> {
    let layout = output.layout(global, root);
    let mut rows = report.lines.clone();
    choice.sort(&mut rows);
    match (round, global.format()) {
        (Some(round), Format::Table) => writeln!(output, "{}{}", if round > 0 { "\n" } else { "" }, time::clock())?,
        (Some(round), Format::Csv) => {
            let now = time::now();
            let headings = round == 0 && !global.no_headings;
            csv::Writer::new(output, headings).rows(&["time"], &[Cell::Text(&now)], &choice.shown(), &rows)?;
            return Ok(output.flush()?);
        }
        _ => {}
    }
    // The rest of what there is to say is said once.
    let say = round.unwrap_or(0) == 0;
    let document = Document { schema: "pmem.where/1", data: report, rows: &rows, choice, notes };
    document.write(output, global, root, |out, report, notes| {
        match global.columns {
            Some(_) => table::write(out, &choice.shown(), &rows, None, &layout)?,
            None => view::write(out, report, &rows, round.is_some(), &layout)?,
        }
        if say { write_notes(out, notes, &layout) } else { Ok(()) }
    })?;
    Ok(output.flush()?)
}
