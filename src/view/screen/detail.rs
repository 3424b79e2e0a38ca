//! Everything that is known about the selected row.

use ratatui::layout::Size;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::line::{bars, style};
use super::lines::Shown;
use super::{State, within};
use crate::analysis::series::{Series, Tracked};
use crate::view::style::{Emphasis, Palette};
use crate::view::table::{clipped, wrapped};

/// The width of the label in front of each line.
const LABEL: usize = 12;

/// The maximum height of the course, in lines.
const HIGH: usize = 8;

/// The lines of the pane, the most important first.
pub(super) fn lines(state: &State, size: Size, palette: Palette) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let Some(row) = state.selected() else {
        return vec![rule(&format!("no {} is selected", state.spec().rows[0]), width, palette)];
    };
    let mut lines = vec![rule(&state.name(row), width, palette)];
    let mut say = |(label, words): (&str, &str)| {
        // The beginning of an endless list of names.
        let words = wrapped(words, width.saturating_sub(LABEL + 2).max(1), 0);
        for (number, line) in words.lines().take(height / 3).enumerate() {
            let label = if number == 0 { clipped(label, LABEL) } else { String::new() };
            let label = Span::styled(format!("{label:>LABEL$}  "), style(palette, Some(Emphasis::Faint)));
            lines.push(Line::from_iter([label, Span::raw(line.to_owned())]));
        }
    };
    let of_row = row.row.detail(&state.scale, (width, height));
    // Keep room for the change and the course, however much there is to say.
    let room = if of_row.len() + 4 > height { height.saturating_sub(4) } else { of_row.len() };
    of_row.iter().take(room).for_each(|(label, words)| say((label, words)));
    say(("change", &changes(state, row)));
    if let Some((id, closer)) = &state.details
        && *id == row.id
    {
        closer.closer().iter().for_each(|(label, words)| say((label, words)));
    }
    // At least one, even if there is almost no room.
    lines.truncate(height.saturating_sub(1));
    let Some(course) = row.courses.first() else { return lines };
    let [least, most] = course.ends();
    let room = (height - lines.len()).min(if most > least { HIGH } else { 1 });
    let bars = bars(course, width.saturating_sub(2 * (LABEL + 2)).min(120), room, state.shown().window());
    for (number, bar) in bars.into_iter().enumerate() {
        let end = match number {
            _ if number + 1 == room => state.signed(least),
            0 if most > least => format!("+{}", state.amount(most.abs_diff(least))),
            _ => String::new(),
        };
        lines.push(Line::raw(format!("{end:>LABEL$}  {bar}")));
    }
    lines
}

/// `── dentry ─────`.
fn rule(name: &str, width: usize, palette: Palette) -> Line<'static> {
    let name = clipped(name, width.saturating_sub(6));
    let rest = "─".repeat(width.saturating_sub(4 + name.width()));
    Line::from_iter([
        Span::raw("── "),
        Span::styled(name, style(palette, Some(Emphasis::Accent))),
        Span::raw(format!(" {rest}")),
    ])
}

/// How what is followed changed.
fn changes(state: &State, row: &Tracked<Shown>) -> String {
    if let Some(words) = row.row.changes(row, &state.scale) {
        return words;
    }
    match row.courses.first().and_then(Series::change_per_minute) {
        None => "not known after a single reading".to_owned(),
        Some(0) => "none".to_owned(),
        Some(change) => {
            let sign = if change < 0 { "−" } else { "+" };
            format!("{sign}{} {}", state.amount(change.unsigned_abs()), in_time(&row.courses[0]))
        }
    }
}

/// The time of a change, in words.
pub(crate) fn in_time(course: &Series) -> String {
    match within(course.time()).strip_prefix(" in ") {
        Some(time) => format!("in {time}"),
        None => "within a minute".to_owned(),
    }
}
