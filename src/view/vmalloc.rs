//! The output of `pmem vmalloc`: the answer in words, then who allocated the areas, the kernel's counters, and its
//! other mappings.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::cell::Cell;
use super::field::{Column, Field, Kind as Form, Table};
use super::json::{Plan, Records};
use super::lru::MOVED;
use super::size::{Unit, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::vmalloc::{AreaRow, Check, Direct, Group, Mappings, Report};
use crate::model::vmallocinfo::Kind;

/// The nodes that areas have pages on.
pub(crate) fn nodes(report: &Report) -> Vec<u32> {
    let all = report.kinds.iter().flatten().flat_map(|group| &group.nodes);
    let mut nodes: Vec<u32> = all.map(|on| on.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The fields of a group of areas; for people, also its pages on each of these nodes.
pub(crate) fn fields(nodes: &[u32]) -> Vec<Field<Group>> {
    let mut fields = vec![
        Field::label(
            "function",
            "FUNCTION",
            "The function that allocated them, if recorded",
            Form::Name,
            |row: &Group| row.function.as_ref().map_or(Cell::Absent, Cell::Name),
        ),
        Field::label(
            "module",
            "MODULE",
            "Module of the function; none for the kernel itself",
            Form::Name,
            |row: &Group| row.module.as_ref().map_or(Cell::Absent, Cell::Name),
        ),
        Field::text("kind", "KIND", "Kind of the areas", |row: &Group| row.kind.name()),
        Field::count("areas", "AREAS", "Number of areas", |row: &Group| row.areas),
        Field::bytes("size_bytes", "ADDRESSES", "Address space they take, including guard pages", |row: &Group| {
            row.size_bytes
        })
        .summed()
        .alias("size"),
        Field::pages("pages", "PAGES", "Pages they own; ioremap and most of vmap own none", |row: &Group| row.pages)
            .summed(),
        Field::bytes("bytes", "MEMORY", "The pages in bytes", |row: &Group| row.bytes).summed().alias("memory"),
        Field::pages("may_be_huge_pages", "HUGE?", "Pages of areas of huge page size", |row: &Group| {
            row.may_be_huge_pages
        })
        .summed()
        .alias("may_be_huge"),
        Field::label("nodes", "NODES", "Pages by NUMA node", Form::NodePages, |row: &Group| {
            Cell::NodePages(&row.nodes)
        })
        .always(),
    ];
    fields.extend(nodes.iter().map(|&node| {
        let (name, heading) = (format!("node{node}_pages"), format!("NODE {node}"));
        Field::pages(name, heading, format!("Pages on node {node}"), move |row: &Group| {
            let place = row.nodes.binary_search_by_key(&node, |on| on.node);
            place.map_or(0, |place| row.nodes[place].pages)
        })
        .summed()
        .alias(format!("node{node}"))
        .people_only()
    }));
    fields.push(
        Field::label("caller", "CALLER", "Function and module together", Form::Name, |row: &Group| {
            if row.caller.is_empty() { Cell::Unnamed("-") } else { Cell::Name(&row.caller) }
        })
        .always(),
    );
    fields
}

/// The fields of an area.
pub(crate) fn area_fields(nodes: &[u32]) -> Vec<Field<AreaRow>> {
    let mut all = vec![
        Field::address("start", "START", "Start address, unless the kernel hides addresses", |row: &AreaRow| {
            row.start.map(|start| start.0)
        })
        .aligned_right(),
        Field::address("end", "END", "End address, including the guard page", |row: &AreaRow| row.end.map(|end| end.0))
            .aligned_right(),
        Field::label(
            "physical_address",
            "PHYSICAL",
            "Physical address mapped, if contiguous",
            Form::Hex,
            |row: &AreaRow| row.physical_address.map_or(Cell::Unknown, |physical| Cell::Address(physical.0)),
        )
        .aligned_right()
        .alias("physical"),
        Field::bool("user", "USER", "Whether a process may map it too", |row: &AreaRow| row.user),
        Field::bool("vpages", "VPAGES", "Whether the list of its pages is in an area of its own", |row: &AreaRow| {
            row.vpages
        }),
    ];
    // An area is a group of one.
    let of_group = fields(nodes).into_iter().filter(|field| field.name != "areas");
    all.extend(of_group.map(|field| field.within(|row: &AreaRow| &row.group)));
    all
}

/// Callers as a member of a document with areas as rows; `None` if they are not known.
#[derive(Debug)]
pub(crate) struct Callers(pub(crate) Option<Vec<Group>>);

impl Serialize for Callers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = fields(&[]);
        let fields: Vec<&Field<Group>> = fields.iter().collect();
        let plan = Plan::of(fields.iter().map(|field| &*field.name));
        let rows = self.0.as_deref().map(|rows| Table { fields: &fields, rows });
        rows.as_ref().map(|rows| Records { plan: &plan, rows }).serialize(serializer)
    }
}

/// The default columns of callers, chosen to fit into 80 columns.
pub(crate) fn default_columns(report: &Report, unit: Unit) -> Vec<&'static str> {
    let mut names = vec!["kind", "areas", "size_bytes"];
    names.extend(memory_columns(unit));
    let huge = report.callers.iter().flatten().any(|group| group.may_be_huge_pages > 0);
    names.extend(huge.then_some("may_be_huge_pages"));
    names.push("caller");
    names
}

/// The number of pages, and their size unless that would be the same number.
fn memory_columns(unit: Unit) -> &'static [&'static str] {
    match unit {
        Unit::Human => &["pages", "bytes"],
        Unit::Pages => &["pages"],
        Unit::Bytes | Unit::Kib | Unit::Mib => &["bytes"],
    }
}

/// The default columns of areas.
pub(crate) fn default_area_columns(report: &Report, unit: Unit) -> Vec<&'static str> {
    let mut names = Vec::new();
    names.extend((report.addresses_known == Some(true)).then_some("start"));
    names.extend(["kind", "size_bytes", if matches!(unit, Unit::Human | Unit::Pages) { "pages" } else { "bytes" }]);
    let areas = || report.areas.iter().flatten();
    names.extend(areas().any(|area| area.physical_address.is_some()).then_some("physical_address"));
    names.extend(areas().any(|area| area.group.may_be_huge_pages > 0).then_some("may_be_huge_pages"));
    names.push("caller");
    names
}

/// The whole report; `callers` writes the table of callers.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Report,
    callers: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    layout: &Layout,
) -> io::Result<()> {
    if let Some(kinds) = &report.kinds {
        for line in wrapped(&answer(kinds, layout), layout.width.unwrap_or(80), 0).lines() {
            writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, line))?;
        }
        writeln!(out)?;
        callers(out)?;
        writeln!(out)?;
        write_checks(out, report, layout)?;
        writeln!(out)?;
    }
    write_mappings(out, &report.mappings, layout)
}

/// The answer in words: first memory, then what takes only addresses.
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
        text += ". Unpurged areas have been freed, but their addresses cannot be reused yet";
    }
    text
}

fn write_checks(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, "Compared with the kernel's own counters"))?;
    let known = |bytes: Option<u64>| bytes.map_or(Cell::Unknown, Cell::Bytes);
    let columns = [
        Column::text("COUNTER", |check: &Check| Cell::Text(check.name)),
        Column::number("BY AREAS", |check: &Check| Cell::Bytes(check.ours_bytes)),
        Column::number("MEMINFO", move |check: &Check| known(check.kernel_bytes)),
        Column::number("DIFF", |check: &Check| check.difference_bytes.map_or(Cell::Unknown, Cell::SizeChange)),
        Column::number("MOVED", move |check: &Check| known(check.moved_bytes)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &report.checks, None, layout)?;
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, MOVED))?;
    for check in &report.checks {
        if let Some(why) = why(check) {
            write!(out, "{}", wrapped(&format!("{}: {why}", check.name), layout.width.unwrap_or(80), 2))?;
        }
    }
    Ok(())
}

/// Why a counter can differ. (vfree, mm/vmalloc.c; cached_stacks, kernel/fork.c)
fn why(check: &Check) -> Option<&'static str> {
    let explained = match (check.difference_bytes, check.moved_bytes) {
        (Some(difference), moved) => difference.unsigned_abs() <= moved.unwrap_or(0),
        (None, _) => false,
    };
    match (check.name, check.difference_bytes) {
        _ if explained => None,
        ("VmallocUsed", None) => Some("always 0 in Linux 4.4 to 5.2"),
        ("VmallocUsed", Some(_)) => Some(
            "it also counts areas being allocated or freed, and where it is a vmstat counter (nr_vmalloc) it lags by a \
             batch per CPU. Some kernels up to 6.12 also subtract pages handed over to vmap (as i915 does).",
        ),
        (_, None) => None,
        _ => Some(
            "areas include the free stacks cached for new processes, two per CPU, and stacks waiting to be freed; and the \
             counter lags by a batch per CPU.",
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
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, "The kernel's own mappings"))?;
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
        Mapping { name: "kmap", bytes: None, means: "temporary mappings of single pages; not reported".to_owned() },
        Mapping { name: "fixmap", bytes: None, means: "addresses fixed at build time; not reported".to_owned() },
    ];
    let columns = [
        Column::text("MAPPING", |row: &Mapping| Cell::Text(row.name)),
        Column::number("ADDRESSES", |row: &Mapping| row.bytes.map_or(Cell::Unknown, Cell::Bytes)),
        Column::text("", |row: &Mapping| Cell::Text(&row.means)),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &rows, None, layout)
}

/// The direct map in words: page sizes, and the amount of memory.
fn direct_map(mappings: &Mappings) -> String {
    let Some(all) = mappings.direct_map_bytes.filter(|&all| all > 0) else {
        return match mappings.memory_bytes {
            Some(_) => "all memory in one range; this architecture does not report page sizes".to_owned(),
            None => "all memory in one range; page sizes are in meminfo, which is missing".to_owned(),
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
