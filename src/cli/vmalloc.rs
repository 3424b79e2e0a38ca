//! `pmem vmalloc`: what is in the kernel's vmalloc address space, and who asked for it.

use crate::view::field::Field;
use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;
use regex_lite::Regex;

use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::status::{Status, report as tell, say};
use crate::analysis::note::Note;
use crate::analysis::vmalloc::{Found, MAY_BE_HUGE, Machine};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;

use crate::view::{table, vmalloc as view};

/// The schema of its JSON.
const SCHEMA: &str = "pmem.vmalloc/1";

/// Tell what is in the kernel's vmalloc address space, and who asked for it
///
/// Where the kernel needs memory that need not be in one piece, or maps a device, it makes an area of its vmalloc address
/// space: kernel stacks, BPF programs and maps, modules, large tables. Shown are the areas by the function that asked for
/// them, with the memory they own, beside the kernel's counters, and beside its other mappings: the direct map, kmap and
/// fixmap. With -o, --areas or --filter only the table is shown. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem vmalloc                who has how much
  sudo pmem vmalloc --filter 'bpf|htab'
                                   what BPF programs and maps have
  sudo pmem vmalloc --areas -s -size -o size,pages,caller
                                   the largest areas first
  sudo pmem vmalloc --json | jq '.data.callers[] | select(.module == \"xfs\")'
                                   what one module has")]
pub struct Args {
    /// Show each area
    #[arg(long)]
    areas: bool,
    /// Only areas whose caller matches, as it is shown: 'function [module]'; of those without one, whose kind does
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    filter: Option<Regex>,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    let wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| filter.is_match(name));
    let mut found = Machine::read(&root).report(args.areas, wanted);
    let shown = match args.areas {
        true => show_areas(&mut found, global, &root, output)?,
        false => show_callers(&found, args.filter.is_some(), global, &root, output)?,
    };
    match found.missing {
        Some(error) if shown => {
            if found.lines_missing > 1 {
                say(&format!("{} lines of vmallocinfo could not be understood; the first:", found.lines_missing));
            }
            Ok(tell(&error.into(), global.quiet))
        }
        Some(error) => Err(error.into()),
        None => Ok(Status::Complete),
    }
}

/// Shows areas; says whether anything was.
fn show_areas(found: &mut Found, global: &GlobalOptions, root: &Root, output: &mut Output) -> Result<bool> {
    let (columns, default) =
        (view::area_columns(&found.report), view::default_area_columns(&found.report, global.unit()));
    let choice = choice(global, columns, &default)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(true);
    }
    // In place: there can be very many.
    let Some(areas) = &mut found.report.areas else { return Ok(false) };
    choice.sort(areas);
    let data = &found.report;
    let rows = data.areas.as_deref().unwrap_or_default();
    let layout = output.layout(global, root);
    Report { schema: SCHEMA, data, rows, choice: &choice, notes: notes(found, global, &choice) }.write(
        output,
        global,
        root,
        |out, _, notes| {
            table::write(out, &choice.columns(), rows, Some("total"), &layout)?;
            write_notes(out, notes, &layout)
        },
    )?;
    Ok(true)
}

/// Shows callers, or where there are none to show what else is known; says whether anything was.
fn show_callers(
    found: &Found,
    filtered: bool,
    global: &GlobalOptions,
    root: &Root,
    output: &mut Output,
) -> Result<bool> {
    let data = &found.report;
    let choice = choice(global, view::columns(data), &view::default_columns(data, global.unit()))?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(true);
    }
    let only_table = filtered || global.columns.is_some();
    let has_more = global.format() == Format::Json || (global.format() == Format::Table && !only_table);
    if data.callers.is_none() && !has_more {
        return Ok(false);
    }
    let mut rows = data.callers.clone().unwrap_or_default();
    choice.sort(&mut rows);
    let layout = output.layout(global, root);
    Report { schema: SCHEMA, data, rows: &rows, choice: &choice, notes: notes(found, global, &choice) }.write(
        output,
        global,
        root,
        |out, data, notes| {
            match only_table {
                true => table::write(out, &choice.columns(), &rows, Some("total"), &layout)?,
                false => view::write(out, data, &rows, &choice.columns(), &layout)?,
            }
            write_notes(out, notes, &layout)
        },
    )?;
    Ok(true)
}

/// The columns that are shown: for programs all of them.
fn choice<R>(global: &GlobalOptions, columns: Vec<Field<R>>, default: &[&str]) -> Result<Choice<R>> {
    let all: Vec<String> = columns.iter().map(|column| column.name.clone().into_owned()).collect();
    match global.format() {
        Format::Csv => Choice::new(global, columns, &all.iter().map(String::as_str).collect::<Vec<_>>()),
        _ => Choice::new(global, columns, default),
    }
}

/// What a reader must know of what is shown: in JSON of all, else of the columns.
fn notes<R>(found: &Found, global: &GlobalOptions, choice: &Choice<R>) -> Vec<Note> {
    let shown = |name| choice.shown().iter().any(|column| column.name == name);
    let mut notes = found.notes();
    notes.retain(|note| note.code != MAY_BE_HUGE || global.format() == Format::Json || shown("may_be_huge"));
    notes
}
