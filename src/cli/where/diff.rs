//! `pmem where diff`: what changed in the ledger between two captures, or since one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::analysis::r#where::diff::{Report, Row, Side};
use crate::cli::options::{GlobalOptions, size};
use crate::cli::output::Output;
use crate::cli::run::command::{self, Asked, Reading, Shown};
use crate::cli::run::context::Context;
use crate::cli::run::rounds::Rounds;
use crate::cli::run::trouble::Trouble;
use crate::cli::status::{Status, UsageError};
use crate::error::Error;
use crate::kernel::root::Root;
use crate::kernel::r#where::Sources;
use crate::view::field::Field;
use crate::view::{table, time, r#where::diff as view};

/// Show what changed between two captures, or since one
///
/// Shows the lines that changed, largest change first, with the rate if both are from the same boot. On a running
/// machine something always changes: --min hides small changes. The exit status is as in diff(1): 0 if nothing changed
/// (by at least --min), 1 if something did or a file is truncated, 2 if a tree does not exist or is not a directory.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem where diff monday           what changed since a capture
  pmem where diff monday tuesday   what changed between two captures
  pmem where diff monday --min 10M
                                   only what changed by 10 MiB or more

Exit status:
  0   nothing changed (by at least --min)
  1   something changed; or failure, or an incomplete file: then standard error
      says so
  2   usage error, or BEFORE or AFTER does not exist or is not a directory
  3   one of them is not a 'pmem capture' tree
  4   permission denied")]
pub(in crate::cli) struct Args {
    /// A 'pmem capture' tree
    // There is none where the columns are listed.
    #[arg(required = true)]
    before: Option<PathBuf>,
    /// Another, later tree (default: the machine now)
    after: Option<PathBuf>,
    /// Only lines that changed by at least this size (64K, 10M)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min: Option<u64>,
}

pub(in crate::cli) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let Some(before) = &args.before else {
        table::write_help(output, &view::fields())?;
        return Ok(Status::Complete);
    };
    let before = open(before)?;
    let cx = Context::with(open(args.after.as_ref().unwrap_or(&global.root))?, global, output);
    command::run(&mut Comparison { args, before }, Rounds::ONE, &cx, output)
}

/// The command as the driver runs it: it reads the second side, and has the first.
struct Comparison<'a> {
    args: &'a Args,
    before: Root,
}

impl command::Command for Comparison<'_> {
    const SCHEMA: &'static str = "pmem.where-diff/1";
    const ROWS: &'static str = "lines";
    type Row = Row;
    type Report = Report;

    fn fields(&self) -> Vec<Field<Row>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<Report>> {
        let (before, after) = (side(&self.before)?, side(&cx.root)?);
        let sources = [&before, &after].into_iter().flat_map(|side| &side.sources.troubles);
        let troubles: Vec<Trouble> = sources.map(Trouble::incomplete).collect();
        let (mut report, notes) = Report::new(before, after)?;
        // 1 means that there are differences, as in diff(1).
        let status = if report.changed(self.least()) { Status::Incomplete } else { Status::Complete };
        // Programs get all lines unless they ask for less.
        if self.args.min.is_some() || cx.is_for_people() {
            report.lines.retain(|row| row.changed(self.least()));
        }
        Ok(Reading { troubles, status, ..Reading::of(report, notes) })
    }

    fn rows(report: &Report) -> &[Row] {
        &report.lines
    }

    fn rows_mut(report: &mut Report) -> &mut [Row] {
        &mut report.lines
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        view::write(out, shown.report, &shown.columns(view::DEFAULT), self.least(), shown.layout)?;
        shown.notes(out)
    }
}

impl Comparison<'_> {
    /// The smallest change to show, in bytes.
    fn least(&self) -> u64 {
        self.args.min.unwrap_or(0)
    }
}

/// A tree, or the machine.
fn open(path: &Path) -> Result<Root> {
    let no_tree = |why| UsageError::Invalid(format!("{}: {why}", path.display()));
    Root::open(path).map_err(|error| match error {
        Error::Missing { .. } if !path.exists() => no_tree("no such directory; expected a 'pmem capture' tree").into(),
        Error::Io { .. } if !path.is_dir() => no_tree("not a directory; expected a 'pmem capture' tree").into(),
        other => anyhow::Error::from(other),
    })
}

/// A capture with when it was taken, or the machine now.
fn side(root: &Root) -> Result<Side> {
    let time = root.manifest().map_or_else(time::now, |manifest| manifest.time.clone());
    let sources = Sources::read(root)?;
    Ok(Side { sources, time, source: root.source(), host: root.host().clone(), page_size: root.page_size() })
}
