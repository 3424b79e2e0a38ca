//! The output of `pmem pages`: a line for each run, and the totals.

use std::io::{self, Write};

use super::cell::Cell;
use super::field::{Field, Kind};
use super::size::{counted, grouped_string};
use super::style::Emphasis;
use super::table::Layout;
use crate::analysis::pages::{Run, Slot, Totals};
use crate::model::pagemap::State;

/// The default columns: flags in words only if there is room.
pub(crate) fn default_fields(width: Option<usize>) -> &'static [&'static str] {
    match width {
        Some(width) if width < 140 => &["address", "pages", "pfn", "what", "mapcount", "letters", "name"],
        _ => &["address", "pages", "pfn", "what", "mapcount", "flags", "name"],
    }
}

/// Fields that need no frame numbers.
pub(crate) const NEED_NO_FRAMES: &[&str] =
    &["address", "pages", "state", "exclusive", "swap.type", "swap.offset", "perm", "name"];

/// The fields of a run.
pub(crate) fn fields() -> Vec<Field<Run>> {
    // The slot of a swapped-out page is hidden without privilege.
    let slot = |run: &Run, number: fn(Slot) -> u64| match (run.swap, run.state) {
        (Some(slot), _) => Cell::Id(number(slot)),
        (None, State::Swapped) => Cell::Unknown,
        _ => Cell::Absent,
    };
    // The cell for properties of frames on pages without one.
    let of_frame = |run: &Run| if run.state == State::Present { Cell::Unknown } else { Cell::Absent };
    vec![
        Field::address("address", "ADDRESS", "Address of the first page", |run: &Run| run.address.0),
        Field::pages("pages", "PAGES", "Number of pages", |run: &Run| run.pages).summed(),
        Field::text("state", "STATE", "State of the page-table entries", |run: &Run| run.state.name()),
        Field::label(
            "pfn",
            "PFN",
            "Frame of the first page; the others follow it",
            Kind::Unsigned,
            move |run: &Run| run.pfn.map_or_else(|| of_frame(run), Cell::Pfn),
        )
        .aligned_right(),
        Field::address("physical_address", "PHYSICAL", "Physical address of that frame", |run: &Run| {
            run.physical_address.map(|address| address.0)
        })
        .aligned_right()
        .alias("physical"),
        Field::label("class", "CLASS", "What the frames are used for", Kind::Text, move |run: &Run| {
            run.class.map_or_else(|| of_frame(run), |class| Cell::Text(class.name()))
        }),
        Field::label("what", "WHAT", "What the frames are used for, or why there are none", Kind::Text, |run: &Run| {
            run.class.map_or(Cell::Text(run.state.name()), Cell::Class)
        })
        .people_only(),
        Field::label(
            "flags",
            "FLAGS",
            "Flags of the frames; in a folio, those of its first page here",
            Kind::Flags,
            |run: &Run| match (run.flags, run.state) {
                (Some(flags), _) => Cell::FrameFlags(flags),
                (None, State::Present) => Cell::Unknown,
                _ => Cell::None,
            },
        ),
        Field::label("letters", "FLAGS", "Flags as the letters of page-types", Kind::Text, |run: &Run| {
            match (run.flags, run.state) {
                (Some(flags), _) => Cell::FrameLetters(flags),
                (None, State::Present) => Cell::Unknown,
                _ => Cell::None,
            }
        })
        .people_only(),
        Field::address("flags_raw", "RAW", "The flags as a number", |run: &Run| run.flags.map(|flags| flags.0))
            .people_only()
            .alias("raw"),
        Field::label(
            "mapcount",
            "MAPPED",
            "Page-table entries that map each frame",
            Kind::Unsigned,
            move |run: &Run| match run.mapcount {
                Some(mapcount) => Cell::Number(mapcount),
                None if run.pfn.is_some() => Cell::Unknown,
                None => of_frame(run),
            },
        )
        .counted(),
        Field::label("cgroup", "CGROUP", "Memory cgroup they are charged to", Kind::NameOrNumber, |run: &Run| {
            run.cgroup.as_ref().map_or(Cell::Absent, Cell::Cgroup)
        }),
        Field::label("swap.type", "AREA", "Number of the swap area", Kind::Unsigned, move |run: &Run| {
            slot(run, |slot| slot.area)
        })
        .aligned_right()
        .alias("swap_type"),
        Field::label(
            "swap.offset",
            "SLOT",
            "First swap slot; the others follow it",
            Kind::Unsigned,
            move |run: &Run| slot(run, |slot| slot.offset),
        )
        .aligned_right()
        .alias("swap_offset"),
        Field::label(
            "exclusive",
            "EXCLUSIVE",
            "Whether pagemap says they are mapped exactly once",
            Kind::Bool,
            |run: &Run| run.exclusive.map_or(Cell::Absent, Cell::Bool),
        ),
        Field::label("perm", "PERM", "Permissions of the mapping", Kind::Text, |run: &Run| {
            run.mapping.as_ref().map_or(Cell::Unknown, |mapping| Cell::Text(mapping.perm.as_str()))
        }),
        Field::label("name", "MAPPING", "Name of the mapping", Kind::Name, |run: &Run| match &run.mapping {
            None => Cell::Unknown,
            Some(mapping) if mapping.name.is_empty() => Cell::Unnamed("[anon]"),
            Some(mapping) => Cell::Name(&mapping.name),
        }),
    ]
}

/// Writes the totals of the runs.
pub(crate) fn write_totals(out: &mut dyn Write, totals: &Totals, by_letters: bool, layout: &Layout) -> io::Result<()> {
    let states: Vec<String> = totals
        .states
        .iter()
        .map(|(state, pages)| {
            let zero = match (state, totals.zero) {
                (State::Present, zero @ 1..) => format!(" ({} of them the zero page)", grouped_string(zero)),
                _ => String::new(),
            };
            format!("{} {}{zero}", grouped_string(*pages), state.name())
        })
        .collect();
    let line = match totals.pages {
        0 => "no pages".to_owned(),
        pages => {
            let (pages, runs) = (counted(pages, "page", "pages"), counted(totals.runs, "run", "runs"));
            format!("{pages} in {runs}: {}", states.join(", "))
        }
    };
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))?;
    if by_letters {
        let line = "flags as the letters of page-types: pmem decode --legend";
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, line))?;
    }
    Ok(())
}
