//! Demos without their steps: the list, the description of one, and the summary of several runs.

use std::io::{self, Write};
use std::time::Duration;

use super::steps::{background, wrong};
use super::{as_expected, paragraph, title, width};
use crate::demo::report::{DemoReport, Verdict};
use crate::demo::{DEMOS, Demo};
use crate::name::escaped;
use crate::view::field::Field;
use crate::view::style::Emphasis;
use crate::view::table::{Layout, wrapped};

/// The fields of a demo in the list; with `explain`, everything about it.
pub(crate) fn fields(explain: bool) -> Vec<Field<&'static Demo>> {
    vec![
        Field::text("name", "NAME", "Name to run it by", |demo: &&'static Demo| demo.name),
        Field::text("question", "QUESTION", "Question that it answers", |demo: &&'static Demo| demo.question),
        Field::text("about", "ABOUT", "What the demo does", |demo: &&'static Demo| demo.about),
        Field::text("learnt", "LEARNT", "What it shows", |demo: &&'static Demo| demo.learnt),
        Field::text("explain", "EXPLAIN", "What the kernel does", |demo: &&'static Demo| demo.explain).only_if(explain),
        Field::nested("functions", "The kernel's functions that do it, each with its file", |demo: &&'static Demo| {
            &demo.functions
        })
        .always()
        .only_if(explain),
    ]
}

/// What a demo is about, and what the kernel does. (Its steps are known only after this machine has been probed.)
pub(crate) fn explain(out: &mut dyn Write, demo: &Demo, layout: &Layout) -> io::Result<()> {
    title(out, demo, layout)?;
    paragraph(out, demo.about, 0, layout)?;
    writeln!(out)?;
    background(out, demo, layout)
}

/// The result of one demo among several.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The report.
    pub report: &'a DemoReport,
    /// How many steps it has on this machine.
    pub planned: usize,
    /// How long it took.
    pub time: Duration,
}

fn name_width() -> usize {
    DEMOS.iter().map(|demo| demo.name.len()).max().unwrap_or(0)
}

/// The headings of the summary.
pub(crate) fn summary_headings(out: &mut dyn Write, layout: &Layout) -> io::Result<()> {
    let name = name_width();
    let line = format!("{:<name$}  {:<7}  {:>6}  {:>5}", "DEMO", "VERDICT", "TIME s", "STEPS");
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, &line))
}

/// A line of the summary: the verdict, and the number of steps as expected or the reason for skipping.
pub(crate) fn summary(out: &mut dyn Write, summary: &Summary<'_>, layout: &Layout) -> io::Result<()> {
    let Summary { report, planned, time } = summary;
    let (verdict, emphasis) = match report.verdict {
        Verdict::Ok => ("ok", Emphasis::Accent),
        Verdict::Off => ("off", Emphasis::Wrong),
        Verdict::Skipped => ("skipped", Emphasis::Faint),
    };
    let name = name_width();
    let verdict = layout.palette.paint(emphasis, &format!("{verdict:<7}"));
    write!(out, "{:<name$}  {verdict}  {:>6.1}  ", report.demo, time.as_secs_f64())?;
    let text = match &report.reason {
        Some(reason) => reason.clone(),
        None => as_expected(&report.steps, *planned).replace(" as expected", ""),
    };
    let before = name + 2 + 7 + 2 + 6 + 2;
    let lines = wrapped(&escaped(text.as_bytes()), width(layout).max(before + 20), before);
    write!(out, "{}", lines.trim_start())?;
    // Consequences of the first step that is off are rarely interesting.
    const MOST: usize = 4;
    let off = report.steps.iter().zip(1..).filter(|(step, _)| step.verdict == Verdict::Off);
    let line = |number: usize, action: &str, line: &str| format!("step {number}, {action}: {line}");
    let lines = off.flat_map(|(step, number)| {
        wrong(step, layout).into_iter().map(move |wrong| line(number, &step.action, &wrong)).collect::<Vec<_>>()
    });
    let lines: Vec<String> = lines.collect();
    lines.iter().take(MOST).try_for_each(|line| paragraph(out, line, 2, layout))?;
    if lines.len() > MOST {
        writeln!(out, "  and {} more: run 'pmem demo {}'", lines.len() - MOST, report.demo)?;
    }
    Ok(())
}
