//! `pmem where diff`: what has changed in the ledger between two captures, or since one.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::analysis::r#where::diff::{Report, Side};
use crate::cli::options::{Format, GlobalOptions, size};
use crate::cli::output::Output;
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report as Document;
use crate::cli::status::{Status, UsageError, say};
use crate::error::Error;
use crate::kernel::root::Root;
use crate::kernel::r#where::Sources;
use crate::view::notes::write as write_notes;
use crate::view::{time, r#where::diff as view};

/// Tell what has changed between two captures, or since one
///
/// Lines that changed are shown, those that changed most first, with the rate where the two are of one boot. On a
/// running machine something always changes: --min leaves out what is small. The status is as of diff(1): 0 where nothing
/// has changed (by --min at least), 1 where something has or a file of the two is torn, and 2 where one of them is not there
/// or is no directory.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem where diff monday           what has changed since a capture
  pmem where diff monday tuesday   and between two
  pmem where diff monday --min 10M
                                   only what changed by 10 MiB or more

Exit status:
  0   nothing changed (by --min at least)
  1   something did; or it failed, or a file was not whole: then standard error
      says so
  2   the command line is wrong, or BEFORE or AFTER does not exist or is no
      directory
  3   one of them is no tree of 'pmem capture'
  4   not permitted")]
pub(in crate::cli) struct Args {
    /// A tree that 'pmem capture' made
    before: PathBuf,
    /// Another; without it, the machine as it is now
    after: Option<PathBuf>,
    /// Only lines that changed by this size at least (64K, 10M)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min: Option<u64>,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let default = if global.format() == Format::Table { view::FOR_PEOPLE } else { view::DEFAULT };
    let choice = Choice::new(global, view::columns(), default)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let (before, _) = side(&args.before)?;
    let (after, root) = side(args.after.as_ref().unwrap_or(&global.root))?;
    let troubles: Vec<String> = [&before, &after].into_iter().flat_map(|side| side.sources.troubles.clone()).collect();
    let (mut report, notes) = Report::new(before, after)?;
    let least = args.min.unwrap_or(0);
    let changed = report.changed(least);
    let layout = output.layout(global, &root);
    // Programs get all lines unless they ask for less.
    if args.min.is_some() || global.format() == Format::Table {
        report.lines.retain(|row| row.changed(least));
    }
    let mut rows = report.lines.clone();
    choice.sort(&mut rows);
    let document = Document { schema: "pmem.where-diff/1", data: &report, rows: &rows, choice: &choice, notes };
    document.write(output, global, &root, |out, report, notes| {
        view::write(out, report, &choice.columns(), &rows, least, &layout)?;
        write_notes(out, notes, &layout)
    })?;
    troubles.iter().for_each(|trouble| say(trouble));
    // 1 says that there are differences, as diff(1) does.
    Ok(if changed || !troubles.is_empty() { Status::Incomplete } else { Status::Complete })
}

/// A capture with when it was taken, or the machine now.
fn side(path: &Path) -> Result<(Side, Root)> {
    let no_tree = |why| UsageError::Invalid(format!("{}: {why}", path.display()));
    let root = Root::open(path).map_err(|error| match error {
        Error::Missing { .. } if !path.exists() => {
            no_tree("no such directory: what is compared is trees of 'pmem capture'").into()
        }
        Error::Io { .. } if !path.is_dir() => no_tree("not a tree of 'pmem capture', which is a directory").into(),
        other => anyhow::Error::from(other),
    })?;
    let time = root.manifest().map_or_else(time::now, |manifest| manifest.time.clone());
    let sources = Sources::read(&root)?;
    let source = root.source();
    Ok((Side { sources, time, source, host: root.host().clone(), page_size: root.page_size() }, root))
}
