//! Rows of any report, in the form that the screen keeps.

use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

use regex_lite::Regex;

use super::spec::{Live, Said, Spec, Sum};
use crate::analysis::series::{Reading, Tracked};
use crate::name::Name;
use crate::view::cell::Cell;
use crate::view::field::{Field, Kind, Unit};
use crate::view::size::{Scale, text};

/// A row of any type.
pub(crate) trait Line: Any {
    /// The cell of a field, by its index.
    fn cell(&self, field: usize) -> Cell<'_>;

    /// See [`Live::detail`].
    fn detail(&self, scale: &Scale, room: (usize, usize)) -> Vec<Said>;

    /// See [`Live::closer`].
    fn closer(&self) -> Vec<Said>;

    /// See [`Live::changes`].
    fn changes(&self, tracked: &Tracked<Shown>, scale: &Scale) -> Option<String>;

    /// See [`Live::is_wrong`].
    fn is_wrong(&self, field: &str) -> bool;
}

/// A row that is shown.
pub(crate) type Shown = Rc<dyn Line>;

/// The headline.
pub(crate) trait Above {
    /// See [`Live::total`].
    fn total(&self) -> Option<(&'static str, i64)>;

    /// See [`Live::parts`].
    fn parts(&self, scale: &Scale) -> Option<String>;

    /// See [`Live::sums`].
    fn sums(&self, scale: &Scale, is_whole: bool) -> Vec<Sum>;
}

/// A reading on its way to the screen.
pub(crate) struct Shot {
    pub(super) rows: Vec<Reading<Shown>>,
    pub(super) above: Rc<dyn Above>,
}

/// Turns reports into readings for the screen.
pub(crate) struct Feed<L: Live> {
    fields: Rc<Vec<Field<L::Row>>>,
    /// The positions of the fields that identify rows.
    identity: Vec<usize>,
    /// The positions of those that are followed, each with whether it counts pages.
    followed: Vec<(usize, bool)>,
}

/// A row with the fields that describe it.
struct Entry<L: Live> {
    row: L::Row,
    fields: Rc<Vec<Field<L::Row>>>,
}

struct Summed<L: Live>(L::Report);

impl<L: Live> Feed<L> {
    /// A feed for rows with these fields.
    pub(crate) fn new(fields: Vec<Field<L::Row>>) -> Self {
        let Spec { identity, followed, .. } = L::SPEC;
        let place = |name: &&str| fields.iter().position(|field| field.is_called(name));
        let in_pages = |place: usize| (place, matches!(fields[place].unit, Unit::Pages | Unit::Frames));
        Self {
            identity: identity.iter().filter_map(place).collect(),
            followed: followed.iter().filter_map(place).map(in_pages).collect(),
            fields: Rc::new(fields),
        }
    }

    /// A reading from a report and its rows. `page_bytes` is the size of a page.
    pub(crate) fn shot(&self, rows: Vec<L::Row>, report: L::Report, page_bytes: u64) -> Shot {
        let reading = |row: L::Row| {
            let cell = |place: usize| (self.fields[place].column.cell)(&row);
            let mut key = String::new();
            for place in &self.identity {
                key += &cell(*place).raw();
                key.push('\0');
            }
            let value = |&(place, in_pages): &(usize, bool)| {
                let unit = if in_pages { i128::from(page_bytes) } else { 1 };
                let number = cell(place).number()?.saturating_mul(unit);
                Some(number.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
            };
            let values = self.followed.iter().map(value).collect();
            Reading { key, values, row: self.line(row) }
        };
        Shot { rows: rows.into_iter().map(reading).collect(), above: Rc::new(Summed::<L>(report)) }
    }

    /// A row that is shown.
    pub(crate) fn line(&self, row: L::Row) -> Shown {
        Rc::new(Entry::<L> { row, fields: Rc::clone(&self.fields) })
    }

    /// The row behind one that is shown.
    pub(crate) fn row<'s>(&self, shown: &'s Shown) -> Option<&'s L::Row> {
        let any: &dyn Any = &**shown;
        any.downcast_ref::<Entry<L>>().map(|entry| &entry.row)
    }
}

impl<L: Live> Line for Entry<L> {
    fn cell(&self, field: usize) -> Cell<'_> {
        self.fields.get(field).map_or(Cell::Unknown, |field| (field.column.cell)(&self.row))
    }

    fn detail(&self, scale: &Scale, room: (usize, usize)) -> Vec<Said> {
        L::detail(&self.row, scale, room).unwrap_or_else(|| all(&self.fields, &self.row, scale))
    }

    fn closer(&self) -> Vec<Said> {
        L::closer(&self.row)
    }

    fn changes(&self, tracked: &Tracked<Shown>, scale: &Scale) -> Option<String> {
        L::changes(tracked, scale)
    }

    fn is_wrong(&self, field: &str) -> bool {
        L::is_wrong(&self.row, field)
    }
}

impl<L: Live> Above for Summed<L> {
    fn total(&self) -> Option<(&'static str, i64)> {
        L::total(&self.0)
    }

    fn parts(&self, scale: &Scale) -> Option<String> {
        L::parts(&self.0, scale)
    }

    fn sums(&self, scale: &Scale, is_whole: bool) -> Vec<Sum> {
        L::sums(&self.0, scale, is_whole)
    }
}

/// Everything that the fields say about a row, except what is not known, not applicable, or too long for a line.
fn all<R>(fields: &[Field<R>], row: &R, scale: &Scale) -> Vec<Said> {
    let said = |field: &Field<R>| {
        let cell = (field.column.cell)(row);
        if field.people_only || field.kind == Kind::Nested || cell.is_unknown() || cell.is_zero() {
            return None;
        }
        let help = if field.help.is_empty() { String::new() } else { format!("  ({})", uncapitalised(&field.help)) };
        let unit = if is_size(&cell) { scale.unit.behind() } else { "" };
        Some((Cow::Owned(field.column.heading.to_lowercase()), format!("{}{unit}{help}", shown(cell, scale))))
    };
    fields.iter().filter_map(said).collect()
}

/// The text with a small first letter, unless it is an abbreviation.
fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

/// Whether a cell is shown as a size on the screen.
fn is_size(cell: &Cell<'_>) -> bool {
    matches!(cell, Cell::Bytes(_) | Cell::SizeChange(_) | Cell::Pages(_) | Cell::PagesAsSize(_) | Cell::Change(_))
}

/// A cell as shown on the screen, where pages are sizes.
pub(super) fn shown(cell: Cell<'_>, scale: &Scale) -> String {
    let cell = match cell {
        Cell::Pages(pages) => Cell::PagesAsSize(pages),
        Cell::Change(pages) => {
            let bytes = i128::from(pages) * i128::from(scale.page_size.bytes());
            Cell::SizeChange(bytes.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
        }
        cell => cell,
    };
    text(|out| cell.write(scale, out))
}

/// The names in a cell.
fn names<'c>(cell: &Cell<'c>) -> Vec<&'c Name> {
    match cell {
        Cell::Name(name) => vec![name],
        Cell::Names(first, others) => std::iter::once(*first).chain(*others).collect(),
        Cell::List(names) => names.iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether a name in a cell matches, or its text if it has none.
pub(super) fn matches(cell: &Cell<'_>, regex: &Regex) -> bool {
    match names(cell) {
        names if names.is_empty() => {
            regex.is_match(&cell.raw()) || matches!(cell, Cell::Word { shown, .. } if regex.is_match(shown))
        }
        names => names.iter().any(|name| name.matches(regex)),
    }
}

/// The first name in a cell, or its text.
pub(super) fn name(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Name(name) | Cell::Names(name, _) => name.escaped().into_owned(),
        cell => cell.raw(),
    }
}

/// A cell cut to `width` columns.
pub(super) fn cut(cell: &Cell<'_>, width: usize, scale: &Scale) -> String {
    match names(cell) {
        names if names.is_empty() => crate::view::table::clipped(&shown(*cell, scale), width),
        names => super::line::joined(names, width),
    }
}
