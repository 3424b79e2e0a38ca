//! CSV: a header, and a record for each row; plain numbers in base units.

use std::io::{self, Write};

use super::cell::Cell;

/// Writes records, the header first.
pub(crate) struct Writer<'w> {
    out: csv::Writer<&'w mut dyn Write>,
    /// The field that is written, kept for its room.
    field: Vec<u8>,
}

impl<'w> Writer<'w> {
    /// A writer of records.
    pub(crate) fn new(out: &'w mut dyn Write) -> Self {
        Self { out: csv::Writer::from_writer(out), field: Vec::new() }
    }

    /// Writes the header.
    pub(crate) fn header<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> io::Result<()> {
        self.out.write_record(names).map_err(io_error)
    }

    /// Writes a record.
    pub(crate) fn record<'c>(&mut self, cells: impl IntoIterator<Item = &'c Cell<'c>>) -> io::Result<()> {
        for cell in cells {
            self.field.clear();
            field(cell, &mut self.field);
            self.out.write_field(&self.field).map_err(io_error)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(io_error)
    }

    /// Flushes what was written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The system error as it was: the conversion of the csv crate loses its kind, and so a broken pipe.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Appends a field; a name that a spreadsheet would interpret as a formula is prefixed with an apostrophe.
fn field(cell: &Cell<'_>, out: &mut Vec<u8>) {
    cell.write_raw(out);
    if matches!(cell, Cell::Name(_) | Cell::Names(..) | Cell::List(_))
        && matches!(out.first(), Some(b'=' | b'+' | b'-' | b'@'))
    {
        out.insert(0, b'\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn names_are_quoted_and_are_no_formulas() {
        let names = [Name::new(b"=cmd|x"), Name::new(b"a,\"b\"\n\x1b"), Name::new(b"/x")];
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.header(["pid", "name"]).unwrap();
        names.iter().for_each(|name| writer.record(&[Cell::Number(7), Cell::Name(name)]).unwrap());
        writer.flush().unwrap();
        drop(writer);
        assert_eq!(String::from_utf8(out).unwrap(), "pid,name\n7,'=cmd|x\n7,\"a,\"\"b\"\"\\x0a\\x1b\"\n7,/x\n");
    }
}
