//! `pmem frames`: a process's frames, counted to the page, and every other number explained.

use std::io::Write;
use std::ops::Range;
use std::thread::sleep;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{Format, GlobalOptions, Repeat};
use super::output::Output;
use super::progress::Progress;
use super::status::{Refusal, Status, explain, say};
use super::target::{self, Target};
use crate::analysis::change::Before;
use crate::analysis::count::Counter;
use crate::analysis::frames::{NamedProcess, NamedRow, ProcessFrames, VmaRow};
use crate::analysis::kind::Kind;
use crate::analysis::note::Note;
use crate::analysis::select::{Selection, Wanted};
use crate::error::Error;
use crate::kernel::access::what_would_help;
use crate::kernel::process::{Process, smaps_keys};
use crate::kernel::root::Root;
use crate::model::smaps::KNOWN_KEYS;
use crate::unit::VirtAddr;
use crate::view::record::{Cell, Column, sort};
use crate::view::table::{Layout, write_help};
use crate::view::{csv, frames as view, json, time};

/// Count a process's page frames, and explain every other number
///
/// Shows, for each mapping, how many of its page-table entries are present, and a ledger that takes them to the frames the
/// process really has, beside what statm (and with --verify smaps) says of them. Without a target it looks at the process
/// that started pmem.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem frames --verify 1234        a process, with smaps as a second witness
  pmem frames --all --summary -s -resident
                                   every process, largest first
  pmem frames postgres -o +Pss,Swap,VmFlags --min-pages 1
                                   by name, with columns of smaps, mappings that hold something
  sudo pmem frames --owners 1234   who shares the frames: exclusive, shared, PSS")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' for a name of digits only)
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Look at every process
    #[arg(short, long, conflicts_with = "targets")]
    all: bool,
    /// Show the ledger only; for several processes, a line each
    #[arg(long)]
    summary: bool,
    /// Compare with smaps_rollup too
    #[arg(long)]
    verify: bool,
    /// Say how frames are shared: exclusive, shared and PSS (needs to see frame numbers)
    #[arg(long)]
    owners: bool,
    /// Show mappings between these addresses, cut to them
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Range<VirtAddr>>,
    /// Show mappings whose name contains this
    #[arg(long = "match", value_name = "TEXT")]
    name_contains: Option<String>,
    /// Show mappings of these kinds
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    /// Show mappings with at least so many present, swapped or guard pages
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_pages: u64,
    #[command(flatten)]
    repeat: Repeat,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    let chosen = Chosen::new(args, global, &root, &layout)?;
    if let Some(help) = &chosen.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let wanted = Wanted {
        verify: args.verify,
        owners: args.owners,
        smaps_keys: chosen.smaps_keys.clone(),
        rows: Selection {
            range: args.range.clone(),
            name_contains: args.name_contains.as_ref().map(|text| text.clone().into_bytes()),
            kinds: args.kinds.clone(),
            min_pages: args.min_pages,
        },
    };
    let mut session = Session {
        args,
        global,
        root: &root,
        layout,
        chosen,
        counter: Counter::new(&root, wanted)?,
        before: Vec::new(),
        boot_time: root.boot_time(),
        status: Status::Complete,
    };
    if !global.quiet {
        session.chosen.notes().iter().for_each(|note| say(&note.text));
    }
    session.rounds(output)?;
    if global.verbose {
        let cost = session.counter.cost;
        say(&format!("{} PAGEMAP_SCAN calls, the longest {:?}", cost.calls, cost.longest));
    }
    Ok(session.status)
}

/// The columns and the order that were chosen.
struct Chosen {
    vma_columns: Vec<Column<VmaRow>>,
    process_columns: Vec<Column<ProcessFrames>>,
    /// The names of those that are shown: of mappings, or with `--summary` of processes.
    names: Vec<String>,
    smaps_keys: Vec<String>,
    /// Those that this kernel does not have.
    absent: Vec<String>,
    sort: Option<(String, bool)>,
    /// What `--columns help` prints.
    help: Option<Vec<u8>>,
}

impl Chosen {
    fn new(args: &Args, global: &GlobalOptions, root: &Root, layout: &Layout) -> Result<Self> {
        let rounds = args.repeat.rounds() != Some(1);
        let default = match args.summary {
            true => view::default_process_columns(layout.width, args.verify, rounds),
            false => view::default_vma_columns(layout.width, args.owners, rounds),
        };
        let (sort, descending) = match global.sort.as_deref() {
            None => (None, false),
            Some(name) => match name.strip_prefix('-') {
                Some(name) => (Some(name), true),
                None => (Some(name), false),
            },
        };
        let list = global.columns.as_deref();
        let names = named(list, &default);
        let mut chosen = Self {
            vma_columns: view::vma_columns(&[]),
            process_columns: view::process_columns(),
            names,
            smaps_keys: Vec::new(),
            absent: Vec::new(),
            sort: sort.map(|name| (name.to_owned(), descending)),
            help: None,
        };
        if list == Some("help") {
            chosen.help = Some(columns_help(&chosen, &smaps_keys(root))?);
            return Ok(chosen);
        }
        let known: Vec<&str> = match args.summary {
            true => chosen.process_columns.iter().map(|c| c.name.as_str()).collect(),
            false => chosen.vma_columns.iter().map(|c| c.name.as_str()).collect(),
        };
        let mut other: Vec<String> = Vec::new();
        for name in chosen.names.iter().map(String::as_str).chain(sort) {
            if !known.contains(&name) && !other.iter().any(|o| o == name) {
                other.push(name.to_owned());
            }
        }
        if !other.is_empty() {
            let here = smaps_keys(root);
            chosen.absent = other.iter().filter(|name| !here.contains(name)).cloned().collect();
            let unknown = |name: &&String| !here.contains(name) && !KNOWN_KEYS.contains(&name.as_str());
            if let Some(name) = other.iter().find(|name| args.summary || unknown(name)) {
                let of = if args.summary { "processes (--summary)" } else { "mappings" };
                return Err(
                    Refusal::Usage(format!("{name}: no such column of {of}; '--columns help' lists them")).into()
                );
            }
        }
        chosen.vma_columns = view::vma_columns(&other);
        chosen.smaps_keys = other;
        Ok(chosen)
    }

    /// What there is to say of the choice.
    fn notes(&self) -> Vec<Note> {
        let text = |key| format!("smaps has no {key} on this kernel");
        self.absent.iter().map(|key| Note::general("no-such-key", text(key))).collect()
    }

    /// The shown ones among `columns`, in the order they were asked for.
    fn shown<'c, R>(&self, columns: &'c [Column<R>]) -> Vec<&'c Column<R>> {
        self.names.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).collect()
    }

    fn sort<R>(&self, rows: &mut [R], columns: &[Column<R>]) {
        if let Some((name, descending)) = &self.sort
            && let Some(column) = columns.iter().find(|column| column.name == *name)
        {
            sort(rows, column, *descending);
        }
    }
}

/// The names of a `--columns` list: those it has, or with `+` before them the default ones and these, before the last,
/// which takes what is left of a line.
fn named(list: Option<&str>, default: &[&str]) -> Vec<String> {
    let (mut names, last): (Vec<&str>, Option<&str>) = match list.map(|list| (list, list.strip_prefix('+'))) {
        None => (default.to_vec(), None),
        Some((list, None)) => (list.split(',').collect(), None),
        Some((_, Some(more))) => {
            let added = more.split(',').map(|name| name.strip_prefix('+').unwrap_or(name));
            let (last, first) = default.split_last().map_or((None, default), |(last, first)| (Some(*last), first));
            (first.iter().copied().chain(added.filter(|name| last != Some(name))).collect(), last)
        }
    };
    names.extend(last);
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    names.into_iter().map(str::to_owned).collect()
}

fn columns_help(chosen: &Chosen, smaps_keys: &[String]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    writeln!(out, "Columns of mappings:")?;
    write_help(&mut out, &chosen.vma_columns)?;
    writeln!(out, "\nKeys of smaps, by the kernel's names, in bytes (VmFlags in words):")?;
    let keys: Vec<&str> = smaps_keys.iter().map(String::as_str).collect();
    write!(out, "{}", crate::view::table::wrapped(&keys.join(" "), 80, 2))?;
    writeln!(out, "\nColumns of processes (--summary):")?;
    write_help(&mut out, &chosen.process_columns)?;
    Ok(out)
}

/// One run of the command: what stays the same from round to round, and what is remembered.
struct Session<'a> {
    args: &'a Args,
    global: &'a GlobalOptions,
    root: &'a Root,
    layout: Layout,
    chosen: Chosen,
    counter: Counter<'a>,
    before: Vec<Before>,
    boot_time: Option<i64>,
    status: Status,
}

impl Session<'_> {
    fn rounds(&mut self, output: &mut Output) -> Result<()> {
        let repeated = self.args.repeat.rounds() != Some(1);
        let mut done = 0;
        loop {
            let processes = self.find(done == 0)?;
            if processes.is_empty() && done > 0 {
                break;
            }
            if repeated && self.global.format() == Format::Table {
                writeln!(output, "{}{}", if done > 0 { "\n" } else { "" }, time::clock())?;
            }
            self.round(processes, done == 0, output)?;
            output.flush()?;
            done += 1;
            if self.args.repeat.rounds().is_some_and(|rounds| done >= rounds) {
                break;
            }
            sleep(self.args.repeat.pause());
        }
        Ok(())
    }

    /// The processes of the next round.
    fn find(&mut self, first: bool) -> Result<Vec<u32>> {
        let found = match target::find(self.root, &self.args.targets, self.args.all) {
            // What was there a moment ago has ended: that is how a watch ends, and it is told.
            Err(error) if !first && error.downcast_ref::<Refusal>().is_some() => {
                say(&format!("{error}"));
                self.status = self.status.max(Status::Incomplete);
                return Ok(Vec::new());
            }
            other => other?,
        };
        for missing in &found.missing {
            say(missing);
            self.status = self.status.max(Status::Incomplete);
        }
        if let Some(remark) = found.remark.filter(|_| first && !self.global.quiet) {
            say(&remark);
        }
        Ok(found.pids)
    }

    fn round(&mut self, pids: Vec<u32>, first: bool, output: &mut Output) -> Result<()> {
        let summary = self.args.summary;
        // One process's ledger reads best in words, several's as a table.
        let lines = summary && (self.args.all || pids.len() > 1);
        match self.global.format() {
            Format::Json => self.write_json(pids, output),
            Format::Jsonl if summary => {
                self.each(pids, |session, process| session.write_summary_line(output, &process))
            }
            Format::Jsonl => self.each(pids, |session, process| session.write_vma_lines(output, &process)),
            Format::Csv => self.write_csv(pids, first, output),
            Format::Table if lines || (summary && self.global.columns.is_some()) => self.write_lines(pids, output),
            Format::Table => {
                let mut between = false;
                self.each(pids, |session, process| {
                    if std::mem::replace(&mut between, true) {
                        writeln!(output)?;
                    }
                    session.write_process(output, &process)
                })
            }
        }
    }

    /// Counts processes one by one and hands each to `show`; what cannot be counted is told and remembered.
    fn each(&mut self, pids: Vec<u32>, mut show: impl FnMut(&Self, ProcessFrames) -> Result<()>) -> Result<()> {
        let mut round = Counting::new(self, &pids);
        for pid in pids {
            if let Some(process) = round.count(self, pid)? {
                round.progress.wipe();
                show(self, process)?;
            }
        }
        self.before = round.before;
        Ok(())
    }

    fn write_process(&self, out: &mut dyn Write, process: &ProcessFrames) -> Result<()> {
        let zone = if self.root.is_recorded() { time::Zone::Utc } else { time::Zone::Local };
        let ticks = self.root.clock_ticks();
        let started = self.boot_time.and_then(|boot| time::started(boot, process.start_time_ticks, ticks, zone));
        view::write_head(out, process, started.as_deref(), &self.layout)?;
        if let Some(why) = process.no_address_space {
            return Ok(view::write_no_address_space(out, why)?);
        }
        writeln!(out)?;
        if !self.args.summary {
            view::write_vmas(out, process, &self.chosen.shown(&self.chosen.vma_columns), &self.layout)?;
            writeln!(out)?;
        }
        view::write_ledger(out, process, &self.layout)?;
        Ok(view::write_notes(out, &process.notes, &self.layout)?)
    }

    /// A line for each process.
    fn write_lines(&mut self, pids: Vec<u32>, out: &mut dyn Write) -> Result<()> {
        let mut processes = Vec::new();
        self.each(pids, |_, process| {
            processes.push(process);
            Ok(())
        })?;
        // Threads of the kernel are nothing to count; one that was asked for by name is told.
        if self.args.all {
            processes.retain(|process| process.ledger.is_some());
        }
        self.chosen.sort(&mut processes, &self.chosen.process_columns);
        let columns = self.chosen.shown(&self.chosen.process_columns);
        crate::view::table::write(out, &columns, &processes, Some("total"), &self.layout)?;
        for process in &processes {
            view::write_notes(out, &process.notes, &self.layout)?;
        }
        Ok(())
    }

    fn write_csv(&mut self, pids: Vec<u32>, headings: bool, out: &mut dyn Write) -> Result<()> {
        let mut writer = csv::Writer::new(out, headings && !self.global.no_headings);
        if self.args.summary {
            return self.each(pids, |session, process| {
                let columns = session.chosen.shown(&session.chosen.process_columns);
                Ok(writer.rows(&[], &[], &columns, &[process])?)
            });
        }
        self.each(pids, |session, process| {
            let columns = session.chosen.shown(&session.chosen.vma_columns);
            let before = [Cell::Number(u64::from(process.pid)), Cell::Name(&process.comm)];
            Ok(writer.rows(&["pid", "comm"], &before, &columns, &process.vmas)?)
        })
    }

    fn write_json(&mut self, pids: Vec<u32>, out: &mut dyn Write) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Data<P> {
            processes: P,
        }
        let mut round = Counting::new(self, &pids);
        // Counting goes on while the document is written; what fails is kept until then.
        let failed = std::cell::RefCell::new(None);
        let notes = std::cell::RefCell::new(self.chosen.notes());
        let (time, host, source) = (time::now(), self.root.host(), self.source());
        {
            let (summary, with_owners) = (self.args.summary, self.args.owners);
            let keys = self.chosen.smaps_keys.clone();
            let processes = pids.into_iter().filter_map(|pid| match round.count(self, pid) {
                Ok(Some(process)) => {
                    notes.borrow_mut().extend(process.notes.iter().cloned());
                    Some(NamedProcess { process, smaps_keys: &keys, with_owners, summary })
                }
                Ok(None) => None,
                Err(error) => {
                    failed.replace(Some(error));
                    None
                }
            });
            // The first is counted before anything is written: one that cannot be is an error and no document.
            let mut processes = processes.peekable();
            if processes.peek().is_none()
                && let Some(error) = failed.take()
            {
                return Err(error);
            }
            let data = Data { processes: json::Lazy::new(processes) };
            let document = json::Document { schema: SCHEMA, time: &time, host, source, data, notes: &notes };
            json::pretty(out, &document)?;
        }
        self.before = round.before;
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn source(&self) -> &'static str {
        if self.root.is_recorded() { "recorded" } else { "live" }
    }

    fn write_summary_line(&self, out: &mut dyn Write, process: &ProcessFrames) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            process: NamedProcess<'a, &'a ProcessFrames>,
        }
        let process = NamedProcess { process, smaps_keys: &[], with_owners: false, summary: true };
        Ok(json::line(out, &Line { time: time::now(), process })?)
    }

    fn write_vma_lines(&self, out: &mut dyn Write, process: &ProcessFrames) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            time: &'a str,
            pid: u32,
            #[serde(flatten, serialize_with = "as_comm")]
            comm: &'a crate::name::Name,
            #[serde(flatten)]
            row: NamedRow<'a>,
        }
        fn as_comm<S: serde::Serializer>(name: &&crate::name::Name, serializer: S) -> Result<S::Ok, S::Error> {
            crate::name::as_comm(name, serializer)
        }
        let time = time::now();
        for row in &process.vmas {
            let row = NamedRow { row, smaps_keys: &self.chosen.smaps_keys, with_owners: self.args.owners };
            json::line(out, &Line { time: &time, pid: process.pid, comm: &process.comm, row })?;
        }
        Ok(())
    }
}

/// The schema of the JSON document.
const SCHEMA: &str = "pmem.frames/1";

/// One round of counting: what it has told already, and what the next round will want to know.
struct Counting {
    total: usize,
    done: usize,
    hinted: bool,
    before: Vec<Before>,
    progress: Progress,
}

impl Counting {
    fn new(session: &Session<'_>, pids: &[u32]) -> Self {
        let progress = Progress::new(session.global.quiet);
        Self { total: pids.len(), done: 0, hinted: false, before: Vec::new(), progress }
    }

    /// Counts one process. One that cannot be counted is told, unless it is the only one: then it is the error.
    fn count(&mut self, session: &mut Session<'_>, pid: u32) -> Result<Option<ProcessFrames>> {
        self.done += 1;
        self.progress.show(|| format!("{} of {} processes", self.done, self.total));
        let process = match Process::open(session.root, pid) {
            // It ended between the listing and now: there is nothing to miss.
            Err(error) if error.is_gone() && session.args.all => return Ok(None),
            other => other,
        };
        let mut report = match process.and_then(|process| session.counter.count(&process)) {
            Ok(report) => report,
            Err(error) if self.total == 1 && !has_ended(session, &error) => return Err(error.into()),
            Err(error) => {
                self.progress.wipe();
                self.tell(session, pid, &error);
                return Ok(None);
            }
        };
        if let Some(before) = session.before.iter().find(|before| before.is_of(&report)) {
            before.compare(&mut report);
        }
        if session.args.repeat.rounds() != Some(1) {
            self.before.extend(Before::of(&report));
        }
        session.chosen.sort(&mut report.vmas, &session.chosen.vma_columns);
        Ok(Some(report))
    }

    fn tell(&mut self, session: &mut Session<'_>, pid: u32, error: &Error) {
        session.status = session.status.max(Status::Incomplete);
        if has_ended(session, error) {
            return say(&format!("{pid}: the process ended while it was being looked at"));
        }
        say(&format!("{pid}: {error}"));
        if let Some(help) = what_would_help(error)
            && !session.global.quiet
            && !std::mem::replace(&mut self.hinted, true)
        {
            explain(help);
        }
    }
}

/// Whether the error says that the process has ended. In a recorded tree nothing ends: there a file is missing.
fn has_ended(session: &Session<'_>, error: &Error) -> bool {
    error.is_gone() && !session.root.is_recorded()
}

fn range(text: &str) -> Result<Range<VirtAddr>, String> {
    let address = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        u64::from_str_radix(digits, 16).map(VirtAddr).map_err(|_| format!("'{text}' is not a hexadecimal address"))
    };
    let (low, high) = text.split_once('-').ok_or("expected LOW-HIGH, two hexadecimal addresses")?;
    let range = address(low)?..address(high)?;
    if range.is_empty() { Err("the range is empty".to_owned()) } else { Ok(range) }
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| format!("expected one of {}", names()))
}
