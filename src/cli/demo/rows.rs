//! Demos as rows: the list, and what was observed, for CSV and JSONL.

use anyhow::Result;
use serde::Serialize;

use crate::cli::options::{Format, GlobalOptions};
use crate::cli::output::Output;
use crate::cli::run::old::Report;
use crate::cli::run::old::{Choice, write_csv};
use crate::cli::status::UsageError;
use crate::demo::Demo;
use crate::demo::quantity::Unit;
use crate::demo::report::{DemoReport, Expected, Observed, StepReport, Verdict};
use crate::demo::script::Rule;
use crate::kernel::root::Root;
use crate::view::cell::Cell;
use crate::view::demo::{self as view, ListRow};
use crate::view::field::Field;
use crate::view::table::{self, Layout};
use crate::view::{json, time};

/// What a source said after a step, beside what was expected.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    demo: &'static str,
    step: usize,
    action: String,
    quantity: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
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

fn columns() -> Vec<Field<Row>> {
    fn text(name: &'static str, help: &'static str, field: fn(&Row) -> &str) -> Field<Row> {
        Field::old_text(name, name.to_uppercase(), help, move |row: &Row| Cell::Text(field(row)))
    }
    fn number(name: &'static str, help: &'static str, field: fn(&Row) -> Option<i64>) -> Field<Row> {
        Field::old_number(name, name.to_uppercase(), help, move |row: &Row| {
            field(row).map_or(Cell::Unknown, Cell::CountChange)
        })
    }
    vec![
        text("demo", "the demo", |row| row.demo),
        number("step", "the number of the step", |row| i64::try_from(row.step).ok()),
        text("action", "what was done", |row| &row.action),
        text("quantity", "what was counted", |row| row.quantity),
        text("of", "of what, where a demo looks at several things", |row| row.of),
        text("source", "which interface said so", |row| row.source),
        number("value", "the number, in its unit", |row| Some(row.value)),
        text("unit", "pages, bytes, count or nanoseconds", |row| row.unit.name()),
        text("rule", "exact, bounded, or informative; empty where it was not asked for", |row| {
            row.rule.map_or("", Rule::name)
        }),
        number("min", "the least that was expected", |row| row.min),
        number("max", "the most that was expected", |row| row.max),
        text("held", "whether this number is so; empty where nothing is demanded", |row| match row.held {
            None => "",
            Some(true) => "true",
            Some(false) => "false",
        }),
        text("verdict", "of the step: ok, off, or skipped", |row| row.verdict.name()),
    ]
}

const DEFAULT: [&str; 12] =
    ["demo", "step", "action", "quantity", "of", "source", "value", "unit", "rule", "min", "max", "held"];

/// The columns that were chosen.
///
/// # Errors
/// [`UsageError::Invalid`] for a column that there is not, and where the form has none to choose.
pub(super) fn choice(global: &GlobalOptions) -> Result<Choice<Row>> {
    let help = global.columns.as_deref() == Some("help");
    if (global.columns.is_some() || global.sort.is_some()) && global.format() != Format::Csv && !help {
        let text = "demo: --columns and --sort go with --format csv: the steps of a demo have columns of their own";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    Choice::new(global, columns(), &DEFAULT)
}

/// Writes a row for each observation.
pub(super) fn write(
    output: &mut Output,
    global: &GlobalOptions,
    choice: &Choice<Row>,
    reports: &[&DemoReport],
) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'r> {
        time: &'r str,
        #[serde(flatten)]
        row: &'r Row,
    }
    let mut rows: Vec<Row> = reports.iter().flat_map(|report| rows(report)).collect();
    choice.sort(&mut rows);
    if global.format() == Format::Jsonl {
        let time = time::now();
        rows.iter().try_for_each(|row| json::line(output, &Line { time: &time, row }))?;
    } else {
        write_csv(output, !global.no_headings, &[], &choice.shown(), &rows)?;
    }
    if !global.quiet {
        let reasons = reports.iter().filter_map(|report| Some((report.demo, report.reason.as_ref()?)));
        reasons.for_each(|(demo, reason)| crate::cli::status::say(&format!("{demo}: {reason}")));
    }
    Ok(())
}

fn rows(report: &DemoReport) -> Vec<Row> {
    let of_step = |(step, number): (&StepReport, usize)| -> Vec<Row> {
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

/// Writes the list of demos; gives what `--columns help` prints instead, where that was asked for.
pub(super) fn write_list(
    demos: &[&'static Demo],
    explain: bool,
    global: &GlobalOptions,
    root: &Root,
    layout: &Layout,
    output: &mut Output,
) -> Result<Option<Vec<u8>>> {
    #[derive(Serialize)]
    struct Data<'a> {
        demos: &'a [ListRow],
    }
    let choice = Choice::new(global, view::list_columns(), &["name", "question"])?;
    if choice.help.is_some() {
        return Ok(choice.help);
    }
    let mut rows: Vec<ListRow> = demos.iter().map(|demo| ListRow::of(demo, explain)).collect();
    choice.sort(&mut rows);
    let report = Report {
        schema: "pmem.demo-list/1",
        data: Data { demos: &rows },
        rows: &rows,
        choice: &choice,
        notes: Vec::new(),
    };
    report
        .write(output, global, root, |out, data, _| table::write(out, &choice.columns(), data.demos, None, layout))?;
    Ok(None)
}
