//! `pmem slab diff`: which caches grew.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::Resettable;
use nix::sys::statfs::{FsType, statfs};

use crate::analysis::slab::diff::{Change, Diff, LargeKmalloc, Side, compare};
use crate::analysis::slab::{Details, Reader, Reading, Row, Wanted};
use crate::cli::options::{GlobalOptions, seconds};
use crate::cli::output::Output;
use crate::cli::run::command::{self, Asked, Shown};
use crate::cli::run::context::Context;
use crate::cli::run::rounds::Rounds;
use crate::cli::run::trouble::Trouble;
use crate::cli::slab::Which;
use crate::cli::status::{Status, UsageError};
use crate::error::Error;
use crate::kernel::dir::Dir;
use crate::kernel::root::{Root, SMALL};
use crate::kernel::slab;
use crate::model::slabinfo::Slabinfo;
use crate::name::Name;
use crate::view::field::Field;
use crate::view::size::human_string;
use crate::view::{slab::diff as view, time};

/// Show which slab caches grew, by how much, and how fast
///
/// Compares two 'pmem capture' trees, or a tree with the running machine, or the machine with itself some seconds
/// later. A saved copy of /proc/slabinfo works too; it has no time stamp, and which caches were merged is taken from
/// the other side or from this machine. Caches that grew most come first, under all of their names: the kernel merges
/// caches with objects of the same size, so sockets can be listed under the name of signals. ACTIVE is the change in
/// objects in use, an upper bound: free objects in per-CPU slabs count as used. Allocations of more than two pages
/// (large kmalloc) are in no cache: they are the part of meminfo's Slab beyond all caches, and are reported in words
/// and in JSON. Needs root, except for trees.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("min", |min| {
    // The other help is about a column that is not here.
    min.help("Only caches that grew or shrank by at least this size (64K, 10M)").long_help(Resettable::Reset)
}))]
#[command(after_long_help = "Examples:
  sudo pmem slab diff -d 60        what changes within a minute
  sudo pmem capture before self    records slabinfo; the process does not
                                   matter here
  sudo pmem slab diff before       what changed since then
  pmem slab diff before after --min 1M --json |
    jq '.data.caches[] | select(.reclaimable == false)'
                                   what changed by 1 MiB or more, and cannot be
                                   reclaimed

Exit status:
  0   no cache changed (of those that match --filter and --min), and large
      kmalloc changed by no more than the lag of its counters
  1   something changed; or failure, or an incomplete file: then standard error
      says so
  2   usage error, BEFORE or AFTER does not exist or is of the wrong kind, or the
      two cannot be compared
  3   this kernel or tree has no slabinfo
  4   permission denied")]
pub(super) struct Args {
    /// A 'pmem capture' tree, or a saved /proc/slabinfo
    before: Option<PathBuf>,
    /// The same, later (default: now)
    after: Option<PathBuf>,
    /// Without BEFORE: the time between the two readings of this machine (default: 10)
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "before")]
    delay: Option<Duration>,
    #[command(flatten)]
    which: Which,
    /// Include caches that did not change
    #[arg(long, conflicts_with = "min")]
    all: bool,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let mut sides = match &args.before {
        None => None,
        Some(before) => {
            let before = Source::open(before)?;
            let now = || Ok(Source::of(Root::open(&global.root)?));
            Some([before, args.after.as_deref().map_or_else(now, Source::open)?])
        }
    };
    if let Some([before, after]) = &sides {
        check(before, after)?;
    }
    // The document names the machine of the second side, or of the first if the second is a file.
    let root = sides.iter_mut().flatten().rev().find_map(Source::take);
    let cx = Context::with(root.map_or_else(|| Root::open(&global.root), Ok)?, global, output);
    command::run(&mut Comparison { args, sides }, Rounds::ONE, &cx, output)
}

/// Refuses two sides with slabs that cannot be compared.
fn check(before: &Source, after: &Source) -> Result<()> {
    let (Source::Root(before), Source::Root(after)) = (before, after) else { return Ok(()) };
    if before.page_size() == after.page_size() {
        return Ok(());
    }
    let [before, after] = [before, after].map(|root| human_string(root.page_size().bytes()));
    let text = format!("page sizes differ ({before} and {after}): their slabs cannot be compared");
    Err(UsageError::Invalid(text).into())
}

/// The command as the driver runs it.
struct Comparison<'a> {
    args: &'a Args,
    /// The two sides; without them the machine is read twice.
    sides: Option<[Source; 2]>,
}

impl command::Command for Comparison<'_> {
    const SCHEMA: &'static str = "pmem.slab-diff/1";
    const ROWS: &'static str = "caches";
    type Row = Change;
    type Report = Diff;

    fn fields(&self) -> Vec<Field<Change>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<command::Reading<Diff>> {
        let (mut sides, elapsed) = match &self.sides {
            Some([before, after]) => ([before.read(cx)?, after.read(cx)?], None),
            None => {
                let (sides, elapsed) = watch(cx, self.args.delay.unwrap_or(TEN_SECONDS))?;
                (sides, Some(elapsed))
            }
        };
        let (mut diff, notes) = compare(&sides[0], &sides[1], elapsed);
        diff.caches.retain(|row| self.args.keeps(row));
        let torn = sides.iter_mut().filter_map(|side| side.reading.trouble.take());
        // As in diff(1), 1 means "different"; here it also means "incomplete".
        let torn = torn.map(|error| Trouble { status: Status::Incomplete, ..error.into() });
        let troubles = torn.chain(diff.impossible.iter().map(Trouble::incomplete)).collect();
        let large = diff.large_kmalloc.is_some_and(|large| self.args.counts(large));
        let changed = large || diff.caches.iter().any(Change::is_change);
        let status = if changed || !diff.is_whole { Status::Incomplete } else { Status::Complete };
        Ok(command::Reading { troubles, status, ..command::Reading::of(diff, notes) })
    }

    fn rows(diff: &Diff) -> &[Change] {
        &diff.caches
    }

    fn rows_mut(diff: &mut Diff) -> &mut [Change] {
        &mut diff.caches
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let Shown { report: diff, layout, .. } = *shown;
        if !shown.only_columns() {
            view::write_head(out, diff, layout)?;
        }
        if !diff.caches.is_empty() {
            writeln!(out)?;
            shown.table(out, &shown.columns(&view::fitting(diff, layout)), None)?;
        }
        shown.notes(out)
    }

    fn may_be_cut(&self) -> bool {
        // --min, which leaves out small caches, does not go with --all.
        !self.args.all && self.args.which.min.is_none()
    }
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

impl Args {
    fn keeps(&self, row: &Change) -> bool {
        (self.all || row.is_change()) && self.which.names(row.names()) && self.large_enough(row.change.bytes)
    }

    /// Whether a change in large allocations, which have no name, is wanted.
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
    /// The root that the command runs with.
    Own,
    Saved {
        path: PathBuf,
        slabinfo: Slabinfo,
    },
}

impl Source {
    /// A directory is a tree (or the root of a machine), a file or a pipe of the shell (`<(…)`) a saved slabinfo.
    /// Nothing else is opened: opening a FIFO blocks until a writer comes, and a device may do anything.
    fn open(path: &Path) -> Result<Self> {
        let wrong = |what| {
            let sides = "BEFORE and AFTER are 'pmem capture' trees or saved copies of /proc/slabinfo";
            UsageError::Invalid(format!("{}: {what}; {sides}", path.display()))
        };
        match std::fs::metadata(path) {
            Ok(of) if of.is_dir() => return Ok(Self::of(Root::open(path)?)),
            Ok(of) if of.is_file() || is_pipe_of_the_shell(path) => {}
            Ok(_) => return Err(wrong("neither a directory nor a regular file").into()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(wrong("no such file or directory").into());
            }
            // Opening it says why.
            Err(_) => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = Dir::live(parent)?.read(path.file_name().unwrap_or_default(), SMALL)?;
        let slabinfo = slab::parse(&text, path)?;
        Ok(Self::Saved { path: path.to_owned(), slabinfo })
    }

    fn of(root: Root) -> Self {
        Self::Root(Box::new(root))
    }

    /// Its root, for the command to run with; `None` for a file.
    fn take(&mut self) -> Option<Root> {
        match std::mem::replace(self, Self::Own) {
            Self::Root(root) => Some(*root),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Its numbers; what a saved slabinfo lacks comes from the root that the command runs with.
    fn read(&self, cx: &Context<'_>) -> Result<Side> {
        match self {
            Self::Root(root) => read(root, &mut Reader::new(root, WANTED)),
            Self::Own => read(&cx.root, &mut Reader::new(&cx.root, WANTED)),
            Self::Saved { path, slabinfo } => Ok(saved(path, slabinfo, &cx.root)),
        }
    }
}

/// Whether it is an anonymous pipe, such as /dev/fd/63 or /dev/stdin: those are on a file system of their own.
fn is_pipe_of_the_shell(path: &Path) -> bool {
    const PIPEFS: FsType = FsType(0x5049_5045);
    statfs(path).is_ok_and(|system| system.filesystem_type() == PIPEFS)
}

/// What is read in addition to slabinfo.
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

/// A saved slabinfo; for caches that `other` has too, it says which were merged and which are reclaimable.
fn saved(path: &Path, slabinfo: &Slabinfo, other: &Root) -> Side {
    let mut reader = Reader::new(other, WANTED);
    // The reader knows the names only after a reading of its own.
    let theirs = reader.read().map(|reading| reading.caches).unwrap_or_default();
    let known: BTreeSet<&Name> = theirs.iter().flat_map(Row::names).collect();
    let mut caches = reader.rows(slabinfo.caches.clone());
    for row in caches.iter_mut().filter(|row| !known.contains(&row.name)) {
        (row.aliases, row.details) = (None, Details::default());
    }
    let trouble =
        slabinfo.broken_line.map(|line| Error::malformed(path, line, "the file is truncated, or not the kernel's"));
    Side { time: None, source: "file", host: None, reading: Reading { caches, trouble, ..Reading::default() } }
}

/// Reads the machine twice.
fn watch(cx: &Context<'_>, delay: Duration) -> Result<([Side; 2], Duration)> {
    let root = &cx.root;
    if root.is_recorded() {
        let text = "a recorded tree does not change; compare it with another: 'pmem slab diff BEFORE AFTER'";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let mut reader = Reader::new(root, WANTED);
    let began = Instant::now();
    let before = read(root, &mut reader)?;
    wait(delay, cx);
    let elapsed = began.elapsed();
    // A cache that was merged in the meantime has added a name.
    reader.forget_names();
    let after = read(root, &mut reader)?;
    Ok(([before, after], elapsed))
}

/// Waits, and shows the remaining time.
fn wait(delay: Duration, cx: &Context<'_>) {
    const STEP: Duration = Duration::from_millis(200);
    let (began, mut progress) = (Instant::now(), cx.progress());
    while let Some(left) = delay.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        progress.show(|| format!("compared in {} s", left.as_secs() + 1));
        sleep(left.min(STEP));
    }
}
