//! The output of `pmem where diff`.

use std::io::{self, Write};

use crate::analysis::comparison::Origin;
use crate::analysis::r#where::diff::{Report, Row};
use crate::view::field::{Column, Field};
use crate::view::style::Emphasis;
use crate::view::table::{self, Layout};

/// The default columns.
pub(crate) const DEFAULT: &[&str] = &["title", "before_bytes", "after_bytes", "change_bytes", "bytes_per_hour"];

/// The fields of a line.
pub(crate) fn fields() -> Vec<Field<Row>> {
    vec![
        Field::text("name", "NAME", "Name of the line", |row: &Row| row.name),
        Field::text("title", "LINE", "Title of the line in tables", |row: &Row| row.title).alias("line").people_only(),
        Field::signed_bytes("before_bytes", "BEFORE", "Size in BEFORE", |row: &Row| row.before_bytes).alias("before"),
        Field::signed_bytes("after_bytes", "AFTER", "Size in AFTER", |row: &Row| row.after_bytes).alias("after"),
        Field::bytes_change("change_bytes", "CHANGE", "AFTER minus BEFORE", |row: &Row| row.change_bytes)
            .alias("change"),
        Field::bytes_change("bytes_per_hour", "PER HOUR", "Change per hour", |row: &Row| row.bytes_per_hour)
            .alias("per_hour"),
    ]
}

/// Writes the report for people: the lines that have changed by at least `least` bytes.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Report,
    columns: &[&Column<Row>],
    least: u64,
    layout: &Layout,
) -> io::Result<()> {
    let time = |origin: &Origin| origin.time.clone().unwrap_or_default();
    let head = format!("{} → {}", time(&report.before), time(&report.after));
    writeln!(out, "{}\n", layout.palette.paint(Emphasis::Heading, &head))?;
    match &report.lines[..] {
        [] => writeln!(out, "no line has changed{}", if least > 0 { " by that much" } else { "" })?,
        rows => table::write(out, columns, rows, None, layout)?,
    }
    let moved = report.total_after_bytes.abs_diff(report.total_before_bytes);
    if moved > 0 && moved >= least {
        let size = |bytes: i64| layout.scale.sized(bytes.unsigned_abs());
        writeln!(
            out,
            "\nMemTotal was {} and is now {}",
            size(report.total_before_bytes),
            size(report.total_after_bytes)
        )?;
    }
    Ok(())
}
