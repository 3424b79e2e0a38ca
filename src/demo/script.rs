//! The language demos are written in: steps, each an act of the worker and what must then be seen.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::quantity::Quantity;
use super::worker::{Done, Worker};

/// The processes of a demo: the one that it starts, and the child of it that some have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// The process that the demo starts.
    #[default]
    Worker,
    /// The child that [`Worker::fork`] makes.
    Child,
}

impl Who {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Worker, Self::Child];
}

/// Some memory of a demo that its numbers are of: a place of the [`Worker`] in one of the processes.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What it is called, where a demo has several; its quantities are [`Quantity::of`] this. Empty where it is the only one.
    pub name: &'static str,
    /// In which process.
    pub who: Who,
    /// The number of the place.
    pub place: usize,
}

/// The one subject of most demos: what is at the first place.
pub const ARENA: Subject = Subject { name: "", who: Who::Worker, place: 0 };

/// How far what is expected binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// It is this number.
    Exact,
    /// It is in these bounds, which the kernel's own batches or the machine's other work make necessary.
    Bounded,
    /// It is shown, and nothing is demanded of it.
    Informative,
}

impl Rule {
    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::Informative => "informative",
        }
    }
}

/// What is expected of one quantity after a step.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// Of what.
    pub quantity: Quantity,
    /// How far it binds.
    pub rule: Rule,
    /// The least value, in the quantity's unit; `None` where nothing is demanded.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
}

impl Expectation {
    /// Whether a value is as expected.
    pub fn holds(&self, value: i64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

/// What the worker does in a step.
pub type Work = Box<dyn Fn(&mut Worker) -> Done>;

/// One step of a demo.
pub struct Step {
    /// What is done, as a short imperative: "write page 0".
    pub action: String,
    /// Who does it.
    pub who: Who,
    /// How often the work is done, before it is looked at; [`Worker::time`] counts them. Between two of them the arena is
    /// shown filling up.
    pub times: usize,
    /// What is expected then.
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

/// A step: what is done, in words and in deed. The deed is done by the worker, in its own process.
pub fn step(action: impl Into<String>, work: impl Fn(&mut Worker) -> Done + 'static) -> Step {
    let (action, work) = (action.into(), Box::new(work));
    Step { action, who: Who::Worker, times: 1, expect: Vec::new(), why: "", work }
}

impl Step {
    /// The step is done by another process than the first.
    pub fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// The work is done so many times.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Demands this very value, by every source.
    pub fn exact(self, quantity: Quantity, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.expects(quantity, Rule::Exact, Some(value), Some(value))
    }

    /// Demands this value where it is known, else has it shown.
    pub fn known(self, quantity: Quantity, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.exact(quantity, value),
            None => self.informative(quantity),
        }
    }

    /// Demands a value in these bounds, by every source.
    pub fn within(self, quantity: Quantity, bounds: RangeInclusive<i64>) -> Self {
        self.expects(quantity, Rule::Bounded, Some(*bounds.start()), Some(*bounds.end()))
    }

    /// Demands this value at least.
    pub fn at_least(self, quantity: Quantity, value: i64) -> Self {
        self.expects(quantity, Rule::Bounded, Some(value), None)
    }

    /// Has a value shown.
    pub fn informative(self, quantity: Quantity) -> Self {
        self.expects(quantity, Rule::Informative, None, None)
    }

    /// Says why, for `--explain`.
    pub fn why(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// Lets there be more of a quantity than was demanded: faults, where the worker cannot be settled beforehand.
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
