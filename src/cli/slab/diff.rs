//! `pmem slab diff`: which caches grew.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;
use nix::sys::statfs::{FsType, statfs};

use crate::analysis::slab::diff::{Change, IMPOSSIBLE, LargeKmalloc, Side, compare};
use crate::analysis::slab::{Details, Reader, Reading, Row, Wanted};
use crate::cli::options::{Format, GlobalOptions, seconds};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::cli::slab::Which;
use crate::cli::status::{self, Status, UsageError, say};
use crate::error::Error;
use crate::kernel::dir::Dir;
use crate::kernel::root::{Root, SMALL};
use crate::kernel::slab;
use crate::model::slabinfo::Slabinfo;
use crate::name::Name;
use crate::view::notes::write as write_notes;
use crate::view::size::human_string;
use crate::view::{slab::diff as view, table, time};

/// Show which slab caches grew, by how much, and how fast
///
/// Compares two trees of 'pmem capture', or one with now, or the machine with itself some seconds later. A saved copy of
/// /proc/slabinfo serves too; it says nothing of its time, and which caches were merged is taken from the other side or from
/// this machine. The caches that grew most come first, under all of their names: the kernel merges caches of objects of the
/// same size, and sockets then stand under the name of signals. ACTIVE is the change of objects in use, at most: free ones
/// that processors keep count as used. Allocations of more than two pages (large kmalloc) are in no cache: they are what
/// meminfo's Slab has beyond all caches, and are told in words and in JSON. Needs root, but not for trees.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("min", |min| min.help("Only caches that grew or shrank by this size at least (64K, 10M)")))]
#[command(after_long_help = "Examples:
  sudo pmem slab diff -d 60        what changes within a minute
  sudo pmem capture before self    keeps slabinfo; which process goes with it does
                                   not matter here
  sudo pmem slab diff before       what changed since then
  pmem slab diff before after --min 1M --json |
    jq '.data.caches[] | select(.reclaimable == false)'
                                   what changed by 1 MiB or more, and cannot be
                                   reclaimed

Exit status:
  0   no cache changed (of those that --filter and --min leave), nor did large
      kmalloc by more than its counters may lag
  1   some did; or it failed, or a file was not whole: then standard error says so
  2   the command line is wrong, BEFORE or AFTER does not exist or is none of what
      it can be, or the two cannot be compared
  3   this kernel or tree has no slabinfo
  4   not permitted")]
pub(super) struct Args {
    /// A tree of 'pmem capture', or a saved /proc/slabinfo
    before: Option<PathBuf>,
    /// The same, later (default: now)
    after: Option<PathBuf>,
    /// Without BEFORE: the time between two readings of this machine (default: 10)
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "before")]
    delay: Option<Duration>,
    #[command(flatten)]
    which: Which,
    /// Caches that did not change, too
    #[arg(long, conflicts_with = "min")]
    all: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    // What is wrong with it is told before anything takes time.
    let choice = Choice::new(global, view::columns(), view::DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let Some(before) = &args.before else {
        let root = Root::open(&global.root)?;
        let (sides, elapsed) = watch(&root, args.delay.unwrap_or(TEN_SECONDS), global.quiet)?;
        return show(args, global, &root, sides, Some(elapsed), output);
    };
    let before = Source::open(before)?;
    let after = match &args.after {
        Some(after) => Source::open(after)?,
        None => Source::Root(Box::new(Root::open(&global.root)?)),
    };
    let here;
    let root = match after.root().or(before.root()) {
        Some(root) => root,
        None => {
            here = Root::open(&global.root)?;
            &here
        }
    };
    if let (Some(before), Some(after)) = (before.root(), after.root())
        && before.page_size() != after.page_size()
    {
        let [before, after] = [before, after].map(|root| human_string(root.page_size().bytes()));
        let text = format!("one has pages of {before}, the other of {after}: their slabs cannot be compared");
        return Err(UsageError::Invalid(text).into());
    }
    let sides = [before.read(root)?, after.read(root)?];
    show(args, global, root, sides, None, output)
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

impl Args {
    fn keeps(&self, row: &Change) -> bool {
        (self.all || row.is_change()) && self.which.names(row.names()) && self.large_enough(row.change.bytes)
    }

    /// Whether a change in large allocations, which have no name, is one that was asked for.
    fn counts(&self, large: LargeKmalloc) -> bool {
        large.is_change() && self.which.filter.is_none() && self.large_enough(large.change_bytes)
    }

    fn large_enough(&self, bytes: i64) -> bool {
        self.which.min.is_none_or(|least| bytes.unsigned_abs() >= least)
    }
}

/// What an argument names.
enum Source {
    Root(Box<Root>),
    Saved { path: PathBuf, slabinfo: Slabinfo },
}

impl Source {
    /// A directory is a tree (or the root of a machine), a file or a pipe of the shell (`<(…)`) a saved slabinfo. Nothing else
    /// is opened: who opens a FIFO waits for somebody to write, and a device does what it likes.
    fn open(path: &Path) -> Result<Self> {
        let wrong = |what| {
            let sides = "BEFORE and AFTER are trees of 'pmem capture', or saved copies of /proc/slabinfo";
            UsageError::Invalid(format!("{}: {what}; {sides}", path.display()))
        };
        match std::fs::metadata(path) {
            Ok(of) if of.is_dir() => return Ok(Self::Root(Box::new(Root::open(path)?))),
            Ok(of) if of.is_file() || is_pipe_of_the_shell(path) => {}
            Ok(_) => return Err(wrong("neither a directory nor a regular file").into()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(wrong("there is no such file or directory").into());
            }
            // Opening it says why.
            Err(_) => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = Dir::live(parent)?.read(path.file_name().unwrap_or_default(), SMALL)?;
        let slabinfo = slab::parse(&text, path)?;
        Ok(Self::Saved { path: path.to_owned(), slabinfo })
    }

    fn root(&self) -> Option<&Root> {
        match self {
            Self::Root(root) => Some(root),
            Self::Saved { .. } => None,
        }
    }

    /// Its numbers; what a saved slabinfo does not tell is taken from `other`.
    fn read(&self, other: &Root) -> Result<Side> {
        match self {
            Self::Root(root) => read(root, &mut Reader::new(root, WANTED)),
            Self::Saved { path, slabinfo } => Ok(saved(path, slabinfo, other)),
        }
    }
}

/// Whether it is a pipe without a name, which is of its own file system: /dev/fd/63, or /dev/stdin.
fn is_pipe_of_the_shell(path: &Path) -> bool {
    const PIPEFS: FsType = FsType(0x5049_5045);
    statfs(path).is_ok_and(|system| system.filesystem_type() == PIPEFS)
}

/// What is read beside slabinfo.
const WANTED: Wanted =
    Wanted { reclaimable: true, partial_slabs: false, cpu_slabs: false, cpu_partial_slabs: false, nodes: false };

fn read(root: &Root, reader: &mut Reader<'_>) -> Result<Side> {
    let mut reading = reader.read()?;
    if reading.totals.is_none()
        && let Some(error) = reading.trouble.take()
    {
        return Err(error.into());
    }
    let time = root.manifest().map_or_else(time::now, |manifest| manifest.time.clone());
    Ok(Side { time: Some(time), source: root.source(), host: Some(root.host().clone()), reading })
}

/// A saved slabinfo: which caches were merged, and which are reclaimable, `other` says of those that it has too.
fn saved(path: &Path, slabinfo: &Slabinfo, other: &Root) -> Side {
    let mut reader = Reader::new(other, WANTED);
    // The reader knows the names when it has read its own.
    let theirs = reader.read().map(|reading| reading.caches).unwrap_or_default();
    let known: BTreeSet<&Name> = theirs.iter().flat_map(Row::names).collect();
    let mut caches = reader.rows(slabinfo.caches.clone());
    for row in caches.iter_mut().filter(|row| !known.contains(&row.name)) {
        (row.aliases, row.details) = (None, Details::default());
    }
    let trouble =
        slabinfo.broken_line.map(|line| Error::malformed(path, line, "the file is torn, or not the kernel's"));
    Side { time: None, source: "file", host: None, reading: Reading { caches, trouble, ..Reading::default() } }
}

/// Reads the machine twice.
fn watch(root: &Root, delay: Duration, quiet: bool) -> Result<([Side; 2], Duration)> {
    if root.is_recorded() {
        let text = "a recorded tree does not change; name what to compare it with: 'pmem slab diff BEFORE AFTER'";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let mut reader = Reader::new(root, WANTED);
    let began = Instant::now();
    let before = read(root, &mut reader)?;
    wait(delay, quiet);
    let elapsed = began.elapsed();
    // A cache that was merged meanwhile has a name more.
    reader.forget_names();
    let after = read(root, &mut reader)?;
    Ok(([before, after], elapsed))
}

/// Waits, and says how long it will still take.
fn wait(delay: Duration, quiet: bool) {
    const STEP: Duration = Duration::from_millis(200);
    let (began, mut progress) = (Instant::now(), Progress::new(quiet));
    while let Some(left) = delay.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        progress.show(|| format!("compared in {} s", left.as_secs() + 1));
        sleep(left.min(STEP));
    }
}

fn show(
    args: &Args,
    global: &GlobalOptions,
    root: &Root,
    mut sides: [Side; 2],
    elapsed: Option<Duration>,
    output: &mut Output,
) -> Result<Status> {
    let (mut diff, notes) = compare(&sides[0], &sides[1], elapsed);
    diff.caches.retain(|row| args.keeps(row));
    let layout = output.layout(global, root);
    let default = match global.format() {
        Format::Csv => view::FOR_PROGRAMS.to_vec(),
        _ => view::fitting(&diff, &layout),
    };
    let choice = &Choice::new(global, view::columns(), &default)?;
    choice.sort(&mut diff.caches);
    for error in sides.iter_mut().filter_map(|side| side.reading.trouble.take()) {
        status::report(&error.into(), global.quiet);
    }
    notes.iter().filter(|note| note.code == IMPOSSIBLE).for_each(|note| say(&note.text));
    let changed =
        diff.caches.iter().any(Change::is_change) || diff.large_kmalloc.is_some_and(|large| args.counts(large));
    let is_whole = diff.is_whole;
    Report { schema: "pmem.slab-diff/1", data: &diff, rows: &diff.caches, choice, notes }.write(
        output,
        global,
        root,
        |out, diff, notes| {
            if global.columns.is_none() {
                view::write_head(out, diff, &layout)?;
            }
            if !diff.caches.is_empty() {
                writeln!(out)?;
                table::write(out, &choice.columns(), &diff.caches, None, &layout)?;
            }
            write_notes(out, notes, &layout)
        },
    )?;
    // As diff does it: 1 is "different".
    Ok(if changed || !is_whole { Status::Incomplete } else { Status::Complete })
}
