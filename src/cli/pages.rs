//! `pmem pages`: a process's pages, each with its frame, as runs.

use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::scope;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::frames::range;
use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::progress::Progress;
use super::status::{Status, UsageError, explain, say};
use super::target::{self, Target};
use crate::analysis::frames::count::swap_areas;
use crate::analysis::note::Note;
use crate::analysis::pages::{PageReader, Run, Totals, Wanted};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::processes::seen_through::seen_through;
use crate::cli::run::columns::Choice;
use crate::error::Error;
use crate::kernel::access::what_would_help;
use crate::kernel::features::Features;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::model::flag_filter::FlagFilter;
use crate::model::mapcount_filter::MapcountFilter;
use crate::model::pagemap::State;
use crate::name::{Name, as_comm};
use crate::unit::VirtAddr;
use crate::view::frames::write_no_address_space;
use crate::view::notes::write as write_notes;
use crate::view::style::Emphasis;
use crate::view::table::{self, Layout, Stream};
use crate::view::{csv, json, pages as view, time};

/// List a process's pages: address, frame, flags, mapcount, swap slot
///
/// Neighbouring pages that are the same, with neighbouring frames or swap slots, are one line (a run). Pages that were never
/// touched are in none. Needs root for frame numbers and flags; without it, states and swap are shown, and the status is 4.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem pages 1234             every page of a process, in runs
  sudo pmem pages 1234 --mapcount '>1' --class anon
                                   what it shares after fork, copy-on-write
  sudo pmem pages 1234 --flags 'anon,!swapbacked' --each
                                   pages given up with MADV_FREE, a line each
  pmem pages self --state swapped,guard --json
                                   what is not present, for a program")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' for a name of digits only)
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Pages between these hexadecimal addresses; HIGH is the first behind
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Range<VirtAddr>>,
    /// Pages whose frames have these flags: 'anon,!swapbacked', 'dirty|writeback'
    #[arg(long, value_name = "EXPR")]
    flags: Option<FlagFilter>,
    /// Pages whose frames are of these classes; several with commas
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = classes())]
    classes: Vec<Class>,
    /// Pages whose frames are mapped so often: '1', '>1', '2-5'
    #[arg(long, value_name = "EXPR")]
    mapcount: Option<MapcountFilter>,
    /// Pages in these states; several with commas
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = states())]
    states: Vec<State>,
    /// A line for each page
    #[arg(long)]
    each: bool,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.sort.is_some() {
        let text = "pages come as they are read, by address: there is no other order (sort the CSV)";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    let choice = Choice::new(global, view::columns(), view::default(layout.width))?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let found = target::find(&root, &args.targets, false)?;
    found.missing.iter().for_each(|missing| say(missing));
    if let Some(remark) = found.remark.filter(|_| !global.quiet) {
        say(&remark);
    }
    if found.pids.len() > 1 && global.format() == Format::Json {
        let pids: Vec<String> = found.pids.iter().map(u32::to_string).collect();
        let text =
            format!("a JSON document is of one process, and these are {}: {}; use jsonl", pids.len(), pids.join(" "));
        return Err(UsageError::Invalid(text).into());
    }
    let features = root.features_cheaply();
    let wanted = wanted(args, global, &choice, &root, &features);
    let (frame_reader, unseen) = frame_reader(&root, &features, &wanted)?;
    let mut session = Session {
        unseen,
        empty: true,
        alone: found.pids.len() == 1,
        root: &root,
        global,
        layout,
        choice: &choice,
        status: if found.missing.is_empty() { Status::Complete } else { Status::NoProcess },
        reader: PageReader {
            frame_reader: frame_reader.as_ref(),
            wanted: &wanted,
            features: &features,
            page_size: root.page_size(),
            swap_areas: root.swap_areas(),
        },
    };
    for (number, pid) in found.pids.iter().enumerate() {
        match session.process(*pid, number == 0, output) {
            Err(error) if !session.alone && error.is::<Error>() => session.failed(*pid, &error),
            other => other?,
        }
    }
    Ok(session.end())
}

fn wanted(args: &Args, global: &GlobalOptions, choice: &Choice<Run>, root: &Root, features: &Features) -> Wanted {
    let as_objects = matches!(global.format(), Format::Json | Format::Jsonl);
    let shows = |name: &str| as_objects || choice.shown().iter().any(|column| column.name == name);
    Wanted {
        range: args
            .range
            .clone()
            .map(|range| root.page_size().whole_pages(range))
            .unwrap_or(VirtAddr(0)..VirtAddr(features.user_end)),
        states: args.states.clone(),
        flags: args.flags.clone(),
        classes: args.classes.clone(),
        mapcount: args.mapcount,
        mapcounts: shows("mapcount"),
        cgroups: shows("cgroup"),
        frames: as_objects || choice.shown().iter().any(|column| !view::NEED_NO_FRAMES.contains(&column.name.as_str())),
        each: args.each,
    }
}

/// What tells of frames; or why nothing does, where pages are wanted all the same.
fn frame_reader(root: &Root, features: &Features, wanted: &Wanted) -> Result<(Option<FrameReader>, Option<Error>)> {
    let frame_reader = match features.pfns_visible {
        true => FrameReader::new(root, features),
        false => Err(Error::frames_hidden()),
    };
    match frame_reader {
        Ok(frame_reader) => Ok((Some(frame_reader), None)),
        Err(error @ (Error::Hidden { .. } | Error::Denied { .. } | Error::Unsupported { .. }))
            if !wanted.needs_frames() =>
        {
            Ok((None, Some(error)))
        }
        Err(error) => Err(error.into()),
    }
}

/// One run of the command.
struct Session<'a> {
    root: &'a Root,
    global: &'a GlobalOptions,
    layout: Layout,
    choice: &'a Choice<Run>,
    reader: PageReader<'a>,
    /// Why frames are not told of.
    unseen: Option<Error>,
    /// Whether there is one process only: what is wrong with it is then the error.
    alone: bool,
    /// Whether none had an address space so far.
    empty: bool,
    status: Status,
}

/// What is read, on its way to be written.
type Parts = Receiver<Vec<Run>>;

/// Parts that wait to be written, at most.
const WAITING: usize = 4;

/// Rows that are kept to be laid out together.
const TOGETHER: usize = 2000;

impl Session<'_> {
    fn process(&mut self, pid: u32, first: bool, output: &mut Output) -> Result<()> {
        let process = Process::open(self.root, pid)?;
        let comm = process.comm()?;
        let process = seen_through(&process)?.map(|thread| thread.unwrap_or(process));
        if let Ok(process) = &process {
            // One that is closed is told before anything is said of it.
            let swap = process.read("status")?;
            self.reader.swap_areas = swap_areas(self.reader.features, &swap, self.root.swap_areas());
            process.pagemap()?;
        }
        if self.global.format() == Format::Table {
            let name = format!("{} ({pid})", comm.escaped());
            let before = if first { "" } else { "\n" };
            writeln!(output, "{before}{}", self.layout.palette.paint(Emphasis::Accent, &name))?;
            if let Err(why) = &process {
                return Ok(write_no_address_space(output, *why)?);
            }
        } else if let Err(why) = &process {
            say(&format!("{pid}: {}", why.words()));
        }
        let empty = process.is_err();
        let nothing = process.as_ref().err().map(|why| Note::of(pid, "no-address-space", why.words()));
        let (send, parts) = sync_channel(WAITING);
        let mut totals = None;
        let done = scope(|scope| -> Result<crate::error::Result<u64>> {
            let (reader, process) = (&self.reader, process.ok());
            let reading = scope.spawn(move || {
                // Who no longer listens has had enough: that is told where it is written.
                let stop = || Error::Unsupported { what: "stopped".to_owned() };
                process.map_or(Ok(0), |process| reader.read(&process, |runs| send.send(runs).map_err(|_| stop())))
            });
            totals = self.write(pid, &comm, first, parts, nothing, output)?;
            Ok(reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        self.tell(pid, empty, done)?;
        if let Some(totals) = totals {
            let by_letters = self.choice.shown().iter().any(|column| column.name == "letters");
            view::write_totals(output, &totals, by_letters, &self.layout)?;
            write_notes(output, &self.notes(), &self.layout)?;
        }
        Ok(())
    }

    /// Tells what the reading came to.
    fn tell(&mut self, pid: u32, empty: bool, done: crate::error::Result<u64>) -> Result<()> {
        match done {
            Err(error) if error.is_gone() && !self.root.is_recorded() => {
                say(&format!(
                    "{pid}: the process ended or called exec while its pages were read: what is shown is incomplete"
                ));
                self.status = self.status.max(Status::Incomplete);
            }
            Err(error) => return Err(error.into()),
            Ok(0) => {}
            Ok(bytes) => {
                let text = "without PAGEMAP_SCAN, mappings over 1 GiB in which smaps counts nothing were passed over";
                say(&format!("{pid}: {text}: {}", crate::view::size::human_string(bytes)));
            }
        }
        self.empty &= empty;
        Ok(())
    }

    /// Tells what is wrong with one of several processes.
    fn failed(&mut self, pid: u32, error: &anyhow::Error) {
        say(&format!("{pid}: {error:#}"));
        self.status = self.status.max(Status::Incomplete);
    }

    /// Tells what there was not to be seen, once; returns the status.
    fn end(self) -> Status {
        let Some(error) =
            self.unseen.filter(|_| !self.empty && self.reader.wanted.frames && self.reader.wanted.present())
        else {
            return self.status;
        };
        say(&error.to_string());
        if let Some(help) = what_would_help(&error).filter(|_| !self.global.quiet) {
            explain(help);
        }
        self.status.max(super::status::of(&error.into()))
    }

    fn notes(&self) -> Vec<Note> {
        match &self.reader.frame_reader {
            Some(frame_reader) => frame_reader.notes(),
            // People are told on standard error.
            None => {
                vec![Note { in_json_only: true, ..Note::general("pfn-hidden", Error::frames_hidden().to_string()) }]
            }
        }
    }

    fn write(
        &self,
        pid: u32,
        comm: &Name,
        first: bool,
        parts: Parts,
        nothing: Option<Note>,
        output: &mut Output,
    ) -> Result<Option<Totals>> {
        match self.global.format() {
            Format::Table => self.write_table(parts, output).map(Some),
            Format::Json => {
                let runs = json::Lazy::new(parts.into_iter().flatten());
                let (host, source) = (self.root.host(), self.root.source());
                let (time, data) = (time::now(), Data { pid, comm, runs });
                let notes: Vec<Note> = self.notes().into_iter().chain(nothing).collect();
                let document = json::Document { schema: "pmem.pages/1", time: &time, host, source, data, notes };
                json::pretty(output, &document)?;
                Ok(None)
            }
            Format::Jsonl => {
                for run in parts.into_iter().flatten() {
                    json::line(output, &Line { time: &time::now(), pid, comm, run: &run })?;
                }
                Ok(None)
            }
            Format::Csv => {
                let mut writer = csv::Writer::new(output, first && !self.global.no_headings);
                let before = [crate::view::record::Cell::Id(pid.into())];
                let mut write = |runs: &[Run]| writer.rows(&["pid"], &before, &self.choice.shown(), runs);
                write(&[])?;
                parts.into_iter().try_for_each(|runs| write(&runs))?;
                Ok(None)
            }
        }
    }

    /// Rows that are few are laid out together; of many, a part at a time, so that none is kept.
    fn write_table(&self, parts: Parts, output: &mut Output) -> Result<Totals> {
        let (mut rows, mut totals, mut stream) = (Vec::new(), Totals::default(), Stream::default());
        let mut progress = Progress::new(self.global.quiet || self.layout.width.is_some());
        let (columns, mut streaming) = (self.choice.shown(), false);
        for part in parts {
            part.iter().for_each(|run| totals.add(run));
            rows.extend(part);
            if streaming || rows.len() > TOGETHER {
                streaming = true;
                stream.write(output, &columns, &rows, &self.layout)?;
                rows.clear();
            }
            progress.show(|| format!("{} pages", totals.pages));
        }
        progress.wipe();
        if !streaming {
            table::write(output, &columns, &rows, None, &self.layout)?;
        }
        Ok(totals)
    }
}

#[derive(Serialize)]
struct Data<'a, R> {
    pid: u32,
    #[serde(flatten, serialize_with = "as_comm")]
    comm: &'a Name,
    runs: R,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    pid: u32,
    #[serde(flatten, serialize_with = "as_comm")]
    comm: &'a Name,
    #[serde(flatten)]
    run: &'a Run,
}

fn classes() -> impl TypedValueParser<Value = Class> {
    PossibleValuesParser::new(Class::ALL.map(Class::name))
        .try_map(|name| Class::ALL.into_iter().find(|class| class.name() == name).ok_or("not a class of frames"))
}

fn states() -> impl TypedValueParser<Value = State> {
    const STATES: [State; 5] = [State::Present, State::Swapped, State::Guard, State::Marker, State::Special];
    PossibleValuesParser::new(STATES.map(State::name))
        .try_map(|name| STATES.into_iter().find(|state| state.name() == name).ok_or("not a state of pages"))
}
