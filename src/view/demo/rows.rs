//! Demos as rows: what was observed, for CSV and JSON lines.

use crate::demo::quantity::Unit;
use crate::demo::report::{DemoReport, Expected, Observed, StepReport, Verdict};
use crate::demo::script::Rule;
use crate::view::cell::Cell;
use crate::view::field::{Field, Kind};

/// What a source showed after a step, with what was expected.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    demo: &'static str,
    step: u64,
    action: String,
    quantity: &'static str,
    /// Empty if a demo observes only one thing.
    of: &'static str,
    source: &'static str,
    value: i64,
    unit: Unit,
    rule: Option<Rule>,
    min: Option<i64>,
    max: Option<i64>,
    held: Option<bool>,
    verdict: Verdict,
}

/// The fields of a row.
pub(crate) fn fields() -> Vec<Field<Row>> {
    // Its unit is in a separate field.
    fn number(name: &'static str, help: &'static str, of: fn(&Row) -> Option<i64>) -> Field<Row> {
        Field::label(name, name.to_uppercase(), help, Kind::Signed, move |row: &Row| {
            of(row).map_or(Cell::Unknown, Cell::CountChange)
        })
        .aligned_right()
    }
    vec![
        Field::text("demo", "DEMO", "The demo", |row: &Row| row.demo),
        Field::id("step", "STEP", "The number of the step", |row: &Row| row.step),
        Field::text("action", "ACTION", "What was done", |row: &Row| &row.action),
        Field::text("quantity", "QUANTITY", "What was counted", |row: &Row| row.quantity),
        Field::label(
            "of",
            "OF",
            "What it is a number of, if the demo observes several things",
            Kind::Text,
            |row: &Row| {
                if row.of.is_empty() { Cell::Absent } else { Cell::Text(row.of) }
            },
        ),
        Field::text("source", "SOURCE", "Which interface said so", |row: &Row| row.source),
        number("value", "The number, in its unit", |row| Some(row.value)).always(),
        Field::text("unit", "UNIT", "Unit of the numbers: pages, bytes, count or nanoseconds", |row: &Row| {
            row.unit.name()
        }),
        Field::label(
            "rule",
            "RULE",
            "Rule of the expectation: exact, bounded, or informative; none if nothing was expected",
            Kind::Text,
            |row: &Row| row.rule.map_or(Cell::Absent, |rule| Cell::Text(rule.name())),
        ),
        number("min", "The least that was expected", |row| row.min),
        number("max", "The most that was expected", |row| row.max),
        Field::bool("held", "HELD", "Whether this number is as expected; none if nothing was expected", |row: &Row| {
            row.held
        }),
        Field::text("verdict", "VERDICT", "Verdict on the step: ok, off, or skipped", |row: &Row| row.verdict.name()),
    ]
}

/// A row for each observation of a run.
pub(crate) fn rows(report: &DemoReport) -> Vec<Row> {
    let of_step = |(step, number): (&StepReport, u64)| -> Vec<Row> {
        let row = |observed: &Observed| {
            let expected = step.expected.iter().find(|expected| expected.is_of(observed));
            let bound = |bound: fn(&Expected) -> Option<i64>| expected.and_then(bound);
            let (min, max, rule) = (bound(|e| e.min), bound(|e| e.max), expected.map(|e| e.rule));
            let holds = min.is_none_or(|min| min <= observed.value) && max.is_none_or(|max| observed.value <= max);
            Row {
                demo: report.demo,
                step: number,
                action: step.action.clone(),
                quantity: observed.quantity,
                of: observed.of,
                source: observed.source,
                value: observed.value,
                unit: observed.unit,
                rule,
                min,
                max,
                held: rule.filter(|rule| *rule != Rule::Informative).map(|_| holds),
                verdict: step.verdict,
            }
        };
        step.observed.iter().map(row).collect()
    };
    report.steps.iter().zip(1..).flat_map(of_step).collect()
}
