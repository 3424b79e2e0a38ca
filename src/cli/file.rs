//! `pmem file`: how much of each file is in the page cache.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use super::options::{GlobalOptions, Repeat};
use super::output::Output;
use super::progress::Progress;
use super::run::command::{self, Asked, Command, OnlyRows, Reading, Shown};
use super::run::context::Context;
use super::run::trouble::Trouble;
use super::status::{Status, UsageError, say};
use crate::analysis::file::{FileRow, Files, Looked, Totals};
use crate::analysis::note::Note;
use crate::kernel::page_cache::is_without_pages;
use crate::name::{Name, escaped};
use crate::view::field::Field;
use crate::view::file::{self as view, RunRow};
use crate::view::size::grouped_string;
use crate::view::table;

/// Show how much of each file is in the page cache
///
/// Shows how many pages of each file are cached and dirty, and on request which ones, and how many of them are mapped
/// by processes. File contents are neither read nor touched. The kernel reports this only to the file's owner, to users
/// who may write to it, and with CAP_FOWNER; otherwise pmem refuses rather than trust mincore, which then reports every
/// page as cached. If one page of a folio is dirty, the kernel counts the whole folio as dirty.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("delay", |delay| delay.help("Repeat every SECONDS")))]
#[command(after_long_help = "Examples:
  pmem file --runs data.db         which parts of a file are cached, and which are dirty
  sudo pmem file -rx / --min-pages 256
                                   what fills the page cache: files with 1 MiB or more, largest first
  pmem file -r -s -mapped /usr/lib
                                   for each library, how many pages any process maps
  pmem file --json *.log | jq .data.totals.cached_pages")]
pub struct Args {
    /// Files; with -r, also directories
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Descend into directories: regular files, most cached first; symbolic links are not followed
    #[arg(short, long)]
    recursive: bool,
    /// With -r: stay on the file system of each PATH
    #[arg(short = 'x', long, requires = "recursive")]
    one_file_system: bool,
    /// List the runs of cached pages
    #[arg(long)]
    runs: bool,
    /// Count the pages that are in the page tables of any process pmem can see
    ///
    /// Each page counts once, however many processes map it; pmem's own mappings count too. A page that a process has
    /// written to in a private mapping is a private copy, not a page of the file. Mappings through an overlay file
    /// system above the file are not found: give the path on the overlay.
    #[arg(long)]
    mapped: bool,
    /// Show files with at least N cached pages; the totals include all files
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_pages: u64,
    /// With -r: show all files, even if they do not fit on the terminal
    #[arg(long, requires = "recursive")]
    all: bool,
    #[command(flatten)]
    repeat: Repeat,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.root != Path::new("/") {
        let text = "--root: a recorded tree has no page cache; 'file' works on the live machine only";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let cx = Context::open(global, output)?;
    let rounds = args.repeat.rounds();
    // In formats that are only rows, each run is a row.
    match args.runs && !cx.is_for_people() && !cx.is_document() {
        true => command::run(&mut Runs(args), rounds, &cx, output),
        false => command::run(&mut OfFiles(args), rounds, &cx, output),
    }
}

/// The result for all files.
#[derive(Serialize)]
struct Report {
    #[serde(skip)]
    files: Vec<FileRow>,
    totals: Totals,
    /// Whether the table has totals; for a single file they add nothing.
    #[serde(skip)]
    has_totals: bool,
}

/// Reads the state of all files.
fn look(args: &Args, cx: &Context<'_>, with_runs: bool, with_mapped: bool) -> Result<Reading<Report>> {
    let mut look = Look::new(args, cx, Files::new(&cx.root, with_runs, with_mapped));
    let (mut files, mut troubles) = match look.all() {
        Ok(()) => look.finish()?,
        Err(error) => return Err(look.fail(error)),
    };
    if with_mapped {
        let mut progress = cx.progress();
        files.find_mapped(|done, all| progress.show(|| format!("{done} of {all} processes")))?;
    }
    let (totals, notes) = (files.totals(), files.notes());
    let status = if files.is_incomplete() { Status::Incomplete } else { Status::Complete };
    // What is missing is reported on standard error too.
    if cx.is_document() && !cx.is_quiet() && (status != Status::Complete || !troubles.is_empty()) {
        troubles.extend(notes.iter().map(|note: &Note| Trouble::incomplete(note.text.clone())));
    }
    let mut rows = files.rows;
    let has_totals = rows.len() > 1;
    rows.retain(|row| args.min_pages == 0 || row.counts.cached_pages >= Some(args.min_pages));
    if args.recursive {
        rows.sort_by(|a, b| (Reverse(a.counts.cached_pages), &a.path).cmp(&(Reverse(b.counts.cached_pages), &b.path)));
    }
    Ok(Reading { troubles, status, ..Reading::of(Report { files: rows, totals, has_totals }, notes) })
}

/// Files, as the driver runs them.
struct OfFiles<'a>(&'a Args);

impl Command for OfFiles<'_> {
    const SCHEMA: &'static str = "pmem.file/1";
    const ROWS: &'static str = "files";
    type Row = FileRow;
    type Report = Report;

    fn fields(&self) -> Vec<Field<FileRow>> {
        view::fields(self.0.mapped, self.0.runs)
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Report>> {
        // A column asks for what it needs.
        look(self.0, cx, self.0.runs || asked.has("runs"), self.0.mapped || asked.has("mapped_pages"))
    }

    fn rows(report: &Report) -> &[FileRow] {
        &report.files
    }

    fn rows_mut(report: &mut Report) -> &mut [FileRow] {
        &mut report.files
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let layout = shown.layout;
        let columns = shown.columns(&view::default_fields(layout.width, self.0.mapped, self.0.runs));
        let totals = &shown.report.totals;
        if shown.report.has_totals {
            let mut rows = shown.rows.to_vec();
            rows.push(totals.row(&format!("total of {} files", grouped_string(totals.files))));
            table::write(out, &columns, &rows, None, layout)?;
        } else {
            table::write(out, &columns, shown.rows, None, layout)?;
        }
        shown.write_more(out)?;
        view::write_runs(out, shown.rows, layout)?;
        view::write_unit(out, layout)?;
        shown.notes(out)
    }

    fn may_be_cut(&self) -> bool {
        self.0.recursive && !self.0.all && !self.0.runs
    }
}

/// Runs of cached pages, as the driver runs them.
struct Runs<'a>(&'a Args);

impl Command for Runs<'_> {
    const SCHEMA: &'static str = "pmem.file/1";
    const ROWS: &'static str = "runs";
    type Row = RunRow;
    type Report = OnlyRows<RunRow>;

    fn fields(&self) -> Vec<Field<RunRow>> {
        view::run_fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<OnlyRows<RunRow>>> {
        let Reading { report, notes, said, troubles, status, is_last } = look(self.0, cx, true, self.0.mapped)?;
        let runs_of = |row: FileRow| {
            let path = Arc::new(row.path);
            row.runs.into_iter().flatten().map(move |run| RunRow { path: Arc::clone(&path), run })
        };
        let report = report.map(|report| OnlyRows { rows: report.files.into_iter().flat_map(runs_of).collect() });
        Ok(Reading { report, notes, said, troubles, status, is_last })
    }

    fn rows(report: &OnlyRows<RunRow>) -> &[RunRow] {
        &report.rows
    }

    fn rows_mut(report: &mut OnlyRows<RunRow>) -> &mut [RunRow] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        shown.table(out, &shown.columns(&["path", "offset_bytes", "pages", "state"]), None)
    }
}

/// The pass over all paths, and what went wrong with some.
struct Look<'a> {
    args: &'a Args,
    is_verbose: bool,
    files: Files<'a>,
    progress: Progress,
    /// Directories that could not be read, and why.
    closed: Vec<String>,
    /// Whatever else could not be read.
    troubles: Vec<Trouble>,
}

impl<'a> Look<'a> {
    fn new(args: &'a Args, cx: &Context<'_>, files: Files<'a>) -> Self {
        let (is_verbose, progress) = (cx.is_verbose(), cx.progress());
        Self { args, is_verbose, files, progress, closed: Vec::new(), troubles: Vec::new() }
    }

    fn all(&mut self) -> Result<()> {
        for path in &self.args.paths {
            match self.one(path) {
                // A single path that cannot be read is the error; among several it is reported.
                Err(error) if self.args.paths.len() > 1 => self.tell(&format!("{error:#}")),
                other => other?,
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &Path) -> Result<()> {
        let wrong = |why: &str| Err(UsageError::Invalid(format!("{}: {why}", shown(path))).into());
        match self.files.look(path, true)? {
            Looked::File => Ok(()),
            Looked::Other => {
                wrong("it has no pages in the page cache: neither a regular file (on disk or tmpfs) nor a block device")
            }
            Looked::Directory if !self.args.recursive => wrong("is a directory; -r descends into it"),
            Looked::Directory if is_without_pages(path) => wrong("its file system keeps nothing in the page cache"),
            Looked::Directory => {
                self.below(path);
                Ok(())
            }
        }
    }

    fn below(&mut self, path: &Path) {
        let walk = WalkDir::new(path).min_depth(1).same_file_system(self.args.one_file_system);
        // With -x the walk stays out of them anyway; refusing them here would end the walk of the parent.
        let wanted = |entry: &DirEntry| {
            self.args.one_file_system || !entry.file_type().is_dir() || !is_without_pages(entry.path())
        };
        for entry in walk.into_iter().filter_entry(wanted) {
            let found = self.files.rows.len();
            self.progress.show(|| format!("{found} files"));
            match entry {
                Ok(entry) if entry.file_type().is_file() => match self.files.look(entry.path(), false) {
                    // It was removed since the listing: nothing is missing.
                    Err(error) if error.is_gone() => {}
                    Err(error) => self.tell(&error.to_string()),
                    Ok(_) => {}
                },
                Ok(_) => {}
                Err(error) => self.not_read(&error),
            }
        }
    }

    /// Records the error for a directory, unless it is gone.
    fn not_read(&mut self, error: &walkdir::Error) {
        let why = match error.io_error() {
            Some(cause) if cause.kind() == ErrorKind::NotFound => return,
            Some(cause) if cause.kind() == ErrorKind::PermissionDenied => "permission denied".to_owned(),
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        };
        self.closed.push(format!("{}: {why}", error.path().map(shown).unwrap_or_default()));
    }

    fn tell(&mut self, text: &str) {
        self.troubles.push(Trouble::incomplete(text));
    }

    /// Reports what could not be read. If that was everything, it is the error.
    fn finish(mut self) -> Result<(Files<'a>, Vec<Trouble>)> {
        const TOLD: usize = 3;
        let closed = std::mem::take(&mut self.closed);
        let told = if self.is_verbose { closed.len() } else { TOLD.min(closed.len()) };
        closed[..told].iter().for_each(|text| self.tell(text));
        if closed.len() > told {
            self.tell(&format!("{} more directories could not be read (-v lists them)", closed.len() - told));
        }
        let refused = self.files.rows.iter().all(|row| row.refused.is_some());
        match self.files.refusal.take_if(|_| refused) {
            Some((path, error)) => {
                let error = anyhow::Error::new(error).context(whose(&path, self.files.rows.len()));
                Err(self.fail(error))
            }
            None => Ok((self.files, self.troubles)),
        }
    }

    /// The error, after printing what else went wrong: nothing else will print it.
    fn fail(&mut self, error: anyhow::Error) -> anyhow::Error {
        self.progress.wipe();
        self.troubles.iter().for_each(|trouble| say(&trouble.text));
        error
    }
}

/// The subject of a refusal that affects all files.
fn whose(path: &Name, files: usize) -> String {
    match files {
        1 => path.escaped().into_owned(),
        _ => format!("none of {files} files could be read; {}", path.escaped()),
    }
}

fn shown(path: &Path) -> String {
    let name: &OsStr = path.as_ref();
    escaped(name.as_bytes()).into_owned()
}
