//! `pmem pages`: a process's pages, each with its frame, as runs.

use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread::scope;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::frames::range;
use super::options::GlobalOptions;
use super::output::Output;
use super::progress::Progress;
use super::run::columns::Choice;
use super::run::context::Context;
use super::run::parts::{self, Head, Parts};
use super::run::rounds::{Flow, Rounds};
use super::run::trouble::Trouble;
use super::status::{Status, UsageError, error_of, say};
use super::target::{self, Target};
use crate::analysis::gap::Gap;
use crate::analysis::note::Note;
use crate::analysis::pages::{PageReader, Run, Totals, Wanted};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::processes::address_space::{NoAddressSpace, swap_areas};
use crate::analysis::processes::visit;
use crate::error::Error;
use crate::kernel::features::Features;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::threads::{self, Work};
use crate::model::flag_filter::FlagFilter;
use crate::model::mapcount_filter::MapcountFilter;
use crate::model::pagemap::State;
use crate::name::Name;
use crate::unit::VirtAddr;
use crate::view::cell::Cell;
use crate::view::field::{Field, columns};
use crate::view::frames::write_no_address_space;
use crate::view::notes::write as write_notes;
use crate::view::size::human_string;
use crate::view::style::Emphasis;
use crate::view::table::{self, Stream};
use crate::view::{json, pages as view};

/// List a process's pages: address, frame, flags, mapcount, swap slot
///
/// Adjacent pages of the same kind with adjacent frames or swap slots are one line (a run). Pages that were never
/// touched are not listed. Needs root for frame numbers and flags; without it, states and swap are shown, and the exit
/// status is 4.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem pages 1234             every page of a process, in runs
  sudo pmem pages 1234 --mapcount '>1' --class anon
                                   what it shares copy-on-write after fork
  sudo pmem pages 1234 --flags 'anon,!swapbacked' --each
                                   pages freed with MADV_FREE, one line each
  pmem pages self --state swapped,guard --json
                                   pages that are not present, for a program")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' if the name is all digits)
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Pages in this address range (hexadecimal); HIGH is exclusive
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Range<VirtAddr>>,
    /// Pages in frames with these flags: 'anon,!swapbacked', 'dirty|writeback'
    #[arg(long, value_name = "EXPR")]
    flags: Option<FlagFilter>,
    /// Pages in frames of these classes (comma-separated)
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = classes())]
    classes: Vec<Class>,
    /// Pages in frames with this mapcount: '1', '>1', '2-5'
    #[arg(long, value_name = "EXPR")]
    mapcount: Option<MapcountFilter>,
    /// Pages in these states (comma-separated)
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = states())]
    states: Vec<State>,
    /// One line per page
    #[arg(long)]
    each: bool,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.sort.is_some() {
        let text = "pages are listed in address order only (to sort otherwise, sort the CSV)";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let cx = Context::open(global, output)?;
    if cx.asks_for_columns() {
        table::write_help(output, &view::fields())?;
        return Ok(Status::Complete);
    }
    let choice = Choice::new(cx.words(), view::fields(), &[])?;
    let found = target::find(&cx.root, &args.targets, false)?;
    found.missing.iter().for_each(|missing| say(missing));
    if let Some(remark) = found.remark.filter(|_| !cx.is_quiet()) {
        say(&remark);
    }
    if found.pids.len() > 1 && cx.is_document() {
        let pids: Vec<String> = found.pids.iter().map(u32::to_string).collect();
        let text = format!(
            "a JSON document holds one process, but {} were given: {}; use --format jsonl",
            pids.len(),
            pids.join(" ")
        );
        return Err(UsageError::Invalid(text).into());
    }
    let features = cx.root.features_cheaply();
    let wanted = wanted(args, &cx, &choice, &features);
    let (frame_reader, unseen) = frame_reader(&cx.root, &features, &wanted)?;
    let reader = PageReader {
        frame_reader: frame_reader.as_ref(),
        wanted: &wanted,
        features: &features,
        page_size: cx.root.page_size(),
        swap_areas: cx.root.swap_areas(),
    };
    let missing = if found.missing.is_empty() { Status::Complete } else { Status::NoProcess };
    let mut pages = Pages { pids: found.pids, unseen, empty: true, reader };
    let status = parts::run(&mut pages, &choice, Rounds::ONE, &cx, output)?;
    Ok(status.max(missing))
}

fn wanted(args: &Args, cx: &Context<'_>, choice: &Choice<Run>, features: &Features) -> Wanted {
    let shown: Vec<&str> = shown(cx, choice).iter().map(|field| &*field.name).collect();
    let whole_pages = |range| cx.root.page_size().whole_pages(range);
    Wanted {
        range: args.range.clone().map_or(VirtAddr(0)..VirtAddr(features.user_end), whole_pages),
        states: args.states.clone(),
        flags: args.flags.clone(),
        classes: args.classes.clone(),
        mapcount: args.mapcount,
        mapcounts: shown.contains(&"mapcount"),
        cgroups: shown.contains(&"cgroup"),
        frames: shown.iter().any(|name| !view::NEED_NO_FRAMES.contains(name)),
        each: args.each,
    }
}

/// The fields that are written.
fn shown<'c>(cx: &Context<'_>, choice: &'c Choice<Run>) -> Vec<&'c Field<Run>> {
    match cx.is_for_people() {
        true => choice.for_people(view::default_fields(cx.layout.width)),
        false => cx.for_programs(choice),
    }
}

/// The frame reader; or why there is none, if pages are wanted anyway.
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

/// The command as the driver runs it.
struct Pages<'a> {
    pids: Vec<u32>,
    reader: PageReader<'a>,
    /// Why nothing is known about frames.
    unseen: Option<Error>,
    /// Whether no process had an address space so far.
    empty: bool,
}

/// What is read, on its way to be written.
type Chunks = Receiver<Vec<Run>>;

/// The maximum number of chunks waiting to be written.
const WAITING: usize = 4;

/// The maximum number of rows that are laid out together.
const TOGETHER: usize = 2000;

impl Parts for Pages<'_> {
    const SCHEMA: &'static str = "pmem.pages/1";
    const PARTS: Option<&'static str> = None;
    const ROWS: &'static str = "runs";
    type Row = Run;

    fn round(
        &mut self,
        cx: &Context<'_>,
        _: Option<u32>,
        choice: &Choice<Run>,
        to: &mut parts::Receiver<'_, Run>,
    ) -> Result<Flow> {
        // With a single process, its error is the error of the command.
        let is_alone = self.pids.len() == 1;
        for (number, pid) in self.pids.clone().into_iter().enumerate() {
            match self.process(pid, number == 0, cx, choice, to) {
                Err(error) if !is_alone && error.is::<Error>() => {
                    to.troubles.add(&Trouble::incomplete(format!("{pid}: {error:#}")));
                }
                other => other?,
            }
        }
        let wants_frames = self.reader.wanted.frames && self.reader.wanted.present();
        if let Some(error) = self.unseen.take().filter(|_| !self.empty && wants_frames) {
            to.troubles.add(&error.into());
        }
        Ok(Flow::Last)
    }
}

impl Pages<'_> {
    fn process(
        &mut self,
        pid: u32,
        is_first: bool,
        cx: &Context<'_>,
        choice: &Choice<Run>,
        to: &mut parts::Receiver<'_, Run>,
    ) -> Result<()> {
        let mut done = Ok(());
        let looked = visit::process(&cx.root, pid, |seen| {
            let comm = seen.process().comm()?;
            let space = seen.address_space();
            if let Ok(space) = space {
                // One that cannot be read is reported before anything is written about it.
                let status = space.read("status")?;
                self.reader.swap_areas = swap_areas(self.reader.features, &status, cx.root.swap_areas());
                space.pagemap()?;
            }
            // From here on something may have been written: no second try.
            done = self.show(pid, &comm, space, is_first, cx, choice, to);
            Ok(())
        });
        match looked {
            Ok(()) => done,
            Err(reason) => Err(error_of(Gap::process(pid, reason))),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "who it is, what is shown of it, and where it goes")]
    fn show(
        &mut self,
        pid: u32,
        comm: &Name,
        space: std::result::Result<&Process, NoAddressSpace>,
        is_first: bool,
        cx: &Context<'_>,
        choice: &Choice<Run>,
        to: &mut parts::Receiver<'_, Run>,
    ) -> Result<()> {
        let notes = self.notes();
        if let Some(out) = to.people() {
            let name = format!("{} ({pid})", comm.escaped());
            let before = if is_first { "" } else { "\n" };
            writeln!(out, "{before}{}", cx.layout.palette.paint(Emphasis::Accent, &name))?;
            if let Err(why) = space {
                return Ok(write_no_address_space(out, why)?);
            }
        } else {
            to.notes(notes.iter().cloned());
            to.notes(space.err().map(|why| Note::of(pid, "no-address-space", why.words())));
        }
        self.empty &= space.is_err();
        let (send, chunks) = sync_channel(WAITING);
        // The writer is gone: the cause is reported where it occurred.
        let stop = || Error::Unsupported { what: "stopped".to_owned() };
        let done = scope(|scope| -> Result<crate::error::Result<u64>> {
            let reader = &self.reader;
            let read = move |take: &mut dyn FnMut(Vec<Run>) -> crate::error::Result<()>| {
                space.map_or(Ok(0), |space| reader.read(space, take))
            };
            let beside = threads::start(scope, move || read(&mut |runs| send.send(runs).map_err(|_| stop())));
            // Without a second thread, everything is read first.
            let (chunks, reading) = match beside {
                Some(thread) => (chunks, Work::Elsewhere(thread)),
                None => {
                    let (send, chunks) = channel();
                    let done = read(&mut |runs| send.send(runs).map_err(|_| stop()));
                    (chunks, Work::Done(done))
                }
            };
            if let Some(out) = to.people() {
                let totals = write_table(chunks, cx, choice, out)?;
                let by_letters = shown(cx, choice).iter().any(|field| field.name == "letters");
                view::write_totals(out, &totals, by_letters, &cx.layout)?;
                write_notes(out, &notes, &cx.layout)?;
            } else {
                let before = [("pid", Cell::Id(pid.into())), ("comm", Cell::Name(comm))];
                let head = Head { before: &before, object: &json::Members(&before), has_rows: true };
                to.part(&head, &mut |take| Ok(chunks.iter().try_for_each(|runs| take(&runs))?))?;
            }
            Ok(reading.wait())
        })?;
        tell(pid, done, cx, to)
    }

    fn notes(&self) -> Vec<Note> {
        match &self.reader.frame_reader {
            Some(frame_reader) => frame_reader.notes(),
            // People see it on standard error.
            None => {
                vec![Note { in_json_only: true, ..Note::general("pfn-hidden", Error::frames_hidden().to_string()) }]
            }
        }
    }
}

/// Reports how the reading ended.
fn tell(pid: u32, done: crate::error::Result<u64>, cx: &Context<'_>, to: &mut parts::Receiver<'_, Run>) -> Result<()> {
    match done {
        Err(error) if error.is_gone() && !cx.root.is_recorded() => {
            let text = "the process ended or called exec while its pages were read: what is shown is incomplete";
            to.troubles.add(&Trouble::incomplete(format!("{pid}: {text}")));
        }
        Err(error) => return Err(error.into()),
        Ok(0) => {}
        Ok(bytes) => {
            let text = "without PAGEMAP_SCAN, mappings over 1 GiB with no pages in smaps were skipped";
            say(&format!("{pid}: {text}: {}", human_string(bytes)));
        }
    }
    Ok(())
}

/// Lays out few rows together; writes many a chunk at a time, without keeping them.
fn write_table(chunks: Chunks, cx: &Context<'_>, choice: &Choice<Run>, out: &mut dyn Write) -> Result<Totals> {
    let (mut rows, mut totals, mut stream) = (Vec::new(), Totals::default(), Stream::default());
    let mut progress = Progress::new(cx.is_quiet() || cx.layout.width.is_some());
    let (columns, mut streaming) = (columns(&shown(cx, choice)), false);
    for chunk in chunks {
        chunk.iter().for_each(|run| totals.add(run));
        rows.extend(chunk);
        if streaming || rows.len() > TOGETHER {
            streaming = true;
            stream.write(out, &columns, &rows, &cx.layout)?;
            rows.clear();
        }
        progress.show(|| format!("{} pages", totals.pages));
    }
    progress.wipe();
    if !streaming {
        table::write(out, &columns, &rows, None, &cx.layout)?;
    }
    Ok(totals)
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
