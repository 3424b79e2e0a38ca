//! How `pmem page` looks: a frame in words, several as a table.

use crate::view::field::Field;
use std::io::{self, Write};

use super::cell::Cell;
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::Layout;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::{Folio, Frame};
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL};

/// The columns that are shown unless others are asked for.
pub(crate) const DEFAULT: &[&str] = &["pfn", "class", "mapcount", "zone", "order", "flags"];

/// All columns.
pub(crate) fn columns() -> Vec<Field<Frame>> {
    let known = |number: Option<u64>| number.map_or(Cell::Unknown, Cell::Number);
    vec![
        Field::old_number("pfn", "PFN", "The page frame number", |f: &Frame| Cell::Pfn(f.pfn)),
        Field::old_text("address", "PHYSICAL", "The physical address", |f: &Frame| Cell::Address(f.physical_address.0)),
        Field::old_text("class", "CLASS", "What it is used for", |f: &Frame| {
            let none = if f.exists.is_none() { "not recorded" } else { "behind the end of memory" };
            f.class.map_or(Cell::Unnamed(none), Cell::Class)
        }),
        Field::old_number("mapcount", "MAPPED", "Page-table entries that map it", move |f: &Frame| known(f.mapcount)),
        Field::old_text("cgroup", "CGROUP", "The memory cgroup it is charged to", |f: &Frame| {
            f.cgroup.as_ref().map_or(Cell::Text(super::cell::NONE), Cell::Cgroup)
        }),
        Field::old_text("zone", "ZONE", "Its zone", |f: &Frame| f.zone.as_deref().map_or(Cell::Unknown, Cell::Text)),
        Field::old_number("node", "NODE", "Its NUMA node", |f: &Frame| {
            f.node.map_or(Cell::Unknown, |n| Cell::Id(n.into()))
        }),
        Field::old_number("order", "ORDER", "The size of its folio, as a power of two of frames", |f: &Frame| match f
            .folio
        {
            None if alone(f) => Cell::Id(0),
            Some(Folio { order: Some(order), .. }) => Cell::Id(order.into()),
            _ => Cell::Unknown,
        }),
        Field::old_number("head", "FOLIO", "The first frame of its folio", |f: &Frame| match f.folio {
            None if alone(f) => Cell::Pfn(f.pfn),
            None => Cell::Unknown,
            Some(folio) => Cell::Pfn(folio.head_pfn),
        }),
        Field::old_text("flags", "FLAGS", "Its flags in words", |f: &Frame| {
            f.flags.map_or(Cell::Unknown, Cell::FrameFlags)
        }),
        Field::old_text("raw", "RAW", "Its flags as a number", |f: &Frame| {
            f.flags.map_or(Cell::Unknown, |f| Cell::Address(f.0))
        }),
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

/// What is known of a frame, a sentence a line: also shown by `pmem translate`.
pub(crate) fn lines(frame: &Frame, layout: &Layout) -> Vec<String> {
    let (Some(class), Some(flags)) = (frame.class, frame.flags) else {
        let text = match frame.exists {
            None => "this tree has not recorded the frame",
            Some(_) => "there is no such frame: it is behind the end of memory",
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
        None if class == Class::ZeroPage => "the kernel does not count who maps it".to_owned(),
        None => "by how many page-table entries it is mapped is not known".to_owned(),
        Some(mapcount) => mapped(mapcount, frame),
    });
    lines.extend(frame.cgroup.as_ref().map(|cgroup| format!("charged to {}", cgroup.shown())));
    lines
}

/// A class as a sentence.
fn what(class: Class) -> &'static str {
    match class {
        Class::Hole => "a hole: no System RAM at this frame number, or RAM that firmware keeps",
        Class::Free => "free, in a block of the buddy allocator",
        Class::Offline => "offline: given back to the hypervisor, or in a memory block that is off line",
        Class::Slab => "slab: objects of the kernel",
        Class::PageTable => "a page table",
        Class::Hugetlb => "hugetlb",
        Class::ZeroPage => "the zero page, which all share that have read and not written",
        Class::Reserved => "reserved: the kernel's own image and tables, firmware, vdso",
        Class::Anon => "anonymous memory",
        Class::Ksm => "anonymous memory that KSM merged",
        Class::Shmem => "shared memory or tmpfs",
        Class::File => "page cache of a file, or mapped by a driver",
        Class::OtherCompound => "a compound page of a driver, or a large kmalloc",
        Class::Unclassified => "no flag says what for: kernel text or data, vmalloc, a processor's list of free pages",
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
