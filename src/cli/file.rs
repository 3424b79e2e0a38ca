//! `pmem file`: how much of each file is in the page cache.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::progress::Progress;
use super::status::{Status, UsageError, say};
use crate::analysis::file::{FileRow, Files, Looked, Totals};
use crate::cli::run::old::Report;
use crate::cli::run::old::{Choice, write_csv};
use crate::kernel::page_cache::is_without_pages;
use crate::kernel::root::Root;
use crate::name::{Name, escaped};
use crate::view::cell::Cell;
use crate::view::file as view;
use crate::view::size::grouped_string;

/// Tell how much of each file is in the page cache
///
/// Shows how many pages of each file are cached and dirty, and on request which, and how many of them processes have
/// mapped. Nothing is read or touched for that. The kernel tells it to a file's owner, to who may write to it, and to
/// CAP_FOWNER; for others pmem refuses, instead of taking mincore's word that all is cached. Where one page of a folio is
/// dirty, the kernel counts all of it as dirty.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem file --runs data.db         which parts of a file are cached, and which are dirty
  sudo pmem file -rx / --min-pages 256
                                   what fills the page cache: files with 1 MiB and more, largest first
  pmem file -r -s -mapped /usr/lib
                                   of each library, how many pages are mapped by anybody
  pmem file --json *.log | jq .data.totals.cached_pages")]
pub struct Args {
    /// Files, or with -r directories
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Look at the regular files in directories and below, largest in the cache first; links are not followed
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
    /// Each page counts once, however many map it; pmem's own mappings count too. A page that a process has written to in
    /// a private mapping is a copy of its own, and no page of the file. Who maps the file through an overlay that lies
    /// over it is not found: ask for the path on the overlay.
    #[arg(long)]
    mapped: bool,
    /// Show files with at least so many cached pages; the totals are of all
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_pages: u64,
}

#[derive(Serialize)]
struct Data<'a> {
    files: &'a [FileRow],
    totals: &'a Totals,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.root != Path::new("/") {
        let text = "--root: a recorded tree has no page cache; 'file' looks at the machine it runs on";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    let choice = Choice::new(global, view::columns(), &view::default_columns(layout.width, args.mapped, args.runs))?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    // A column asks for what it needs.
    let sort = global.sort.as_deref().map(|name| name.trim_start_matches('-'));
    let asked = |name| sort == Some(name) || choice.shown().iter().any(|column| column.name == name);
    let (with_runs, with_mapped) = (args.runs || asked("runs"), args.mapped || asked("mapped"));

    let mut look = Look::new(args, global, Files::new(&root, with_runs, with_mapped));
    look.all()?;
    let (mut files, status) = look.finish()?;
    if with_mapped {
        let mut progress = Progress::new(global.quiet);
        files.find_mapped(|done, all| progress.show(|| format!("{done} of {all} processes")))?;
    }
    let status = status.max(if files.is_incomplete() { Status::Incomplete } else { Status::Complete });
    let (totals, notes) = (files.totals(), files.notes());
    let mut rows = files.rows;
    let several = rows.len() > 1;
    rows.retain(|row| args.min_pages == 0 || row.counts.cached_pages >= Some(args.min_pages));
    if args.recursive {
        rows.sort_by(|a, b| (Reverse(a.counts.cached_pages), &a.path).cmp(&(Reverse(b.counts.cached_pages), &b.path)));
    }
    choice.sort(&mut rows);
    match global.format() {
        Format::Table if several => rows.push(totals.row(&format!("total of {} files", grouped_string(totals.files)))),
        Format::Csv if args.runs => {
            write_runs(output, global, &rows)?;
            return Ok(status);
        }
        // What is missing is told on standard error too.
        Format::Json if status != Status::Complete && !global.quiet => notes.iter().for_each(|note| say(&note.text)),
        _ => {}
    }
    let data = Data { files: &rows, totals: &totals };
    let report = Report { schema: "pmem.file/1", data, rows: &rows, choice: &choice, notes };
    report.write(output, global, &root, |out, data, notes| {
        view::write(out, &choice.columns(), data.files, notes, &layout)
    })?;
    Ok(status)
}

/// The runs of all files as CSV: a record each.
fn write_runs(output: &mut Output, global: &GlobalOptions, rows: &[FileRow]) -> Result<()> {
    let columns = view::run_columns();
    for (number, row) in rows.iter().enumerate() {
        let runs = row.runs.as_deref().unwrap_or_default();
        let before = [("name", Cell::Name(&row.path))];
        let headings = number == 0 && !global.no_headings;
        write_csv(output, headings, &before, &columns.iter().collect::<Vec<_>>(), runs)?;
    }
    Ok(())
}

/// The look at all paths, and what went wrong with some.
struct Look<'a> {
    args: &'a Args,
    global: &'a GlobalOptions,
    files: Files<'a>,
    progress: Progress,
    /// Directories that could not be read, and why.
    closed: Vec<String>,
    status: Status,
}

impl<'a> Look<'a> {
    fn new(args: &'a Args, global: &'a GlobalOptions, files: Files<'a>) -> Self {
        let progress = Progress::new(global.quiet);
        Self { args, global, files, progress, closed: Vec::new(), status: Status::Complete }
    }

    fn all(&mut self) -> Result<()> {
        for path in &self.args.paths {
            match self.one(path) {
                // One that cannot be looked at is the error, among several it is told.
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
            Looked::Other => wrong(
                "it has no pages in the page cache: neither a regular file (of a disk or tmpfs) nor a block device",
            ),
            Looked::Directory if !self.args.recursive => wrong("a directory; -r looks at the files in it"),
            Looked::Directory if is_without_pages(path) => wrong("its file system keeps nothing in the page cache"),
            Looked::Directory => {
                self.below(path);
                Ok(())
            }
        }
    }

    fn below(&mut self, path: &Path) {
        let walk = WalkDir::new(path).min_depth(1).same_file_system(self.args.one_file_system);
        // With -x the walk stays out of them by itself; to refuse them again would end its look at the parent.
        let wanted = |entry: &DirEntry| {
            self.args.one_file_system || !entry.file_type().is_dir() || !is_without_pages(entry.path())
        };
        for entry in walk.into_iter().filter_entry(wanted) {
            let found = self.files.rows.len();
            self.progress.show(|| format!("{found} files"));
            match entry {
                Ok(entry) if entry.file_type().is_file() => match self.files.look(entry.path(), false) {
                    // It went between the listing and now: there is nothing to miss.
                    Err(error) if error.is_gone() => {}
                    Err(error) => self.tell(&error.to_string()),
                    Ok(_) => {}
                },
                Ok(_) => {}
                Err(error) => self.not_read(&error),
            }
        }
    }

    /// Keeps what is wrong with a directory, unless it is gone.
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
        self.progress.wipe();
        say(text);
        self.status = Status::Incomplete;
    }

    /// Tells what could not be looked at. Where that was everything, it is the error.
    fn finish(mut self) -> Result<(Files<'a>, Status)> {
        const TOLD: usize = 3;
        let closed = std::mem::take(&mut self.closed);
        let told = if self.global.verbose { closed.len() } else { TOLD.min(closed.len()) };
        closed[..told].iter().for_each(|text| self.tell(text));
        if closed.len() > told {
            self.tell(&format!("{} more directories could not be read (-v: which)", closed.len() - told));
        }
        let refused = self.files.rows.iter().all(|row| row.refused.is_some());
        match self.files.refusal.take_if(|_| refused) {
            Some((path, error)) => Err(anyhow::Error::new(error).context(whose(&path, self.files.rows.len()))),
            None => Ok((self.files, self.status)),
        }
    }
}

/// Whom a refusal is about, where it is about all files.
fn whose(path: &Name, files: usize) -> String {
    match files {
        1 => path.escaped().into_owned(),
        _ => format!("none of {files} files could be looked at; {}", path.escaped()),
    }
}

fn shown(path: &Path) -> String {
    let name: &OsStr = path.as_ref();
    escaped(name.as_bytes()).into_owned()
}
