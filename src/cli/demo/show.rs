//! Shows a demo while it runs.

use std::io::{Write, stderr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::dialogue::Dialogue;
use super::{Args, Played, document};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::run::context::Context;
use crate::cli::status::UsageError;
use crate::demo::facts::Facts;
use crate::demo::play::{Glance, Options, Play, Spoil, is_machines, skipped};
use crate::demo::report::{Cell, DemoReport};
use crate::demo::script::Step;
use crate::demo::{Demo, Skip};
use crate::view::demo::{self as view, Planned, Steps};
use crate::view::style::Emphasis;
use crate::view::table::Layout;

/// About how long a bar takes to fill up while the user watches.
const FILLS_IN: Duration = Duration::from_millis(600);

/// The shortest time between two redraws of a line.
const REDRAWN_AFTER: Duration = Duration::from_millis(30);

/// How demos are shown.
pub(super) struct Show<'a> {
    args: &'a Args,
    cx: &'a Context<'a>,
    layout: &'a Layout,
    facts: &'a Facts<'a>,
    /// Whether the steps of a demo are shown one by one.
    full: bool,
    /// Whether lines can be rewritten.
    redraws: bool,
    dialogue: Dialogue,
    progress: Progress,
}

impl<'a> Show<'a> {
    pub(super) fn new(args: &'a Args, cx: &'a Context<'a>, facts: &'a Facts<'a>) -> Self {
        let (table, layout) = (cx.is_for_people(), &cx.layout);
        let all = args.names.iter().any(|name| name == "all");
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let full = table && (!all || cx.is_verbose() || args.is_watched());
        Self {
            args,
            cx,
            layout,
            facts,
            full,
            redraws: table && !dumb && layout.width.is_some(),
            dialogue: Dialogue::new(!dumb),
            progress: Progress::new(cx.is_quiet() || full),
        }
    }

    pub(super) fn facts(&self) -> &Facts<'a> {
        self.facts
    }

    /// Whether the output is a table for people.
    pub(super) fn is_for_people(&self) -> bool {
        self.cx.is_for_people()
    }

    /// Whether a demo is a line of a table.
    pub(super) fn is_brief(&self) -> bool {
        self.is_for_people() && !self.full
    }

    /// Plays a demo.
    pub(super) fn play(&mut self, demo: &'static Demo, output: &mut Output) -> Result<Played> {
        let began = Instant::now();
        self.progress.show(|| format!("{} …", demo.name));
        let steps = (demo.script)(self.facts);
        steps.iter().try_for_each(|steps| self.check(demo, steps))?;
        if self.full {
            view::head(output, demo, &self.facts.environment, self.layout)?;
        }
        let played = match steps {
            Ok(steps) => self.steps(demo, steps, began, output),
            Err(skip) => self.skipped(demo, skip, began, output),
        };
        self.progress.wipe();
        played
    }

    /// Plays its steps, below the heading.
    fn steps(&mut self, demo: &'static Demo, steps: Vec<Step>, began: Instant, output: &mut Output) -> Result<Played> {
        let planned = Planned { steps: self.args.until.unwrap_or(steps.len()), whole: self.args.until.is_none() };
        let mut lines = Steps::new(demo, &steps, self.layout);
        // The worker is a copy of this process: it would inherit unwritten output.
        output.flush()?;
        let options = Options { spoil: self.args.spoil };
        let mut play = match Play::begin(demo, self.facts, steps, options) {
            Ok(play) => play,
            Err(error) if is_machines(&error) => return self.skipped(demo, Skip(error.to_string()), began, output),
            Err(error) => return Err(error.into()),
        };
        if self.full {
            lines.headings(output)?;
        }
        for number in 1..=planned.steps {
            let Some(step) = play.next_step() else { break };
            let (action, why, times) = (step.action.clone(), step.why, step.times);
            if number > 1 {
                sleep(self.args.slow.unwrap_or_default());
            }
            let guesses = if self.args.predict {
                output.flush()?;
                self.dialogue.guesses(demo, step)
            } else {
                Vec::new()
            };
            if self.args.step && guesses.is_empty() && !self.dialogue.has_ended() {
                output.flush()?;
                self.dialogue.wait(&format!("Enter: {action} "));
            }
            let mut drawn = Drawn::default();
            let pause = self.pause(demo, times);
            let between = |glance: &mut Glance<'_, '_>| -> Result<()> {
                self.between(glance, number, &mut lines, &mut drawn, output)?;
                sleep(pause);
                Ok(())
            };
            let Some(done) = play.perform(between)? else { break };
            if self.full {
                drawn.wipe(output)?;
                lines.step(output, number, done, if self.args.explain { why } else { "" })?;
            }
            for (right, text) in self.dialogue.judge(&guesses, done) {
                self.say(output, right, &text)?;
            }
            output.flush()?;
        }
        let (report, written) = self.finish(demo, play, &lines, planned, output)?;
        Ok(Played { report, planned: planned.steps, time: began.elapsed(), written })
    }

    /// Refuses steps that the demo does not have.
    fn check(&self, demo: &Demo, steps: &[Step]) -> Result<()> {
        let spoilt = self.args.spoil.map(|(Spoil::LeaveOut(step) | Spoil::ExtraPage(step))| step);
        for (option, step) in [("--until", self.args.until), ("--spoil", spoilt)] {
            if let Some(step) = step.filter(|step| *step > steps.len()) {
                let text = format!("{option}: no step {step}; {} has only {} here", demo.name, steps.len());
                return Err(UsageError::Invalid(text).into());
            }
        }
        Ok(())
    }

    /// How long to wait between two repetitions.
    fn pause(&self, demo: &Demo, times: usize) -> Duration {
        let watched = self.redraws && self.full;
        let each = |whole: Duration| whole / u32::try_from(times).unwrap_or(u32::MAX).max(1);
        let paced = (demo.paced && watched).then_some(Duration::from_secs(1));
        let fills = watched.then_some(FILLS_IN);
        self.args.interval.or(self.args.slow.map(each)).or(paced).or(fills.map(each)).unwrap_or_default()
    }

    /// Shows a step that is being done.
    fn between(
        &self,
        glance: &mut Glance<'_, '_>,
        number: usize,
        lines: &mut Steps<'_>,
        drawn: &mut Drawn,
        output: &mut Output,
    ) -> Result<()> {
        if !self.full {
            return Ok(());
        }
        if self.redraws && lines.fits() {
            if drawn.at.is_none_or(|at| at.elapsed() >= REDRAWN_AFTER) {
                let so_far = glance.look()?;
                drawn.wipe(output)?;
                drawn.lines = lines.so_far(output, number, &so_far)?;
                drawn.at = Some(Instant::now());
                output.flush()?;
            }
        } else if glance.is_paced() {
            lines.repetition(output, glance.done, &glance.look()?)?;
            output.flush()?;
        }
        Ok(())
    }

    /// Reports whether a guess was right: below the step, or on standard error if the output is for programs.
    fn say(&self, output: &mut Output, right: bool, text: &str) -> Result<()> {
        let mark = if right { "✓" } else { "✗" };
        if self.full {
            let emphasis = if right { Emphasis::Accent } else { Emphasis::Wrong };
            writeln!(output, "    {} {text}", self.layout.palette.paint(emphasis, mark))?;
        } else {
            let _ = writeln!(stderr(), "    {mark} {text}");
        }
        Ok(())
    }

    fn skipped(&self, demo: &'static Demo, skip: Skip, began: Instant, output: &mut Output) -> Result<Played> {
        let report = skipped(demo, &self.facts.environment, skip);
        if self.full {
            view::tail(output, demo, &report, Planned { steps: 0, whole: true }, self.layout)?;
        }
        Ok(Played { report, planned: 0, time: began.elapsed(), written: false })
    }

    /// What comes after the last step: the report, and whether it is written already.
    fn finish(
        &mut self,
        demo: &Demo,
        play: Play<'_>,
        lines: &Steps<'_>,
        planned: Planned,
        output: &mut Output,
    ) -> Result<(DemoReport, bool)> {
        let report = play.so_far();
        if self.full {
            if self.args.explain {
                lines.background(output)?;
            }
            view::tail(output, demo, &report, planned, self.layout)?;
        }
        if self.args.predict {
            let (right, asked) = (self.dialogue.right, self.dialogue.asked);
            let text = format!("your numbers: {right} of {asked} right");
            match self.full {
                true => writeln!(output, "{text}")?,
                false => drop(writeln!(stderr(), "{text}")),
            }
        }
        let holds = self.args.hold && report.reason.is_none();
        if holds {
            self.hold(&report, output)?;
        }
        Ok((play.end(), holds && self.cx.is_document()))
    }

    /// Keeps the worker as it is until the user has seen enough.
    fn hold(&mut self, report: &DemoReport, output: &mut Output) -> Result<()> {
        if self.cx.is_document() {
            document(output, self.cx, "pmem.demo/1", report, &[report])?;
        }
        let Some(pid) = report.pid else { return Ok(()) };
        let mut text =
            format!("\n{} is kept as it is, with PID {pid}. Look at it from another terminal:\n", report.demo);
        text += &format!("  pmem frames {pid}\n  pmem pages {pid}\n  less /proc/{pid}/smaps\n");
        if report.steps.last().is_some_and(|step| step.pages.iter().all(|page| *page == Cell::Unmapped)) {
            text += "Its memory is unmapped by now: --until STEP keeps it as it is after an earlier step.\n";
        }
        match self.is_for_people() {
            true => write!(output, "{text}")?,
            false if self.cx.is_quiet() => {}
            false => drop(write!(stderr(), "{text}")),
        }
        output.flush()?;
        self.dialogue.wait("Enter ends it ");
        Ok(())
    }
}

/// What is on the screen and will be rewritten.
#[derive(Debug, Default)]
struct Drawn {
    lines: usize,
    at: Option<Instant>,
}

impl Drawn {
    fn wipe(&mut self, output: &mut Output) -> Result<()> {
        if self.lines > 0 {
            write!(output, "\x1b[{}A\r\x1b[J", std::mem::take(&mut self.lines))?;
        }
        Ok(())
    }
}
