//! The output of `pmem numa`: nodes side by side, and a process's pages by node.

pub(crate) mod live;

use std::io::{self, Write};

use super::buddy::standing as standing_in_words;
use super::cell::Cell;
use super::field::{Column, Field, Kind, signed_size};
use super::size::{counted, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::numa::ledger::Line;
use crate::analysis::numa::process::{MappingNodes, ProcessNodes, Share};
use crate::analysis::numa::{Node, NodeLine, Report};

/// The fields of a line of a node's ledger.
pub(crate) fn fields() -> Vec<Field<NodeLine>> {
    let text = |text: Option<&'static str>| text.map_or(Cell::Absent, Cell::Text);
    vec![
        Field::id("node", "NODE", "NUMA node", |row: &NodeLine| u64::from(row.node)),
        Field::text("name", "NAME", "Name of the line, as in where", |row: &NodeLine| row.line.name),
        Field::text("title", "LINE", "Title of the line in tables", |row: &NodeLine| row.line.title)
            .alias("line")
            .people_only(),
        Field::signed_bytes("bytes", "SIZE", "Size; the lines of a node add up to its MemTotal", |row: &NodeLine| {
            row.line.bytes
        })
        .summed()
        .alias("size"),
        Field::text("source", "COUNTED BY", "Counters it is computed from", |row: &NodeLine| row.line.source),
        Field::label(
            "counted_in",
            "COUNTED IN",
            "Line that includes it, if its own size is not known",
            Kind::Text,
            move |row: &NodeLine| text(row.line.counted_in),
        ),
        Field::label("note", "NOTE", "Remark on the number", Kind::Text, move |row: &NodeLine| text(row.line.note)),
    ]
}

/// The default columns of lines, if people choose columns.
pub(crate) const DEFAULT: &[&str] = &["node", "name", "bytes", "source"];

/// The fields of a mapping, including what it has on each of these nodes.
pub(crate) fn mapping_fields(nodes: &[u32]) -> Vec<Field<MappingNodes>> {
    type Mapping = MappingNodes;
    let pages = |name, heading, help, of: fn(&Mapping) -> u64| Field::pages(name, heading, help, of).summed();
    let mut fields = vec![
        Field::address("start", "ADDRESS", "First address", |row: &Mapping| row.start.0).alias("address"),
        Field::text("policy", "POLICY", "Memory policy, as in numa_maps", |row: &Mapping| row.policy.as_str()),
        Field::text("kind", "KIND", "Kind of memory: anon, heap, stack, file or hugetlb", |row: &Mapping| {
            row.kind.name()
        }),
        Field::bytes("bytes", "SIZE", "Mapped memory, on all nodes", |row: &Mapping| row.bytes).summed().alias("size"),
    ];
    for &node in nodes {
        let (name, heading) = (format!("node{node}_bytes"), format!("NODE {node}"));
        let help = format!("Mapped memory on node {node}");
        fields.push(Field::bytes(name, heading, help, move |row: &Mapping| row.on(node)).summed());
    }
    fields.extend([
        Field::bytes("kernel_page_size_bytes", "PAGE SIZE", "Size of the pages it is mapped with", |row: &Mapping| {
            row.kernel_page_size_bytes
        }),
        pages("anon_pages", "ANON", "Anonymous pages, in units of its page size", |row| row.anon_pages),
        pages("dirty_pages", "DIRTY", "Dirty pages, in units of its page size", |row| row.dirty_pages),
        pages("swap_cache_pages", "SWAPCACHE", "Pages in the swap cache", |row| row.swap_cache_pages),
        pages("active_pages", "ACTIVE", "Pages on the active list", |row| row.active_pages),
        pages("writeback_pages", "WRITEBACK", "Pages under writeback", |row| row.writeback_pages),
        Field::count("mapcount_max", "MAPMAX", "Largest mapcount of its pages", |row: &Mapping| row.mapcount_max),
        Field::label(
            "name",
            "MAPPING",
            "File of the mapping; empty for anonymous memory",
            Kind::Name,
            |row: &Mapping| {
                if row.name.is_empty() { Cell::Unnamed(row.kind.shown()) } else { Cell::Name(&row.name) }
            },
        )
        .always()
        .alias("mapping"),
    ]);
    fields
}

/// The default columns of mappings.
pub(crate) fn default_mapping_fields(nodes: &[u32]) -> Vec<String> {
    let of_nodes = nodes.iter().map(|node| format!("node{node}_bytes"));
    ["start", "policy"].map(str::to_owned).into_iter().chain(of_nodes).chain(["name".to_owned()]).collect()
}

/// Writes the nodes side by side, as many as there is room for.
pub(crate) fn write(out: &mut dyn Write, report: &Report, layout: &Layout) -> io::Result<()> {
    let total = report.nodes.iter().filter_map(|node| node.total_bytes).fold(0, u64::saturating_add);
    let nodes = match report.nodes.len() {
        1 => "1 node".to_owned(),
        many => format!("{many} nodes together"),
    };
    let available = report
        .machine_available_bytes
        .map_or_else(String::new, |bytes| format!(" · {} available without swapping", layout.scale.sized(bytes)));
    let line = format!("{nodes}: MemTotal {}{available}", layout.scale.sized(total));
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, &line))?;
    for node in report.nodes.iter().filter(|node| node.below_low_bytes.is_some()) {
        let text = wrapped(&about(node), layout.width.unwrap_or(80), 0);
        write!(out, "{}", layout.palette.paint(Emphasis::Wrong, &text))?;
    }
    const LABELS: usize = 26;
    let mut rest = &report.nodes[..];
    while !rest.is_empty() {
        let most = layout.width.unwrap_or(80).saturating_sub(LABELS) / 12;
        let (nodes, others) = rest.split_at(rest.len().min(most.max(1)));
        rest = others;
        writeln!(out)?;
        write_nodes(out, nodes, report, layout)?;
    }
    Ok(())
}

/// A sentence about a node that is short of memory.
fn about(node: &Node) -> String {
    let zone = node.worst_zone.as_deref().unwrap_or("?");
    match (node.below_min_bytes, node.below_low_bytes) {
        (Some(bytes), _) => {
            format!("Node {} is {} below its min watermark (zone {zone}).", node.node, human_string(bytes))
        }
        (None, bytes) => {
            let bytes = human_string(bytes.unwrap_or(0));
            format!("Node {} is {bytes} below its low watermark (zone {zone}).", node.node)
        }
    }
}

/// A row of the table of nodes: a label, and a cell for each node.
struct Row {
    label: String,
    cells: Vec<Value>,
}

/// The cell of a node.
enum Value {
    Bytes(Option<i64>),
    Text(String),
}

fn write_nodes(out: &mut dyn Write, nodes: &[Node], report: &Report, layout: &Layout) -> io::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let text = |label: &str, of: &dyn Fn(&Node) -> Option<String>| {
        let cell = |node| Value::Text(of(node).unwrap_or_else(|| "-".to_owned()));
        Row { label: label.to_owned(), cells: nodes.iter().map(cell).collect() }
    };
    let bytes = |label: &str, of: &dyn Fn(&Node) -> Option<i64>| Row {
        label: label.to_owned(),
        cells: nodes.iter().map(|node| Value::Bytes(of(node))).collect(),
    };
    let size = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok());
    let is_shown = |line: &&Line| {
        let of = |node: &Node| node.bytes(line.name);
        !line.rare || report.nodes.iter().filter_map(of).any(|bytes| bytes != 0)
    };
    let all = report.nodes.iter().max_by_key(|node| node.lines.len()).map_or(&[][..], |node| &node.lines);
    let mut rows: Vec<Row> =
        all.iter().filter(is_shown).map(|line| bytes(line.title, &|node| node.bytes(line.name))).collect();
    rows.push(bytes("total (MemTotal)", &|node| size(node.total_bytes)));
    rows.push(bytes("available", &|node| size(node.available_bytes)));
    rows.push(text("watermarks", &|node| node.standing.map(|standing| standing_in_words(standing).to_owned())));
    rows.push(text("CPUs", &|node| match (&node.cpus, node.has_cpu) {
        (Some(cpus), _) if !cpus.is_empty() => Some(cpus.clone()),
        (_, Some(false)) => Some("none".to_owned()),
        _ => None,
    }));
    if nodes.iter().any(|node| node.memory_tier.is_some()) {
        rows.push(text("memory tier", &|node| node.memory_tier.map(|tier| tier.to_string())));
    }
    if report.nodes.len() > 1 {
        for other in &report.nodes {
            let label = format!("distance to node {}", other.node);
            rows.push(text(&label, &|node| node.distance(other.node).map(|distance| distance.to_string())));
        }
    }
    // A line that is not known for any node does not exist on this machine.
    rows.retain(|row| row.cells.iter().any(|cell| !matches!(cell, Value::Text(text) if text == "-")));
    let mut columns = vec![Column::text("LINE", |row: &Row| Cell::Text(&row.label))];
    for (place, node) in nodes.iter().enumerate() {
        columns.push(Column::number(format!("NODE {}", node.node), move |row: &Row| match &row.cells[place] {
            Value::Bytes(bytes) => bytes.map_or(Cell::Unknown, signed_size),
            Value::Text(text) => Cell::Text(text),
        }));
    }
    table::write(out, &columns.iter().collect::<Vec<_>>(), &rows, None, layout)
}

/// Writes which process it is, and what it has on each node.
pub(crate) fn write_head(out: &mut dyn Write, process: &ProcessNodes, layout: &Layout) -> io::Result<()> {
    let name = format!("{} ({})", process.comm.escaped(), process.pid);
    let mapped = layout.scale.sized(process.bytes);
    writeln!(out, "{}  {mapped} mapped\n", layout.palette.paint(Emphasis::Accent, &name))?;
    let bytes =
        |heading: &'static str, of: fn(&Share) -> u64| Column::summed(heading, move |row: &Share| Cell::Bytes(of(row)));
    let columns = [
        Column::number("NODE", |row: &Share| Cell::Id(row.node.into())),
        bytes("MAPPED", |row| row.bytes),
        bytes("ANON", |row| row.anon_bytes),
        bytes("HEAP", |row| row.heap_bytes),
        bytes("STACK", |row| row.stack_bytes),
        bytes("FILE", |row| row.file_bytes),
        bytes("HUGETLB", |row| row.hugetlb_bytes),
    ];
    table::write(out, &columns.iter().collect::<Vec<_>>(), &process.nodes, None, layout)?;
    writeln!(out)
}

/// Says how many mappings are shown.
pub(crate) fn write_end(out: &mut dyn Write, process: &ProcessNodes, shown: usize, layout: &Layout) -> io::Result<()> {
    let all = counted(process.mappings.len() as u64, "mapping", "mappings");
    let line = match shown == process.mappings.len() {
        true => all,
        false => format!("{} of {all}; the others have no pages", grouped_string(shown as u64)),
    };
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}
