//! The steps of a demo: observed values above the expected ones.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::bar::Bar;
use super::{paragraph, width};
use crate::demo::Demo;
use crate::demo::quantity::{Quantity, Unit};
use crate::demo::report::{Expected, StepReport, Verdict};
use crate::demo::script::{Rule, Step};
use crate::view::size::{grouped_string, text};
use crate::view::style::Emphasis;
use crate::view::table::{Layout, wrapped};

/// The gap between two columns.
const GAP: usize = 2;
/// The width of the step number before an action.
const NUMBER: usize = 4;
/// The width of the widest mark after the numbers, including the gap before it.
const MARK: usize = GAP + 3;
const EXPECTED: &str = "expected";
/// As wide as the sources on that line in most demos: `pagemap = smaps = kpageflags`.
const SOURCES: usize = 28;

/// The layout of a demo's steps.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    demo: &'a Demo,
    layout: &'a Layout,
    /// The width of each column.
    widths: Vec<usize>,
    /// The width of the part left of the columns.
    left: usize,
    /// Whether the legend of the bar has been printed.
    explained: bool,
}

impl<'a> Steps<'a> {
    /// Lays out these steps, before any of them is done.
    pub(crate) fn new(demo: &'a Demo, steps: &[Step], layout: &'a Layout) -> Self {
        let expected = |column: &Quantity| {
            let all = steps.iter().flat_map(|step| &step.expect).filter(|expected| expected.quantity == *column);
            all.map(|e| bounds(layout, column.unit, e.rule, e.min, e.max).width()).max().unwrap_or(0)
        };
        let least = |unit| match unit {
            Unit::Pages | Unit::Count => 6,
            Unit::Bytes => 9,
            Unit::Nanoseconds => 7,
        };
        let widths = demo.columns.iter().map(|column| {
            let wide = heading(layout, column).width().max(expected(column)).max(least(column.unit));
            wide + GAP
        });
        let widths: Vec<usize> = widths.collect();
        let room = width(layout).saturating_sub(widths.iter().sum::<usize>() + MARK);
        let longest = steps.iter().map(|step| step.action.width() + NUMBER).filter(|wide| *wide <= room).max();
        let beside = NUMBER + SOURCES + GAP + EXPECTED.len();
        let left = longest.unwrap_or(0).max(beside).min(room).max(NUMBER + EXPECTED.len());
        Self { demo, layout, widths, left, explained: false }
    }

    /// Whether its lines fit the terminal without wrapping, so that their number is known.
    pub(crate) fn fits(&self) -> bool {
        let longest = self.left + self.widths.iter().sum::<usize>() + MARK;
        self.layout.width.is_some_and(|width| longest <= width)
    }

    /// The column headings: the quantity, and its subject if the demo has several.
    pub(crate) fn headings(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.layout.headings || self.demo.columns.is_empty() {
            return Ok(());
        }
        let bold = |line: &str| self.layout.palette.paint(Emphasis::Heading, line.trim_end());
        if self.demo.columns.iter().any(|column| !column.of.is_empty()) {
            let mut line = " ".repeat(self.left);
            let columns: Vec<_> = self.demo.columns.iter().zip(&self.widths).collect();
            for group in columns.chunk_by(|(a, _), (b, _)| a.of == b.of) {
                let (of, room) = (group[0].0.of, group.iter().map(|(_, wide)| **wide).sum::<usize>() - GAP);
                line += &" ".repeat(GAP);
                line += &match of.width() {
                    0 => " ".repeat(room),
                    wide if wide + 4 > room => format!("{of:>room$}"),
                    _ => format!("{:─^room$}", format!(" {of} ")),
                };
            }
            writeln!(out, "{}", bold(&line))?;
        }
        let headings = self.demo.columns.iter().map(|column| heading(self.layout, column));
        writeln!(out, "{}", bold(&self.row("", headings, None)))
    }

    /// A line of the table. `mark` is the number of the column to emphasise, and the style.
    fn row(&self, left: &str, cells: impl Iterator<Item = String>, wrong: Option<&[bool]>) -> String {
        let mut line = left.to_owned() + &" ".repeat(self.left.saturating_sub(left.width()));
        for (number, (cell, wide)) in cells.zip(&self.widths).enumerate() {
            let padding = " ".repeat(wide.saturating_sub(cell.width()));
            let cell = match wrong.is_some_and(|wrong| wrong[number]) {
                true => self.layout.palette.paint(Emphasis::Wrong, &cell),
                false => cell,
            };
            line += &(padding + &cell);
        }
        line
    }

    /// A completed step: observed values, expected values, and the bar; if it is off, also what is wrong.
    pub(crate) fn step(&mut self, out: &mut dyn Write, number: usize, step: &StepReport, why: &str) -> io::Result<()> {
        let palette = self.layout.palette;
        let mark = match step.verdict {
            Verdict::Ok => palette.paint(Emphasis::Accent, "✓"),
            Verdict::Off => palette.paint(Emphasis::Wrong, "off"),
            Verdict::Skipped => "-".to_owned(),
        };
        if number > 1 && !why.is_empty() {
            writeln!(out)?;
        }
        writeln!(out, "{}  {mark}", self.seen(number, step).join("\n"))?;
        let expected = self.demo.columns.iter().map(|column| {
            expected_of(step, column).map_or(String::new(), |e| bounds(self.layout, e.unit, e.rule, e.min, e.max))
        });
        let (sources, room) = (sources(step, self.demo.columns), self.left - NUMBER);
        let beside = sources.width() + GAP + EXPECTED.len() <= room;
        let words = if beside { sources.as_str() } else { "" };
        let left = format!("{:NUMBER$}{words}{EXPECTED:>1$}", "", room - words.width());
        writeln!(out, "{}", palette.paint(Emphasis::Faint, self.row(&left, expected, None).trim_end()))?;
        self.bar(out, step, if beside { "" } else { &sources })?;
        if step.verdict == Verdict::Off {
            for line in wrong(step, self.layout) {
                let lines = wrapped(&line, width(self.layout), NUMBER);
                lines.lines().try_for_each(|line| writeln!(out, "{}", palette.paint(Emphasis::Wrong, line)))?;
            }
        }
        if !why.is_empty() {
            paragraph(out, why, NUMBER, self.layout)?;
        }
        Ok(())
    }

    /// A step in progress: the values so far. Returns the number of lines printed.
    pub(crate) fn so_far(&mut self, out: &mut dyn Write, number: usize, step: &StepReport) -> io::Result<usize> {
        let mut lines = self.seen(number, step);
        let bar = Bar::new(&step.pages, width(self.layout) - NUMBER);
        if !bar.is_empty() {
            lines.push(format!("{:NUMBER$}{}", "", bar.painted(self.layout.palette)));
        }
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        Ok(lines.len())
    }

    /// A repetition of a step, as a line of the table.
    pub(crate) fn repetition(&self, out: &mut dyn Write, done: usize, step: &StepReport) -> io::Result<()> {
        let left = format!("{:NUMBER$}{done:>1$}", "", self.left - NUMBER);
        writeln!(out, "{}", self.row(&left, self.values(step), None))
    }

    fn values(&self, step: &StepReport) -> impl Iterator<Item = String> {
        let demanded = |column: &Quantity| expected_of(step, column).is_some_and(|e| e.rule != Rule::Informative);
        self.demo.columns.iter().map(move |column| match step.value(column) {
            Some(value) => shown(self.layout, column.unit, value),
            None if demanded(column) => "-".to_owned(),
            None => String::new(),
        })
    }

    /// The action with the observed values; on lines of its own if it is long.
    fn seen(&self, number: usize, step: &StepReport) -> Vec<String> {
        let wrong: Vec<bool> = self
            .demo
            .columns
            .iter()
            .map(|column| expected_of(step, column).is_some_and(|expected| expected.held == Some(false)))
            .collect();
        let action = format!("{number:>2}  {}", step.action);
        let mut lines = Vec::new();
        let left = if action.width() <= self.left {
            action
        } else {
            let whole = wrapped(&step.action, width(self.layout), NUMBER);
            lines.extend(whole.lines().map(str::to_owned));
            lines[0].replace_range(..2, &format!("{number:>2}"));
            format!("{:>1$}", "seen", self.left)
        };
        lines.push(self.row(&left, self.values(step), Some(&wrong)));
        lines
    }

    /// The bar, and the sources if they were not printed yet: after the bar if there is room, else before it.
    fn bar(&mut self, out: &mut dyn Write, step: &StepReport, sources: &str) -> io::Result<()> {
        let palette = self.layout.palette;
        let faint = |text: &str| palette.paint(Emphasis::Faint, text);
        let bar = Bar::new(&step.pages, width(self.layout) - NUMBER);
        let behind = !bar.is_empty() && NUMBER + bar.width() + GAP + sources.width() <= width(self.layout);
        if !behind && !sources.is_empty() {
            writeln!(out, "{:NUMBER$}{}", "", faint(sources))?;
        }
        if bar.is_empty() {
            return Ok(());
        }
        let behind =
            if behind && !sources.is_empty() { format!("{:GAP$}{}", "", faint(sources)) } else { String::new() };
        writeln!(out, "{:NUMBER$}{}{behind}", "", bar.painted(palette))?;
        if let Some(legend) = bar.legend().filter(|_| !std::mem::replace(&mut self.explained, true)) {
            writeln!(out, "{:NUMBER$}{}", "", faint(&legend))?;
        }
        Ok(())
    }

    /// What the kernel does, for `--explain`.
    pub(crate) fn background(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        background(out, self.demo, self.layout)
    }
}

/// What the kernel does, and where.
pub(super) fn background(out: &mut dyn Write, demo: &Demo, layout: &Layout) -> io::Result<()> {
    if !demo.explain.is_empty() {
        paragraph(out, demo.explain, 0, layout)?;
    }
    let widest = demo.functions.iter().map(|(function, _)| function.len()).max().unwrap_or(0);
    for (function, file) in demo.functions {
        writeln!(out, "  {function:<widest$}  {file}")?;
    }
    Ok(())
}

/// What is off, in words: the expected value, and what each source says.
pub(super) fn wrong(step: &StepReport, layout: &Layout) -> Vec<String> {
    let line = |expected: &Expected| {
        let wanted = bounds(layout, expected.unit, expected.rule, expected.min, expected.max);
        let seen = step.observed.iter().filter(|observed| expected.is_of(observed));
        let seen = seen.map(|o| format!("{} says {}", o.source, shown(layout, expected.unit, o.value)));
        let seen: Vec<String> = seen.collect();
        format!("{}: expected {wanted}, {}", named(expected), seen.join(", "))
    };
    step.expected.iter().filter(|expected| expected.held == Some(false)).map(line).collect()
}

/// The heading of a column, with its unit if the numbers do not include it.
fn heading(layout: &Layout, column: &Quantity) -> String {
    match column.unit {
        Unit::Pages => format!("{}{}", column.heading, layout.scale.unit.heading()),
        Unit::Bytes => format!("{}{}", column.heading, layout.scale.unit.behind()),
        Unit::Count | Unit::Nanoseconds => column.heading.to_owned(),
    }
}

/// The quantity of an expectation, in words.
pub(super) fn named(expected: &Expected) -> String {
    match expected.of {
        "" => expected.heading.to_owned(),
        of => format!("{} of {of}", expected.heading),
    }
}

/// The expectation of a step for a column.
fn expected_of<'s>(step: &'s StepReport, column: &Quantity) -> Option<&'s Expected> {
    step.expected.iter().find(|expected| expected.quantity == column.name && expected.of == column.of)
}

/// A number in human-readable form.
pub(super) fn shown(layout: &Layout, unit: Unit, value: i64) -> String {
    // A real minus sign, because a lone hyphen means "not known".
    let sign = if value < 0 { "−" } else { "" };
    let number = value.unsigned_abs();
    let number = match unit {
        _ if number == 0 => "0".to_owned(),
        Unit::Pages => text(|out| layout.scale.pages(number, out)),
        Unit::Bytes => size(layout, number),
        Unit::Count => grouped_string(number),
        Unit::Nanoseconds => nanoseconds(number),
    };
    format!("{sign}{number}")
}

/// A size, without a decimal if it is a whole number of its unit.
fn size(layout: &Layout, bytes: u64) -> String {
    let text = text(|out| layout.scale.size(bytes, out));
    let unit = 1 << (bytes.ilog2() / 10 * 10);
    match text.split_once(".0 ") {
        Some((number, name)) if bytes.is_multiple_of(unit) => format!("{number} {name}"),
        _ => text,
    }
}

fn nanoseconds(number: u64) -> String {
    match number {
        0..10_000 => format!("{} ns", grouped_string(number)),
        10_000..10_000_000 => format!("{} µs", grouped_string(number / 1000)),
        _ => format!("{} ms", grouped_string(number / 1_000_000)),
    }
}

/// The expected value in human-readable form; empty if nothing is expected.
pub(super) fn bounds(layout: &Layout, unit: Unit, rule: Rule, min: Option<i64>, max: Option<i64>) -> String {
    let shown = |value| shown(layout, unit, value);
    match (min, max) {
        _ if rule == Rule::Informative => String::new(),
        (Some(min), Some(max)) if min == max => shown(min),
        (Some(min), Some(max)) if min == -max => format!("± {}", shown(max)),
        (Some(min), Some(max)) if min < 0 => format!("{} to {}", shown(min), shown(max)),
        (Some(min), Some(max)) => format!("{}–{}", shown(min), shown(max)),
        (Some(min), None) => format!("≥ {}", shown(min)),
        (None, Some(max)) => format!("≤ {}", shown(max)),
        (None, None) => String::new(),
    }
}

/// The sources that confirmed the expected values; those that were compared with each other are joined with `=`.
fn sources(step: &StepReport, columns: &[Quantity]) -> String {
    let held = columns.iter().filter_map(|column| expected_of(step, column)).filter(|e| e.held == Some(true));
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for expected in held {
        let seen = step.observed.iter().filter(|observed| expected.is_of(observed));
        let sources: Vec<&str> = seen.map(|observed| observed.source).collect();
        let place = groups.iter().position(|group| group.iter().any(|source| sources.contains(source)));
        let place = place.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        for source in sources {
            if !groups[place].contains(&source) {
                groups[place].push(source);
            }
        }
    }
    if groups.iter().any(|group| group.len() > 1) {
        groups.retain(|group| group.len() > 1);
    }
    groups.iter().map(|group| group.join(" = ")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::BLANK;
    use crate::demo::quantity::{FAULTS, FRAMES, TABLES};
    use crate::demo::report::{Cell, Observed};
    use crate::demo::script::step;
    use crate::unit::PageSize;
    use crate::view::size::{Scale, Unit as Shown};
    use crate::view::style::Palette;

    const ONE: Demo = Demo { columns: &[FRAMES, FAULTS, TABLES], ..BLANK };
    const TWO: Demo = Demo {
        columns: &[FAULTS, FRAMES.of("parent"), TABLES.of("parent"), FRAMES.of("child"), TABLES.of("child")],
        ..BLANK
    };

    fn layout() -> Layout {
        let scale = Scale { unit: Shown::Human, page_size: PageSize::new(4096).unwrap() };
        Layout { scale, width: None, height: None, headings: true, palette: Palette::default() }
    }

    /// The output for a demo with this single step and these observations.
    fn shown(demo: &Demo, step: Step, seen: &[(Quantity, &'static str, i64)]) -> String {
        let layout = layout();
        let observed = seen.iter().map(|(quantity, source, value)| Observed::of(*quantity, source, *value)).collect();
        let mut report = StepReport::new(step.action.clone(), &step.expect, observed, &[]);
        report.pages = vec![Cell::Frame, Cell::Empty];
        let mut out = Vec::new();
        let mut steps = Steps::new(demo, &[step], &layout);
        steps.headings(&mut out).unwrap();
        steps.step(&mut out, 1, &report, "").unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
        shown
    }

    fn write() -> Step {
        step("write page 0", |_| Ok(())).exact(FRAMES, 1).within(FAULTS, 1..=2).exact(TABLES, 12288)
    }

    #[test]
    fn what_was_seen_stands_above_what_was_expected() {
        let seen = [(FRAMES, "pagemap", 1), (FRAMES, "smaps", 1), (FAULTS, "getrusage", 2), (TABLES, "status", 12288)];
        let expected = "                                            frames  faults     tables
 1  write page 0                                 1       2     12 KiB  ✓
    pagemap = smaps               expected       1     1–2     12 KiB
    █·
";
        assert_eq!(shown(&ONE, write(), &seen), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_longer_lines_and_no_redrawn_ones() {
        for (width, fits) in [(20, false), (40, false), (60, true), (100, true)] {
            let layout = Layout { width: Some(width), ..layout() };
            let report = StepReport::new(write().action, &write().expect, Vec::new(), &[]);
            let (mut steps, mut out) = (Steps::new(&ONE, &[write()], &layout), Vec::new());
            steps.step(&mut out, 1, &report, "why").unwrap();
            assert_eq!(steps.fits(), fits, "{width}: {}", String::from_utf8(out).unwrap());
        }
    }

    #[test]
    fn what_is_off_is_said_in_words_and_what_was_not_seen_is_a_dash() {
        let seen = [(FRAMES, "pagemap", 1), (FRAMES, "smaps", 1002), (FAULTS, "getrusage", 0)];
        let expected = "                                            frames  faults     tables
 1  write page 0                                 1       0          -  off
                                  expected       1     1–2     12 KiB
    █·
    frames: expected 1, pagemap says 1, smaps says 1,002
    faults: expected 1–2, getrusage says 0
";
        assert_eq!(shown(&ONE, write(), &seen), expected);
    }

    #[test]
    fn of_two_processes_each_has_its_heading_and_a_long_action_lines_of_its_own() {
        let action = "have the child write the first page of that memory, which it shares with its parent until then";
        let (parent, child) = (FRAMES.of("parent"), FRAMES.of("child"));
        let step = step(action, |_| Ok(())).exact(parent, 64).exact(child, 64);
        let seen = [(parent, "pagemap", 64), (parent, "smaps", 64), (child, "pagemap", 64), (child, "smaps", 64)];
        let text = shown(&TWO, step, &seen);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("─ parent ─") && lines[0].contains("─ child ─"), "{text}");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["faults", "frames", "tables", "frames", "tables"]);
        assert!(lines[2].starts_with(" 1  have the child"), "{text}");
        assert!(lines[3].starts_with("    ") && lines[4].trim_start().starts_with("seen "), "{text}");
        assert_eq!(lines[4].split_whitespace().collect::<Vec<_>>(), ["seen", "64", "64", "✓"]);
        // A number is aligned with its heading.
        let end = |line: &str, word: &str| line[..line.rfind(word).unwrap() + word.len()].width();
        assert_eq!(end(lines[4], "64"), end(lines[1], "frames"));
    }

    #[test]
    fn bounds_are_written_as_people_write_them() {
        let layout = layout();
        let text = |rule, min, max| bounds(&layout, Unit::Count, rule, min, max);
        for (min, max, words) in [
            (Some(1), Some(1), "1"),
            (Some(60), Some(64), "60–64"),
            (Some(-2000), Some(2000), "± 2,000"),
            (Some(-2), Some(3), "−2 to 3"),
            (Some(5), None, "≥ 5"),
            (None, Some(5), "≤ 5"),
        ] {
            assert_eq!(text(Rule::Bounded, min, max), words);
        }
        assert_eq!(text(Rule::Informative, None, None), "");
        let bytes = |bytes| super::shown(&layout, Unit::Bytes, bytes);
        assert_eq!([0, 12288, -12288, 12289, 1 << 30].map(bytes), ["0", "12 KiB", "−12 KiB", "12.0 KiB", "1 GiB"]);
        let time = |time| super::shown(&layout, Unit::Nanoseconds, time);
        assert_eq!([57, 9_999, 12_345, 12_345_678].map(time), ["57 ns", "9,999 ns", "12 µs", "12 ms"]);
    }
}
