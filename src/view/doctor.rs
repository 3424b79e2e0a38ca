//! The output of `pmem doctor`: one short table per subject.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use super::size::grouped_string;
use super::style::Emphasis;
use super::table::Layout;
use crate::analysis::doctor::{Report, Works};
use crate::kernel::manifest::Host;
use crate::name::escaped;

/// Writes the report; what works comes first.
pub(crate) fn write(out: &mut dyn Write, report: &Report, host: &Host, layout: &Layout) -> io::Result<()> {
    let [kernel, arch] = [&host.kernel, &host.arch].map(|text| escaped(text.as_bytes()));
    writeln!(out, "Linux {kernel} on {arch}, pages of {} KiB\n", host.page_size / 1024)?;
    let works = |works| match works {
        Works::Fully => "fully",
        Works::Partly => "partly",
        Works::No => "no",
    };
    section(
        out,
        "Commands",
        report.commands.iter().map(|c| vec![format!("pmem {}", c.command), works(c.works).to_owned(), c.why.clone()]),
        layout,
    )?;
    section(
        out,
        "Kernel features, each tested",
        report.features.iter().map(|f| vec![f.name.to_owned(), yes(f.available).to_owned(), f.why.clone()]),
        layout,
    )?;
    section(
        out,
        "Capabilities",
        report.capabilities.iter().map(|c| vec![c.name.to_owned(), yes(c.held).to_owned(), c.opens.to_owned()]),
        layout,
    )?;
    section(
        out,
        "Interfaces",
        report.interfaces.iter().map(|i| {
            let needs = if i.readable { String::new() } else { format!("needs {}", i.needs) };
            vec![i.path.clone(), yes(Some(i.readable)).to_owned(), needs]
        }),
        layout,
    )?;
    section(
        out,
        "Settings",
        report.settings.iter().map(|s| vec![s.name.to_owned(), s.value.clone().unwrap_or_else(|| "-".to_owned())]),
        layout,
    )
}

fn yes(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

/// Characters of a cell that people see. JSON has all of it.
const MOST: usize = 1000;

/// A text, cut if it is longer than anything that the kernel writes: the time that comfy-table takes to wrap a word grows with
/// the square of its length.
fn limited(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} … ({} characters)", &text[..end], grouped_string(text.chars().count() as u64)),
    }
}

fn section(
    out: &mut dyn Write,
    title: &str,
    rows: impl Iterator<Item = Vec<String>>,
    layout: &Layout,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(layout.width.unwrap_or(100)).unwrap_or(u16::MAX));
    // Settings of a recorded tree, and paths of swap files, are names chosen by users.
    let safe = |row: Vec<String>| row.iter().map(|cell| limited(&escaped(cell.as_bytes()))).collect::<Vec<_>>();
    table.add_rows(rows.map(safe));
    table.column_iter_mut().for_each(|column| {
        column.set_padding((2, 0));
    });
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, title))?;
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)
}
