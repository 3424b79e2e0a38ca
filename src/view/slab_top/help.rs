//! The keys, in three columns.

use ratatui::layout::Size;
use ratatui::text::{Line, Span};

use super::line::style;
use crate::view::style::{Emphasis, Palette};
use crate::view::table::wrapped;

/// The keys and what they do: those that sort, and the others. All of them fit into 60 columns and 8 lines.
const KEYS: [(&str, &str); 24] = [
    ("c", "cache size"),
    ("d", "change"),
    ("o", "objects"),
    ("a", "active"),
    ("u", "use"),
    ("s", "object size"),
    ("b", "obj/slab"),
    ("p", "pages/slab"),
    ("l", "slabs"),
    ("v", "act slabs"),
    ("n", "name"),
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

/// What is said below, as far as there is room.
const WORDS: [&str; 8] = [
    "Letters sort by what stands beside them.",
    "ACTIVE≤, USE≤: at most; free objects that processors keep count as in use.",
    "CACHE SIZE: slabs times the size the cache prefers for them, as slabtop computes it.",
    "Δ/min: the change within a minute; before, Δ in so many seconds: the change so far.",
    "Growing (g, --growing): the cache size is more than a minute ago.",
    "Bars: a cache's size between its least and its most; flat: no change.",
    "A name with = : caches that the kernel merged; what is counted belongs to all of them.",
    "While the screen is frozen, readings go on.",
];

/// The width of keys and of a blank behind them.
const KEY: usize = 7;

/// The lines of the help.
pub(super) fn lines(size: Size, palette: Palette) -> Vec<Line<'static>> {
    let width = usize::from(size.width / 3).min(36);
    let rows = KEYS.len() / 3;
    let entry = |(keys, what): &(&'static str, &'static str)| {
        let keys = Span::styled(format!(" {keys:KEY$}"), style(palette, Some(Emphasis::Accent)));
        let what = format!("{what:room$}", room = width.saturating_sub(KEY + 1));
        [keys, Span::raw(what)]
    };
    let row = |row: usize| Line::from_iter(KEYS.iter().skip(row).step_by(rows).flat_map(entry));
    let words = WORDS.map(|words| wrapped(words, usize::from(size.width).clamp(20, 100), 1)).concat();
    let words: Vec<_> = words.lines().map(|line| Line::raw(line.to_owned())).collect();
    (0..rows).map(row).chain([Line::default()]).chain(words).take(size.height.into()).collect()
}
