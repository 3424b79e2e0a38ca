//! The language demos are written in: steps, each with the worker's action and the expected observations.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::quantity::Quantity;
use super::worker::{Done, Worker};

/// The processes of a demo: the worker, and the child that some demos fork from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// The process the demo starts.
    #[default]
    Worker,
    /// The child created by [`Worker::fork`].
    Child,
}

impl Who {
    /// Both, in index order.
    pub const ALL: [Self; 2] = [Self::Worker, Self::Child];
}

/// A piece of memory the numbers refer to: a place of the [`Worker`] in one of the processes.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its name if the demo has several subjects; its quantities are [`Quantity::of`] this name. Empty if it is the only one.
    pub name: &'static str,
    /// The process.
    pub who: Who,
    /// The index of the place.
    pub place: usize,
}

/// The only subject of most demos: the memory at the first place.
pub const ARENA: Subject = Subject { name: "", who: Who::Worker, place: 0 };

/// How strict an expectation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The value must equal this number.
    Exact,
    /// The value must lie within bounds, because of the kernel's batching or other activity on the machine.
    Bounded,
    /// The value is shown; nothing is expected.
    Informative,
}

impl Rule {
    /// Its name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::Informative => "informative",
        }
    }
}

/// The expectation for one quantity after a step.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// The quantity.
    pub quantity: Quantity,
    /// How strict it is.
    pub rule: Rule,
    /// The lower bound, in the quantity's unit; `None` if unbounded.
    pub min: Option<i64>,
    /// The upper bound; `None` if unbounded.
    pub max: Option<i64>,
}

impl Expectation {
    /// Whether a value meets the expectation.
    pub fn holds(&self, value: i64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

/// The work of a step, run in the worker.
pub type Work = Box<dyn Fn(&mut Worker) -> Done>;

/// One step of a demo.
pub struct Step {
    /// The action as a short imperative: "write page 0".
    pub action: String,
    /// The process that does it.
    pub who: Who,
    /// How many times the work is repeated before the step is observed; [`Worker::time`] is the index. The progress is shown
    /// between repetitions.
    pub times: usize,
    /// The expectations after the step.
    pub expect: Vec<Expectation>,
    /// Why, in a sentence or two, for `--explain`.
    pub why: &'static str,
    pub(super) work: Work,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("action", &self.action).field("expect", &self.expect).finish_non_exhaustive()
    }
}

/// A step: its description, and its work, which runs in the worker process.
pub fn step(action: impl Into<String>, work: impl Fn(&mut Worker) -> Done + 'static) -> Step {
    of(action.into(), Box::new(work))
}

fn of(action: String, work: Box<dyn Fn(&mut Worker) -> Done>) -> Step {
    Step { action, who: Who::Worker, times: 1, expect: Vec::new(), why: "", work }
}

impl Step {
    /// Assigns the step to a process other than the worker.
    pub fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// Repeats the work this many times.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Expects exactly this value from every source.
    pub fn exact(self, quantity: Quantity, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.expects(quantity, Rule::Exact, Some(value), Some(value))
    }

    /// Expects exactly this value if it is known; otherwise only shows the quantity.
    pub fn known(self, quantity: Quantity, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.exact(quantity, value),
            None => self.informative(quantity),
        }
    }

    /// Expects a value within these bounds from every source.
    pub fn within(self, quantity: Quantity, bounds: RangeInclusive<i64>) -> Self {
        self.expects(quantity, Rule::Bounded, Some(*bounds.start()), Some(*bounds.end()))
    }

    /// Expects at least this value from every source.
    pub fn at_least(self, quantity: Quantity, value: i64) -> Self {
        self.expects(quantity, Rule::Bounded, Some(value), None)
    }

    /// Shows the quantity without expecting anything.
    pub fn informative(self, quantity: Quantity) -> Self {
        self.expects(quantity, Rule::Informative, None, None)
    }

    /// Adds the reason, for `--explain`.
    pub fn why(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// Turns exact expectations of a quantity into lower bounds: for faults, if the worker cannot be prefaulted.
    pub(super) fn at_least_of(mut self, quantity: Quantity) -> Self {
        let demanded = |e: &&mut Expectation| e.quantity.name == quantity.name && e.rule != Rule::Informative;
        for expectation in self.expect.iter_mut().filter(demanded) {
            (expectation.rule, expectation.max) = (Rule::Bounded, None);
        }
        self
    }

    fn expects(mut self, quantity: Quantity, rule: Rule, min: Option<i64>, max: Option<i64>) -> Self {
        self.expect.push(Expectation { quantity, rule, min, max });
        self
    }
}
