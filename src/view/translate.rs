//! How `pmem translate` looks: the walk as a line, what is at its end in words, and the page tables as a short table.

use crate::view::field::Field;
use std::io::{self, Write};

use super::cell::Cell;
use super::page;
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{Layout, clipped, wrapped};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::Frame;
use crate::analysis::translate::tables::{LevelTables, Tables};
use crate::analysis::translate::translation::{Place, State, Translation};
use crate::model::pagemap::Entry;
use crate::unit::VirtAddr;

/// The columns that are shown unless others are asked for.
pub(crate) const DEFAULT: &[&str] = &["address", "state", "pfn", "physical", "class", "mapcount", "mapping"];

/// All columns.
pub(crate) fn columns() -> Vec<Field<Translation>> {
    type Row = Translation;
    let frame =
        |name: &'static str, heading: &'static str, help: &'static str, cell: for<'f> fn(&'f Frame) -> Cell<'f>| {
            Field::old_text(name, heading, help, move |row: &Row| row.frame.as_ref().map_or(Cell::Unknown, cell))
        };
    vec![
        Field::old_number("pid", "PID", "process", |row: &Row| Cell::Id(row.pid.into())),
        Field::old_text("address", "ADDRESS", "virtual address", |row: &Row| {
            row.address.map_or(Cell::Unknown, |address| Cell::Address(address.0))
        }),
        Field::old_text("state", "STATE", "what is there: present, zero, none, swapped, guard, …", |row: &Row| {
            row.state.map_or(Cell::Unknown, |state| Cell::Text(state.name()))
        }),
        Field::old_text("entry", "ENTRY", "the kernel's word for the page-table entry (pagemap)", |row: &Row| {
            row.entry.map_or(Cell::Unknown, |entry| Cell::Address(entry.0))
        }),
        Field::old_number("pfn", "PFN", "page frame number", |row: &Row| row.pfn.map_or(Cell::Unknown, Cell::Pfn)),
        Field::old_text("physical", "PHYSICAL", "physical address of the byte", |row: &Row| {
            row.physical_address.map_or(Cell::Unknown, |address| Cell::Address(address.0))
        }),
        frame("class", "CLASS", "what the frame is used for", |f| {
            f.class.map_or(Cell::Unknown, |class| Cell::Text(class.title()))
        }),
        frame("mapcount", "MAPPED", "page-table entries that map the frame", |f| {
            f.mapcount.map_or(Cell::Unknown, Cell::Number)
        }),
        frame("flags", "FLAGS", "the frame's flags in words", |f| f.flags.map_or(Cell::Unknown, Cell::FrameFlags)),
        frame("zone", "ZONE", "the frame's zone", |f| f.zone.as_deref().map_or(Cell::Unknown, Cell::Text)),
        frame("node", "NODE", "the frame's NUMA node", |f| f.node.map_or(Cell::Unknown, |node| Cell::Id(node.into()))),
        frame("cgroup", "CGROUP", "the memory cgroup the frame is charged to", |f| {
            f.cgroup.as_ref().map_or(Cell::Text(super::cell::NONE), Cell::Cgroup)
        }),
        Field::old_number("page", "PAGE", "size of the page that maps it", |row: &Row| {
            row.mapped_bytes.map_or(Cell::Unknown, Cell::Bytes)
        }),
        Field::old_text("mapping", "MAPPING", "name of its mapping, as in maps", |row: &Row| match &row.vma {
            None => Cell::Unknown,
            Some(place) if place.vma.name.is_empty() => Cell::Unnamed("[anon]"),
            Some(place) => Cell::Name(&place.vma.name),
        }),
    ]
}

/// Writes the report in words.
pub(crate) fn write(out: &mut dyn Write, report: &Translation, layout: &Layout) -> io::Result<()> {
    let who = format!("{} ({})", report.comm.escaped(), report.pid);
    writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, &who))?;
    if let Some(why) = report.no_address_space {
        return super::frames::write_no_address_space(out, why);
    }
    let lines = lines(report, layout);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    match &report.tables {
        Some(tables) => {
            writeln!(out)?;
            write_tables(out, tables, layout)
        }
        None => Ok(()),
    }
}

fn lines(report: &Translation, layout: &Layout) -> Vec<String> {
    let (Some(address), Some(state)) = (report.address, report.state) else { return Vec::new() };
    let width = layout.width.unwrap_or(80).max(40);
    let mut lines = place(report, address, layout);
    lines.push(String::new());
    if let Some(walk) = walk(report) {
        lines.push(format!("  {}", layout.palette.paint(Emphasis::Heading, &walk)));
    }
    let mut says = |text: &str| match text.chars().count() + 2 > width {
        true => lines.extend(wrapped(text, width, 2).lines().map(str::to_owned)),
        false => lines.push(format!("  {text}")),
    };
    if let Some(entry) = report.entry {
        let (words, word) = (bits(entry), format!("pagemap {:#x}", entry.0));
        match words.len() {
            0..=40 => says(&format!("{words:<40} {word}")),
            _ => [words, word].iter().for_each(|text| says(text)),
        }
    }
    match (&report.why, report.swap) {
        // Above it was said that there is no mapping.
        _ if state == State::NoMapping => {}
        (Some(why), Some(slot)) => says(&format!("{why}: area {}, page {:#x} of it", slot.area, slot.offset)),
        (Some(why), None) => says(why),
        (None, _) => {}
    }
    match (report.pfn, report.physical_address) {
        (Some(pfn), Some(physical)) => {
            let frame = format!("frame {:#x} = physical {physical}", pfn.0);
            says(format!("{frame:<40} {}", zone(report.frame.as_ref())).trim_end());
        }
        _ if matches!(state, State::Present | State::Zero) => says("frame -  (hidden from this user)"),
        _ => {}
    }
    if let Some(frame) = &report.frame {
        // Of the zero page, more was said above.
        let known = usize::from(frame.class == Some(Class::ZeroPage));
        page::lines(frame, layout).iter().skip(known).for_each(|line| says(line));
    }
    lines
}

/// The address, and the mapping it is in or between which it is.
fn place(report: &Translation, address: VirtAddr, layout: &Layout) -> Vec<String> {
    let painted = layout.palette.paint(Emphasis::Accent, &address.to_string());
    let width = layout.width.unwrap_or(usize::MAX).max(40);
    let around = |which: &str, place: &Option<Place>, distance: fn(&Place, VirtAddr) -> u64| match place {
        None => format!("  {which} it  none"),
        Some(place) => {
            clipped(&format!("  {which} it  {}, {:#x} bytes away", mapping(place), distance(place, address)), width)
        }
    };
    match (&report.vma, report.state) {
        (Some(place), _) => {
            let room = width.saturating_sub(address.to_string().len() + 6);
            let mut lines = vec![format!("{painted}  in  {}", clipped(&mapping(place), room))];
            let offset = report.file_offset.map(|offset| format!("  byte {offset:#x} of the file"));
            lines.extend(offset);
            lines
        }
        (None, Some(State::NotUser)) => vec![format!("{painted}  is no address of a process")],
        (None, _) => vec![
            format!("{painted}  in no mapping"),
            around("below", &report.below, |place, at| at.0.saturating_sub(place.vma.range.end.0)),
            around("above", &report.above, |place, at| place.vma.range.start.0.saturating_sub(at.0)),
        ],
    }
}

/// A mapping as `maps` begins its line, and its name.
fn mapping(place: &Place) -> String {
    let vma = &place.vma;
    let name = if vma.name.is_empty() { "[anon]".into() } else { vma.name.escaped() };
    format!("{:08x}-{:08x} {} {name}", vma.range.start.0, vma.range.end.0, vma.perm.as_str())
}

/// `PGD 254 → PUD 89 → PMD 325 → PTE 60 → byte 0x123`
fn walk(report: &Translation) -> Option<String> {
    let steps = report.levels.as_ref()?;
    let mut parts: Vec<String> = steps.iter().map(|step| format!("{} {}", step.name, step.index)).collect();
    parts.push(format!("byte {:#x}", report.page_offset?));
    let last = steps.last()?;
    let covered = 1u64.checked_shl(last.shift)?;
    let of = match report.mapped_bytes {
        Some(bytes) if bytes > covered => {
            format!(" (1 of {} for {})", bytes / covered, human_string(bytes))
        }
        _ if last.name != "PTE" => format!(" of {}", human_string(covered)),
        _ => String::new(),
    };
    Some(parts.join(" → ") + &of)
}

/// What an entry's bits say, apart from its frame.
fn bits(entry: Entry) -> String {
    let mut words = vec![match () {
        () if entry.is_present() => "present",
        () if entry.is_swap_like() => "not present, not empty",
        () => "empty",
    }];
    words.extend(entry.is_exclusive().then_some("mapped once"));
    words.extend(entry.is_file().then_some("not anonymous"));
    words.extend(entry.is_uffd_wp().then_some("write-protected by userfaultfd"));
    words.extend(entry.is_soft_dirty().then_some("soft-dirty"));
    words.join(", ")
}

fn zone(frame: Option<&Frame>) -> String {
    match frame.map(|frame| (frame.node, &frame.zone)) {
        Some((Some(node), Some(zone))) => format!("node {node}, zone {zone}"),
        _ => String::new(),
    }
}

fn write_tables(out: &mut dyn Write, tables: &Tables, layout: &Layout) -> io::Result<()> {
    let head = layout.palette.paint(Emphasis::Heading, "  page tables that its entries need");
    writeln!(out, "{head}")?;
    let all = tables.levels.iter().map(|level| level.tables).chain([tables.needed, tables.vm_pte.unwrap_or(0)]);
    let width = all.map(|number| grouped_string(number).len()).max().unwrap_or(1);
    let mut line = |name: &'static str, number: u64, words: &str| {
        let text = format!("  {name:<6}  {:>width$}  {words}", grouped_string(number));
        writeln!(out, "{}", text.trim_end())
    };
    for level in &tables.levels {
        line(level.name, level.tables, &about(level))?;
    }
    let size = human_string(layout.scale.page_size.bytes_of(tables.needed));
    line("needed", tables.needed, &format!("= {size}"))?;
    match (tables.vm_pte, tables.more) {
        (Some(vm_pte), Some(0)) => line("VmPTE", vm_pte, "says so too")?,
        (Some(vm_pte), Some(more)) => {
            let than = if more > 0 { "more" } else { "fewer" };
            line("VmPTE", vm_pte, &format!("says: {} {than}", grouped_string(more.unsigned_abs())))?;
        }
        _ => writeln!(out, "  VmPTE   -")?,
    }
    if let Some(why) = tables.why {
        write!(out, "{}", wrapped(why, layout.width.unwrap_or(80), 2))?;
    }
    if tables.passed_over_bytes > 0 {
        let size = human_string(tables.passed_over_bytes);
        let text = format!("{size} of mappings in which smaps counts nothing were passed over");
        write!(out, "{}", wrapped(&text, layout.width.unwrap_or(80), 2))?;
    }
    Ok(())
}

fn about(level: &LevelTables) -> String {
    match level {
        LevelTables { in_vm_pte: false, .. } => "not counted by VmPTE".to_owned(),
        LevelTables { deposited: None | Some(0), .. } => String::new(),
        LevelTables { deposited: Some(deposited), .. } => {
            format!("{} of them kept for taking huge pages apart", grouped_string(*deposited))
        }
    }
}
