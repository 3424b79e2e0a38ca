//! How the live screen of `pmem slab --top` looks: a state in, a frame of the terminal out.

mod columns;
mod detail;
mod help;
mod line;
mod state;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(crate) use columns::Sort;
pub(crate) use state::{Filter, Pane, State};

use self::columns::{Fitting, GAP, fitting};
use self::line::{Piece, fit, joined, style};
use super::size::{grouped_string, human_string};
use super::style::{Emphasis, Palette};
use super::table::clipped;
use super::time::in_words;
use crate::analysis::slab::diff::SLACK;
use crate::analysis::slab::history::{History, MINUTE, Series, Tracked};
use crate::name::escaped;

/// The least terminal that anything can be shown on: columns and lines.
pub(crate) const LEAST: (u16, u16) = (32, 5);

/// From this height on there is a line for the sums.
const TALL: u16 = 16;

/// From this width on the parts of all slabs stand in the headline.
const WIDE: u16 = 112;

/// Of the screen, how many lines the detail pane takes at most.
const DETAIL: u16 = 14;

/// The least pages of an object that has no cache where large allocations have none: those of 2 pages can have one, and are
/// somewhat larger where the kernel checks its objects (`slab_debug`).
const LARGE_PAGES: u64 = 4;

/// What the selected row begins with, and the others.
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
    /// The places on the screen of this state.
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
            // A table of a row or two would help nobody.
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
        Pane::Help => help::lines(regions.detail.as_size(), palette),
    };
    pane.into_iter().zip(lines(regions.detail)).for_each(|(line, area)| put(line, area));
    put(fit(&footer(state), width, palette), regions.footer);
}

/// The lines of a region, each a region.
fn lines(region: Rect) -> impl Iterator<Item = Rect> {
    (region.top()..region.bottom()).map(move |y| Rect { y, height: 1, ..region })
}

/// What went wrong, or happened.
fn trouble(state: &State) -> Option<String> {
    let history = state.shown();
    let trouble = || history.trouble.as_ref().map(|why| format!("{why}; the numbers are those of {}", history.clock));
    state.notice.clone().or_else(trouble)
}

/// The time, and the memory of all slabs.
fn headline(state: &State) -> Vec<Piece> {
    let history = state.shown();
    let memory = &history.memory;
    let mut pieces = vec![Piece::new(3, "pmem slab").with(Emphasis::Heading), Piece::new(8, history.clock.clone())];
    if state.is_frozen() {
        pieces.push(Piece::new(11, "FROZEN").with(Emphasis::Wrong));
    } else {
        pieces.push(Piece::new(6, format!("every {}", in_words(state.interval()))));
    }
    if let Some(bytes) = memory.all.last() {
        pieces.push(Piece::new(10, format!("Slab {}", state.scale.sized(bytes))).with(Emphasis::Accent));
    }
    if state.size().0 >= WIDE || state.size().1 < TALL {
        pieces.extend(parts(state).map(|parts| Piece::new(7, format!("= {parts}")).close()));
    }
    if let Some(trend) = trend(&memory.all, |bytes| state.scale.sized(bytes)) {
        pieces.push(Piece::new(9, trend));
    }
    pieces.push(Piece::new(2, "? help"));
    pieces
}

/// What of all slabs could be had back, and what not.
fn parts(state: &State) -> Option<String> {
    let reconcile = &state.shown().memory.reconcile;
    let (reclaimable, not) = (reconcile.meminfo_reclaimable_bytes?, reconcile.meminfo_unreclaimable_bytes?);
    Some(format!("{} reclaimable + {} not", state.scale.sized(reclaimable), state.scale.sized(not)))
}

/// `▲ 1.2 MiB/min`, or what it was so far.
fn trend(series: &Series, size: impl Fn(u64) -> String) -> Option<String> {
    let change = series.change_per_minute()?;
    let sign = match change {
        0 => return Some("no change".to_owned()),
        1.. => '▲',
        _ => '▼',
    };
    let amount = size(change.unsigned_abs());
    Some(format!("{sign} {amount}{}", within(series)))
}

/// What a change of this series is the change in: `/min`, or as long as it was looked at for less, ` in 12 s`.
fn within(series: &Series) -> String {
    match series.time() {
        Duration::ZERO => String::new(),
        time if time < MINUTE => format!(" in {} s", time.as_secs().max(1)),
        _ => "/min".to_owned(),
    }
}

/// The sums of slabtop, and what lies in no cache.
fn sums(state: &State) -> Vec<Piece> {
    let memory = &state.shown().memory;
    let totals = &memory.totals;
    let percent = u128::from(totals.active_objects) * 100 / u128::from(totals.objects.max(1));
    let mut pieces = Vec::from_iter(parts(state).filter(|_| state.size().0 < WIDE).map(|parts| Piece::new(7, parts)));
    pieces.extend([
        Piece::new(3, format!("{} caches", grouped_string(totals.caches))),
        Piece::new(4, format!("{} objects, ≤{percent}% used", grouped_string(totals.objects))),
        Piece::new(2, format!("{} slabs", grouped_string(totals.slabs))),
    ]);
    if let Some(less @ ..0) = memory.reconcile.held_difference_bytes {
        let more = state.scale.sized(less.unsigned_abs());
        let cause = if is_large_kmalloc(state, less) { " (large kmalloc)" } else { "" };
        pieces.push(Piece::new(1, format!("{more} more in no cache{cause}")));
    }
    pieces
}

/// Whether what meminfo counts beyond all caches, so many bytes below 0, is large allocations: slabinfo is whole, none of its
/// caches is for them, and it is more than counters lag.
fn is_large_kmalloc(state: &State, less: i64) -> bool {
    let History { trouble, caches, .. } = state.shown();
    let is_for_them = |cache: &Tracked| {
        let large = state.scale.page_size.bytes_of(LARGE_PAGES);
        let counts = cache.row.counts.as_ref();
        cache.row.name.bytes().starts_with(b"kmalloc-") && counts.is_some_and(|of| of.cache.object_size >= large)
    };
    trouble.is_none() && less.unsigned_abs() > SLACK && !caches.iter().any(is_for_them)
}

fn headings(state: &State, fitting: &Fitting, palette: Palette) -> Line<'static> {
    let mut line = MARKS[1].to_owned();
    let sorted_by = state.sort.column();
    let heading = |column: &columns::Column| {
        let sign = if column.key == sorted_by.key { state.sort.sign().to_string() } else { String::new() };
        format!("{}{sign}", columns::heading(column, state))
    };
    for (column, width) in &fitting.columns {
        line += &format!("{:>width$}{:GAP$}", heading(column), "");
    }
    if let Some(width) = fitting.course {
        let time = match state.shown().window() {
            MINUTE => "LAST MINUTE".to_owned(),
            longer => format!("LAST {}", in_words(longer)),
        };
        line += &format!("{time:width$}{:GAP$}", "");
    }
    line += if sorted_by.key == 'n' { if state.sort.sign() == '▴' { "NAME▴" } else { "NAME▾" } } else { "NAME" };
    Line::styled(line, style(palette, Some(Emphasis::Heading)))
}

fn table_row(
    state: &State,
    (cache, is_selected): (&Tracked, bool),
    fitting: &Fitting,
    palette: Palette,
) -> Line<'static> {
    let mut line = Line::raw(MARKS[usize::from(!is_selected)]);
    for (column, width) in &fitting.columns {
        let text = format!("{:>width$}", column.text(cache, &state.scale));
        let stands_out = match column.key {
            'd' if columns::change(cache).is_some_and(|change| change > 0) => Some(Emphasis::Accent),
            // More in use than there are: the numbers cannot be right.
            'a' | 'u' if is_impossible(cache) => Some(Emphasis::Wrong),
            _ => None,
        };
        line.push_span(Span::styled(text, style(palette, stands_out)));
        line.push_span(" ".repeat(GAP));
    }
    if let Some(width) = fitting.course {
        let bars = line::bars(&cache.size, width, 1, state.shown().window()).concat();
        line.push_span(format!("{bars}{:GAP$}", ""));
    }
    line.push_span(format!("{:width$}", joined(cache.row.names(), fitting.names), width = fitting.names));
    if is_selected {
        line = line.patch_style(Modifier::REVERSED);
    }
    line
}

fn is_impossible(cache: &Tracked) -> bool {
    cache.row.counts.as_ref().is_some_and(|counts| counts.cache.active_objects > counts.cache.objects)
}

/// Why the table is empty.
fn nothing(state: &State) -> String {
    let some = match state.shown().caches.len() {
        0 => return "  no caches".to_owned(),
        1 => "one cache".to_owned(),
        many => format!("{many} caches"),
    };
    format!("  none of {some} is shown: {}", choices(state).join(", "))
}

/// What narrows the rows down.
fn choices(state: &State) -> Vec<String> {
    let mut choices = Vec::new();
    if !state.filter.text().is_empty() {
        choices.push(format!("filter: /{}", escaped(state.filter.text().as_bytes())));
    }
    if let Some(least) = state.least_bytes {
        choices.push(format!("from {} on", human_string(least)));
    }
    if state.growing {
        choices.push("growing ones only".to_owned());
    }
    choices
}

/// What was chosen, and the keys.
fn footer(state: &State) -> Vec<Piece> {
    let (rows, all) = (state.rows(), state.shown().caches.len());
    let found = format!("{rows} of {all}");
    if state.is_typing {
        let plain = if state.filter.is_plain() { "no regular expression: as plain text" } else { "" };
        return vec![
            Piece::new(9, format!("filter: /{}█", escaped(state.filter.text().as_bytes()))).with(Emphasis::Accent),
            Piece::new(8, found),
            Piece::new(7, plain),
            Piece::new(6, "Enter keeps it · Esc clears it"),
        ];
    }
    let sort = format!("sort: {} {}", state.sort.column().name.replace('_', " "), state.sort.sign());
    let mut pieces = vec![Piece::new(5, sort)];
    pieces.extend(choices(state).into_iter().map(|choice| Piece::new(9, choice).with(Emphasis::Accent)));
    if rows < all {
        pieces.push(Piece::new(8, found));
    }
    let keys: &[(u8, &str)] = match state.pane {
        Pane::None => &[
            (1, "o a u s b p v l c d n sort"),
            (4, "/ filter"),
            (4, "Enter detail"),
            (3, "space freeze"),
            (6, "? help"),
            (7, "q quit"),
        ],
        Pane::Detail => &[(4, "↑ ↓ another"), (6, "Esc back"), (7, "q quit")],
        Pane::Help => &[(6, "Esc back"), (7, "q quit")],
    };
    pieces.extend(keys.iter().map(|(rank, keys)| Piece::new(*rank, *keys).with(Emphasis::Faint)));
    pieces
}
