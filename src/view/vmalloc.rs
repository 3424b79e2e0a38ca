//! How `pmem vmalloc` looks: the answer in words, then who asked for the areas, the kernel's counters, and its other mappings.

use crate::view::field::{Column, Field};
use std::io::{self, Write};

use super::cell::Cell;
use super::size::{Unit, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::vmalloc::{AreaRow, Check, Direct, Group, Mappings, Report};
use crate::model::vmallocinfo::Kind;

/// What both tables have: a column of a group, of a row that has one.
fn of_group<R: 'static>(group: fn(&R) -> &Group, nodes: &[u32]) -> Vec<Field<R>> {
    let mut columns = vec![
        Field::old_text("kind", "KIND", "what the areas are", move |row: &R| Cell::Text(group(row).kind.name())),
        Field::old_summed("size", "ADDRESSES", "the addresses they take, guard pages included", move |row: &R| {
            Cell::Bytes(group(row).size_bytes)
        }),
        Field::old_summed("pages", "PAGES", "the pages they own; ioremap and most of vmap own none", move |row: &R| {
            Cell::Pages(group(row).pages)
        }),
        Field::old_summed("memory", "MEMORY", "the same as a size", move |row: &R| Cell::Bytes(group(row).bytes)),
        Field::old_summed(
            "may_be_huge",
            "HUGE?",
            "of the pages, those of areas that have the size of huge pages",
            move |row: &R| Cell::Pages(group(row).may_be_huge_pages),
        ),
    ];
    for &node in nodes {
        let (name, heading) = (format!("node{node}"), format!("NODE {node}"));
        columns.push(Field::old_summed(
            name.clone(),
            heading.clone(),
            format!("pages on node {node}"),
            move |row: &R| {
                let nodes = &group(row).nodes;
                let place = nodes.binary_search_by_key(&node, |on| on.node);
                Cell::Pages(place.map_or(0, |place| nodes[place].pages))
            },
        ));
    }
    columns.push(Field::old_text(
        "caller",
        "CALLER",
        "the function that asked for them, and its module",
        move |row: &R| {
            let caller = &group(row).caller;
            if caller.is_empty() { Cell::Unnamed("-") } else { Cell::Name(caller) }
        },
    ));
    columns
}

/// The nodes that areas have pages on.
fn nodes(report: &Report) -> Vec<u32> {
    let all = report.kinds.iter().flatten().flat_map(|group| &group.nodes);
    let mut nodes: Vec<u32> = all.map(|on| on.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The columns of callers.
pub(crate) fn columns(report: &Report) -> Vec<Field<Group>> {
    let mut columns = of_group(|group: &Group| group, &nodes(report));
    columns.insert(1, Field::old_number("areas", "AREAS", "how many", |group: &Group| Cell::Number(group.areas)));
    columns
}

/// The columns of areas.
pub(crate) fn area_columns(report: &Report) -> Vec<Field<AreaRow>> {
    let word = |yes: bool| Cell::Text(if yes { "yes" } else { "no" });
    let mut columns = vec![
        Field::old_number("start", "START", "where it begins, where the kernel tells", |row: &AreaRow| {
            row.start.map_or(Cell::Unknown, |start| Cell::Address(start.0))
        }),
        Field::old_number("end", "END", "where it ends, the guard page included", |row: &AreaRow| {
            row.end.map_or(Cell::Unknown, |end| Cell::Address(end.0))
        }),
        Field::old_number("physical", "PHYSICAL", "the physical address that is mapped", |row: &AreaRow| {
            row.physical_address.map_or(Cell::Unknown, |physical| Cell::Address(physical.0))
        }),
        Field::old_text("user", "USER", "a process may map it, too", move |row: &AreaRow| word(row.user)),
        Field::old_text("vpages", "VPAGES", "the list of its pages is in an area of its own", move |row: &AreaRow| {
            word(row.vpages)
        }),
    ];
    columns.extend(of_group(|row: &AreaRow| &row.group, &nodes(report)));
    columns
}

/// The columns of callers that are shown unless others are asked for: such that 80 columns suffice.
pub(crate) fn default_columns(report: &Report, unit: Unit) -> Vec<&'static str> {
    let mut names = vec!["kind", "areas", "size"];
    names.extend(memory_columns(unit));
    let huge = report.callers.iter().flatten().any(|group| group.may_be_huge_pages > 0);
    names.extend(huge.then_some("may_be_huge"));
    names.push("caller");
    names
}

/// A number of pages and their size; in one unit they would be the same.
fn memory_columns(unit: Unit) -> &'static [&'static str] {
    match unit {
        Unit::Human => &["pages", "memory"],
        Unit::Pages => &["pages"],
        Unit::Bytes | Unit::Kib | Unit::Mib => &["memory"],
    }
}

/// The columns of areas that are shown unless others are asked for.
pub(crate) fn default_area_columns(report: &Report, unit: Unit) -> Vec<&'static str> {
    let mut names = Vec::new();
    names.extend((report.addresses_known == Some(true)).then_some("start"));
    names.extend(["kind", "size", if matches!(unit, Unit::Human | Unit::Pages) { "pages" } else { "memory" }]);
    let areas = || report.areas.iter().flatten();
    names.extend(areas().any(|area| area.physical_address.is_some()).then_some("physical"));
    names.extend(areas().any(|area| area.group.may_be_huge_pages > 0).then_some("may_be_huge"));
    names.push("caller");
    names
}

/// The whole report; `columns` are those of the callers.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Report,
    callers: &[Group],
    columns: &[&Column<Group>],
    layout: &Layout,
) -> io::Result<()> {
    if let Some(kinds) = &report.kinds {
        for line in wrapped(&answer(kinds, layout), layout.width.unwrap_or(80), 0).lines() {
            writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, line))?;
        }
        writeln!(out)?;
        table::write(out, columns, callers, Some("total"), layout)?;
        writeln!(out)?;
        write_checks(out, report, layout)?;
        writeln!(out)?;
    }
    write_mappings(out, &report.mappings, layout)
}

/// The answer in words: the memory first, then what takes addresses only.
fn answer(kinds: &[Group], layout: &Layout) -> String {
    let sum = |field: fn(&Group) -> u64| kinds.iter().map(field).fold(0, u64::saturating_add);
    let pages = match layout.scale.unit {
        Unit::Pages => String::new(),
        _ => format!(" ({} pages)", grouped_string(sum(|group| group.pages))),
    };
    let mut text = format!(
        "{} of memory{pages} in areas of the kernel's vmalloc address space, which take {} of addresses:",
        layout.scale.sized(sum(|group| group.bytes)),
        layout.scale.sized(sum(|group| group.size_bytes))
    );
    for (number, group) in kinds.iter().enumerate() {
        text += if number == 0 { " " } else { ", " };
        text += &format!("{} {}", grouped_string(group.areas), group.kind.name());
        if group.bytes > 0 {
            text += &format!(" with {}", layout.scale.sized(group.bytes));
        }
    }
    if kinds.iter().any(|group| group.kind == Kind::Unpurged) {
        text += ". What is unpurged is freed: only its addresses wait to be given back";
    }
    text
}

fn write_checks(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, "Beside the kernel's own counters"))?;
    let known = |bytes: Option<u64>| bytes.map_or(Cell::Unknown, Cell::Bytes);
    let columns = [
        Column::text("COUNTER", |check: &Check| Cell::Text(check.name)),
        Column::number("AREAS SAY", |check: &Check| Cell::Bytes(check.ours_bytes)),
        Column::number("MEMINFO", move |check: &Check| known(check.kernel_bytes)),
        Column::number("OURS LESS ITS", |check: &Check| check.difference_bytes.map_or(Cell::Unknown, Cell::SizeChange)),
        Column::number("MOVED MEANWHILE", move |check: &Check| known(check.moved_bytes)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &report.checks, None, layout)?;
    for check in &report.checks {
        if let Some(why) = why(check) {
            write!(out, "{}", wrapped(&format!("{}: {why}", check.name), layout.width.unwrap_or(80), 2))?;
        }
    }
    Ok(())
}

/// Why a counter can say something else. (vfree, mm/vmalloc.c; cached_stacks, kernel/fork.c)
fn why(check: &Check) -> Option<&'static str> {
    let explained = match (check.difference_bytes, check.moved_bytes) {
        (Some(difference), moved) => difference.unsigned_abs() <= moved.unwrap_or(0),
        (None, _) => false,
    };
    match (check.name, check.difference_bytes) {
        _ if explained => None,
        ("VmallocUsed", None) => Some("Linux 4.4 to 5.2 always say 0"),
        ("VmallocUsed", Some(_)) => Some(
            "it counts what is just taken or given back, too, and where it is a counter of vmstat (nr_vmalloc) it lags by a \
             batch a processor. Some kernels up to 6.12 also take off it what was given to vmap for good (i915 does).",
        ),
        (_, None) => None,
        _ => Some(
            "areas have also the free stacks that are kept for the next processes, two a processor, and those that wait to \
             be freed; and the counter lags by a batch a processor.",
        ),
    }
}

/// One of the four kinds of mapping.
struct Mapping {
    name: &'static str,
    bytes: Option<u64>,
    means: String,
}

fn write_mappings(out: &mut dyn Write, mappings: &Mappings, layout: &Layout) -> io::Result<()> {
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, "What the kernel maps for itself"))?;
    let rows = [
        Mapping { name: "direct map", bytes: mappings.direct_map_bytes, means: direct_map(mappings) },
        Mapping {
            name: "vmalloc",
            bytes: mappings.vmalloc_size_bytes,
            means: match mappings.vmalloc_total_bytes {
                Some(total) => format!("of {} of addresses", human_string(total)),
                None => String::new(),
            },
        },
        Mapping { name: "kmap", bytes: None, means: "single pages for a moment; no kernel tells".to_owned() },
        Mapping { name: "fixmap", bytes: None, means: "addresses fixed when it was built; no kernel tells".to_owned() },
    ];
    let columns = [
        Column::text("MAPPING", |row: &Mapping| Cell::Text(row.name)),
        Column::number("ADDRESSES", |row: &Mapping| row.bytes.map_or(Cell::Unknown, Cell::Bytes)),
        Column::text("", |row: &Mapping| Cell::Text(&row.means)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &rows, None, layout)
}

/// The direct map in words: by what pages, and beside how much memory.
fn direct_map(mappings: &Mappings) -> String {
    let Some(all) = mappings.direct_map_bytes.filter(|&all| all > 0) else {
        return match mappings.memory_bytes {
            Some(_) => "all memory at one place; this architecture does not tell how".to_owned(),
            None => "all memory at one place; meminfo, which would tell how, is not there".to_owned(),
        };
    };
    let share = |direct: &Direct| {
        let size = human_string(direct.page_bytes).replacen(".0 ", " ", 1);
        format!("{size} {:.0} %", direct.bytes as f64 / all as f64 * 100.0)
    };
    let parts: Vec<_> = mappings.direct_map.iter().rev().filter(|direct| direct.bytes > 0).map(share).collect();
    let memory = mappings.memory_bytes.map(|bytes| format!("; MemTotal {}", human_string(bytes)));
    format!("{}{}", parts.join(", "), memory.unwrap_or_default())
}
