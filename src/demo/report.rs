//! The results of a demo run.

use serde::Serialize;

use super::environment::Environment;
use super::quantity::{Quantity, Unit};
use super::script::{Expectation, Rule};
use crate::analysis::note::Note;

/// Whether the observations met the expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DemoVerdict"))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They did.
    Ok,
    /// They did not.
    Off,
    /// They could not be made on this machine.
    Skipped,
}

impl Verdict {
    /// Its name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Off => "off",
            Self::Skipped => "skipped",
        }
    }
}

/// One run of a demo.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoReport {
    /// The demo's name.
    pub demo: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// The settings that affect its numbers.
    pub environment: Environment,
    /// The verdict on all steps together.
    pub verdict: Verdict,
    /// Why it was skipped, or why it failed for a reason other than a number.
    pub reason: Option<String>,
    /// The PID of the worker while it is held.
    pub pid: Option<u32>,
    /// The steps that were done.
    pub steps: Vec<StepReport>,
}

/// One step that was done.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepReport {
    /// The action.
    pub action: String,
    /// The expectations.
    pub expected: Vec<Expected>,
    /// The observations.
    pub observed: Vec<Observed>,
    /// Whether all observations met the expectations; `skipped` if none of the expected quantities could be observed.
    pub verdict: Verdict,
    /// The state of each page of the first subject.
    #[serde(skip)]
    pub pages: Vec<Cell>,
}

/// The expectation for one quantity.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Expected {
    /// Its name.
    pub quantity: &'static str,
    /// The name of its subject, if the demo has several.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub of: &'static str,
    /// Its column heading, if it has a column.
    #[serde(skip)]
    pub heading: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How strict it is.
    pub rule: Rule,
    /// The lower bound; `null` if unbounded.
    pub min: Option<i64>,
    /// The upper bound; `null` if unbounded.
    pub max: Option<i64>,
    /// Whether every source met it; `null` if no source was available or nothing is expected.
    pub held: Option<bool>,
}

/// One value of a quantity from one source.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observed {
    /// Its name.
    pub quantity: &'static str,
    /// The name of its subject, if the demo has several.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub of: &'static str,
    /// The value, in the quantity's unit.
    pub value: i64,
    /// The unit.
    #[serde(skip)]
    pub unit: Unit,
    /// The kernel interface it comes from.
    pub source: &'static str,
}

/// The state of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// Not mapped.
    #[default]
    Unmapped,
    /// Mapped, with no frame yet.
    Empty,
    /// It has a frame of its own.
    Frame,
    /// It maps the shared zero page.
    Zero,
    /// Swapped out.
    Swapped,
}

impl Observed {
    /// Builds an observation.
    pub fn of(quantity: Quantity, source: &'static str, value: i64) -> Self {
        Self { quantity: quantity.name, of: quantity.of, value, unit: quantity.unit, source }
    }

    /// Whether it belongs to this quantity.
    pub fn is(&self, quantity: &Quantity) -> bool {
        self.quantity == quantity.name && self.of == quantity.of
    }
}

impl Expected {
    /// Whether an observation belongs to this quantity.
    pub fn is_of(&self, observed: &Observed) -> bool {
        self.quantity == observed.quantity && self.of == observed.of
    }
}

impl DemoReport {
    /// The note for the reader: why the run was skipped or stopped.
    pub fn notes(&self) -> Vec<Note> {
        let note = |reason: &String| Note::general("demo-ended", reason.clone());
        self.reason.iter().map(note).collect()
    }
}

impl StepReport {
    /// Compares the observations with the expectations. A quantity the worker itself `says` must be present: there is no excuse
    /// for its absence.
    pub fn new(
        action: String,
        expect: &[Expectation],
        observed: Vec<Observed>,
        says: &[(Quantity, &'static str)],
    ) -> Self {
        let says = |quantity| says.iter().any(|(said, _)| *said == quantity);
        let expected: Vec<Expected> =
            expect.iter().map(|expectation| judge(expectation, &observed, says(expectation.quantity))).collect();
        let held = || expected.iter().filter(|e| e.rule != Rule::Informative).map(|e| e.held);
        let verdict = match () {
            () if held().any(|held| held == Some(false)) => Verdict::Off,
            () if held().all(|held| held.is_none()) => Verdict::Skipped,
            () => Verdict::Ok,
        };
        Self { action, expected, observed, verdict, pages: Vec::new() }
    }

    /// The value of a quantity from the first source that has it.
    pub fn value(&self, quantity: &Quantity) -> Option<i64> {
        self.observed.iter().find(|observed| observed.is(quantity)).map(|observed| observed.value)
    }
}

fn judge(expectation: &Expectation, observed: &[Observed], says: bool) -> Expected {
    let &Expectation { quantity, rule, min, max } = expectation;
    let mut values =
        observed.iter().filter(|observed| observed.is(&quantity)).map(|observed| observed.value).peekable();
    let held = match (rule, values.peek(), says) {
        (Rule::Informative, ..) | (_, None, false) => None,
        (_, None, true) => Some(false),
        (_, Some(_), _) => Some(values.all(|value| expectation.holds(value))),
    };
    let Quantity { name, heading, unit, of } = quantity;
    Expected { quantity: name, of, heading, unit, rule, min, max, held }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::quantity::{FAULTS, FRAMES, MAJOR_FAULTS};
    use crate::demo::script::step;

    fn verdict(observed: &[(Quantity, i64)]) -> Verdict {
        let mut step = step("", |_| Ok(())).exact(FRAMES, 1).within(FAULTS, 1..=2);
        if observed.is_empty() {
            step = step.exact(MAJOR_FAULTS, 0);
        }
        let observed = observed.iter().map(|(quantity, value)| Observed::of(*quantity, "", *value)).collect();
        StepReport::new(String::new(), &step.expect, observed, &[(MAJOR_FAULTS, "")]).verdict
    }

    #[test]
    fn every_source_must_say_so() {
        assert_eq!(verdict(&[(FRAMES, 1), (FRAMES, 1), (FAULTS, 2)]), Verdict::Ok);
        assert_eq!(verdict(&[(FRAMES, 1), (FRAMES, 2), (FAULTS, 2)]), Verdict::Off);
        assert_eq!(verdict(&[(FRAMES, 1), (FAULTS, 3)]), Verdict::Off);
        assert_eq!(verdict(&[(FRAMES, 1)]), Verdict::Ok, "one was not seen");
        assert_eq!(verdict(&[(FRAMES.of("child"), 1)]), Verdict::Skipped, "none was seen");
        assert_eq!(verdict(&[]), Verdict::Off, "the worker did not say what it must");
    }
}
