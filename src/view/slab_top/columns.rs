//! The columns of the live screen: what they show, what they sort by, and which of them there is room for.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

use super::{State, within};
use crate::analysis::slab::Counts;
use crate::analysis::slab::history::Tracked;
use crate::view::cell::Cell;
use crate::view::size::{Scale, Unit, grouped_string, text};

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    /// The key that sorts by it: slabtop's letters, and `d`.
    pub key: char,
    /// What `--sort` calls it.
    pub name: &'static str,
    /// What stands above it: see [`heading`].
    heading: &'static str,
    /// Whether what stands above it also says the unit.
    has_unit: bool,
    /// Columns of a lower rank fall away first.
    rank: u8,
    cell: for<'r> fn(&'r Tracked) -> Cell<'r>,
}

/// All columns but the course, in the order they are shown.
pub(super) const COLUMNS: [Column; 11] = [
    number('o', "objects", "OBJECTS", 7, |cache| of(cache, |counts| Cell::Number(counts.cache.objects))),
    number('a', "active", "ACTIVE≤", 5, |cache| of(cache, |counts| Cell::Number(counts.cache.active_objects))),
    number('u', "use", "USE≤", 8, |cache| of(cache, |counts| Cell::Number(counts.cache.use_percent()))),
    bytes('s', "object_size", "OBJ SIZE", 6, |cache| of(cache, |counts| Cell::Bytes(counts.cache.object_size))),
    number('b', "objects_per_slab", "OBJ/SLAB", 3, |cache| {
        of(cache, |counts| Cell::Number(counts.cache.objects_per_slab))
    }),
    number('p', "pages_per_slab", "PAGES/SLAB", 2, |cache| {
        of(cache, |counts| Cell::Number(counts.cache.pages_per_slab))
    }),
    number('v', "active_slabs", "ACT SLABS", 1, |cache| of(cache, |counts| Cell::Number(counts.cache.active_slabs))),
    number('l', "slabs", "SLABS", 4, |cache| of(cache, |counts| Cell::Number(counts.cache.slabs))),
    bytes('c', "size", "CACHE SIZE", 11, |cache| of(cache, |counts| Cell::Bytes(counts.size_bytes))),
    bytes('d', "size_change", "Δ/min", 10, |cache| change(cache).map_or(Cell::Unknown, Cell::SizeChange)),
    number('n', "name", "NAME", u8::MAX, |cache| Cell::Name(&cache.row.name)),
];

/// The place of the names: the last.
const NAME: usize = COLUMNS.len() - 1;

/// The rank of the course: see [`Column`].
const COURSE_RANK: u8 = 9;

/// The widths that the course can have.
const COURSE: std::ops::RangeInclusive<usize> = 12..=60;

/// The least width of the names.
const NAMES: usize = 16;

/// What stands between two columns.
pub(super) const GAP: usize = 2;

type CellOf = for<'r> fn(&'r Tracked) -> Cell<'r>;

const fn number(key: char, name: &'static str, heading: &'static str, rank: u8, cell: CellOf) -> Column {
    Column { key, name, heading, has_unit: false, rank, cell }
}

const fn bytes(key: char, name: &'static str, heading: &'static str, rank: u8, cell: CellOf) -> Column {
    Column { has_unit: true, ..number(key, name, heading, rank, cell) }
}

fn of<'r>(cache: &'r Tracked, cell: impl FnOnce(&'r Counts) -> Cell<'r>) -> Cell<'r> {
    cache.row.counts.as_ref().map_or(Cell::Unknown, cell)
}

/// The change of a cache's size within a minute, in bytes.
pub(super) fn change(cache: &Tracked) -> Option<i64> {
    cache.size.change_per_minute()
}

impl Column {
    /// What stands in a row.
    pub(crate) fn text(&self, cache: &Tracked, scale: &Scale) -> String {
        let cell = (self.cell)(cache);
        match cell {
            Cell::Number(percent @ 1..) if self.key == 'u' => format!("{percent}%"),
            // Most objects would be no MiB, and no page.
            Cell::Bytes(bytes) if self.key == 's' && scale.unit != Unit::Human => grouped_string(bytes),
            cell => text(|out| cell.write(scale, out)),
        }
    }
}

/// What stands above a column, with the unit. Within the first minute the change is that of a shorter time.
pub(super) fn heading(column: &Column, state: &State) -> String {
    let unit = match state.scale.unit {
        unit if column.key == 's' && unit != Unit::Human => Unit::Bytes.heading(),
        unit if column.has_unit => unit.behind(),
        _ => "",
    };
    match column.key {
        'd' => format!("Δ{}{unit}", within(&state.shown().memory.all)),
        _ => format!("{}{unit}", column.heading),
    }
}

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    column: usize,
    ascending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self::by_key('c').unwrap_or(Self { column: NAME, ascending: true })
    }
}

impl Sort {
    /// By a column, the largest first; names by the alphabet.
    fn by(column: usize) -> Self {
        Self { column, ascending: column == NAME }
    }

    /// By the letter of a column.
    pub(crate) fn by_key(key: char) -> Option<Self> {
        COLUMNS.iter().position(|column| column.key == key).map(Self::by)
    }

    /// By what `--sort` says: a letter as slabtop takes it, or a column's name, descending with `-` before it. With `-`
    /// before it a letter means the other way round.
    pub(crate) fn by_option(option: &str) -> Option<Self> {
        let name = option.trim_start_matches('-');
        let letter = || Some(name.chars().next()?).filter(|first| first.len_utf8() == name.len());
        if let Some(sort) = letter().and_then(Self::by_key) {
            return Some(if name == option { sort } else { sort.reversed() });
        }
        let column = COLUMNS.iter().position(|column| column.name == name)?;
        Some(Self { column, ascending: name == option })
    }

    /// The other way round.
    pub(crate) fn reversed(self) -> Self {
        Self { ascending: !self.ascending, ..self }
    }

    /// By the next column to the right, or by the one to the left.
    pub(crate) fn moved(self, right: bool) -> Self {
        let step = if right { 1 } else { COLUMNS.len() - 1 };
        Self::by((self.column + step) % COLUMNS.len())
    }

    /// The column.
    pub(crate) fn column(&self) -> &'static Column {
        const { &COLUMNS }.get(self.column).unwrap_or(const { &COLUMNS[NAME] })
    }

    /// The sign for the direction.
    pub(crate) fn sign(&self) -> char {
        if self.ascending { '▴' } else { '▾' }
    }

    /// The order of two caches.
    pub(crate) fn compare(&self, a: &Tracked, b: &Tracked) -> Ordering {
        let cell = self.column().cell;
        let order = cell(a).compare(&cell(b));
        if self.ascending { order } else { order.reverse() }
    }
}

/// The columns that there is room for, and how wide they are.
#[derive(Debug)]
pub(super) struct Fitting {
    /// The columns without the names, each with its width.
    pub columns: Vec<(&'static Column, usize)>,
    /// The width of the course; `None` where there is no room.
    pub course: Option<usize>,
    /// The width of the names.
    pub names: usize,
}

/// Chooses among the columns for a line of this width. They are as wide as any of all caches needs, shown or not, so that
/// nothing moves when rows do.
pub(super) fn fitting(state: &State, width: usize) -> Fitting {
    const ALL: &[Column] = &COLUMNS;
    let sorted_by = state.sort.column().key;
    let needed = |column: &Column| {
        let cells = state.shown().caches.iter().map(|cache| column.text(cache, &state.scale).width());
        // With room for the sign of the direction.
        cells.max().unwrap_or(0).max(heading(column, state).width() + usize::from(column.key == sorted_by))
    };
    let rank = |column: &Column| if column.key == sorted_by { u8::MAX } else { column.rank };
    let mut wanted: Vec<(u8, Option<&'static Column>, usize)> =
        ALL[..NAME].iter().map(|column| (rank(column), Some(column), needed(column))).collect();
    wanted.push((COURSE_RANK, None, *COURSE.start()));
    wanted.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    let mut room = width.saturating_sub(NAMES);
    // The first that does not fit ends it: what matters less is not shown in its place.
    let fit = wanted.iter().take_while(|(_, _, width)| match room.checked_sub(width + GAP) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    let (columns, course): (Vec<_>, Vec<_>) = fit.partition(|(_, column, _)| column.is_some());
    // A third of what is left makes the course longer.
    let longer = if course.is_empty() { 0 } else { (room / 3).min(COURSE.end() - COURSE.start()) };
    let place = |column: &Column| ALL.iter().position(|other| other.key == column.key);
    let mut columns: Vec<_> = columns.iter().filter_map(|(_, column, width)| Some(((*column)?, *width))).collect();
    columns.sort_by_key(|(column, _)| place(column));
    Fitting {
        columns,
        course: course.first().map(|(.., width)| width + longer),
        names: (NAMES + room - longer).min(width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_a_column_and_a_direction() {
        let sort = |option| Sort::by_option(option).map(|sort| (sort.column().name, sort.ascending));
        assert_eq!(sort("o"), Some(("objects", false)));
        assert_eq!(sort("-o"), Some(("objects", true)));
        assert_eq!(sort("n"), Some(("name", true)));
        assert_eq!(sort("objects"), Some(("objects", true)));
        assert_eq!(sort("-objects"), Some(("objects", false)));
        assert_eq!(sort("size_change"), Some(("size_change", true)));
        assert_eq!([sort(""), sort("-"), sort("x"), sort("ob"), sort("≤")], [None; 5]);
    }

    #[test]
    fn every_letter_of_slabtop_is_a_key() {
        let keys: Vec<char> = "abclnvopsu".chars().filter(|key| Sort::by_key(*key).is_none()).collect();
        assert_eq!(keys, []);
        let mut all: Vec<char> = COLUMNS.iter().map(|column| column.key).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), COLUMNS.len());
    }

    #[test]
    fn moving_goes_round() {
        let mut sort = Sort::default();
        for _ in 0..COLUMNS.len() {
            sort = sort.moved(true);
        }
        assert_eq!(sort, Sort::default());
        assert_eq!(sort.moved(true).moved(false), sort);
    }
}
