//! The rounds of `pmem frames`: processes are counted one by one and shown in the form that was asked for.

use std::cell::RefCell;
use std::io::Write;
use std::thread::sleep;

use anyhow::Result;

use super::columns::Chosen;
use super::frames::Args;
use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::progress::Progress;
use super::status::{Status, UsageError, explain, say};
use super::target::{self, Target};
use crate::analysis::frames::change::Before;
use crate::analysis::frames::count::Counter;
use crate::analysis::frames::select::Wanted;
use crate::analysis::frames::{NamedProcess, NamedRow, ProcessFrames};
use crate::analysis::note::Note;
use crate::error::Error;
use crate::kernel::access::what_would_help;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::name::{Name, as_comm};
use crate::view::record::Cell;
use crate::view::table::Layout;
use crate::view::{csv, frames as view, json, notes, time};

/// One run of the command: what stays the same from round to round, and what is remembered.
pub(super) struct Session<'a> {
    args: &'a Args,
    global: &'a GlobalOptions,
    root: &'a Root,
    layout: Layout,
    chosen: Chosen,
    counter: Counter<'a>,
    before: Vec<Before>,
    boot_time: Option<i64>,
    /// Whether each process is a line of one table.
    as_lines: bool,
    status: Status,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        args: &'a Args,
        global: &'a GlobalOptions,
        root: &'a Root,
        layout: Layout,
        chosen: Chosen,
        wanted: Wanted,
    ) -> Result<Self> {
        if !global.quiet {
            chosen.notes().iter().for_each(|note| say(&note.text));
        }
        // One process's ledger reads best in words, several's as a table.
        let several = args.all || args.targets.len() > 1 || matches!(args.targets[..], [Target::Comm(_)]);
        Ok(Self {
            args,
            global,
            root,
            layout,
            chosen,
            counter: Counter::new(root, wanted)?,
            before: Vec::new(),
            boot_time: root.boot_time(),
            as_lines: args.summary && (several || global.columns.is_some()),
            status: Status::Complete,
        })
    }

    /// What there is to say at the end, and the status.
    pub(super) fn end(self) -> Status {
        if self.global.verbose {
            let cost = self.counter.cost;
            let calls = if cost.calls == 1 { "call" } else { "calls" };
            say(&format!("{} PAGEMAP_SCAN {calls}, the longest {:?}", cost.calls, cost.longest));
        }
        self.status
    }

    fn is_repeated(&self) -> bool {
        self.args.repeat.rounds() != Some(1)
    }

    pub(super) fn rounds(&mut self, output: &mut Output) -> Result<()> {
        let mut done = 0;
        loop {
            let processes = self.find(done == 0)?;
            if processes.is_empty() && done > 0 {
                break;
            }
            if self.is_repeated() && self.global.format() == Format::Table {
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
            Err(error) if !first && error.downcast_ref::<UsageError>().is_some() => {
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
        if !self.args.all {
            for ended in self.before.iter().map(Before::pid).filter(|pid| !found.pids.contains(pid)) {
                say(&format!("{ended}: the process has ended"));
                self.status = self.status.max(Status::Incomplete);
            }
        }
        Ok(found.pids)
    }

    fn round(&mut self, pids: Vec<u32>, first: bool, output: &mut Output) -> Result<()> {
        match self.global.format() {
            Format::Json => self.write_json(pids, output),
            Format::Jsonl if self.args.summary => {
                self.each(pids, |session, process| session.write_summary_line(output, &process))
            }
            Format::Jsonl => self.each(pids, |session, process| session.write_vma_lines(output, &process)),
            Format::Csv => self.write_csv(pids, first, output),
            Format::Table if self.as_lines => self.write_lines(pids, output),
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
        self.before = round.finish(self);
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
        Ok(notes::write(out, &process.notes, &self.layout)?)
    }

    /// Notes where the output has no place for them.
    fn say_notes(&self, process: &ProcessFrames) {
        let shown = process.notes.iter().filter(|note| !note.in_json_only && !self.global.quiet);
        shown.for_each(|note| say(&format!("{}: {}", process.pid, note.text)));
    }

    /// A line for each process.
    fn write_lines(&mut self, pids: Vec<u32>, out: &mut dyn Write) -> Result<()> {
        let mut processes = Vec::new();
        self.each(pids, |_, process| {
            processes.push(process);
            Ok(())
        })?;
        self.chosen.sort(&mut processes, &self.chosen.process_columns);
        let columns = self.chosen.shown(&self.chosen.process_columns);
        crate::view::table::write(out, &columns, &processes, Some("total"), &self.layout)?;
        view::write_processes_end(out, processes.len(), &self.layout)?;
        Ok(notes::write(out, processes.iter().flat_map(|process| &process.notes), &self.layout)?)
    }

    fn write_csv(&mut self, pids: Vec<u32>, headings: bool, out: &mut dyn Write) -> Result<()> {
        let mut writer = csv::Writer::new(out, headings && !self.global.no_headings);
        if self.args.summary {
            return self.each(pids, |session, process| {
                session.say_notes(&process);
                let columns = session.chosen.shown(&session.chosen.process_columns);
                Ok(writer.rows(&[], &[], &columns, &[process])?)
            });
        }
        self.each(pids, |session, process| {
            session.say_notes(&process);
            let columns = session.chosen.shown(&session.chosen.vma_columns);
            let before = [Cell::Id(u64::from(process.pid)), Cell::Name(&process.comm)];
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
        let failed = RefCell::new(None);
        let notes = RefCell::new(self.chosen.notes());
        let (time, host, source) = (time::now(), self.root.host(), self.root.source());
        {
            let (summary, with_owners) = (self.args.summary, self.counter.wanted().owners);
            let keys = self.chosen.smaps_keys.clone();
            let processes = pids.into_iter().filter_map(|pid| match round.count(self, pid) {
                Ok(Some(process)) => {
                    notes.borrow_mut().extend(process.notes.iter().cloned());
                    Some(NamedProcess { process, smaps_keys: &keys, with_owners, summary })
                }
                Ok(None) => {
                    notes.borrow_mut().append(&mut round.failures);
                    None
                }
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
            // Serialized after the processes, when all that failed is known.
            let document = json::Document { schema: SCHEMA, time: &time, host, source, data, notes: &notes };
            json::pretty(out, &document)?;
        }
        self.before = round.finish(self);
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn write_summary_line(&self, out: &mut dyn Write, process: &ProcessFrames) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            process: NamedProcess<'a, &'a ProcessFrames>,
        }
        self.say_notes(process);
        let process =
            NamedProcess { process, smaps_keys: &[], with_owners: self.counter.wanted().owners, summary: true };
        Ok(json::line(out, &Line { time: time::now(), process })?)
    }

    fn write_vma_lines(&self, out: &mut dyn Write, process: &ProcessFrames) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            time: &'a str,
            pid: u32,
            #[serde(flatten, serialize_with = "as_comm")]
            comm: &'a Name,
            #[serde(flatten)]
            row: NamedRow<'a>,
        }
        self.say_notes(process);
        let (time, wanted) = (time::now(), self.counter.wanted());
        for row in &process.vmas {
            let row = NamedRow { row, smaps_keys: &wanted.smaps_keys, with_owners: wanted.owners };
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
    /// Processes that were not to be looked at, where they are told together.
    closed: usize,
    help: Option<&'static str>,
    failures: Vec<Note>,
    before: Vec<Before>,
    progress: Progress,
}

impl Counting {
    fn new(session: &Session<'_>, pids: &[u32]) -> Self {
        let progress = Progress::new(session.global.quiet);
        let (failures, before) = (Vec::new(), Vec::new());
        Self { total: pids.len(), done: 0, closed: 0, help: None, failures, before, progress }
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
        if session.is_repeated() {
            self.before.extend(Before::of(&report));
        }
        let rows = &session.counter.wanted().rows;
        report.vmas.retain(|row| rows.keeps(row));
        // Of all processes, those are wanted that have something to show.
        let shows = report.ledger.is_some() && (session.args.summary || !rows.is_narrow() || !report.vmas.is_empty());
        if session.args.all && !shows {
            return Ok(None);
        }
        session.chosen.sort(&mut report.vmas, &session.chosen.vma_columns);
        Ok(Some(report))
    }

    fn tell(&mut self, session: &mut Session<'_>, pid: u32, error: &Error) {
        session.status = session.status.max(Status::Incomplete);
        let text = match has_ended(session, error) {
            true => "the process ended while it was being looked at".to_owned(),
            false => error.to_string(),
        };
        self.failures.push(Note::of(pid, "not-counted", &text));
        self.help = self.help.or(what_would_help(error));
        if session.args.all && !session.global.verbose && matches!(error, Error::Denied { .. }) {
            self.closed += 1;
        } else {
            say(&format!("{pid}: {text}"));
        }
    }

    /// Ends the round: what was not to be looked at is told. Returns what the next round compares with.
    fn finish(mut self, session: &Session<'_>) -> Vec<Before> {
        self.progress.wipe();
        if self.closed > 0 {
            say(&format!(
                "{} of {} processes could not be looked at: permission denied (-v: which)",
                self.closed, self.total
            ));
        }
        if let Some(help) = self.help.filter(|_| !session.global.quiet) {
            explain(help);
        }
        self.before
    }
}

/// Whether the error says that the process has ended. In a recorded tree nothing ends: there a file is missing.
fn has_ended(session: &Session<'_>, error: &Error) -> bool {
    error.is_gone() && !session.root.is_recorded()
}
