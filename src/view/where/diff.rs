//! How `pmem where diff` looks.

use crate::view::field::{Column, Field};
use std::io::{self, Write};

use crate::analysis::comparison::Origin;
use crate::analysis::r#where::diff::{Report, Row};
use crate::view::cell::Cell;
use crate::view::style::Emphasis;
use crate::view::table::{self, Layout};

/// The columns for programs.
pub(crate) const DEFAULT: &[&str] = &["name", "before", "after", "change", "per_hour"];

/// The columns for people.
pub(crate) const FOR_PEOPLE: &[&str] = &["line", "before", "after", "change", "per_hour"];

/// All of them.
pub(crate) fn columns() -> Vec<Field<Row>> {
    let size = |bytes: Option<i64>| match bytes {
        None => Cell::Unknown,
        Some(bytes) if bytes < 0 => Cell::SizeChange(bytes),
        Some(bytes) => Cell::Bytes(bytes.unsigned_abs()),
    };
    let change = |bytes: Option<i64>| bytes.map_or(Cell::Unknown, Cell::SizeChange);
    vec![
        Field::old_text("name", "NAME", "The line, as programs call it", |row: &Row| Cell::Text(row.name)),
        Field::old_text("line", "LINE", "The line, as people call it", |row: &Row| Cell::Text(row.title)),
        Field::old_summed("before", "BEFORE", "Its size in the first", move |row: &Row| size(row.before_bytes)),
        Field::old_summed("after", "AFTER", "Its size in the second", move |row: &Row| size(row.after_bytes)),
        Field::old_summed("change", "CHANGE", "The second less the first", move |row: &Row| change(row.change_bytes)),
        Field::old_summed("per_hour", "PER HOUR", "The same an hour", move |row: &Row| change(row.bytes_per_hour)),
    ]
}

/// Writes the report for people; `rows` are the lines that have changed, by `least` bytes at least.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Report,
    columns: &[&Column<Row>],
    rows: &[Row],
    least: u64,
    layout: &Layout,
) -> io::Result<()> {
    let time = |origin: &Origin| origin.time.clone().unwrap_or_default();
    let head = format!("{} → {}", time(&report.before), time(&report.after));
    writeln!(out, "{}\n", layout.palette.paint(Emphasis::Heading, &head))?;
    match rows {
        [] => writeln!(out, "no line has changed{}", if least > 0 { " by so much" } else { "" })?,
        _ => table::write(out, columns, rows, None, layout)?,
    }
    let moved = report.total_after_bytes.abs_diff(report.total_before_bytes);
    if moved > 0 && moved >= least {
        let size = |bytes: i64| layout.scale.sized(bytes.unsigned_abs());
        writeln!(out, "\nMemTotal was {}, and is {}", size(report.total_before_bytes), size(report.total_after_bytes))?;
    }
    Ok(())
}
