//! How `pmem pages` looks: a line a run, and what they come to.

use std::io::{self, Write};

use super::record::{Cell, Column, NONE};
use super::size::grouped_string;
use super::style::Emphasis;
use super::table::Layout;
use crate::analysis::pages::{Run, Slot, Totals};
use crate::model::pagemap::State;

/// The columns that are shown unless others are asked for: flags in words only where there is room.
pub fn default(width: Option<usize>) -> &'static [&'static str] {
    match width {
        Some(width) if width < 140 => &["address", "pages", "pfn", "what", "mapcount", "letters", "name"],
        _ => &["address", "pages", "pfn", "what", "mapcount", "flags", "name"],
    }
}

/// Columns that take no frame numbers.
pub const NEED_NO_FRAMES: &[&str] =
    &["address", "pages", "state", "exclusive", "swap_type", "swap_offset", "perm", "name"];

/// All columns.
pub fn columns() -> Vec<Column<Run>> {
    let number = |number: Option<u64>| number.map_or(Cell::Unknown, Cell::Number);
    // The slot of what is swapped out is hidden without privilege.
    let slot = |run: &Run, number: fn(Slot) -> u64| match (run.swap, run.state) {
        (Some(slot), _) => Cell::Id(number(slot)),
        (None, State::Swapped) => Cell::Unknown,
        _ => Cell::Text(NONE),
    };
    vec![
        Column::text("address", "ADDRESS", "The address of the first page", |run: &Run| Cell::Address(run.address.0)),
        Column::summed("pages", "PAGES", "How many pages", |run: &Run| Cell::Pages(run.pages)),
        Column::text("state", "STATE", "What the page-table entries are", |run: &Run| Cell::Text(run.state.name())),
        Column::number("pfn", "PFN", "The frame of the first page; those of the others follow", |run: &Run| {
            match (run.pfn, run.state) {
                (Some(pfn), _) => Cell::Pfn(pfn),
                (None, State::Present) => Cell::Unknown,
                _ => Cell::Text(NONE),
            }
        }),
        Column::number("physical", "PHYSICAL", "The physical address of that frame", |run: &Run| {
            run.physical_address.map_or(Cell::Unknown, |address| Cell::Address(address.0))
        }),
        Column::text("what", "WHAT", "What the frames are used for, or why there are none", |run: &Run| {
            run.class.map_or(Cell::Text(run.state.name()), Cell::Class)
        }),
        Column::text("class", "CLASS", "What the frames are used for, as JSON calls it", |run: &Run| {
            run.class.map_or(Cell::Unknown, |class| Cell::Text(class.name()))
        }),
        Column::number("mapcount", "MAPPED", "Page-table entries that map each frame", move |run: &Run| {
            if run.pfn.is_none() && run.state != State::Present { Cell::Text(NONE) } else { number(run.mapcount) }
        }),
        Column::text("exclusive", "EXCLUSIVE", "Whether pagemap calls them mapped once", |run: &Run| {
            Cell::Text(match run.exclusive {
                Some(true) => "yes",
                Some(false) => "no",
                None => NONE,
            })
        }),
        Column::number("swap_type", "AREA", "The number of the swap area", move |run: &Run| {
            slot(run, |slot| slot.area)
        }),
        Column::number("swap_offset", "SLOT", "The first swap slot; those of the others follow", move |run: &Run| {
            slot(run, |slot| slot.offset)
        }),
        Column::text("cgroup", "CGROUP", "The memory cgroup they are charged to", |run: &Run| {
            run.cgroup.as_ref().map_or(Cell::Text(NONE), Cell::Cgroup)
        }),
        Column::text("perm", "PERM", "The permissions of the mapping", |run: &Run| {
            run.mapping.as_ref().map_or(Cell::Unknown, |mapping| Cell::Text(mapping.perm.as_str()))
        }),
        Column::text("name", "MAPPING", "The name of the mapping", |run: &Run| match &run.mapping {
            None => Cell::Unknown,
            Some(mapping) if mapping.name.is_empty() => Cell::Unnamed("[anonymous]"),
            Some(mapping) => Cell::Name(&mapping.name),
        }),
        Column::text("raw", "RAW", "The flags as a number", |run: &Run| {
            run.flags.map_or(Cell::Unknown, |flags| Cell::Address(flags.0))
        }),
        Column::text("letters", "FLAGS", "The same by the letters of page-types", |run: &Run| {
            match (run.flags, run.state) {
                (Some(flags), _) => Cell::FrameLetters(flags),
                (None, State::Present) => Cell::Unknown,
                _ => Cell::Text(""),
            }
        }),
        Column::text("flags", "FLAGS", "The flags in words: of a folio, those of its first page here", |run: &Run| {
            match (run.flags, run.state) {
                (Some(flags), _) => Cell::FrameFlags(flags),
                (None, State::Present) => Cell::Unknown,
                _ => Cell::Text(""),
            }
        }),
    ]
}

/// Writes what the runs come to.
pub fn write_totals(out: &mut dyn Write, totals: &Totals, by_letters: bool, layout: &Layout) -> io::Result<()> {
    let states: Vec<String> =
        totals.states.iter().map(|(state, pages)| format!("{} {}", grouped_string(*pages), state.name())).collect();
    let states = match totals.zero {
        0 => states,
        zero => [states, vec![format!("{} of these the zero page", grouped_string(zero))]].concat(),
    };
    let line = match totals.pages {
        0 => "no pages".to_owned(),
        pages => {
            let counted = |number: u64, what: &str| match number {
                1 => format!("1 {what}"),
                number => format!("{} {what}s", grouped_string(number)),
            };
            format!("{} in {}: {}", counted(pages, "page"), counted(totals.runs, "run"), states.join(", "))
        }
    };
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))?;
    if by_letters {
        let line = "flags by the letters of page-types: pmem decode --legend";
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, line))?;
    }
    Ok(())
}
