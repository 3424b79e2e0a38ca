//! What a run of a demo found.

use serde::Serialize;

use super::environment::Environment;
use super::quantity::{Quantity, Unit};
use super::script::{Expectation, Rule};
use crate::analysis::note::Note;

/// Whether what was seen is what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DemoVerdict"))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It is not.
    Off,
    /// It could not be shown here.
    Skipped,
}

impl Verdict {
    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Off => "off",
            Self::Skipped => "skipped",
        }
    }
}

/// A run of a demo.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoReport {
    /// The demo's name.
    pub demo: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// What shapes its numbers.
    pub environment: Environment,
    /// Whether all steps were as expected.
    pub verdict: Verdict,
    /// Why it was skipped, or went wrong otherwise than by a number.
    pub reason: Option<String>,
    /// The process that did the work, as long as it is held.
    pub pid: Option<u32>,
    /// Its steps, as far as they were done.
    pub steps: Vec<StepReport>,
}

/// A step that was done.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepReport {
    /// What was done.
    pub action: String,
    /// What was expected.
    pub expected: Vec<Expected>,
    /// What was seen.
    pub observed: Vec<Observed>,
    /// Whether all that was seen is as expected; `skipped` where nothing that is demanded could be seen.
    pub verdict: Verdict,
    /// What the pages of the first subject are, one by one.
    #[serde(skip)]
    pub pages: Vec<Cell>,
}

/// What was expected of a quantity.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Expected {
    /// Its name.
    pub quantity: &'static str,
    /// Of what, where a demo looks at several things.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub of: &'static str,
    /// What stands above its column, where it has one.
    #[serde(skip)]
    pub heading: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How far it binds.
    pub rule: Rule,
    /// The least value; `null` where there is no bound.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
    /// Whether every source said so; `null` where none was seen, or nothing is demanded.
    pub held: Option<bool>,
}

/// What a source said of a quantity.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observed {
    /// Its name.
    pub quantity: &'static str,
    /// Of what, where a demo looks at several things.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub of: &'static str,
    /// The number, in the quantity's unit.
    pub value: i64,
    /// The unit.
    #[serde(skip)]
    pub unit: Unit,
    /// Which interface said so.
    pub source: &'static str,
}

/// What one page is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// No address of the process.
    #[default]
    Unmapped,
    /// Nothing yet.
    Empty,
    /// A frame of its own.
    Frame,
    /// The shared zero page.
    Zero,
    /// Swapped out.
    Swapped,
}

impl Observed {
    /// A value of a quantity.
    pub fn of(quantity: Quantity, source: &'static str, value: i64) -> Self {
        Self { quantity: quantity.name, of: quantity.of, value, unit: quantity.unit, source }
    }

    /// Whether it is a value of this quantity.
    pub fn is(&self, quantity: &Quantity) -> bool {
        self.quantity == quantity.name && self.of == quantity.of
    }
}

impl Expected {
    /// Whether a value is one of this quantity.
    pub fn is_of(&self, observed: &Observed) -> bool {
        self.quantity == observed.quantity && self.of == observed.of
    }
}

impl DemoReport {
    /// What a reader must know: why it was skipped, or did not go on.
    pub fn notes(&self) -> Vec<Note> {
        let note = |reason: &String| Note::general("demo-ended", reason.clone());
        self.reason.iter().map(note).collect()
    }
}

impl StepReport {
    /// Holds what was seen against what was expected. Of what the worker `says` itself there is no reason not to be said.
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

    /// What the first source that tells says of a quantity.
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
