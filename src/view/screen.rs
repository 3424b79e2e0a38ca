//! The appearance of the live screen, for rows of any type: a state in, a terminal frame out.

mod columns;
mod detail;
mod help;
mod line;
mod lines;
mod spec;
mod state;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(crate) use columns::{Columns, Sort};
pub(crate) use detail::in_time;
pub(crate) use line::joined;
pub(crate) use lines::{Feed, Shown};
pub(crate) use spec::{CHANGE, Live, OF_CHANGES, Said, Spec, Sum, pick};
pub(crate) use state::{Filter, Pane, State};

use self::columns::{Column, Fitting, GAP, fitting, pad, padded, padded_heading};
use self::line::{Piece, fit, style};
use super::size::{grouped_string, human_string};
use super::style::{Emphasis, Palette};
use super::table::clipped;
use super::time::in_words;
use crate::analysis::series::{MINUTE, Series, Tracked};
use crate::name::escaped;

/// The smallest terminal on which anything can be shown: columns and lines.
pub(crate) const LEAST: (u16, u16) = (32, 5);

/// The smallest height with a line for the sums.
const TALL: u16 = 16;

/// The smallest width with the parts of all slabs in the headline.
const WIDE: u16 = 112;

/// The most lines of the screen that the detail pane takes.
const DETAIL: u16 = 14;

/// What the selected row begins with, and what the others begin with.
const MARKS: [&str; 2] = ["▸ ", "  "];

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    headline: Rect,
    sums: Rect,
    trouble: Rect,
    headings: Rect,
    /// The rows of the table.
    pub rows: Rect,
    detail: Rect,
    footer: Rect,
}

impl Regions {
    /// The regions of the screen in this state.
    pub(crate) fn of(state: &State) -> Self {
        let (width, height) = state.size();
        let mut y = 0;
        let mut next = |lines: u16| {
            let lines = lines.min(height - y);
            let rect = Rect::new(0, y, width, lines);
            y += lines;
            rect
        };
        let headline = next(1);
        let sums = next(u16::from(height >= TALL));
        let trouble = next(u16::from(trouble(state).is_some()));
        let left = height.saturating_sub(headline.height + sums.height + trouble.height + 1);
        let below = match state.pane {
            Pane::None => 0,
            // A table of only a row or two would be useless.
            _ if state.pane == Pane::Help || left < DETAIL => left,
            Pane::Detail | Pane::Help => DETAIL.min(left / 2 + 2),
        };
        let headings = next(u16::from(left > below));
        let rows = next(left.saturating_sub(below + headings.height));
        let (detail, footer) = (next(below), next(1));
        Self { headline, sums, trouble, headings, rows, detail, footer }
    }
}

/// Draws the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, palette: Palette) {
    let (width, height) = state.size();
    if width < LEAST.0 || height < LEAST.1 {
        let (columns, lines) = LEAST;
        let words = format!("{width}×{height} is too small: pmem needs {columns}×{lines}");
        let area = frame.area();
        let wrap = ratatui::widgets::Wrap { trim: true };
        return frame.render_widget(Paragraph::new(words).wrap(wrap), area);
    }
    let regions = Regions::of(state);
    let mut put = |line: Line<'_>, area: Rect| frame.render_widget(line, area.intersection(frame.area()));
    put(fit(&headline(state), width, palette), regions.headline);
    if regions.sums.height > 0 {
        put(fit(&sums(state), width, palette), regions.sums);
    }
    if let Some(trouble) = trouble(state) {
        let words = clipped(&escaped(trouble.as_bytes()), usize::from(width));
        put(Line::styled(words, style(palette, Some(Emphasis::Wrong))), regions.trouble);
    }
    if regions.headings.height > 0 {
        let fitting = fitting(state, usize::from(width).saturating_sub(GAP));
        put(headings(state, &fitting, palette), regions.headings);
        let lines = lines(regions.rows);
        state.rows_in_sight().zip(lines).for_each(|(row, area)| put(table_row(state, row, &fitting, palette), area));
        if state.rows() == 0 {
            put(Line::raw(nothing(state)), regions.rows);
        }
    }
    let pane = match state.pane {
        Pane::None => Vec::new(),
        Pane::Detail => detail::lines(state, regions.detail.as_size(), palette),
        Pane::Help => help::lines(state, regions.detail.as_size(), palette),
    };
    pane.into_iter().zip(lines(regions.detail)).for_each(|(line, area)| put(line, area));
    put(fit(&footer(state), width, palette), regions.footer);
}

/// The lines of a region, each as a region.
fn lines(region: Rect) -> impl Iterator<Item = Rect> {
    (region.top()..region.bottom()).map(move |y| Rect { y, height: 1, ..region })
}

/// What went wrong, or what happened.
fn trouble(state: &State) -> Option<String> {
    let history = state.shown();
    let trouble = || history.trouble.as_ref().map(|why| format!("{why}; the numbers are from {}", history.clock));
    state.notice.clone().or_else(trouble)
}

/// The time, and the total size of all rows.
fn headline(state: &State) -> Vec<Piece> {
    let readings = state.shown();
    let command = format!("pmem {}", state.spec().command);
    let mut pieces = vec![Piece::new(3, command).with(Emphasis::Heading), Piece::new(8, readings.clock.clone())];
    if state.is_frozen() {
        pieces.push(Piece::new(11, "FROZEN").with(Emphasis::Wrong));
    } else {
        pieces.push(Piece::new(6, format!("every {}", in_words(state.interval()))));
    }
    if let Some((what, bytes)) = readings.above().and_then(lines::Above::total) {
        let bytes = signed(bytes, |bytes| state.scale.sized(bytes));
        pieces.push(Piece::new(10, format!("{what} {bytes}")).with(Emphasis::Accent));
    }
    if state.size().0 >= WIDE || state.size().1 < TALL {
        pieces.extend(parts(state).map(|parts| Piece::new(7, format!("= {parts}")).close()));
    }
    if let Some(trend) = trend(&readings.total, |bytes| state.scale.sized(bytes)) {
        pieces.push(Piece::new(9, trend));
    }
    pieces.push(Piece::new(2, "? help"));
    pieces
}

/// The parts of that size.
fn parts(state: &State) -> Option<String> {
    state.shown().above()?.parts(&state.scale)
}

/// `▲ 1.2 MiB/min`, or the change so far.
fn trend(series: &Series, size: impl Fn(u64) -> String) -> Option<String> {
    let change = series.change_per_minute()?;
    let sign = match change {
        0 => return Some("no change".to_owned()),
        1.. => '▲',
        _ => '▼',
    };
    let amount = size(change.unsigned_abs());
    Some(format!("{sign} {amount}{}", within(series.time())))
}

/// The time of a change: `/min`, or if it was observed for less, ` in 12 s`.
fn within(time: Duration) -> String {
    match time {
        Duration::ZERO => String::new(),
        time if time < MINUTE => format!(" in {} s", time.as_secs().max(1)),
        _ => "/min".to_owned(),
    }
}

/// A number that can be negative.
fn signed(number: i64, shown: impl Fn(u64) -> String) -> String {
    format!("{}{}", if number < 0 { "−" } else { "" }, shown(number.unsigned_abs()))
}

impl State {
    /// A followed amount, in the chosen unit.
    fn amount(&self, number: u64) -> String {
        if self.columns().counts() { grouped_string(number) } else { self.scale.sized(number) }
    }

    /// Likewise, for one that can be negative.
    fn signed(&self, number: i64) -> String {
        signed(number, |number| self.amount(number))
    }
}

/// The sums.
fn sums(state: &State) -> Vec<Piece> {
    let readings = state.shown();
    let mut pieces = Vec::from_iter(parts(state).filter(|_| state.size().0 < WIDE).map(|parts| Piece::new(7, parts)));
    if let Some(above) = readings.above() {
        let sums = above.sums(&state.scale, readings.trouble.is_none());
        pieces.extend(sums.into_iter().map(|sum| Piece::new(sum.rank, sum.text)));
    }
    pieces
}

fn headings(state: &State, fitting: &Fitting, palette: Palette) -> Line<'static> {
    let mut line = MARKS[1].to_owned();
    for column in &fitting.columns {
        line += &format!("{}{:GAP$}", padded_heading(state, *column), "");
    }
    if let Some(width) = fitting.course {
        let time = match state.shown().window() {
            MINUTE => "LAST MINUTE".to_owned(),
            longer => format!("LAST {}", in_words(longer)),
        };
        line += &format!("{time:width$}{:GAP$}", "");
    }
    line += padded_heading(state, (state.columns().last(), 0)).trim_start();
    Line::styled(line, style(palette, Some(Emphasis::Heading)))
}

fn table_row(
    state: &State,
    (row, is_selected): (&Tracked<Shown>, bool),
    fitting: &Fitting,
    palette: Palette,
) -> Line<'static> {
    let columns = state.columns();
    let mut line = Line::raw(MARKS[usize::from(!is_selected)]);
    for (column, width) in &fitting.columns {
        let text = padded(state, row, (*column, *width));
        let of = &columns.all()[*column];
        let stands_out = match of.is_change() {
            true if columns::change(row).is_some_and(|change| change > 0) => Some(Emphasis::Accent),
            false if row.row.is_wrong(&of.names[0]) => Some(Emphasis::Wrong),
            _ => None,
        };
        line.push_span(Span::styled(text, style(palette, stands_out)));
        line.push_span(" ".repeat(GAP));
    }
    if let Some(width) = fitting.course {
        let bars = row.courses.first().map(|course| line::bars(course, width, 1, state.shown().window()).concat());
        line.push_span(format!("{:width$}{:GAP$}", bars.unwrap_or_default(), ""));
    }
    let last = lines::cut(&columns.cell(columns.last(), row), fitting.names, &state.scale);
    line.push_span(pad(&last, fitting.names));
    if is_selected {
        line = line.patch_style(Modifier::REVERSED);
    }
    line
}

/// Why the table is empty.
fn nothing(state: &State) -> String {
    let [one, several] = state.spec().rows;
    let some = match state.shown().rows.len() {
        0 if state.shown().above().is_none() => return "  reading …".to_owned(),
        0 => return format!("  no {several}"),
        1 => format!("one {one}"),
        many => format!("{many} {several}"),
    };
    format!("  none of {some} shown: {}", choices(state).join(", "))
}

/// What limits the rows.
fn choices(state: &State) -> Vec<String> {
    let mut choices = Vec::new();
    if !state.filter.text().is_empty() {
        choices.push(format!("filter: /{}", escaped(state.filter.text().as_bytes())));
    }
    if let Some(least) = state.least_bytes {
        choices.push(format!("at least {}", human_string(least)));
    }
    if state.growing {
        choices.push("growing only".to_owned());
    }
    choices
}

/// What was chosen, and the keys.
fn footer(state: &State) -> Vec<Piece> {
    let (rows, all) = (state.rows(), state.shown().rows.len());
    let found = format!("{rows} of {all}");
    if state.is_typing {
        let plain = if state.filter.is_plain() { "not a regular expression: plain text" } else { "" };
        return vec![
            Piece::new(9, format!("filter: /{}█", escaped(state.filter.text().as_bytes()))).with(Emphasis::Accent),
            Piece::new(8, found),
            Piece::new(7, plain),
            Piece::new(6, "Enter keeps it · Esc clears it"),
        ];
    }
    let columns = state.columns().all();
    let sorted_by = columns.get(state.sort.column()).map(Column::words).unwrap_or_default();
    let mut pieces = vec![Piece::new(5, format!("sort: {sorted_by} {}", state.sort.sign()))];
    pieces.extend(choices(state).into_iter().map(|choice| Piece::new(9, choice).with(Emphasis::Accent)));
    if rows < all {
        pieces.push(Piece::new(8, found));
    }
    let of_columns: Vec<String> = columns.iter().filter_map(|column| Some(column.key?.to_string())).collect();
    let of_columns = format!("{} sort", of_columns.join(" "));
    let keys: &[(u8, &str)] = match state.pane {
        Pane::None => {
            &[(1, &of_columns), (4, "/ filter"), (4, "Enter detail"), (3, "space freeze"), (6, "? help"), (7, "q quit")]
        }
        Pane::Detail => &[(4, "↑ ↓ another"), (6, "Esc back"), (7, "q quit")],
        Pane::Help => &[(6, "Esc back"), (7, "q quit")],
    };
    pieces.extend(keys.iter().map(|(rank, keys)| Piece::new(*rank, *keys).with(Emphasis::Faint)));
    pieces
}
