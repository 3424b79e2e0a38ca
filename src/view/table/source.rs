//! The source of a table, for rows of any type.

use std::ops::Range;

use crate::view::cell::Cell;
use crate::view::field::Column;

/// Rows of any type as cells: code that uses this trait is compiled once, not once for each type of row.
pub(super) trait Cells: Sync {
    /// How many rows there are.
    fn count(&self) -> usize;

    /// Appends the cells of a row.
    fn row<'t>(&'t self, number: usize, cells: &mut Vec<Cell<'t>>);
}

/// Rows, and the columns they are shown in.
pub(super) struct Of<'t, R> {
    /// The columns.
    pub(super) columns: &'t [&'t Column<R>],
    /// The rows.
    pub(super) rows: &'t [R],
}

impl<R: Sync> Cells for Of<'_, R> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn row<'t>(&'t self, number: usize, cells: &mut Vec<Cell<'t>>) {
        let row = &self.rows[number];
        cells.extend(self.columns.iter().map(|column| (column.cell)(row)));
    }
}

/// A column without its cells.
pub(super) struct Head<'t> {
    pub(super) heading: &'t str,
    pub(super) right: bool,
    pub(super) total: bool,
}

/// A table to be laid out.
pub(super) struct Source<'t> {
    pub(super) heads: Vec<Head<'t>>,
    pub(super) cells: &'t dyn Cells,
}

impl<'t> Source<'t> {
    pub(super) fn new<R>(columns: &[&'t Column<R>], cells: &'t dyn Cells) -> Self {
        let head = |column: &&'t Column<R>| Head { heading: &column.heading, right: column.right, total: column.total };
        Self { heads: columns.iter().map(head).collect(), cells }
    }

    /// Passes on the cells of some rows.
    pub(super) fn each(&self, rows: Range<usize>, mut take: impl FnMut(&[Cell<'t>])) {
        let mut cells = Vec::with_capacity(self.heads.len());
        for number in rows {
            cells.clear();
            self.cells.row(number, &mut cells);
            take(&cells);
        }
    }
}
