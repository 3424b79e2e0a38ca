//! The keys, in three columns.

use ratatui::layout::Size;
use ratatui::text::{Line, Span};

use super::State;
use super::columns::Column;
use super::line::style;
use crate::view::style::{Emphasis, Palette};
use crate::view::table::wrapped;

/// The keys of every screen and what they do, apart from those that sort. With eleven of those, all fit into 60 columns
/// and 8 lines.
const KEYS: [(&str, &str); 13] = [
    ("< >", "sort column"),
    ("r", "reverse"),
    ("/", "filter names"),
    ("g", "growing only"),
    ("Enter", "detail"),
    ("↑↓ jk", "select"),
    ("PgUp", "PgDn: page"),
    ("Home", "End: ends"),
    ("space", "freeze"),
    ("+ -", "interval"),
    ("e", "unit"),
    ("^Z", "suspend"),
    ("q", "quit"),
];

/// The width of the keys and a blank after them.
const KEY: usize = 7;

/// The lines of the help.
pub(super) fn lines(state: &State, size: Size, palette: Palette) -> Vec<Line<'static>> {
    let width = usize::from(size.width / 3).min(36);
    // Where people look first: what the rows are initially sorted by, and the change.
    let order = |column: &&Column| match column.key {
        key if key == Some(state.spec().sort) => 0,
        _ if column.is_change() => 1,
        _ => 2,
    };
    let mut columns: Vec<&Column> = state.columns().all().iter().filter(|column| column.key.is_some()).collect();
    columns.sort_by_key(order);
    let of_columns = columns.into_iter().filter_map(|column| Some((column.key?.to_string(), column.help.clone())));
    let others = KEYS.iter().map(|(keys, what)| ((*keys).to_owned(), (*what).to_owned()));
    let entries: Vec<(String, String)> = of_columns.chain(others).collect();
    let rows = entries.len().div_ceil(3);
    let entry = |(keys, what): &(String, String)| {
        let keys = Span::styled(format!(" {keys:KEY$}"), style(palette, Some(Emphasis::Accent)));
        let what = format!("{what:room$}", room = width.saturating_sub(KEY + 1));
        [keys, Span::raw(what)]
    };
    let row = |row: usize| Line::from_iter(entries.iter().skip(row).step_by(rows).flat_map(entry));
    let words = [
        &["Letters sort by the column next to them."],
        state.spec().help,
        &["While the screen is frozen, readings continue."],
    ]
    .concat();
    let words = words.iter().map(|words| wrapped(words, usize::from(size.width).clamp(20, 100), 1));
    let words = words.collect::<String>();
    let words: Vec<_> = words.lines().map(|line| Line::raw(line.to_owned())).collect();
    (0..rows).map(row).chain([Line::default()]).chain(words).take(size.height.into()).collect()
}
