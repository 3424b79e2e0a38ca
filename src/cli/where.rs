//! `pmem where`: where the machine's memory is, in lines that add up.

mod diff;

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use super::options::{GlobalOptions, Top};
use super::output::Output;
use super::phys::percent;
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::screen::{self, Watched};
use super::run::trouble::Trouble;
use super::status::Status;
use crate::analysis::note::Note;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::phys;
use crate::analysis::r#where::frames::{self, Frames};
use crate::analysis::r#where::{self, Report, Row, ledger};
use crate::error::Error;
use crate::kernel::r#where::Sources;
use crate::view::field::Field;
use crate::view::r#where::{self as view, Room, live::Lines};

/// Show where the machine's memory is: lines that add up to all of it
///
/// The first line says whether the machine is short of memory. Below it is a ledger: lines that never count a page
/// twice and add up to MemTotal exactly; the last one is what no counter covers. As root, it is compared with the flags
/// of every page frame, and every difference is explained.
#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:
  pmem where                       the ledger
  pmem where -d 5                  how each line changes, every 5 seconds
  pmem where diff BEFORE           what changed since a capture
  pmem where --json | jq '.data.lines[] | select(.name == \"unaccounted\").bytes'
                                   what no counter covers, for a program"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Compare with the page frames' flags, also in every round when repeating; fail if they cannot be read
    #[arg(long)]
    frames: bool,
    /// Do not read page frames, which takes about a second for 100 GiB of memory
    #[arg(long, conflicts_with = "frames")]
    no_frames: bool,
    /// Show all lines, even if they do not fit on the terminal
    #[arg(short, long)]
    all: bool,
    /// Repeat every second, or every -d seconds
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    top: Top,
}

#[derive(Debug, Subcommand)]
enum What {
    Diff(diff::Args),
}

impl Args {
    fn rounds(&self) -> Rounds {
        let rounds = self.top.rounds();
        Rounds { count: if self.watch && self.top.repeat.count.is_none() { None } else { rounds.count }, ..rounds }
    }
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if let Some(What::Diff(args)) = &args.what {
        return diff::run(args, global, output);
    }
    let cx = Context::open(global, output)?;
    screen::run(&mut Where { args, first: None, last: None }, args.top.top, args.rounds(), &cx, output)
}

/// The command as the driver runs it.
struct Where<'a> {
    args: &'a Args,
    /// The lines of the first round, and when their counters were read.
    first: Option<(Vec<Row>, Instant)>,
    /// The lines of the previous round.
    last: Option<Vec<Row>>,
}

impl command::Command for Where<'_> {
    const SCHEMA: &'static str = "pmem.where/1";
    const ROWS: &'static str = "lines";
    type Row = Row;
    type Report = Report;

    fn fields(&self) -> Vec<Field<Row>> {
        let repeated = self.args.rounds().is_repeated();
        view::fields(repeated, self.args.frames || !(self.args.no_frames || repeated))
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Report>> {
        let Look { mut report, notes, troubles, at } = look(self.args, cx, asked.round.is_some())?;
        if asked.round.is_some() {
            let lines = report.lines.clone();
            let (first, began) = self.first.get_or_insert_with(|| (lines.clone(), at));
            if let Some(last) = self.last.replace(lines) {
                report.compare(first, &last, at.duration_since(*began).as_secs_f64());
            }
        }
        Ok(Reading { troubles: troubles.into_iter().map(Trouble::incomplete).collect(), ..Reading::of(report, notes) })
    }

    fn rows(report: &Report) -> &[Row] {
        &report.lines
    }

    fn rows_mut(report: &mut Report) -> &mut [Row] {
        &mut report.lines
    }

    fn may_be_cut(&self) -> bool {
        !self.args.all
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> std::io::Result<()> {
        let Shown { report, layout, round, .. } = *shown;
        match shown.only_columns() {
            true => {
                let mut default = view::default_columns(round.is_some()).to_vec();
                // The longest column: it is last because a narrow terminal cuts the last.
                default.extend(shown.names("note").then_some("note"));
                shown.table(out, &shown.columns(&default), None)?;
            }
            false => {
                let explained = shown.is_verbose || layout.width.is_none();
                let room = if shown.is_brief { Room::Brief { left_out: shown.more } } else { Room::Enough };
                view::write(out, report, round.is_some(), explained, room, layout)?;
                shown.write_more(out)?;
            }
        }
        shown.notes(out)
    }
}

impl Watched for Where<'_> {
    type Live = Lines;
}

/// One reading of the machine.
struct Look {
    report: Report,
    notes: Vec<Note>,
    /// Why it is incomplete.
    troubles: Vec<String>,
    /// When the counters in it were read.
    at: Instant,
}

/// Reads everything and makes the report.
fn look(args: &Args, cx: &Context<'_>, repeated: bool) -> Result<Look> {
    let root = &cx.root;
    let mut sources = Sources::read(root)?;
    let mut at = Instant::now();
    let mut frames = None;
    let mut not_looked_at = None;
    if args.frames || !(args.no_frames || repeated) {
        match beside(cx, &mut sources) {
            Ok(found) => (frames, at) = (Some(found), Instant::now()),
            Err(error) if args.frames => return Err(error.into()),
            Err(error) => {
                let text = format!("no comparison with page frames: {error}");
                // An ordinary user expects that permission is denied. Nobody expects a masked file.
                if !matches!(error, Error::Denied { .. } | Error::Missing { .. } | Error::Unsupported { .. }) {
                    sources.troubles.push(text.clone());
                }
                not_looked_at = Some(Note { in_json_only: true, ..Note::general("no-frames", text) });
            }
        }
    }
    let report = Report::new(&sources, frames, root.page_size())?;
    let mut notes = report.notes(&sources, cx.is_verbose());
    notes.extend(not_looked_at);
    Ok(Look { report, notes, troubles: sources.troubles, at })
}

/// Reads every frame, then the counters again: the report shows the second reading.
fn beside(cx: &Context<'_>, sources: &mut Sources) -> crate::error::Result<Frames> {
    let root = &cx.root;
    let frame_reader = FrameReader::new(root, &root.features_cheaply())?;
    let end = phys::end(root, &frame_reader.physical, &frame_reader.files.flags)?;
    let before = ledger::ledger(sources, root.page_size())?;
    let mut progress = cx.progress();
    let counted = frames::count(&frame_reader, end, |done| progress.show(|| percent(done, end)))?;
    *sources = Sources::read(root)?;
    let after = ledger::ledger(sources, root.page_size())?;
    let (reserved, offline) = r#where::outside_of_total(sources, after.total, root.page_size());
    Ok(counted.beside([&before, &after], reserved, offline, root.page_size()))
}
