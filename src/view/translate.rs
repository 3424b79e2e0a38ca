//! The output of `pmem translate`: the walk as a line, what is at its end in words, and the page tables as a short
//! table.

use std::io::{self, Write};

use super::cell::{Cell, Nested};
use super::field::{Field, Kind};
use super::page;
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{Layout, clipped, wrapped};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::Frame;
use crate::analysis::processes::address_space::NoAddressSpace;
use crate::analysis::translate::tables::{LevelTables, Tables};
use crate::analysis::translate::translation::{Place, State, Translation};
use crate::model::pagemap::Entry;
use crate::model::vma::Vma;
use crate::unit::VirtAddr;

/// The default columns, to which others can be added.
pub(crate) const DEFAULT: &[&str] = &["address", "state", "pfn", "physical_address", "class", "mapcount", "vma.name"];

/// The fields of the tables that a process needs.
pub(crate) const OF_TABLES: [&str; 6] =
    ["tables", "needed_tables", "vm_pte_tables", "unneeded_tables", "why_unneeded", "passed_over_bytes"];

/// The fields of what is at an address; with `tables`, also those of the page tables that the process needs.
pub(crate) fn fields(tables: bool) -> Vec<Field<Translation>> {
    type Row = Translation;
    let text = |name, heading, help, of: for<'r> fn(&'r Row) -> Option<&'r str>| {
        Field::label(name, heading, help, Kind::Text, move |row: &Row| of(row).map_or(Cell::Unknown, Cell::Text))
    };
    let offset = |name, heading, help, of: fn(&Row) -> Option<u64>| {
        Field::label(name, heading, help, Kind::Unsigned, move |row: &Row| of(row).map_or(Cell::Unknown, Cell::Offset))
            .aligned_right()
    };
    let place = |name, help, of: fn(&Row) -> &Option<Place>| {
        Field::label(name, "", help, Kind::Nested, move |row: &Row| {
            of(row).as_ref().map_or(Cell::Unknown, |place| Cell::Nested(Nested(place)))
        })
    };
    let mut fields = vec![
        Field::id("pid", "PID", "Process", |row: &Row| u64::from(row.pid)),
        Field::name("comm", "COMM", "Name of the process", |row: &Row| &row.comm),
        text("no_address_space", "NO SPACE", "Why the process has no address space", |row| {
            row.no_address_space.map(NoAddressSpace::name)
        }),
        Field::address("address", "ADDRESS", "Virtual address", |row: &Row| row.address.map(|address| address.0)),
    ];
    fields.extend(fields_of_mapping());
    fields.extend([
        offset("file_offset", "IN FILE", "Offset of the byte in the mapped file", |row| row.file_offset),
        place("below", "If there is no mapping: the one below", |row| &row.below),
        place("above", "If there is no mapping: the one above", |row| &row.above),
        Field::label("levels", "", "Entries that the walk uses, from the top down", Kind::Nested, |row: &Row| {
            row.levels.as_ref().map_or(Cell::Unknown, |levels| Cell::Nested(Nested(levels)))
        }),
        offset("page_offset", "OFFSET", "Offset of the byte in what the last entry covers", |row| row.page_offset),
        Field::bytes("mapped_bytes", "PAGE", "Size of the page that maps it", |row: &Row| row.mapped_bytes)
            .alias("page"),
        text("state", "STATE", "What is there: present, zero, none, swapped, guard, …", |row| {
            row.state.map(State::name)
        }),
        Field::address("entry", "ENTRY", "Page-table entry as pagemap shows it", |row: &Row| {
            row.entry.map(|entry| entry.0)
        }),
        Field::label("pfn", "PFN", "Page frame number", Kind::Unsigned, |row: &Row| {
            row.pfn.map_or(Cell::Unknown, Cell::Pfn)
        })
        .aligned_right(),
        Field::address("physical_address", "PHYSICAL", "Physical address of the byte", |row: &Row| {
            row.physical_address.map(|address| address.0)
        })
        .alias("physical"),
    ]);
    fields.extend(page::fields_of_frame(|row: &Row| row.frame.as_ref()));
    fields.extend([
        Field::id("swap.type", "AREA", "Number of the swap area", |row: &Row| row.swap.map(|slot| slot.area)),
        Field::id("swap.offset", "SLOT", "Swap slot", |row: &Row| row.swap.map(|slot| slot.offset)),
        text("why", "WHY", "What the state means", |row| row.why.as_deref()),
    ]);
    fields.extend(fields_of_tables().into_iter().map(|field| field.only_if(tables)));
    fields
}

/// The fields of the mapping around an address.
fn fields_of_mapping() -> Vec<Field<Translation>> {
    type Row = Translation;
    fn vma(row: &Row) -> Option<&Vma> {
        row.vma.as_ref().map(|place| &place.vma)
    }
    vec![
        Field::address("vma.start", "START", "Start of the mapping", |row: &Row| vma(row).map(|vma| vma.range.start.0)),
        Field::address("vma.end", "END", "End of the mapping, exclusive", |row: &Row| {
            vma(row).map(|vma| vma.range.end.0)
        }),
        Field::label("vma.perm", "PERM", "Permissions of the mapping", Kind::Text, |row: &Row| {
            vma(row).map_or(Cell::Unknown, |vma| Cell::Text(vma.perm.as_str()))
        })
        .alias("perm"),
        Field::label("vma.offset", "OFFSET", "Offset of the mapping in the file", Kind::Unsigned, |row: &Row| {
            vma(row).map_or(Cell::Unknown, |vma| Cell::Offset(vma.offset))
        })
        .aligned_right(),
        Field::label("vma.dev", "DEV", "Device of the file", Kind::Text, |row: &Row| {
            vma(row).map_or(Cell::Unknown, |vma| Cell::Dev(vma.dev))
        }),
        Field::id("vma.inode", "INODE", "Inode of the file", |row: &Row| vma(row).map(|vma| vma.inode)),
        Field::label("vma.name", "MAPPING", "Name of the mapping, as in maps", Kind::Name, |row: &Row| {
            match vma(row) {
                None => Cell::Unknown,
                Some(vma) if vma.name.is_empty() => Cell::Unnamed("[anon]"),
                Some(vma) => Cell::Name(&vma.name),
            }
        })
        .alias("mapping"),
        Field::label("vma.kind", "KIND", "Kind of memory of the mapping", Kind::Text, |row: &Row| {
            row.vma.as_ref().map_or(Cell::Unknown, |place| Cell::Text(place.kind.name()))
        }),
    ]
}

/// The fields of the page tables of the process.
fn fields_of_tables() -> Vec<Field<Translation>> {
    type Row = Translation;
    fn tables(row: &Row) -> Option<&Tables> {
        row.tables.as_ref()
    }
    vec![
        Field::label("tables", "", "Page tables needed, by level", Kind::Nested, |row: &Row| {
            tables(row).map_or(Cell::Unknown, |tables| Cell::Nested(Nested(&tables.levels)))
        }),
        Field::count("needed_tables", "NEEDED", "Page tables needed, of the levels in VmPTE", |row: &Row| {
            tables(row).map(|tables| tables.needed)
        }),
        Field::count("vm_pte_tables", "VMPTE", "Page tables that VmPTE counts", |row: &Row| tables(row)?.vm_pte),
        Field::count_change("unneeded_tables", "UNNEEDED", "Page tables in VmPTE beyond those needed", |row: &Row| {
            tables(row)?.more
        }),
        Field::label("why_unneeded", "WHY UNNEEDED", "Why there may be such tables", Kind::Text, |row: &Row| {
            tables(row).and_then(|tables| tables.why).map_or(Cell::Unknown, Cell::Text)
        }),
        Field::bytes("passed_over_bytes", "PASSED OVER", "Size of mappings that were skipped", |row: &Row| {
            tables(row).map(|tables| tables.passed_over_bytes)
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
        // It was already said above that there is no mapping.
        _ if state == State::NoMapping => {}
        (Some(why), Some(slot)) => says(&format!("{why}: area {}, page {:#x}", slot.area, slot.offset)),
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
        // More about the zero page was said above.
        let known = usize::from(frame.class == Some(Class::ZeroPage));
        page::lines(frame, layout).iter().skip(known).for_each(|line| says(line));
    }
    lines
}

/// The address, and the mapping it is in, or those it is between.
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
        (None, Some(State::NotUser)) => vec![format!("{painted}  is not a user-space address")],
        (None, _) => vec![
            format!("{painted}  in no mapping"),
            around("below", &report.below, |place, at| at.0.saturating_sub(place.vma.range.end.0)),
            around("above", &report.above, |place, at| place.vma.range.start.0.saturating_sub(at.0)),
        ],
    }
}

/// A mapping in the form of `maps`, and its name.
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
        (Some(vm_pte), Some(0)) => line("VmPTE", vm_pte, "agrees")?,
        (Some(vm_pte), Some(more)) => {
            let than = if more > 0 { "more" } else { "fewer" };
            line("VmPTE", vm_pte, &format!("{} {than}", grouped_string(more.unsigned_abs())))?;
        }
        _ => writeln!(out, "  VmPTE   -")?,
    }
    if let Some(why) = tables.why {
        write!(out, "{}", wrapped(why, layout.width.unwrap_or(80), 2))?;
    }
    if tables.passed_over_bytes > 0 {
        let size = human_string(tables.passed_over_bytes);
        let text = format!("{size} of mappings with no pages in smaps were skipped");
        write!(out, "{}", wrapped(&text, layout.width.unwrap_or(80), 2))?;
    }
    Ok(())
}

fn about(level: &LevelTables) -> String {
    match level {
        LevelTables { in_vm_pte: false, .. } => "not counted by VmPTE".to_owned(),
        LevelTables { deposited: None | Some(0), .. } => String::new(),
        LevelTables { deposited: Some(deposited), .. } => {
            format!("{} of them kept for splitting huge pages", grouped_string(*deposited))
        }
    }
}
