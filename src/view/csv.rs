//! CSV: a header and a record a row, plain numbers in base units.

use std::io::{self, Write};

use super::record::{Cell, Column};

/// Writes records of one table, the header once.
pub struct Writer<'w> {
    out: csv::Writer<&'w mut dyn Write>,
    headings: bool,
}

impl<'w> Writer<'w> {
    /// A writer that begins with a header if `headings`.
    pub fn new(out: &'w mut dyn Write, headings: bool) -> Self {
        Self { out: csv::Writer::from_writer(out), headings }
    }

    /// Writes rows, each with the `before` cells in front, which are named in `before_names`.
    pub fn rows<R>(
        &mut self,
        before_names: &[&str],
        before: &[Cell<'_>],
        columns: &[&Column<R>],
        rows: &[R],
    ) -> io::Result<()> {
        if std::mem::take(&mut self.headings) {
            let names = before_names.iter().copied().chain(columns.iter().map(|c| c.name.as_str()));
            self.out.write_record(names).map_err(io_error)?;
        }
        for row in rows {
            let cells = before.iter().map(field).chain(columns.iter().map(|c| field(&(c.cell)(row))));
            self.out.write_record(cells).map_err(io_error)?;
        }
        self.out.flush()
    }
}

/// What the system said, as it said it: csv's own conversion loses the kind, and with it a broken pipe.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A field; a name that a spreadsheet would take for a formula is quoted with an apostrophe.
fn field(cell: &Cell<'_>) -> String {
    let raw = cell.raw();
    match cell {
        Cell::Name(_) | Cell::Names(..) if raw.starts_with(['=', '+', '-', '@']) => format!("'{raw}"),
        _ => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn names_are_quoted_and_are_no_formulas() {
        let column = Column::text("name", "NAME", "", |name: &Name| Cell::Name(name));
        let names = [Name::new(b"=cmd|x"), Name::new(b"a,\"b\"\n\x1b"), Name::new(b"/x")];
        let mut out = Vec::new();
        Writer::new(&mut out, true).rows(&["pid"], &[Cell::Number(7)], &[&column], &names).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "pid,name\n7,'=cmd|x\n7,\"a,\"\"b\"\"\\x0a\\x1b\"\n7,/x\n");
    }
}
