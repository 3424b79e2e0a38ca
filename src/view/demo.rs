//! Demos as they run: a heading, each step as it is done, and what there is to learn.

mod bar;
mod boxes;
mod environment;
mod list;
mod rows;
mod steps;

use std::io::{self, Write};

pub(crate) use list::{Summary, explain, fields as list_fields, summary, summary_headings};
pub(crate) use rows::{Row, fields, rows};
pub(crate) use steps::Steps;

use super::style::Emphasis;
use super::table::{Layout, wrapped};
use crate::demo::Demo;
use crate::demo::environment::Environment;
use crate::demo::report::{DemoReport, StepReport, Verdict};
use crate::demo::script::Rule;
use crate::name::escaped;

/// The maximum length of lines if there is no terminal.
const WIDTH: usize = 80;

fn width(layout: &Layout) -> usize {
    layout.width.unwrap_or(WIDTH).clamp(40, 100)
}

/// A paragraph, as wide as lines can be.
fn paragraph(out: &mut dyn Write, text: &str, indent: usize, layout: &Layout) -> io::Result<()> {
    write!(out, "{}", wrapped(&escaped(text.as_bytes()), width(layout), indent))
}

/// What is printed above the steps.
pub(crate) fn head(out: &mut dyn Write, demo: &Demo, environment: &Environment, layout: &Layout) -> io::Result<()> {
    title(out, demo, layout)?;
    if !demo.about.is_empty() {
        paragraph(out, demo.about, 0, layout)?;
    }
    let faint = |line: &str| layout.palette.paint(Emphasis::Faint, line);
    for line in environment::lines(environment, width(layout)) {
        writeln!(out, "{}", faint(&escaped(line.as_bytes())))?;
    }
    writeln!(out)
}

/// Its name and its question.
pub(super) fn title(out: &mut dyn Write, demo: &Demo, layout: &Layout) -> io::Result<()> {
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, &format!("{} — {}", demo.name, demo.question)))
}

/// How many steps a run of a demo should have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// The number of steps.
    pub steps: usize,
    /// Whether these are all steps that the demo has on this machine.
    pub whole: bool,
}

/// What is printed below the steps: what there is to learn if everything was as expected, and how much of it was.
pub(crate) fn tail(
    out: &mut dyn Write,
    demo: &Demo,
    report: &DemoReport,
    planned: Planned,
    layout: &Layout,
) -> io::Result<()> {
    boxes::draw(out, demo.boxes, &report.steps, layout)?;
    if report.verdict == Verdict::Ok && planned.whole && !demo.learnt.is_empty() {
        writeln!(out)?;
        paragraph(out, demo.learnt, 0, layout)?;
    }
    writeln!(out)?;
    if let (Verdict::Skipped, Some(reason)) = (report.verdict, &report.reason) {
        return paragraph(out, &format!("skipped: {reason}"), 0, layout);
    }
    if let Some(reason) = &report.reason {
        paragraph(out, &format!("it ended early: {reason}"), 0, layout)?;
    }
    let unseen = unseen(report);
    if !unseen.is_empty() {
        let why = match report.environment.frame_numbers {
            true => "they could not be determined in this run",
            false => "an ordinary user does not see frame numbers",
        };
        paragraph(out, &format!("not seen here: {} ({why})", unseen.join(", ")), 0, layout)?;
    }
    let text = format!("{}{}", as_expected(&report.steps, planned.steps), which_off(report));
    let emphasis = if report.verdict == Verdict::Off { Emphasis::Wrong } else { Emphasis::Accent };
    writeln!(out, "{}", layout.palette.paint(emphasis, &text))
}

/// How much was as expected: `7 of 7 steps as expected`, `5 of 5 steps as expected, 1 not checked`.
fn as_expected(steps: &[StepReport], planned: usize) -> String {
    let count = |verdict| steps.iter().filter(|step| step.verdict == verdict).count();
    let (good, unchecked) = (count(Verdict::Ok), count(Verdict::Skipped));
    let checked = planned.saturating_sub(unchecked);
    let unchecked = if unchecked == 0 { String::new() } else { format!(", {unchecked} not checked") };
    format!("{good} of {checked} {} as expected{unchecked}", if checked == 1 { "step" } else { "steps" })
}

/// Which steps were off.
fn which_off(report: &DemoReport) -> String {
    let numbered = report.steps.iter().zip(1..);
    let off: Vec<String> = numbered.filter(|(s, _)| s.verdict == Verdict::Off).map(|(_, n)| n.to_string()).collect();
    match off.len() {
        0 => String::new(),
        1 => format!("; off: step {}", off[0]),
        _ => format!("; off: steps {}", off.join(", ")),
    }
}

/// What is required but was never observed.
fn unseen(report: &DemoReport) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let demanded = || report.steps.iter().flat_map(|step| &step.expected).filter(|e| e.rule != Rule::Informative);
    let seen: Vec<String> = demanded().filter(|expected| expected.held.is_some()).map(steps::named).collect();
    for name in demanded().map(steps::named).filter(|name| !seen.contains(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_could_not_be_checked_are_not_expected() {
        let steps = |verdicts: &[Verdict]| -> Vec<StepReport> {
            let step = |&verdict: &Verdict| StepReport {
                action: String::new(),
                expected: Vec::new(),
                observed: Vec::new(),
                verdict,
                pages: Vec::new(),
            };
            verdicts.iter().map(step).collect()
        };
        let (ok, off, skipped) = (Verdict::Ok, Verdict::Off, Verdict::Skipped);
        assert_eq!(as_expected(&steps(&[ok, ok]), 2), "2 of 2 steps as expected");
        assert_eq!(as_expected(&steps(&[ok]), 1), "1 of 1 step as expected");
        assert_eq!(as_expected(&steps(&[ok, off, skipped]), 3), "1 of 2 steps as expected, 1 not checked");
        assert_eq!(as_expected(&steps(&[ok, skipped]), 4), "1 of 3 steps as expected, 1 not checked", "it ended early");
    }
}
