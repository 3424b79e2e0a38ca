//! Fields: the contents of a row, defined once for all formats. A field becomes a table column, a member of JSON
//! objects, a CSV column and a property of the schema, all with the same name and unit.

mod described;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::io;
use std::ops::Deref;

pub(crate) use described::{Described, Kind, Role, Unit};

use super::cell::Cell;
use crate::name::Name;

/// A column of a table with rows of type `R`: how people see a field, or a part of a report that is only for people.
pub(crate) struct Column<R> {
    /// The heading.
    pub(crate) heading: Cow<'static, str>,
    /// Whether it is aligned to the right.
    pub(crate) right: bool,
    /// Whether the totals row adds it up.
    pub(crate) total: bool,
    /// The cell of a row.
    pub(crate) cell: CellOf<R>,
}

/// The cell of a row in a column.
pub(crate) type CellOf<R> = Box<dyn for<'r> Fn(&'r R) -> Cell<'r> + Send + Sync>;

/// A function that can be a [`CellOf`]: several threads may lay out parts of a long table.
pub(crate) trait CellFn<R>: for<'r> Fn(&'r R) -> Cell<'r> + Send + Sync + 'static {}

impl<R, F: for<'r> Fn(&'r R) -> Cell<'r> + Send + Sync + 'static> CellFn<R> for F {}

impl<R> Column<R> {
    /// A column that is aligned to the left and has no total.
    pub(crate) fn text(heading: impl Into<Cow<'static, str>>, cell: impl CellFn<R>) -> Self {
        Self::of(heading.into(), Box::new(cell))
    }

    /// Likewise, with its cell in a box: compiled once for a type of row, not for each column.
    fn of(heading: Cow<'static, str>, cell: CellOf<R>) -> Self {
        Self { heading, right: false, total: false, cell }
    }

    /// A column of numbers with a total.
    pub(crate) fn summed(heading: impl Into<Cow<'static, str>>, cell: impl CellFn<R>) -> Self {
        Self { right: true, total: true, ..Self::text(heading, cell) }
    }

    /// A column of numbers without a sum.
    pub(crate) fn number(heading: impl Into<Cow<'static, str>>, cell: impl CellFn<R>) -> Self {
        Self { right: true, ..Self::text(heading, cell) }
    }
}

/// Text of a field, static or generated.
type Text = Cow<'static, str>;

/// One field of a row.
pub(crate) struct Field<R> {
    about: Described,
    /// How people see it.
    pub(crate) column: Column<R>,
}

impl<R> Deref for Field<R> {
    type Target = Described;

    fn deref(&self) -> &Described {
        &self.about
    }
}

/// Makes the compiler accept a closure for rows of any lifetime.
fn cell_of<R, F: CellFn<R>>(cell: F) -> F {
    cell
}

/// A number that may be unknown.
pub(crate) trait Maybe<T> {
    /// Whether it can be unknown.
    const NULLABLE: bool;
    /// The number.
    fn maybe(self) -> Option<T>;
}

impl<T> Maybe<T> for T {
    const NULLABLE: bool = false;
    fn maybe(self) -> Option<T> {
        Some(self)
    }
}

impl<T> Maybe<T> for Option<T> {
    const NULLABLE: bool = true;
    fn maybe(self) -> Option<T> {
        self
    }
}

impl<R: 'static> Field<R> {
    /// A label. It can be unknown, unless [`always`](Self::always) says otherwise.
    pub(crate) fn label(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        kind: Kind,
        cell: impl CellFn<R>,
    ) -> Self {
        Self::of(Described::label(name.into(), help.into(), kind), heading.into(), Box::new(cell))
    }

    /// A field with its cell in a box: compiled once for a type of row, not for each field.
    fn of(about: Described, heading: Text, cell: CellOf<R>) -> Self {
        Self { about, column: Column::of(heading, cell) }
    }

    /// Text that is always present.
    pub(crate) fn text(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl for<'r> Fn(&'r R) -> &'r str + Send + Sync + 'static,
    ) -> Self {
        Self::label(name, heading, help, Kind::Text, move |row: &R| Cell::Text(get(row))).always()
    }

    /// A name chosen by a user that is always present.
    pub(crate) fn name(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl for<'r> Fn(&'r R) -> &'r Name + Send + Sync + 'static,
    ) -> Self {
        Self::label(name, heading, help, Kind::Name, move |row: &R| Cell::Name(get(row))).always()
    }

    /// A number that identifies something: a PID, an inode.
    pub(crate) fn id<T: Maybe<u64>>(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, Cell::Id));
        Self::label(name, heading, help, Kind::Unsigned, cell).known(T::NULLABLE).aligned_right()
    }

    /// Yes or no.
    pub(crate) fn bool<T: Maybe<bool>>(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, Cell::Bool));
        Self::label(name, heading, help, Kind::Bool, cell).known(T::NULLABLE)
    }

    /// An address.
    pub(crate) fn address<T: Maybe<u64>>(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, Cell::Address));
        Self::label(name, heading, help, Kind::Hex, cell).known(T::NULLABLE)
    }

    /// A structured value, which only JSON has room for.
    pub(crate) fn nested(
        name: impl Into<Text>,
        help: impl Into<Text>,
        get: impl for<'r> Fn(&'r R) -> &'r (dyn erased_serde::Serialize + Sync + 'r) + Send + Sync + 'static,
    ) -> Self {
        Self::label(name, "", help, Kind::Nested, move |row: &R| Cell::Nested(super::cell::Nested(get(row))))
    }

    /// A quantity in this unit.
    fn quantity<T: Maybe<u64>>(
        (name, heading, help): (Text, Text, Text),
        unit: Unit,
        cell: fn(u64) -> Cell<'static>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, cell));
        let field = Self::label(name, heading, help, Kind::Unsigned, cell);
        field.known(T::NULLABLE).quantity_in(unit)
    }

    /// A quantity that can be negative.
    fn signed<T: Maybe<i64>>(
        (name, heading, help): (Text, Text, Text),
        unit: Unit,
        cell: fn(i64) -> Cell<'static>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, cell));
        let field = Self::label(name, heading, help, Kind::Signed, cell);
        field.known(T::NULLABLE).quantity_in(unit)
    }

    /// A percentage with decimals.
    pub(crate) fn percent_exact<T: Maybe<f64>>(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, Cell::Decimal));
        let field = Self::label(name, heading, help, Kind::Number, cell);
        field.known(T::NULLABLE).quantity_in(Unit::Percent)
    }

    /// A share from 0 to 1.
    pub(crate) fn ratio<T: Maybe<f64>>(
        name: impl Into<Text>,
        heading: impl Into<Text>,
        help: impl Into<Text>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        let cell = cell_of(move |row: &R| get(row).maybe().map_or(Cell::Unknown, Cell::Ratio));
        let field = Self::label(name, heading, help, Kind::Number, cell);
        field.known(T::NULLABLE).quantity_in(Unit::Ratio)
    }
}

/// Constructors of quantities: name, heading, help, and how to get the number of a row.
macro_rules! quantities {
    ($($(#[$doc:meta])* $name:ident: $with:ident($number:ty) = $unit:ident, $cell:path;)*) => {
        impl<R: 'static> Field<R> {
            $($(#[$doc])*
            pub(crate) fn $name<T: Maybe<$number>>(
                name: impl Into<Text>,
                heading: impl Into<Text>,
                help: impl Into<Text>,
                get: impl Fn(&R) -> T + Send + Sync + 'static,
            ) -> Self {
                Self::$with((name.into(), heading.into(), help.into()), Unit::$unit, $cell, get)
            })*
        }
    };
}

quantities! {
    /// A count of things.
    count: quantity(u64) = Count, Cell::Number;
    /// A size in bytes.
    bytes: quantity(u64) = Bytes, Cell::Bytes;
    /// A number of base pages.
    pages: quantity(u64) = Pages, Cell::Pages;
    /// A number of page frames.
    frames: quantity(u64) = Frames, Cell::Pages;
    /// Whole percent.
    percent: quantity(u64) = Percent, Cell::Percent;
    /// A change in a count.
    count_change: signed(i64) = Count, Cell::CountChange;
    /// A change in a size, or a difference of two, in bytes.
    bytes_change: signed(i64) = Bytes, Cell::SizeChange;
    /// A change in a number of base pages.
    pages_change: signed(i64) = Pages, Cell::Change;
    /// A size in bytes that can be negative if counters contradict each other.
    signed_bytes: signed(i64) = Bytes, signed_size;
}

/// A size is written without a sign, unless it is negative.
pub(super) fn signed_size(bytes: i64) -> Cell<'static> {
    if bytes < 0 { Cell::SizeChange(bytes) } else { Cell::Bytes(bytes.unsigned_abs()) }
}

impl<R> Field<R> {
    /// The field, with another name for it.
    pub(crate) fn alias(mut self, word: impl Into<Text>) -> Self {
        self.about.aliases.push(word.into());
        self
    }

    /// The field, with a total.
    pub(crate) fn summed(self) -> Self {
        self.with_total(true)
    }

    /// The field, with a total or without.
    pub(crate) fn with_total(mut self, total: bool) -> Self {
        self.column.total = total;
        self
    }

    /// The label, turned into a quantity in base pages.
    pub(crate) fn in_pages(self) -> Self {
        self.always().quantity_in(Unit::Pages)
    }

    /// The label, turned into a count of things.
    pub(crate) fn counted(self) -> Self {
        self.quantity_in(Unit::Count)
    }

    /// The label, turned into a quantity in bytes.
    pub(crate) fn in_bytes(self) -> Self {
        self.quantity_in(Unit::Bytes)
    }

    /// The number, shown to people differently: without a unit, because the heading has it.
    pub(crate) fn shown_as(mut self, shown: fn(u64) -> Cell<'static>) -> Self
    where
        R: 'static,
    {
        let cell = self.column.cell;
        self.column.cell = Box::new(move |row| match cell(row) {
            Cell::Bytes(number) | Cell::Pages(number) | Cell::Number(number) => shown(number),
            other => other,
        });
        self
    }

    /// The field, always known.
    pub(crate) fn always(self) -> Self {
        self.known(false)
    }

    /// The field, present only on request.
    pub(crate) fn on_request(self) -> Self {
        self.only_if(false)
    }

    /// The field, on request unless `wanted`.
    pub(crate) fn only_if(mut self, wanted: bool) -> Self {
        self.about.on_request = !wanted;
        self
    }

    /// The field, as another form of a field, only for tables.
    pub(crate) fn people_only(mut self) -> Self {
        self.about.people_only = true;
        self.on_request()
    }

    /// The field, aligned to the right.
    pub(crate) fn aligned_right(mut self) -> Self {
        self.column.right = true;
        self
    }

    fn known(mut self, nullable: bool) -> Self {
        self.about.nullable = nullable;
        self
    }

    /// The field, turned into a quantity in this unit.
    pub(super) fn quantity_in(mut self, unit: Unit) -> Self {
        self.about.unit = unit;
        self.about.role = Role::Gauge;
        self.aligned_right()
    }

    /// The same field for rows that contain a row of this kind.
    pub(crate) fn within<S: 'static>(self, part: fn(&S) -> &R) -> Field<S>
    where
        R: 'static,
    {
        let Self { about, column } = self;
        let Column { heading, right, total, cell } = column;
        let column = Column { heading, right, total, cell: Box::new(move |row: &S| cell(part(row))) };
        Field { about, column }
    }

    /// Its description, without the function that gets its value.
    pub(crate) fn described(self) -> Described {
        self.about
    }
}

/// Sorts rows by a field; equal ones keep their order.
pub(crate) fn sort<R>(rows: &mut [R], field: &Field<R>, descending: bool) {
    let cell = &field.column.cell;
    let mut from = order(rows.len(), &|a, b| {
        let order = cell(&rows[a]).compare(&cell(&rows[b]));
        if descending { order.reverse() } else { order }
    });
    // Each cycle of the permutation is turned by swaps.
    for start in 0..from.len() {
        let mut at = start;
        while from[at] != start {
            let next = from[at];
            rows.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

/// The indices up to `length` in this order. The sort of the standard library is large, and compiled once like this, not
/// for each type of row.
fn order(length: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut all: Vec<usize> = (0..length).collect();
    all.sort_by(|&a, &b| compare(a, b));
    all
}

/// Rows as the cells of some fields, one row at a time, for code that does not know the type of a row.
pub(crate) trait Rows {
    /// Passes on the cells of each row.
    ///
    /// # Errors
    /// That of `take`.
    fn each(&self, take: &mut dyn FnMut(&[Cell<'_>]) -> io::Result<()>) -> io::Result<()>;
}

/// Rows in memory, with some of their fields.
pub(crate) struct Table<'t, R> {
    /// The fields.
    pub(crate) fields: &'t [&'t Field<R>],
    /// The rows.
    pub(crate) rows: &'t [R],
}

impl<R> Rows for Table<'_, R> {
    fn each(&self, take: &mut dyn FnMut(&[Cell<'_>]) -> io::Result<()>) -> io::Result<()> {
        let mut cells = Vec::with_capacity(self.fields.len());
        for row in self.rows {
            cells.clear();
            cells.extend(self.fields.iter().map(|field| (field.column.cell)(row)));
            take(&cells)?;
        }
        Ok(())
    }
}

/// The columns of these fields.
pub(crate) fn columns<'f, R>(fields: &[&'f Field<R>]) -> Vec<&'f Column<R>> {
    fields.iter().map(|field| &field.column).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_sorted_as_the_standard_library_does(keys: Vec<u8>, descending: bool) {
            let mut rows: Vec<(u64, usize)> = keys.iter().map(|&key| u64::from(key % 8)).zip(0..).collect();
            let mut expected = rows.clone();
            expected.sort_by(|a, b| if descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
            sort(&mut rows, &Field::count("key", "KEY", "", |row: &(u64, usize)| row.0), descending);
            prop_assert_eq!(rows, expected);
        }
    }
}
