//! `pmem slab`: the caches of the kernel's slab allocator.

mod diff;
mod show;

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::sleep;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use regex_lite::Regex;

use super::options::{Format, GlobalOptions, Repeat, size};
use super::output::Output;
use super::slab_top;
use super::status::{self, Status, say};
use crate::analysis::slab::{self, Reader, Reading, Report, Row, Wanted};
use crate::cli::run::columns::Choice;
use crate::cli::run::sink::Report as Document;
use crate::kernel::root::Root;
use crate::name::Name;
use crate::view::record::Cell;
use crate::view::table::Layout;
use crate::view::{csv, notes as below, slab as view, time};

/// Show the caches of the kernel's slab allocator
///
/// One table of all caches with slabtop's columns, under every name that a cache has: the kernel merges caches of objects of
/// the same size, and shows one of their names only. Needs root.
///
/// Objects in use are the most there can be: free ones that processors keep count. Since Linux 6.10 they are an estimate, which
/// may be too low, for a cache with more than 10,000 partial slabs on a node.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "Examples:
  sudo pmem slab                   all caches, the largest first
  sudo pmem slab --filter 'inode|dentry' --min 1M -s o
                                   those of files and directories by their objects, as slabtop's key o sorts
  sudo pmem slab --growing -d 60   every minute, which have grown
  sudo pmem slab --json | jq '.data.caches[] | select(.reclaimable == false).name'
                                   those that cannot be reclaimed

-s takes slabtop's letters too, each in slabtop's order: a b c l n o p s u v; -s -o reverses that of o.")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    pub(super) which: Which,
    /// Only caches that have grown since the round before (of two rounds, unless -d or -n says otherwise)
    ///
    /// Grown is what has room for more objects, or a larger size in the column size; with --top, whose size has grown within a
    /// minute.
    #[arg(long)]
    pub(super) growing: bool,
    /// Caches without objects and slabs too, which the table leaves out
    #[arg(long)]
    all: bool,
    /// A live screen; without a terminal plain rounds
    #[arg(long)]
    top: bool,
    #[command(flatten)]
    pub(super) repeat: Repeat,
}

/// Which caches are wanted.
#[derive(Debug, ClapArgs)]
pub struct Which {
    /// Only caches one of whose names matches
    #[arg(long, value_name = "REGEX")]
    pub(super) filter: Option<Regex>,
    /// Only caches of this size at least (64K, 10M)
    ///
    /// The size is that of the column size, which can be more than the slabs really hold.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) min: Option<u64>,
}

impl Which {
    /// Whether all are.
    fn is_all(&self) -> bool {
        self.filter.is_none() && self.min.is_none()
    }

    /// Whether a cache is wanted. Where its size is not known, it is not left out for it.
    pub(super) fn keeps(&self, row: &Row) -> bool {
        let large = |least: u64| row.counts.as_ref().is_none_or(|counts| counts.size_bytes >= least);
        self.names(row.names()) && self.min.is_none_or(large)
    }

    /// Whether a cache is wanted that has these names.
    pub(super) fn names<'n>(&self, mut names: impl Iterator<Item = &'n Name>) -> bool {
        self.filter.as_ref().is_none_or(|regex| names.any(|name| name.matches(regex)))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    Diff(diff::Args),
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    match &args.command {
        Some(Command::Show(args)) => show::run(args, global, output),
        Some(Command::Diff(args)) => diff::run(args, global, output),
        None if args.top => slab_top::run(args, global, output),
        None => rounds(args, global, output),
    }
}

/// Reads, and shows what was read, as often as was asked for.
pub(super) fn rounds(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    let rounds = args.rounds();
    let choice = choice(global, rounds != Some(1))?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let mut reader = Reader::new(&root, wanted(global, &choice));
    let mut session = Session { args, global, root: &root, layout, choice, shown: 0 };
    let mut before: Option<Vec<Row>> = None;
    let mut status = Status::Complete;
    let mut done = 0;
    loop {
        let mut reading = reader.read()?;
        if let Some(error) = reading.trouble.take() {
            // Names alone are no answer to a question about numbers.
            if reading.totals.is_none() && (args.growing || args.which.min.is_some()) {
                return Err(error.into());
            }
            status = status.max(status::report(&error.into(), global.quiet));
        }
        // What a torn file lacks has neither gone nor come.
        let before_this = before.take().filter(|_| !reading.is_torn);
        if let Some(before) = &before_this {
            slab::compare(&mut reading.caches, before);
            tell_gone(before, &reading.caches, global);
        }
        // Of growth nothing can be said before there is something to compare with.
        let is_shown = !args.growing || before_this.is_some();
        before = (rounds != Some(1) && !reading.is_torn).then(|| reading.caches.clone());
        let counted = reading.totals.is_some();
        if is_shown || !counted {
            session.show(reading, output)?;
        }
        done += 1;
        if rounds.is_some_and(|rounds| done >= rounds) || !counted {
            return Ok(status);
        }
        sleep(args.repeat.pause());
    }
}

/// What stays the same from round to round.
struct Session<'a> {
    args: &'a Args,
    global: &'a GlobalOptions,
    root: &'a Root,
    layout: Layout,
    choice: Choice<Row>,
    /// How many rounds have been shown.
    shown: u32,
}

impl Session<'_> {
    fn show(&mut self, reading: Reading, output: &mut Output) -> Result<()> {
        let Self { args, global, root, layout, choice, shown } = self;
        let mut report = Report::new(reading, root.page_size(), |row| args.keeps(row));
        sort(&mut report.caches, args.growing);
        choice.sort(&mut report.caches);
        let chose_columns = global.columns.is_some();
        if global.format() == Format::Table && !args.all && args.which.filter.is_none() && !chose_columns {
            report.leave_out_empty();
        }
        let is_first = std::mem::replace(shown, shown.saturating_add(1)) == 0;
        let (rows, data) = (&report.caches, &report);
        let notes = if is_first { report.notes() } else { Vec::new() };
        if global.format() == Format::Csv {
            // Rounds are told apart by their time.
            let now = time::now();
            let mut writer = csv::Writer::new(output, is_first && !global.no_headings);
            return Ok(writer.rows(&["time"], &[Cell::Text(&now)], &choice.shown(), rows)?);
        }
        if args.rounds() != Some(1) && global.format() == Format::Table {
            writeln!(output, "{}{}", if is_first { "" } else { "\n" }, time::clock())?;
        }
        let document = Document { schema: "pmem.slab/1", data, rows, choice, notes };
        let none = match &report.totals {
            Some(totals) if totals.caches == 0 => "slabinfo lists no caches",
            _ if args.growing => "no cache of these has grown",
            _ if args.which.is_all() => "no cache has objects",
            _ => "no cache is called so and that large",
        };
        document.write(output, global, root, |out, report, notes| {
            if chose_columns {
                return view::write(out, report, &choice.shown(), true, none, layout);
            }
            let columns = view::fitting(&report.caches, args.rounds() != Some(1), layout);
            view::write(out, report, &columns.iter().collect::<Vec<_>>(), false, none, layout)?;
            below::write(out, notes, layout)
        })?;
        Ok(output.flush()?)
    }
}

/// The largest first, or what has grown most; of the same size in the order of their names.
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
    /// How many readings; `None` for no end. Growth is seen between two.
    fn rounds(&self) -> Option<u32> {
        let rounds = if self.top { self.repeat.count.map(Into::into) } else { self.repeat.rounds() };
        match (self.growing, rounds) {
            (true, Some(rounds)) => Some(rounds.max(2)),
            (_, rounds) => rounds,
        }
    }

    fn keeps(&self, row: &Row) -> bool {
        // What is not known is not left out for it.
        let grows = !self.growing || row.counts.is_none() || row.change.is_some_and(|change| change.is_growth());
        grows && self.which.keeps(row)
    }
}

/// The columns that are shown.
fn choice(global: &GlobalOptions, rounds: bool) -> Result<Choice<Row>> {
    let default = match global.format() {
        Format::Csv => view::PLAIN,
        _ => view::default_columns(rounds),
    };
    Choice::with_keys(global, view::columns(), default, view::KEYS)
}

/// What has to be read in /sys/kernel/slab for what is shown.
fn wanted(global: &GlobalOptions, choice: &Choice<Row>) -> Wanted {
    let in_json = matches!(global.format(), Format::Json | Format::Jsonl);
    Wanted {
        reclaimable: in_json || choice.needs("reclaimable"),
        partial_slabs: choice.needs("partial"),
        cpu_slabs: choice.needs("cpu_slabs"),
        cpu_partial_slabs: choice.needs("cpu_partial"),
        nodes: choice.needs("nodes"),
    }
}

/// Tells which caches there are no more.
fn tell_gone(before: &[Row], now: &[Row], global: &GlobalOptions) {
    let now: BTreeSet<&Name> = now.iter().map(|row| &row.name).collect();
    let gone = before.iter().map(|row| &row.name).filter(|name| !now.contains(name));
    let gone: Vec<_> = gone.map(Name::escaped).collect();
    if !gone.is_empty() && !global.quiet {
        say(&format!("gone since the round before: {}", gone.join(", ")));
    }
}
