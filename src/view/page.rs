//! The output of `pmem page`: a frame in words, several as a table.

use std::io::{self, Write};

use super::cell::Cell;
use super::field::{Field, Kind, Unit};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::Layout;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::{Folio, Frame};
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL};

/// The default columns.
pub(crate) const DEFAULT: &[&str] = &["pfn", "what", "mapcount", "zone", "order", "flags"];

/// The fields of a frame.
pub(crate) fn fields() -> Vec<Field<Frame>> {
    let pfn = |name, heading, help, cell: fn(&Frame) -> Cell<'static>| {
        Field::label(name, heading, help, Kind::Unsigned, move |frame: &Frame| cell(frame)).aligned_right()
    };
    let mut fields = vec![
        pfn("pfn", "PFN", "Page frame number", |f| Cell::Pfn(f.pfn)).always(),
        Field::address("physical_address", "PHYSICAL", "Physical address of its first byte", |f: &Frame| {
            f.physical_address.0
        })
        .alias("address")
        .alias("physical"),
        Field::bool(
            "exists",
            "EXISTS",
            "Whether there is such a frame; not known if it was not recorded",
            |f: &Frame| f.exists,
        ),
        Field::label("what", "CLASS", "What it is used for, or why there is none", Kind::Text, |f: &Frame| {
            let none = if f.exists.is_none() { "not recorded" } else { "beyond the end of memory" };
            f.class.map_or(Cell::Unnamed(none), Cell::Class)
        })
        .people_only(),
        pfn("head", "FOLIO", "First frame of its folio; itself if it is in none", |f| match f.folio {
            None if alone(f) => Cell::Pfn(f.pfn),
            None => Cell::Unknown,
            Some(folio) => Cell::Pfn(folio.head_pfn),
        })
        .people_only(),
        pfn("order", "ORDER", "Order of its folio; 0 if it is in none", |f| match f.folio {
            None if alone(f) => Cell::Id(0),
            Some(Folio { order: Some(order), .. }) => Cell::Id(order.into()),
            _ => Cell::Unknown,
        })
        .people_only(),
    ];
    fields.extend(fields_of_frame(|f: &Frame| Some(f)));
    fields
}

/// The fields of a row that describe its frame, if it has one.
pub(super) fn fields_of_frame<R: 'static>(
    frame: impl Fn(&R) -> Option<&Frame> + Copy + Send + Sync + 'static,
) -> Vec<Field<R>> {
    let folio = move |row: &R| frame(row).and_then(|f| f.folio);
    // A frame by itself has no folio; for one that could not be read, it is not known.
    let of_folio = move |row: &R, cell: fn(Folio) -> Cell<'static>| match (folio(row), frame(row)) {
        (Some(folio), _) => cell(folio),
        (None, Some(frame)) if alone(frame) => Cell::Absent,
        _ => Cell::Unknown,
    };
    let place = |name, heading, help, cell: fn(Folio) -> Cell<'static>| {
        Field::label(name, heading, help, Kind::Unsigned, move |row: &R| of_folio(row, cell)).aligned_right()
    };
    vec![
        Field::label("class", "CLASS", "What the frame is used for", Kind::Text, move |row: &R| {
            frame(row).map_or(Cell::Unknown, |f| f.class.map_or(Cell::Unknown, Cell::Class))
        }),
        Field::label("flags", "FLAGS", "Flags of the frame", Kind::Flags, move |row: &R| {
            frame(row).map_or(Cell::Unknown, |f| f.flags.map_or(Cell::Unknown, Cell::FrameFlags))
        }),
        Field::address("flags_raw", "RAW", "The flags as a number", move |row: &R| frame(row)?.flags.map(|f| f.0))
            .people_only()
            .alias("raw"),
        Field::count("mapcount", "MAPPED", "Page-table entries that map the frame", move |row: &R| {
            frame(row)?.mapcount
        }),
        Field::label(
            "cgroup",
            "CGROUP",
            "Memory cgroup the frame is charged to",
            Kind::NameOrNumber,
            move |row: &R| frame(row).map_or(Cell::Unknown, |f| f.cgroup.as_ref().map_or(Cell::Absent, Cell::Cgroup)),
        ),
        Field::label("zone", "ZONE", "Zone of the frame", Kind::Text, move |row: &R| {
            frame(row).map_or(Cell::Unknown, |f| f.zone.as_deref().map_or(Cell::Unknown, Cell::Text))
        }),
        Field::id("node", "NODE", "NUMA node of the frame", move |row: &R| frame(row)?.node.map(u64::from)),
        place("folio.head_pfn", "FOLIO", "First frame of the folio, if the frame is in one", |f| Cell::Pfn(f.head_pfn)),
        place("folio.order", "ORDER", "Size of the folio, as a power of two of frames", |f| {
            f.order.map_or(Cell::Unknown, |order| Cell::Id(order.into()))
        }),
        place("folio.frames", "FRAMES", "Size of the folio, as far as it was read", |f| Cell::Pages(f.frames))
            .quantity_in(Unit::Frames),
        place("folio.index", "INDEX", "Index of the frame in the folio, from 0", |f| Cell::Id(f.index)),
    ]
}

/// Whether a frame is known to be part of no compound page.
fn alone(frame: &Frame) -> bool {
    frame.flags.is_some_and(|flags| !flags.has(COMPOUND_HEAD | COMPOUND_TAIL))
}

/// Writes one frame in words.
pub(crate) fn write(out: &mut dyn Write, frame: &Frame, layout: &Layout) -> io::Result<()> {
    let number = format!("frame {:#x}", frame.pfn.0);
    let head = layout.palette.paint(Emphasis::Heading, &number);
    writeln!(out, "{head} = physical {}{}", frame.physical_address, place(frame))?;
    let width = layout.width.unwrap_or(usize::MAX);
    lines(frame, layout).iter().try_for_each(|line| match line.len() + 2 > width {
        true => write!(out, "{}", super::table::wrapped(line, width, 2)),
        false => writeln!(out, "  {line}"),
    })
}

fn place(frame: &Frame) -> String {
    match (frame.node, &frame.zone) {
        (Some(node), Some(zone)) => format!("    node {node}, zone {zone}"),
        _ => String::new(),
    }
}

/// What is known about a frame, one sentence per line; also shown by `pmem translate`.
pub(crate) fn lines(frame: &Frame, layout: &Layout) -> Vec<String> {
    let (Some(class), Some(flags)) = (frame.class, frame.flags) else {
        let text = match frame.exists {
            None => "this tree does not have the frame",
            Some(_) => "no such frame: it is beyond the end of memory",
        };
        return vec![text.to_owned()];
    };
    let mut lines = vec![format!("{}{}", what(class), folio(frame, layout))];
    let names = flags.names();
    lines.push(match names.is_empty() {
        true => "no flags".to_owned(),
        false => names.join(" "),
    });
    lines.push(match frame.mapcount {
        None if class == Class::ZeroPage => "the kernel does not count its mappings".to_owned(),
        None => "its mapcount is not known".to_owned(),
        Some(mapcount) => mapped(mapcount, frame),
    });
    lines.extend(frame.cgroup.as_ref().map(|cgroup| format!("charged to {}", cgroup.shown())));
    lines
}

/// A class as a sentence.
fn what(class: Class) -> &'static str {
    match class {
        Class::Hole => "a hole: no System RAM at this frame number, or RAM reserved by firmware",
        Class::Free => "free, in a block of the buddy allocator",
        Class::Offline => "offline: returned to the hypervisor, or in an offline memory block",
        Class::Slab => "slab: kernel objects",
        Class::PageTable => "a page table",
        Class::Hugetlb => "hugetlb",
        Class::ZeroPage => "the zero page, shared by all pages that were read but never written",
        Class::Reserved => "reserved: the kernel's own image and tables, firmware, vdso",
        Class::Anon => "anonymous memory",
        Class::Ksm => "anonymous memory merged by KSM",
        Class::Shmem => "shared memory or tmpfs",
        Class::File => "page cache of a file, or mapped by a driver",
        Class::OtherCompound => "a compound page of a driver, or a large kmalloc",
        Class::Unclassified => "no flag says what for: kernel text or data, vmalloc, a per-CPU list of free pages",
    }
}

fn folio(frame: &Frame, layout: &Layout) -> String {
    let size = |frames| human_string(layout.scale.page_size.bytes_of(frames));
    match frame.folio {
        None => String::new(),
        Some(Folio { head_pfn, order: Some(order), frames, index }) => {
            format!("; page {index} of the {} folio at {:#x} (order {order})", size(frames), head_pfn.0)
        }
        Some(Folio { head_pfn, .. }) => format!("; of the folio at {:#x}, which was changing", head_pfn.0),
    }
}

fn mapped(mapcount: u64, frame: &Frame) -> String {
    match mapcount {
        0 => "mapped by no page-table entry".to_owned(),
        1 => format!("mapped by 1 page-table entry    pmem rmap {:#x}  names it", frame.pfn.0),
        n => {
            format!("mapped by {} page-table entries    pmem rmap {:#x}  lists them", grouped_string(n), frame.pfn.0)
        }
    }
}
