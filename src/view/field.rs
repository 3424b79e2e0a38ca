//! Fields: the contents of a row, defined once for all formats. A field becomes a table column, a member of JSON
//! objects, a CSV column and a property of the schema, all with the same name and unit.

use std::borrow::Cow;
use std::io;
use std::ops::Deref;

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
        Self { heading: heading.into(), right: false, total: false, cell: Box::new(cell) }
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

/// The unit of a field. Except for counts of things, its name ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Text, or a number that identifies something.
    None,
    /// A count of the things that the name says.
    Count,
    /// Bytes.
    Bytes,
    /// Base pages of the machine.
    Pages,
    /// Page frames, each of a base page.
    Frames,
    /// Whole percent.
    Percent,
    /// A share, from 0 to 1.
    Ratio,
}

impl Unit {
    /// Its name in the schema; `None` for no unit.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Count => Some("count"),
            Self::Bytes => Some("bytes"),
            Self::Pages => Some("pages"),
            Self::Frames => Some("frames"),
            Self::Percent => Some("percent"),
            Self::Ratio => Some("ratio"),
        }
    }
}

/// The role of a field when rows are added up, plotted or grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Names the row, or assigns it to a group.
    Label,
    /// A quantity at one moment.
    Gauge,
}

/// How a value is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string, plus the whole name in hexadecimal (`…_hex`) if it is not UTF-8.
    Name,
    /// A list of strings.
    List,
    /// A non-negative 64-bit integer.
    Unsigned,
    /// A 64-bit integer.
    Signed,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A string `0x…`: an address, or a word of flags.
    Hex,
    /// An object with a word of flags and their names.
    Flags,
    /// An object with the codes of VmFlags and their meanings.
    VmFlags,
    /// A string, or the number of something that no longer has a name.
    NameOrNumber,
    /// A list of objects with the number of slabs on each NUMA node.
    Nodes,
    /// A list of objects with the number of pages on each NUMA node.
    NodePages,
    /// Any other structure.
    Nested,
    /// A list of objects in JSON, and their number elsewhere.
    Counted,
}

/// Text of a field, static or generated.
type Text = Cow<'static, str>;

/// The description of a field, without the function that gets its value.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Its name in every format, in `--columns` and in `--sort`. A dot makes it part of an object in JSON
    /// (`ledger.present_pages`), a number after the dot of a list (`free_blocks.3`).
    pub(crate) name: Cow<'static, str>,
    /// Other names for it in `--columns` and `--sort`.
    pub(crate) aliases: Vec<Text>,
    /// One line of help.
    pub(crate) help: Cow<'static, str>,
    /// Its unit.
    pub(crate) unit: Unit,
    /// Its role.
    pub(crate) role: Role,
    /// How JSON writes it.
    pub(crate) kind: Kind,
    /// Whether it can be unknown.
    pub(crate) nullable: bool,
    /// Whether it is present only on request, by name or by an option, because it costs more or needs something to
    /// compare with.
    pub(crate) on_request: bool,
    /// Whether it is another form of another field, for tables only.
    pub(crate) people_only: bool,
}

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
        Self {
            about: Described {
                name: name.into(),
                aliases: Vec::new(),
                help: help.into(),
                unit: Unit::None,
                role: Role::Label,
                kind,
                nullable: true,
                on_request: false,
                people_only: false,
            },
            column: Column::text(heading, cell),
        }
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

    /// Whether this is one of its names.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// Sorts rows by a field; equal ones keep their order.
pub(crate) fn sort<R>(rows: &mut [R], field: &Field<R>, descending: bool) {
    let cell = &field.column.cell;
    rows.sort_by(|a, b| {
        let order = cell(a).compare(&cell(b));
        if descending { order.reverse() } else { order }
    });
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
