//! `pmem demo`: small programs that use memory, step by step.

mod choice;
mod dialogue;
mod rows;
mod show;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{GlobalOptions, seconds};
use super::output::Output;
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::{command, document};
use super::status::{Status, UsageError, explain, say};
use crate::demo::environment::Environment;
use crate::demo::facts::Facts;
use crate::demo::play::Spoil;
use crate::demo::report::{DemoReport, Verdict};
use crate::demo::{Demo, Skip};
use crate::unit::decimal;
use crate::view::demo::{self as view, Summary};
use crate::view::table::{self, Layout};

/// Watch the kernel hand out frames, with predictions that are checked
///
/// A demo is a small program that uses memory step by step. The expected result of each step is stated beforehand and
/// compared with what at least two kernel interfaces report; if any of them disagrees, the step is off. Demos run in a
/// separate process, change only its memory, and do not need root; for other users, what only root can see is left out.
///
/// The exit status is 0 if every number was as expected, 1 if one was not, and 3 if a demo cannot be shown on this machine.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem demo                        all demos, and the question that each answers
  pmem demo lazy-alloc             when does a process really get memory?
  pmem demo lazy-alloc --predict   say the number first
  pmem demo cow --step --explain   one step at a time, with what the kernel does
  pmem demo reclim-me --pages 20 --interval 0.5 --hold
                                   and 'pmem frames reclim-me' in another terminal
  pmem demo lazy-alloc --until 3 --hold
                                   a process with 64 pages, for other tools to look at
  pmem demo lazy-alloc --spoil leave-out:2
                                   a demo that fails: its second step is left out
  pmem demo all --json | jq '.data.demos[] | [.demo, .verdict]'

Exit status:
  0   every number was as expected
  1   a number was not as expected, or a demo failed
  2   usage error
  3   none of the demos can be shown on this machine")]
pub struct Args {
    /// Names of demos, or 'all'
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// List the demos without running any; with --explain, describe each in full
    #[arg(long)]
    list: bool,
    /// Explain each step, and at the end what the kernel did, by function and file
    #[arg(long)]
    explain: bool,
    /// Wait for Enter before each step
    #[arg(long)]
    step: bool,
    /// Ask for the numbers of each step before it runs, and keep score
    #[arg(long)]
    predict: bool,
    /// Wait between steps, and for the same total time between the repetitions in a step
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    slow: Option<Duration>,
    /// Time between two pages of reclim-me [default: 1 on a terminal, else none]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    interval: Option<Duration>,
    /// Number of pages that reclim-me writes [default: 10]
    // It stands for the option of all commands that has this name, and so must have its type, and its default: 0.
    #[arg(long, value_name = "N", value_parser = pages, required = false)]
    pages: usize,
    /// Stop after this step
    #[arg(long, value_name = "STEP", value_parser = step)]
    until: Option<usize>,
    /// Keep the process alive after the last step and print its PID, until Enter, end of input, or a signal
    #[arg(long)]
    hold: bool,
    /// Do a step wrongly, to see it detected: 'leave-out:STEP' skips it, 'extra-page:STEP' writes the last page after it
    #[arg(long, value_name = "HOW", value_parser = spoil)]
    spoil: Option<Spoil>,
}

/// The number of a step, counted from 1.
fn step(text: &str) -> Result<usize, String> {
    let step = decimal(text).and_then(|step| usize::try_from(step).ok()).filter(|step| *step > 0);
    step.ok_or_else(|| "expected a step number, 1 or greater".to_owned())
}

fn pages(text: &str) -> Result<usize, String> {
    // Nobody would watch more.
    const MOST: u64 = 4096;
    let number = decimal(text).filter(|number| (1..=MOST).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("expected a number of pages from 1 to {MOST}"))
}

fn spoil(text: &str) -> Result<Spoil, String> {
    let wrong = || "expected leave-out:STEP or extra-page:STEP".to_owned();
    let (how, number) = text.split_once(':').ok_or_else(wrong)?;
    let number = step(number).map_err(|_| wrong())?;
    match how {
        "leave-out" => Ok(Spoil::LeaveOut(number)),
        "extra-page" => Ok(Spoil::ExtraPage(number)),
        _ => Err(wrong()),
    }
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.root != Path::new("/") {
        let text = "demos run on the live machine only; they cannot use a recorded tree (--root)";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let demos = choice::demos(args)?;
    let cx = Context::open(global, output)?;
    if args.list || args.names.is_empty() {
        return list(args, demos, &cx, output);
    }
    if cx.asks_for_columns() {
        table::write_help(output, &view::fields())?;
        return Ok(Status::Complete);
    }
    let rows = rows::choice(&cx)?;
    let mut facts = match Facts::probe(&cx.root) {
        Ok(facts) => facts,
        Err(Skip(reason)) => {
            say(&format!("demo: {reason}"));
            return Ok(Status::Unsupported);
        }
    };
    facts.pages = args.asked_pages();
    let mut show = show::Show::new(args, &cx, &facts);
    let single = demos.len() == 1;
    let played = match single {
        true => vec![show.play(demos[0], output)?],
        false => several(&mut show, &demos, &cx.layout, output)?,
    };
    let reports: Vec<&DemoReport> = played.iter().map(|played| &played.report).collect();
    if cx.is_document() {
        // If it was held, its document has been written already.
        if !played.iter().any(|played| played.written) {
            match single {
                true => document(output, &cx, "pmem.demo/1", reports[0], &reports)?,
                false => document(output, &cx, "pmem.demo-all/1", &All::of(&reports), &reports)?,
            }
        }
    } else if !cx.is_for_people() {
        rows::write(output, &cx, &rows, &reports)?;
    }
    Ok(status_of(&reports))
}

impl Args {
    /// How many pages were requested.
    fn asked_pages(&self) -> Option<usize> {
        (self.pages > 0 && self.pages != super::options::PAGES_AS_UNIT).then_some(self.pages)
    }

    /// Whether the user wants to follow step by step.
    fn is_watched(&self) -> bool {
        self.explain || self.step || self.predict || self.slow.is_some()
    }
}

/// A demo that was played.
struct Played {
    report: DemoReport,
    /// How many steps it has here.
    planned: usize,
    time: Duration,
    /// Whether its JSON has been written already, before it was held.
    written: bool,
}

/// Plays demos one after the other, even if some fail, with a line for each.
fn several(
    show: &mut show::Show<'_>,
    demos: &[&'static Demo],
    layout: &Layout,
    output: &mut Output,
) -> Result<Vec<Played>> {
    let brief = show.is_brief();
    let mut all = Vec::new();
    if brief && layout.headings {
        view::summary_headings(output, layout)?;
    }
    for demo in demos {
        let began = Instant::now();
        let played = match show.play(demo, output) {
            Ok(played) => played,
            Err(error) => {
                let report = failed(demo, &show.facts().environment, error)?;
                Played { report, planned: 0, time: began.elapsed(), written: false }
            }
        };
        if brief {
            let Played { report, planned, time, .. } = &played;
            view::summary(output, &Summary { report, planned: *planned, time: *time }, layout)?;
        } else if show.is_for_people() {
            writeln!(output)?;
        }
        output.flush()?;
        all.push(played);
    }
    if show.is_for_people() {
        if !brief {
            if layout.headings {
                view::summary_headings(output, layout)?;
            }
            for Played { report, planned, time, .. } in &all {
                view::summary(output, &Summary { report, planned: *planned, time: *time }, layout)?;
            }
        }
        let All { ok, off, skipped, .. } = All::of(&all.iter().map(|played| &played.report).collect::<Vec<_>>());
        writeln!(output, "\n{} demos: {ok} ok, {off} off, {skipped} skipped", all.len())?;
    }
    Ok(all)
}

/// The report of a demo that could not be observed.
///
/// # Errors
/// The error, if it is not one of observing.
fn failed(demo: &'static Demo, environment: &Environment, error: anyhow::Error) -> Result<DemoReport> {
    let error = error.downcast::<crate::error::Error>()?;
    let report = crate::demo::play::skipped(demo, environment, Skip(error.to_string()));
    Ok(DemoReport { verdict: Verdict::Off, ..report })
}

fn list(args: &Args, demos: Vec<&'static Demo>, cx: &Context<'_>, output: &mut Output) -> Result<Status> {
    let status = command::run(&mut rows::List { args, demos }, Rounds::ONE, cx, output)?;
    let is_asked_for = args.list || args.explain || cx.asks_for_columns();
    if cx.is_for_people() && !is_asked_for && !cx.is_quiet() {
        explain("'pmem demo NAME' runs one, 'pmem demo all' all of them. To learn: --explain, --step, --predict.");
    }
    Ok(status)
}

/// The runs of several demos.
#[derive(Debug, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct All<'r> {
    /// The runs.
    demos: Vec<&'r DemoReport>,
    /// The number of demos that were as expected.
    ok: usize,
    /// The number of demos that were not.
    off: usize,
    /// The number of demos that could not be shown here.
    skipped: usize,
}

impl<'r> All<'r> {
    fn of(reports: &[&'r DemoReport]) -> Self {
        let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
        let (ok, off, skipped) = (count(Verdict::Ok), count(Verdict::Off), count(Verdict::Skipped));
        Self { demos: reports.to_vec(), ok, off, skipped }
    }
}

/// Writes a document.
fn document(
    output: &mut Output,
    cx: &Context<'_>,
    schema: &'static str,
    data: &dyn erased_serde::Serialize,
    reports: &[&DemoReport],
) -> Result<()> {
    let notes: Vec<_> = reports.iter().flat_map(|report| report.notes()).collect();
    document::show(&document::Report { schema: Some(schema), data, notes: &notes }, cx, output, |_| Ok(()))
}

/// Off if any is; skipped if all are.
fn status_of(reports: &[&DemoReport]) -> Status {
    let is = |verdict: Verdict| move |report: &&DemoReport| report.verdict == verdict;
    match () {
        () if reports.iter().any(is(Verdict::Off)) => Status::Incomplete,
        () if reports.iter().all(is(Verdict::Skipped)) => Status::Unsupported,
        () => Status::Complete,
    }
}
