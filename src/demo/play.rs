//! Running a demo: turn by turn, with an observation after each.

use std::rc::Rc;

use nix::errno::Errno;

use super::environment::Environment;
use super::facts::Facts;
use super::look::{History, Look, MOVED, Seen, counter};
use super::quantity::{ALL_FAULTS, FAULTS, Quantity, SWAPPED};
use super::report::{Cell, DemoReport, Observed, StepReport, Verdict};
use super::script::Step;
use super::turns::{Reply, Turn};
use super::{Demo, Skip, readers};
use crate::analysis::frames::count::Counter;
use crate::analysis::frames::select;
use crate::analysis::physical::page::FrameReader;
use crate::demo::workers::Workers;
use crate::error::{Error, Result};
use crate::kernel::process::smaps_keys;

/// Options for running a demo.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A deliberate fault, to check that it is detected.
    pub spoil: Option<Spoil>,
}

/// A deliberate fault. Steps are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Skip the work of this step.
    LeaveOut(usize),
    /// In this step, also touch the last page of the first place.
    ExtraPage(usize),
}

/// A running demo.
#[derive(Debug)]
pub struct Play<'r> {
    /// Declared first, so that it is dropped before anything it uses.
    workers: Workers,
    demo: &'static Demo,
    facts: &'r Facts<'r>,
    options: Options,
    steps: Rc<[Step]>,
    counter: Counter<'r>,
    smaps_keys: Vec<String>,
    frame_reader: Option<FrameReader>,
    wanted: Vec<Quantity>,
    history: History,
    done: Vec<StepReport>,
    verdict: Verdict,
    reason: Option<String>,
    /// The number of processes the OOM killer had killed before the demo began.
    oom_kills: Option<u64>,
}

/// Errors meaning that this machine cannot do the work, or not now.
const MACHINES_ERRORS: [Errno; 15] = [
    Errno::ENOMEM,
    Errno::EAGAIN,
    Errno::EPERM,
    Errno::EACCES,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EFBIG,
    Errno::ENOSYS,
    Errno::EOPNOTSUPP,
    Errno::EROFS,
    Errno::EIO,
    Errno::ETIME,
    Errno::ECANCELED,
];

/// Under a memory cgroup limit below this, even the worker's program text is reclaimed and faulted in again.
const SHORT: u64 = 32 << 20;

/// Whether an error means that this machine cannot run the demo, rather than a bug in the demo.
pub fn is_machines(error: &Error) -> bool {
    match error {
        Error::Io { cause, .. } => {
            cause.raw_os_error().is_some_and(|errno| MACHINES_ERRORS.contains(&Errno::from_raw(errno)))
        }
        Error::Denied { .. } | Error::Masked { .. } | Error::Hidden { .. } | Error::Unsupported { .. } => true,
        _ => false,
    }
}

/// The `/proc/vmstat` counter of processes killed by the OOM killer, in a cgroup or system-wide.
const OOM_KILLS: &str = "oom_kill";

/// The result of one observation.
struct Sight {
    observed: Vec<Observed>,
    cells: Vec<Cell>,
    /// Pages swapped out in a demo that is not about swap.
    swapped_unasked: u64,
}

/// The moment between two repetitions of a step's work.
#[derive(Debug)]
pub struct Glance<'p, 'r> {
    play: &'p mut Play<'r>,
    /// The step.
    pub step: &'p Step,
    reply: Reply,
    /// How many repetitions are done.
    pub done: usize,
}

impl Glance<'_, '_> {
    /// Whether the demo is paced.
    pub fn is_paced(&self) -> bool {
        self.play.demo.paced
    }

    /// Observes the step so far, with no expectations yet.
    ///
    /// # Errors
    /// Those of observing.
    pub fn look(&mut self) -> Result<StepReport> {
        // Changes within a step are counted from its beginning.
        let history = self.play.history.clone();
        let sight = self.play.look(self.reply);
        self.play.history = history;
        let sight = sight?;
        Ok(StepReport { pages: sight.cells, ..StepReport::new(self.step.action.clone(), &[], sight.observed, &[]) })
    }
}

/// The report of a demo that cannot run here.
pub fn skipped(demo: &'static Demo, environment: &Environment, Skip(reason): Skip) -> DemoReport {
    DemoReport {
        demo: demo.name,
        question: demo.question,
        environment: environment.clone(),
        verdict: Verdict::Skipped,
        reason: Some(reason),
        pid: None,
        steps: Vec::new(),
    }
}

impl<'r> Play<'r> {
    /// Starts the worker of a demo with these steps, and observes it before the first.
    ///
    /// # Errors
    /// Those of starting and observing a process.
    pub fn begin(demo: &'static Demo, facts: &'r Facts<'r>, steps: Vec<Step>, options: Options) -> Result<Self> {
        let is_short = facts.environment.cgroup_limit_bytes.is_some_and(|limit| limit < SHORT);
        let steps: Rc<[Step]> = if facts.populate_write && !is_short {
            steps.into()
        } else {
            steps.into_iter().map(|step| step.at_least_of(FAULTS).at_least_of(ALL_FAULTS)).collect()
        };
        let root = facts.root;
        let smaps_keys = smaps_keys(root);
        let wanted = select::Wanted { smaps_keys: smaps_keys.clone(), ..select::Wanted::default() };
        let expected = steps.iter().flat_map(|step| step.expect.iter().map(|expectation| expectation.quantity));
        let mut play = Self {
            wanted: expected.chain(demo.columns.iter().copied()).collect(),
            workers: Workers::start(demo, facts, &steps)?,
            counter: Counter::new(root, wanted)?,
            smaps_keys,
            frame_reader: facts.features.pfns_visible.then(|| FrameReader::new(root, &facts.features).ok()).flatten(),
            history: History::default(),
            done: Vec::new(),
            verdict: Verdict::Ok,
            reason: None,
            oom_kills: counter(root, OOM_KILLS),
            demo,
            facts,
            options,
            steps,
        };
        play.look(Reply::default())?;
        Ok(play)
    }

    /// The next step; `None` after the last one or after the demo has stopped.
    pub fn next_step(&self) -> Option<&Step> {
        if self.reason.is_some() { None } else { self.steps.get(self.done.len()) }
    }

    /// The PID of the worker.
    pub fn pid(&self) -> u32 {
        self.workers.pid()
    }

    /// Runs the next step and observes it. `between` is called between two repetitions of its work and may observe too. `None`
    /// if the demo could not continue: the [report](Self::end) has the reason.
    ///
    /// # Errors
    /// Those of observing, and of `between`.
    pub fn perform<E: From<Error>>(
        &mut self,
        mut between: impl FnMut(&mut Glance<'_, 'r>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Option<&StepReport>, E> {
        let steps = Rc::clone(&self.steps);
        let number = self.done.len();
        let Some(step) = steps.get(number) else { return Ok(None) };
        let mut reply = Reply::default();
        for time in 0..step.times {
            let turn = Turn {
                step: number,
                time,
                left_out: self.options.spoil == Some(Spoil::LeaveOut(number + 1)),
                extra_page: self.options.spoil == Some(Spoil::ExtraPage(number + 1)) && time + 1 == step.times,
            };
            let answer = match self.workers.take_turn(step.who, turn) {
                Ok(answer) => answer,
                Err(reason) => return Ok(self.ended(reason)),
            };
            if answer.errno != 0 {
                return Ok(self.failed(step, Errno::from_raw(answer.errno)));
            }
            reply = Reply { minor: reply.minor + answer.minor, major: reply.major + answer.major, ..answer };
            if time + 1 < step.times {
                self.workers.follow(self.facts.root, step.who, &reply)?;
                between(&mut Glance { play: self, step, reply, done: time + 1 })?;
            }
        }
        self.workers.follow(self.facts.root, step.who, &reply)?;
        let sight = match self.look(reply) {
            Err(error) if error.is_gone() => {
                let reason = format!("{}, {error}", self.workers.reap());
                return Ok(self.ended(reason));
            }
            Err(error) if is_machines(&error) => return Ok(self.stop(Verdict::Skipped, error.to_string())),
            other => other?,
        };
        let (action, says) = (step.action.clone(), self.demo.says);
        let seen = StepReport { pages: sight.cells, ..StepReport::new(action, &step.expect, sight.observed, says) };
        if seen.verdict == Verdict::Off {
            if sight.swapped_unasked > 0 && self.options.spoil.is_none() {
                let reason = format!(
                    "{} pages were swapped out during the step: this machine is short of memory",
                    sight.swapped_unasked
                );
                return Ok(self.stop(Verdict::Skipped, reason));
            }
            self.verdict = Verdict::Off;
        }
        self.done.push(seen);
        Ok(self.done.last())
    }

    /// Counts the processes in their current state.
    fn sight(&mut self, reply: Reply) -> Result<Look<'_>> {
        let mut seen = [None, None];
        for (seen, member) in seen.iter_mut().zip(self.workers.members()) {
            if let Some((process, ranges)) = member {
                let (frames, status) = (self.counter.count(process)?, process.read("status")?);
                *seen = Some(Seen { process, ranges, frames, status });
            }
        }
        Ok(Look {
            facts: self.facts,
            subjects: self.demo.subjects,
            seen,
            reply,
            wanted: &self.wanted,
            smaps_keys: &self.smaps_keys,
            frame_reader: self.frame_reader.as_ref(),
            moved_at: counter(self.facts.root, MOVED),
            history: &mut self.history,
            runs: Default::default(),
            observed: Vec::new(),
        })
    }

    /// Observes: runs all readers.
    fn look(&mut self, reply: Reply) -> Result<Sight> {
        let demo = self.demo;
        let mut look = self.sight(reply)?;
        readers::read(&mut look)?;
        for ((quantity, source), [says, value]) in demo.says.iter().zip(reply.said) {
            if says != 0 {
                look.add(*quantity, source, value);
            }
        }
        demo.readers.iter().try_for_each(|reader| reader(&mut look))?;
        let asked = look.wanted.iter().any(|quantity| quantity.name == SWAPPED.name);
        let swapped = look.subjects.iter().flat_map(|subject| look.rows(subject));
        let swapped: u64 = swapped.filter_map(|row| row.counts.as_ref()).map(|counts| counts.swapped).sum();
        look.history.moved_at = look.moved_at;
        Ok(Sight { cells: look.cells()?, swapped_unasked: if asked { 0 } else { swapped }, observed: look.observed })
    }

    /// Ends the worker if it is still running, and returns the report.
    pub fn end(self) -> DemoReport {
        self.report(false)
    }

    /// The report so far, with the PID of the worker, which keeps waiting.
    pub fn so_far(&self) -> DemoReport {
        self.report(true)
    }

    fn report(&self, held: bool) -> DemoReport {
        DemoReport {
            demo: self.demo.name,
            question: self.demo.question,
            environment: self.facts.environment.clone(),
            verdict: self.verdict,
            reason: self.reason.clone(),
            pid: held.then(|| self.pid()),
            steps: self.done.clone(),
        }
    }

    /// Stops the demo.
    fn stop(&mut self, verdict: Verdict, reason: String) -> Option<&StepReport> {
        self.verdict = if self.verdict == Verdict::Off { Verdict::Off } else { verdict };
        self.reason = Some(reason);
        None
    }

    /// The worker ended prematurely. If the OOM killer killed it, the machine is to blame and the demo is skipped.
    fn ended(&mut self, reason: String) -> Option<&StepReport> {
        let killed = counter(self.facts.root, OOM_KILLS) > self.oom_kills && self.options.spoil.is_none();
        match killed {
            true => self.stop(Verdict::Skipped, format!("{reason}: it was OOM-killed")),
            false => self.stop(Verdict::Off, reason),
        }
    }

    /// A step's work failed. If the machine lacks or forbids something, the demo is skipped; anything else is our bug, and so
    /// is any failure of a spoiled demo.
    fn failed(&mut self, step: &Step, errno: Errno) -> Option<&StepReport> {
        let machines = MACHINES_ERRORS.contains(&errno) && self.options.spoil.is_none();
        let verdict = if machines { Verdict::Skipped } else { Verdict::Off };
        let why = if errno == Errno::EFAULT { "the memory for it is not mapped" } else { errno.desc() };
        self.stop(verdict, format!("{}: {why}", step.action))
    }
}
