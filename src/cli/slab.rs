//! `pmem slab`: the caches of the kernel's slab allocator.

mod diff;
mod show;

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use regex_lite::Regex;

use super::options::{GlobalOptions, Top, size};
use super::output::Output;
use super::run::command::{self, Asked, Reading as Read, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::screen::{self, Start, Watched};
use super::status::Status;
use crate::analysis::slab::{self, Reader, Report, Row, Wanted};
use crate::name::Name;
use crate::view::field::Field;
use crate::view::slab::{self as view, live::Caches};

/// Show the caches of the kernel's slab allocator
///
/// One table of all caches with slabtop's columns, each cache under all of its names: the kernel merges caches with
/// objects of the same size and lists only one of the names. Needs root.
///
/// Objects in use are an upper bound: free objects in per-CPU slabs count as used. Since Linux 6.10 they are an
/// estimate, which may be too low, for a cache with more than 10,000 partial slabs on a node.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "Examples:
  sudo pmem slab                   all caches, the largest first
  sudo pmem slab --filter 'inode|dentry' --min 1M -s o
                                   inodes and dentries, sorted by objects like slabtop's key o
  sudo pmem slab --growing -d 60   every minute, the caches that have grown
  sudo pmem slab --json | jq '.data.caches[] | select(.reclaimable == false).name'
                                   caches that cannot be reclaimed

-s also takes slabtop's letters, each with slabtop's sort order: a b c l n o p s u v; '-s -o' reverses the order of 'o'.")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    pub(super) which: Which,
    /// Only caches that have grown since the previous round (runs two rounds unless -d or -n is given)
    ///
    /// A cache has grown if it has room for more objects or its size (the 'size' column) is larger; with --top, if its size
    /// has grown within a minute.
    #[arg(long)]
    pub(super) growing: bool,
    /// Include caches without objects and slabs, which the table omits
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    top: Top,
}

/// Which caches to show.
#[derive(Debug, ClapArgs)]
pub struct Which {
    /// Only caches with a name that matches
    #[arg(long, value_name = "REGEX")]
    pub(super) filter: Option<Regex>,
    /// Only caches of at least this size (64K, 10M)
    ///
    /// This is the 'size' column, which can exceed the memory the slabs really occupy.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) min: Option<u64>,
}

impl Which {
    /// Whether all caches are wanted.
    fn is_all(&self) -> bool {
        self.filter.is_none() && self.min.is_none()
    }

    /// Whether a cache is wanted. One of unknown size is not left out because of it.
    pub(super) fn keeps(&self, row: &Row) -> bool {
        let large = |least: u64| row.counts.as_ref().is_none_or(|counts| counts.size_bytes >= least);
        self.names(row.names()) && self.min.is_none_or(large)
    }

    /// Whether a cache with these names is wanted.
    pub(super) fn names<'n>(&self, mut names: impl Iterator<Item = &'n Name>) -> bool {
        self.filter.as_ref().is_none_or(|regex| names.any(|name| name.matches(regex)))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    Diff(diff::Args),
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    match &args.command {
        Some(Command::Show(args)) => show::run(args, global, output),
        Some(Command::Diff(args)) => diff::run(args, global, output),
        None => {
            let cx = Context::open(global, output)?;
            let mut command = Slab { args, reader: Reader::new(&cx.root, Wanted::default()), before: None };
            screen::run(&mut command, args.top.top, args.rounds(), &cx, output)
        }
    }
}

/// The command as the driver runs it.
struct Slab<'a> {
    args: &'a Args,
    reader: Reader<'a>,
    /// The caches of the round before.
    before: Option<Vec<Row>>,
}

impl command::Command for Slab<'_> {
    const SCHEMA: &'static str = "pmem.slab/1";
    const ROWS: &'static str = "caches";
    type Row = Row;
    type Report = Report;

    fn fields(&self) -> Vec<Field<Row>> {
        view::fields(self.args.rounds().is_repeated())
    }

    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        view::KEYS
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Read<Report>> {
        self.reader.want(wanted(asked));
        let mut reading = self.reader.read()?;
        let mut troubles = Vec::new();
        if let Some(error) = reading.trouble.take() {
            // Names alone do not answer a question about numbers.
            let wants_numbers = asked.is_live || self.args.growing || self.args.which.min.is_some();
            if reading.totals.is_none() && wants_numbers {
                return Err(error.into());
            }
            troubles.push(error.into());
        }
        // A cache missing from a torn file has neither gone nor is it new.
        let before = self.before.take().filter(|_| !reading.is_torn);
        let mut gone = None;
        if let Some(before) = &before {
            slab::compare(&mut reading.caches, before);
            gone = of_gone(before, &reading.caches);
        }
        // Growth is not known before there is something to compare with.
        let is_shown = !self.args.growing || before.is_some() || asked.is_live;
        self.before = (asked.round.is_some() && !reading.is_torn).then(|| reading.caches.clone());
        let is_last = reading.totals.is_none();
        let report = (is_shown || is_last).then(|| {
            let mut report = Report::new(reading, cx.root.page_size(), |row| asked.is_live || self.args.keeps(row));
            sort(&mut report.caches, self.args.growing);
            if cx.is_for_people()
                && !asked.is_live
                && !self.args.all
                && self.args.which.filter.is_none()
                && !asked.only_columns
            {
                report.leave_out_empty();
            }
            report
        });
        let notes = report.iter().flat_map(Report::notes).collect();
        Ok(Read { report, notes, said: gone, troubles, status: Status::Complete, is_last })
    }

    fn rows(report: &Report) -> &[Row] {
        &report.caches
    }

    fn rows_mut(report: &mut Report) -> &mut [Row] {
        &mut report.caches
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> std::io::Result<()> {
        let Shown { report, layout, .. } = *shown;
        let default = view::fitting(&report.caches, shown.round.is_some(), layout);
        if shown.only_columns() {
            return shown.table(out, &shown.columns(&default), None);
        }
        view::write_head(out, report, layout)?;
        match report.caches.is_empty() {
            false => shown.table(out, &shown.columns(&default), None)?,
            true => writeln!(out, "{}", self.none(report))?,
        }
        if shown.is_brief {
            return Ok(());
        }
        view::write_foot(out, report, layout)?;
        shown.notes(out)
    }

    fn may_be_cut(&self) -> bool {
        !self.args.all
    }
}

impl Watched for Slab<'_> {
    type Live = Caches;

    fn start(&self) -> Start {
        Start {
            filter: self.args.which.filter.as_ref().map(|regex| regex.as_str().to_owned()),
            least_bytes: self.args.which.min,
            growing: self.args.growing,
        }
    }

    fn closer(&mut self, row: &Row) -> Option<Row> {
        Some(Row { details: self.reader.details(&row.name, DETAILS), ..row.clone() })
    }
}

/// The contents of the detail pane for one cache.
const DETAILS: Wanted =
    Wanted { reclaimable: true, partial_slabs: true, cpu_slabs: true, cpu_partial_slabs: true, nodes: true };

impl Slab<'_> {
    /// Why there is no cache to show.
    fn none(&self, report: &Report) -> &'static str {
        match &report.totals {
            Some(totals) if totals.caches == 0 => "slabinfo lists no caches",
            _ if self.args.growing => "none of these caches has grown",
            _ if self.args.which.is_all() => "no cache has objects",
            _ => "no cache matches that name and size",
        }
    }
}

/// Largest first, or most grown first; ties by name.
fn sort(rows: &mut [Row], by_growth: bool) {
    rows.sort_by(|a, b| {
        let of = |row: &Row| {
            let grown = row.change.filter(|_| by_growth).map(|change| change.size_bytes);
            (grown, row.counts.as_ref().map(|counts| counts.size_bytes))
        };
        of(b).cmp(&of(a)).then_with(|| a.name.cmp(&b.name))
    });
}

impl Args {
    /// The rounds. Growth takes at least two.
    fn rounds(&self) -> Rounds {
        let mut rounds = self.top.rounds();
        rounds.count = rounds.count.map(|count| count.max(if self.growing { 2 } else { 1 }));
        rounds
    }

    fn keeps(&self, row: &Row) -> bool {
        // A row whose growth is not known is not left out.
        let grows = !self.growing || row.counts.is_none() || row.change.is_some_and(|change| change.is_growth());
        grows && self.which.keeps(row)
    }
}

/// What must be read from /sys/kernel/slab for what is shown.
fn wanted(asked: &Asked<'_>) -> Wanted {
    Wanted {
        reclaimable: asked.has("reclaimable"),
        partial_slabs: asked.has("partial_slabs"),
        cpu_slabs: asked.has("cpu_slabs"),
        cpu_partial_slabs: asked.has("cpu_partial_slabs"),
        nodes: asked.has("nodes"),
    }
}

/// The caches that are gone since the previous round, in words.
fn of_gone(before: &[Row], now: &[Row]) -> Option<String> {
    let now: BTreeSet<&Name> = now.iter().map(|row| &row.name).collect();
    let gone = before.iter().map(|row| &row.name).filter(|name| !now.contains(name));
    let gone: Vec<_> = gone.map(Name::escaped).collect();
    (!gone.is_empty()).then(|| format!("gone since the previous round: {}", gone.join(", ")))
}
