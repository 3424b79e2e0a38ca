//! The columns of the live screen: what they show, how rows are sorted by them, and which of them fit.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

use super::lines::{Shown, cut, shown};
use super::spec::{CHANGE, Pick, Spec};
use super::{State, within};
use crate::analysis::series::Tracked;
use crate::view::cell::Cell;
use crate::view::field::{Field, Role, Unit as FieldUnit};
use crate::view::size::{Scale, Unit, grouped_string};

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The key that sorts by it.
    pub(crate) key: Option<char>,
    /// Its names for `--sort`; the first is the field's.
    pub(crate) names: Vec<String>,
    /// Its name in the help.
    pub(super) help: String,
    heading: String,
    what: What,
    /// Columns of a lower rank are dropped first.
    rank: u8,
    is_right: bool,
    /// Whether it sorts in ascending order: names, and numbers that identify something, do.
    is_label: bool,
    /// The index of the field; `None` for the change of what is followed.
    field: Option<usize>,
}

/// The kind of numbers in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Counts and words.
    Plain,
    /// Sizes, in the chosen unit.
    Size,
    /// Small sizes: in bytes, unless sizes include their unit.
    SmallSize,
}

/// The columns of a screen.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// From left to right; the last takes the rest of a line.
    all: Vec<Column>,
    /// Whether what is followed is a count of things rather than a size.
    counts: bool,
    /// The index of the field that names a row.
    name: usize,
}

/// The rank of the course: see [`Column`].
const COURSE_RANK: u8 = 9;

/// The widths that the course can have.
const COURSE: std::ops::RangeInclusive<usize> = 12..=60;

/// The minimum width of the last column.
const NAMES: usize = 16;

/// The maximum width of a column of words that is not the last.
const WORDS: usize = 40;

/// The gap between two columns.
pub(super) const GAP: usize = 2;

impl Column {
    fn of<R>(pick: &Pick, place: usize, field: &Field<R>) -> Self {
        let heading = pick.heading.unwrap_or(&field.column.heading).to_owned();
        let is_size = matches!(field.unit, FieldUnit::Bytes | FieldUnit::Pages | FieldUnit::Frames);
        Self {
            key: (pick.key != NO_KEY).then_some(pick.key),
            names: std::iter::once(&*field.name)
                .chain(field.aliases.iter().map(|alias| &**alias))
                .chain(pick.also)
                .map(str::to_owned)
                .collect(),
            help: pick.help.map_or_else(|| heading.trim_end_matches('≤').to_lowercase(), str::to_owned),
            what: match () {
                () if pick.is_small => What::SmallSize,
                () if is_size => What::Size,
                () => What::Plain,
            },
            rank: pick.rank,
            is_right: field.column.right,
            is_label: field.role == Role::Label,
            field: Some(place),
            heading,
        }
    }

    fn change(pick: &Pick, counts: bool) -> Self {
        Self {
            key: Some(pick.key),
            names: pick.also.into_iter().chain([CHANGE]).map(str::to_owned).collect(),
            help: pick.help.unwrap_or("change").to_owned(),
            heading: "Δ".to_owned(),
            what: if counts { What::Plain } else { What::Size },
            rank: pick.rank,
            is_right: true,
            is_label: false,
            field: None,
        }
    }

    /// Its name in the footer: the field's name, without the unit.
    pub(super) fn words(&self) -> String {
        let name = self.names[0].rsplit('.').next().unwrap_or_default();
        let units = ["_bytes", "_pages", "_frames", "_percent"];
        units.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name).replace('_', " ")
    }

    /// Whether it is the one with the change of what is followed.
    pub(super) fn is_change(&self) -> bool {
        self.field.is_none()
    }
}

/// The key of columns without a key.
const NO_KEY: char = '\0';

impl Columns {
    /// The columns of a screen: those that it picks, or those that are named, instead or in addition; and the one to
    /// sort by, if it is not among them.
    pub(crate) fn new<R>(spec: &Spec, fields: &[Field<R>], named: Option<(&[&str], bool)>, sort: Option<&str>) -> Self {
        let place = |name: &str| fields.iter().position(|field| field.is_called(name));
        let counts = spec.followed.first().and_then(|name| place(name)).is_some_and(|place| {
            !matches!(fields[place].unit, FieldUnit::Bytes | FieldUnit::Pages | FieldUnit::Frames)
        });
        let column = |pick: &Pick| match pick.field {
            CHANGE => Some(Column::change(pick, counts)),
            // A field that is not read has no column.
            name => place(name)
                .filter(|&place| !fields[place].on_request || fields[place].people_only)
                .map(|place| Column::of(pick, place, &fields[place])),
        };
        let picked = |name: &str, rank: u8| {
            let pick = spec.columns.iter().find(|pick| place(pick.field) == place(name));
            let new = Pick { key: NO_KEY, field: "", rank, heading: None, help: None, also: None, is_small: false };
            let pick = pick.copied().unwrap_or(new);
            place(name).map(|place| Column::of(&Pick { rank: pick.rank.max(rank), ..pick }, place, &fields[place]))
        };
        let of_spec = || spec.columns.iter().filter_map(column).collect::<Vec<_>>();
        let of_names =
            |names: &[&str]| -> Vec<Column> { names.iter().filter_map(|name| picked(name, COURSE_RANK + 1)).collect() };
        let mut all: Vec<Column> = match named {
            None => of_spec(),
            Some((names, false)) => of_names(names),
            Some((names, true)) => {
                let mut all = of_spec();
                let mut more = of_names(names);
                more.retain(|column| !all.iter().any(|other| other.field == column.field));
                let last = all.len().saturating_sub(1);
                all.splice(last..last, more);
                all
            }
        };
        let name = sort.map(|sort| sort.trim_start_matches('-')).filter(|name| place(name).is_some());
        if let Some(name) = name.filter(|name| !all.iter().any(|column| column.is_called(name)))
            && !spec.columns.iter().any(|pick| is_key(name, pick.key))
        {
            let last = all.len().saturating_sub(1);
            all.splice(last..last, picked(name, u8::MAX - 1));
        }
        let name = spec.columns.last().and_then(|pick| place(pick.field)).unwrap_or(0);
        Self { all, counts, name }
    }

    /// All columns.
    pub(crate) fn all(&self) -> &[Column] {
        &self.all
    }

    /// The last column, which takes the rest of a line.
    pub(super) fn last(&self) -> usize {
        self.all.len().saturating_sub(1)
    }

    /// Whether what is followed is a count of things rather than a size.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// The name of a row.
    pub(super) fn name<'r>(&self, row: &'r Tracked<Shown>) -> Cell<'r> {
        row.row.cell(self.name)
    }

    /// The cell of a row.
    pub(super) fn cell<'r>(&self, column: usize, row: &'r Tracked<Shown>) -> Cell<'r> {
        match self.all.get(column).map(|column| column.field) {
            Some(Some(field)) => row.row.cell(field),
            Some(None) => match (change(row), self.counts) {
                (None, _) => Cell::Unknown,
                (Some(change), true) => Cell::CountChange(change),
                (Some(change), false) => Cell::SizeChange(change),
            },
            None => Cell::Unknown,
        }
    }

    /// The cell of a row as text.
    fn text(&self, column: usize, row: &Tracked<Shown>, scale: &Scale) -> String {
        match (self.cell(column, row), self.all[column].what) {
            (Cell::Bytes(bytes @ 1..) | Cell::Number(bytes @ 1..), What::SmallSize) if scale.unit != Unit::Human => {
                grouped_string(bytes)
            }
            (Cell::Number(bytes), What::SmallSize | What::Size) => shown(Cell::Bytes(bytes), scale),
            (cell, _) if self.all[column].is_right => shown(cell, scale),
            (cell, _) => cut(&cell, WORDS, scale),
        }
    }

    /// The heading of a column, with the unit. Within the first minute the change is over a shorter time.
    pub(super) fn heading(&self, column: usize, state: &State) -> String {
        let Some(column) = self.all.get(column) else { return String::new() };
        let unit = match column.what {
            What::Size => state.scale.unit.behind(),
            What::SmallSize if state.scale.unit != Unit::Human => Unit::Bytes.heading(),
            What::Plain | What::SmallSize => "",
        };
        match column.is_change() {
            true => format!("Δ{}{unit}", within(state.shown().time())),
            false => format!("{}{unit}", column.heading),
        }
    }
}

impl Column {
    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }
}

/// The change of what is followed, within a minute.
pub(super) fn change(row: &Tracked<Shown>) -> Option<i64> {
    row.courses.first()?.change_per_minute()
}

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    column: usize,
    is_ascending: bool,
}

impl Sort {
    /// By a column, the largest first; names alphabetically.
    fn by(columns: &Columns, column: usize) -> Self {
        Self { column, is_ascending: columns.all.get(column).is_none_or(|column| column.is_label) }
    }

    /// The initial order of a screen.
    pub(super) fn first(columns: &Columns, spec: &Spec) -> Self {
        Self::by_key(columns, spec.sort).unwrap_or_else(|| Self::by(columns, 0))
    }

    /// By the column with this key.
    pub(crate) fn by_key(columns: &Columns, key: char) -> Option<Self> {
        columns.all.iter().position(|column| column.key == Some(key)).map(|column| Self::by(columns, column))
    }

    /// By what `--sort` says: a key, in its own order, reversed with `-` in front; or a column's name, descending with
    /// `-` in front.
    pub(crate) fn by_option(columns: &Columns, option: &str) -> Option<Self> {
        let name = option.strip_prefix('-').unwrap_or(option);
        let by_key = columns.all.iter().filter_map(|column| column.key).find(|key| is_key(name, *key));
        if let Some(sort) = by_key.and_then(|key| Self::by_key(columns, key)) {
            return Some(if name == option { sort } else { sort.reversed() });
        }
        let column = columns.all.iter().position(|column| column.is_called(name))?;
        Some(Self { column, is_ascending: name == option })
    }

    /// The reverse order.
    pub(crate) fn reversed(self) -> Self {
        Self { is_ascending: !self.is_ascending, ..self }
    }

    /// By the next column to the right or left.
    pub(crate) fn moved(self, columns: &Columns, right: bool) -> Self {
        let many = columns.all.len().max(1);
        Self::by(columns, (self.column + if right { 1 } else { many - 1 }) % many)
    }

    /// The index of the column.
    pub(crate) fn column(self) -> usize {
        self.column
    }

    /// The sign for the direction.
    pub(crate) fn sign(self) -> char {
        if self.is_ascending { '▴' } else { '▾' }
    }

    /// The order of two rows.
    pub(super) fn compare(self, columns: &Columns, a: &Tracked<Shown>, b: &Tracked<Shown>) -> Ordering {
        let order = columns.cell(self.column, a).compare(&columns.cell(self.column, b));
        if self.is_ascending { order } else { order.reverse() }
    }
}

/// Whether a word is this key.
fn is_key(word: &str, key: char) -> bool {
    let mut letters = word.chars();
    letters.next() == Some(key) && letters.next().is_none()
}

/// The columns that fit, and their widths.
#[derive(Debug)]
pub(super) struct Fitting {
    /// The indices of the columns except the last, each with its width.
    pub(super) columns: Vec<(usize, usize)>,
    /// The width of the course; `None` if there is no room.
    pub(super) course: Option<usize>,
    /// The width of the last column.
    pub(super) names: usize,
}

/// Chooses the columns for a line of this width. They are as wide as any row needs, shown or not, so that nothing moves
/// when the rows scroll.
pub(super) fn fitting(state: &State, width: usize) -> Fitting {
    let columns = state.columns();
    let sorted_by = state.sort.column();
    let needed = |column: usize| {
        let cells = state.shown().rows.iter().map(|row| columns.text(column, row, &state.scale).width());
        // Leave room for the sign of the direction.
        cells.max().unwrap_or(0).max(columns.heading(column, state).width() + usize::from(column == sorted_by))
    };
    let rank = |column: usize| if column == sorted_by { u8::MAX } else { columns.all[column].rank };
    let mut wanted: Vec<(u8, Option<usize>)> = (0..columns.last()).map(|column| (rank(column), Some(column))).collect();
    wanted.push((COURSE_RANK, None));
    wanted.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    let mut room = width.saturating_sub(NAMES);
    let mut fitting = Fitting { columns: Vec::new(), course: None, names: 0 };
    for (_, column) in wanted {
        let width = column.map_or(*COURSE.start(), needed);
        // The first that does not fit ends the search: a less important one is not shown in its place.
        let Some(rest) = room.checked_sub(width + GAP) else { break };
        room = rest;
        match column {
            Some(column) => fitting.columns.push((column, width)),
            None => fitting.course = Some(width),
        }
    }
    // A third of what is left makes the course longer.
    let longer = fitting.course.map_or(0, |_| (room / 3).min(COURSE.end() - COURSE.start()));
    fitting.course = fitting.course.map(|width| width + longer);
    fitting.columns.sort_unstable();
    fitting.names = (NAMES + room - longer).min(width);
    fitting
}

/// A cell of a column as text of this width.
pub(super) fn padded(state: &State, row: &Tracked<Shown>, (column, width): (usize, usize)) -> String {
    let columns = state.columns();
    let text = columns.text(column, row, &state.scale);
    if columns.all[column].is_right { format!("{text:>width$}") } else { pad(&text, width) }
}

/// The heading of a column, padded to this width.
pub(super) fn padded_heading(state: &State, (column, width): (usize, usize)) -> String {
    let columns = state.columns();
    let sign = if state.sort.column() == column { state.sort.sign().to_string() } else { String::new() };
    let heading = format!("{}{sign}", columns.heading(column, state));
    if columns.all[column].is_right { format!("{heading:>width$}") } else { pad(&heading, width) }
}

/// Text with blanks after it, up to this width. (Formatting counts characters.)
pub(super) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}
