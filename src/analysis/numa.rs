//! Memory by NUMA node: a ledger for each that adds up to its MemTotal, what is available there, how near its zones are
//! to their watermarks, the distances between nodes, and what a process has on each.

pub mod ledger;
pub mod process;

use serde::Serialize;

use super::note::Note;
use super::physical::buddy::{Standing, standing};
use crate::analysis::numa::ledger::{Ledger, Line, REST, ledger};
use crate::analysis::r#where::available::Available;
use crate::kernel::numa::{NodeFiles, Sources};
use crate::model::zoneinfo::Zone;
use crate::unit::{PageSize, difference};

/// The report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NumaReport"))]
pub struct Report {
    /// The nodes, ascending.
    pub nodes: Vec<Node>,
    /// The lines of all nodes, each with its node.
    #[serde(skip)]
    pub rows: Vec<NodeLine>,
    /// Sums over the nodes compared with the machine's own counters.
    pub checks: Vec<Check>,
    /// MemAvailable: memory available on all nodes together.
    pub machine_available_bytes: Option<u64>,
    /// Whether reclaim may move pages to a node of a slower tier; `None` before Linux 6.1.
    pub demotion_enabled: Option<bool>,
}

/// A line of a node's ledger.
#[derive(Clone, Debug)]
pub struct NodeLine {
    /// The node.
    pub node: u32,
    /// The line.
    pub line: Line,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NumaNode"))]
pub struct Node {
    /// Its number.
    pub node: u32,
    /// Whether it has CPUs; `None` if sysfs does not say.
    pub has_cpu: Option<bool>,
    /// Whether it has memory.
    pub has_memory: Option<bool>,
    /// Its online CPUs, as the kernel lists them: `0-3,8`.
    pub cpus: Option<String>,
    /// Its MemTotal, the managed pages of its zones; `None` if it is not known.
    pub total_bytes: Option<u64>,
    /// The ledger: lines that add up to `total_bytes`; the last is `rest`. Empty if that is not known.
    pub lines: Vec<Line>,
    /// Memory available without swapping, computed as the kernel does it for the machine; `None` if a counter is
    /// missing.
    pub available_bytes: Option<u64>,
    /// A lower bound for the available memory: missing counters are taken to be 0.
    pub available_at_least_bytes: Option<u64>,
    /// The level of the free pages of its worst zone; `None` if no zone has memory or zoneinfo cannot be read.
    pub standing: Option<Standing>,
    /// The name of that zone.
    pub worst_zone: Option<String>,
    /// How far the free memory of that zone is below its min watermark; `None` if it is above.
    pub below_min_bytes: Option<u64>,
    /// The same for its low watermark.
    pub below_low_bytes: Option<u64>,
    /// Its zones that have memory, in the kernel's order.
    pub zones: Vec<ZoneLevel>,
    /// Its distance to each online node, ascending; empty if sysfs does not say.
    pub distances: Vec<Distance>,
    /// The tier of its memory: the lower the number, the faster; `None` before Linux 6.1.
    pub memory_tier: Option<u32>,
}

/// The free pages of a zone and its watermarks, which include the boost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ZoneLevel {
    /// Its name.
    pub zone: String,
    /// Pages managed by the buddy allocator.
    pub managed_pages: u64,
    /// Of these, free pages, excluding those on per-CPU lists.
    pub free_pages: u64,
    /// At or below it, allocations must reclaim directly.
    pub min_pages: u64,
    /// At or below it, kswapd is woken.
    pub low_pages: u64,
    /// Above it, kswapd sleeps.
    pub high_pages: u64,
    /// The free pages compared with the watermarks.
    pub standing: Standing,
}

/// The distance to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NodeDistance"))]
pub struct Distance {
    /// The other node.
    pub node: u32,
    /// 10 is the node itself, 20 twice as far, 255 unreachable.
    pub distance: u32,
}

/// A sum over the nodes and the machine's counter that it should equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NumaCheck"))]
pub struct Check {
    /// The counters.
    pub name: &'static str,
    /// The sum; `None` if it is not known for a node.
    pub nodes_bytes: Option<u64>,
    /// The machine's counter.
    pub machine_bytes: Option<u64>,
    /// The sum minus the machine's counter.
    pub difference_bytes: Option<i64>,
    /// Whether the counter cannot change between two reads, so that a difference is not due to timing.
    pub exact: bool,
}

/// The counter of a node, the counters of the machine that the nodes should add up to, and whether it is stable between
/// reads.
const CHECKS: [(&str, &[&str], bool); 10] = [
    ("MemTotal", &["MemTotal"], true),
    ("MemFree", &["MemFree"], false),
    ("AnonPages", &["AnonPages"], false),
    ("FilePages", &["Cached", "Buffers", "SwapCached"], false),
    ("Shmem", &["Shmem"], false),
    ("SReclaimable", &["SReclaimable"], false),
    ("SUnreclaim", &["SUnreclaim"], false),
    ("PageTables", &["PageTables"], false),
    ("KernelStack", &["KernelStack"], false),
    ("Hugetlb", &["Hugetlb"], false),
];

impl Report {
    /// Makes the report from what was read.
    pub fn new(sources: &Sources, page_size: PageSize) -> Self {
        let nodes: Vec<ledger::Node> =
            sources.nodes.iter().map(|files| ledger::Node::new(sources, files, page_size)).collect();
        let nodes_of_report: Vec<Node> =
            nodes.iter().zip(&sources.nodes).map(|(node, files)| Node::new(node, files, page_size)).collect();
        let of_node = |node: &Node| {
            node.lines.iter().map(|line| NodeLine { node: node.node, line: line.clone() }).collect::<Vec<_>>()
        };
        Self {
            rows: nodes_of_report.iter().flat_map(of_node).collect(),
            checks: CHECKS.iter().map(|(name, keys, exact)| check(sources, &nodes, name, keys, *exact)).collect(),
            nodes: nodes_of_report,
            machine_available_bytes: sources.machine.bytes("MemAvailable"),
            demotion_enabled: sources.demotion_enabled,
        }
    }

    /// What the reader must know; with `verbose`, more of it is for people.
    pub fn notes(&self, sources: &Sources, page_size: PageSize, verbose: bool) -> Vec<Note> {
        let mut notes: Vec<Note> = self.nodes.iter().filter_map(|node| self.about_watermarks(node, sources)).collect();
        notes.extend(self.about_total(sources, page_size));
        notes.extend(self.about_unknown());
        for line in self.nodes.iter().flat_map(|node| &node.lines) {
            let Some(text) = line.note else { continue };
            let text = format!("{}: {text}", line.title);
            if !notes.iter().any(|note| note.text == text) {
                let matters = line.name == REST || line.bytes.is_none() || line.bytes.is_some_and(|bytes| bytes > 0);
                notes.push(Note { in_json_only: !matters && !verbose, ..Note::general("line", text) });
            }
        }
        // They are also reported as errors.
        let trouble = |text: &String| Note { in_json_only: true, ..Note::general("source-incomplete", text.as_str()) };
        notes.extend(sources.troubles.iter().map(trouble));
        notes
    }

    /// A note on a node that is short of memory, which the totals of the machine do not show.
    fn about_watermarks(&self, node: &Node, sources: &Sources) -> Option<Note> {
        let (zone, standing) =
            (node.zones.iter().find(|zone| Some(&zone.zone) == node.worst_zone.as_ref())?, node.standing?);
        let (code, mark, pages, so) = match standing {
            Standing::AtMin => ("node-at-min", "min", zone.min_pages, "allocations there must reclaim first"),
            Standing::AboveMin => ("node-at-low", "low", zone.low_pages, "kswapd reclaims there"),
            Standing::AboveLow | Standing::AboveHigh => return None,
        };
        let machine = self.machine_available_bytes.zip(sources.machine.bytes("MemTotal"));
        let machine = machine.filter(|(_, total)| *total > 0 && self.nodes.len() > 1).map_or_else(
            String::new,
            |(bytes, total)| {
                let percent = bytes as f64 * 100.0 / total as f64;
                format!("; {percent:.0} % of the whole machine's memory is available")
            },
        );
        let place = match pages.saturating_sub(zone.free_pages) {
            0 => format!("at its {mark} watermark"),
            below => format!("{below} below its {mark} watermark of {pages}"),
        };
        let text = format!(
            "node {}: zone {} has {} free pages, {place}: {so}{machine}",
            node.node, zone.zone, zone.free_pages
        );
        // People see it in the first lines.
        Some(Note { in_json_only: true, ..Note::general(code, text) })
    }

    /// Why the nodes do not add up to the machine.
    fn about_total(&self, sources: &Sources, page_size: PageSize) -> Option<Note> {
        let check = self.checks.iter().find(|check| check.name == "MemTotal")?;
        let difference = check.difference_bytes.filter(|&bytes| bytes != 0)?;
        let managed = sources.zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.managed));
        let are_all = check.nodes_bytes == Some(page_size.bytes_of(managed));
        let why = match difference {
            ..0 if are_all => "the machine has memory with page descriptors not initialised yet, which no zone manages",
            _ => "the files were not read at the same moment, or are not from the same machine",
        };
        let text = format!("MemTotal of all nodes minus that of the machine is {difference} bytes: {why}");
        Some(Note::general("nodes-differ", text))
    }

    /// Which lines have no size, and where their memory is.
    fn about_unknown(&self) -> Option<Note> {
        let mut said: Vec<String> = Vec::new();
        for line in self.nodes.iter().flat_map(|node| &node.lines) {
            let (Some(counted_in), false) = (line.counted_in, line.rare) else { continue };
            let text = format!("{} (in {counted_in})", line.title);
            if !said.contains(&text) {
                said.push(text);
            }
        }
        let text = || format!("not known per node, and part of another line: {}", said.join(", "));
        (!said.is_empty()).then(|| Note::general("lines-unknown", text()))
    }
}

impl Node {
    fn new(node: &ledger::Node, files: &NodeFiles, page_size: PageSize) -> Self {
        let Ledger { total, lines } = ledger(node);
        let available = Available::of_zones(node.reclaimable(), node.zones(), page_size);
        let worst = node.zones().iter().copied().filter(|zone| zone.managed > 0).max_by_key(|zone| {
            let mark = if standing(zone) == Standing::AtMin { zone.min } else { zone.low };
            (standing(zone), mark.saturating_sub(zone.free))
        });
        let below = |mark: fn(&Zone) -> u64| {
            let zone = worst.filter(|zone| zone.free <= mark(zone))?;
            Some(page_size.bytes_of(mark(zone) - zone.free))
        };
        Self {
            node: files.node,
            has_cpu: files.has_cpu,
            has_memory: files.has_memory,
            cpus: files.cpus.as_ref().map(ToString::to_string),
            total_bytes: total.map(i64::unsigned_abs),
            lines,
            available_bytes: available.recomputed_bytes,
            available_at_least_bytes: available.at_least(),
            standing: worst.map(standing),
            worst_zone: worst.map(|zone| zone.name.clone()),
            below_min_bytes: below(|zone| zone.min),
            below_low_bytes: below(|zone| zone.low),
            zones: node.zones().iter().copied().filter(|zone| zone.managed > 0).map(ZoneLevel::new).collect(),
            distances: files.distances.iter().map(|&(node, distance)| Distance { node, distance }).collect(),
            memory_tier: files.memory_tier,
        }
    }

    /// The size of a line of its ledger; `None` if it is not known, or there is no such line.
    pub fn bytes(&self, name: &str) -> Option<i64> {
        self.lines.iter().find(|line| line.name == name)?.bytes
    }

    /// Its distance to this node.
    pub fn distance(&self, node: u32) -> Option<u32> {
        self.distances.iter().find(|distance| distance.node == node).map(|distance| distance.distance)
    }
}

impl ZoneLevel {
    fn new(zone: &Zone) -> Self {
        Self {
            zone: zone.name.clone(),
            managed_pages: zone.managed,
            free_pages: zone.free,
            min_pages: zone.min,
            low_pages: zone.low,
            high_pages: zone.high,
            standing: standing(zone),
        }
    }
}

fn check(sources: &Sources, nodes: &[ledger::Node], name: &'static str, keys: &[&str], exact: bool) -> Check {
    let nodes_bytes = sum(nodes.iter().map(|node| node.of_check(name).map(i64::unsigned_abs)));
    let machine_bytes = sum(keys.iter().map(|key| sources.machine.bytes(key)));
    let difference_bytes = nodes_bytes.zip(machine_bytes).map(|(nodes, machine)| difference(nodes, machine));
    Check { name, nodes_bytes, machine_bytes, difference_bytes, exact }
}

/// The sum, if all of it is known.
fn sum(mut bytes: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    bytes.try_fold(0u64, |sum, bytes| Some(sum.saturating_add(bytes?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::root::Root;
    use crate::model::meminfo::Meminfo;
    use std::path::Path;

    const GUESTS: [&str; 4] = ["6.12/numa-2", "6.12/numa-4", "6.12/numa-tiers", "6.1/numa-8"];

    fn read(tree: &str) -> (Report, Sources) {
        let root = Root::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(tree)).unwrap();
        let sources = Sources::read(&root).unwrap();
        assert_eq!(sources.troubles, Vec::<String>::new(), "{tree}");
        (Report::new(&sources, root.page_size()), sources)
    }

    fn page_size() -> PageSize {
        PageSize::new(4096).unwrap()
    }

    fn codes(report: &Report, sources: &Sources) -> Vec<&'static str> {
        report.notes(sources, page_size(), false).iter().map(|note| note.code).collect()
    }

    #[test]
    fn nodes_of_guests_add_up_to_their_machine() {
        for tree in GUESTS {
            let (report, _) = read(tree);
            for check in &report.checks {
                let difference = check.difference_bytes.unwrap_or_else(|| panic!("{tree} {}", check.name));
                // The files were read one after the other, and some counters are partly per CPU.
                let allowed = if check.exact { 0 } else { 1 << 20 };
                assert!(difference.abs() <= allowed, "{tree} {check:?}");
            }
        }
    }

    #[test]
    fn lines_add_up_to_the_total_of_each_node() {
        for tree in GUESTS.into_iter().chain(["6.1/numa-imbalance"]) {
            for node in read(tree).0.nodes {
                let sum: i64 = node.lines.iter().filter_map(|line| line.bytes).sum();
                assert_eq!(Some(sum.unsigned_abs()), node.total_bytes, "{tree} {}", node.node);
                assert_eq!(node.lines.last().map(|line| line.name), Some(REST));
            }
        }
    }

    #[test]
    fn little_of_a_guest_is_in_the_rest() {
        for tree in GUESTS {
            for node in read(tree).0.nodes {
                let (rest, total) = (node.bytes(REST).unwrap(), node.total_bytes.unwrap());
                // Per-CPU data, vmalloc areas, page descriptors of hot-plugged memory, and the kernel's early memory.
                assert!((0..=12 << 20).contains(&rest) && rest.unsigned_abs() <= total, "{tree} {} {rest}", node.node);
            }
        }
    }

    #[test]
    fn a_node_without_memory_has_none_of_anything() {
        let (report, _) = read("6.12/numa-4");
        let node = &report.nodes[2];
        assert_eq!((node.total_bytes, node.available_bytes, node.has_memory), (Some(0), Some(0), Some(false)));
        assert!(node.lines.iter().all(|line| line.bytes == Some(0) || line.bytes.is_none() && line.rare), "{node:?}");
        assert_eq!((node.standing, node.zones.len(), node.cpus.as_deref()), (None, 0, Some("2")));
        assert_eq!((node.distance(3), node.distance(4)), (Some(17), None));
        assert_eq!(report.nodes[3].cpus.as_deref(), Some(""));
    }

    #[test]
    fn a_node_that_is_nearly_full_shows() {
        let (report, sources) = read("6.12/numa-4");
        let standings: Vec<_> = report.nodes.iter().map(|node| node.standing).collect();
        let high = Some(Standing::AboveHigh);
        assert_eq!(standings, [high, Some(Standing::AboveMin), None, high]);
        // 3,112 pages are free, low is 3,293, min 2,635.
        let node = &report.nodes[1];
        assert_eq!((node.below_min_bytes, node.below_low_bytes), (None, Some((3293 - 3112) << 12)));
        assert_eq!(codes(&report, &sources), ["node-at-low"]);
    }

    #[test]
    fn what_the_machine_hides_shows_by_node() {
        let (report, sources) = read("6.1/numa-imbalance");
        let node = &report.nodes[0];
        assert_eq!((node.standing, node.worst_zone.as_deref()), (Some(Standing::AtMin), Some("Normal")));
        assert_eq!(node.below_min_bytes, Some(3000 << 12));
        assert_eq!(node.total_bytes, Some((3840 + 716_800 + 15_700_000) << 12));
        assert_eq!(node.bytes("free"), Some((2816 + 9000 + 12_000) << 12));
        assert_eq!(node.bytes("anonymous"), Some(15_880_000 << 12));
        // Shmem by node is not in this zoneinfo: FilePages has it.
        let shmem = node.lines.iter().find(|line| line.name == "shared_memory").unwrap();
        assert_eq!((shmem.bytes, shmem.counted_in, node.bytes("file")), (None, Some("file"), Some(4000 << 12)));
        // More than the 23,816 free pages are reserved; of 3,500 file pages half stay.
        assert_eq!((node.available_bytes, node.available_at_least_bytes), (None, Some(0)));
        assert!(report.machine_available_bytes > Some(60 << 30));
        // 15,500,000 free minus 47,400; of 500,000 file pages all but 31,600.
        let other = &report.nodes[1];
        assert_eq!(other.available_at_least_bytes, Some((15_500_000 - 47_400 + 500_000 - 31_600) << 12));
        assert_eq!((other.standing, other.below_low_bytes), (Some(Standing::AboveHigh), None));
        let notes = report.notes(&sources, page_size(), false);
        assert!(
            notes[0].code == "node-at-min" && notes[0].text.contains("48 % of the whole machine's memory is available"),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.code == "lines-unknown" && note.text.contains("slab, reclaimable (in rest)"))
        );
    }

    #[test]
    fn the_worst_zone_is_by_the_watermark_and_then_by_what_is_missing() {
        let zone = |name: &str, managed, free, min| {
            let (low, high) = (min + 2000, min + 4000);
            Zone { name: name.to_owned(), managed, free, min, low, high, ..Zone::default() }
        };
        let worst = |zones| {
            let sources = Sources { nodes: vec![NodeFiles::default()], zones, ..Sources::default() };
            let node = Report::new(&sources, page_size()).nodes.remove(0);
            (node.worst_zone.unwrap(), node.below_min_bytes, node.below_low_bytes)
        };
        let (dma, normal) = (zone("DMA", 9000, 99, 100), zone("Normal", 9000, 1001, 1000));
        assert_eq!(worst(vec![dma.clone(), normal.clone()]), ("DMA".to_owned(), Some(1 << 12), Some(2001 << 12)));
        assert_eq!(worst(vec![dma.clone(), Zone { free: 998, ..normal.clone() }]).0, "Normal");
        // A zone without memory does not count, whatever its watermarks.
        assert_eq!(worst(vec![normal, Zone { managed: 0, ..dma }]), ("Normal".to_owned(), None, Some(1999 << 12)));
    }

    #[test]
    fn files_that_were_cut_give_a_ledger_that_adds_up() {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/6.12/numa-4");
        let files = ["proc/zoneinfo", "proc/meminfo", "sys/devices/system/node/node1/meminfo"];
        let lists = ["online", "node1/distance", "node1/cpulist"].map(|file| format!("sys/devices/system/node/{file}"));
        let files: Vec<String> = files.map(str::to_owned).into_iter().chain(lists).collect();
        let tree = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &[u8]| {
            let to = tree.path().join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, text).unwrap();
        };
        let whole = |file: &str| std::fs::read(from.join(file)).unwrap();
        put("pmem-capture.json", &whole("pmem-capture.json"));
        files.iter().for_each(|file| put(file, &whole(file)));
        let root = Root::open(tree.path()).unwrap();
        for file in &files {
            let text = whole(file);
            for cut in (0..text.len()).step_by(text.len().div_ceil(200)) {
                put(file, &text[..cut]);
                for node in Report::new(&Sources::read(&root).unwrap(), root.page_size()).nodes {
                    let sum: i64 = node.lines.iter().filter_map(|line| line.bytes).sum();
                    assert_eq!(sum.unsigned_abs(), node.total_bytes.unwrap_or(0), "{file} {cut}");
                }
            }
            put(file, &text);
        }
    }

    #[test]
    fn this_machine_has_a_ledger_for_each_node() {
        let Ok(root) = Root::open(Path::new("/")) else { return eprintln!("skipped: no procfs is mounted") };
        let Ok(sources) = Sources::read(&root) else {
            return eprintln!("skipped: neither sysfs nor zoneinfo has nodes");
        };
        for node in Report::new(&sources, root.page_size()).nodes {
            let sum: i64 = node.lines.iter().filter_map(|line| line.bytes).sum();
            assert_eq!(Some(sum.unsigned_abs()), node.total_bytes.or(Some(0)), "{}", node.node);
            // Under load counters lag by a batch per CPU: a tenth is far more.
            let rest = node.bytes(REST).unwrap_or(0);
            assert!(rest > -(sum / 10), "{} {rest} of {sum}", node.node);
        }
    }

    #[test]
    fn memory_that_is_in_no_node_is_told() {
        let (_, mut sources) = read("6.1/numa-imbalance");
        let about = |sources: &Sources| {
            let notes = Report::new(sources, page_size()).notes(sources, page_size(), false);
            notes.into_iter().find(|note| note.code == "nodes-differ").map(|note| note.text)
        };
        assert_eq!(about(&sources), None);
        sources.machine = Meminfo::parse(b"MemTotal: 131682564 kB\n");
        assert!(
            about(&sources)
                .is_some_and(|text| text.contains("-4096 bytes: the machine has memory with page descriptors"))
        );
        sources.machine = Meminfo::parse(b"MemTotal: 131682556 kB\n");
        assert!(
            about(&sources)
                .is_some_and(|text| text.contains("is 4096 bytes: the files were not read at the same moment"))
        );
        // Nothing is known about a node that is not listed.
        sources.machine = Meminfo::parse(b"MemTotal: 131682560 kB\n");
        sources.nodes.pop();
        assert!(about(&sources).is_some_and(|text| text.contains("not from the same machine")));
    }

    #[test]
    fn hugetlb_of_all_sizes_is_on_its_node() {
        let (report, sources) = read("6.12/numa-2");
        let huge =
            |node: usize| ["hugetlb_used", "hugetlb_free"].map(|name| report.nodes[node].bytes(name).unwrap() >> 20);
        assert_eq!((huge(0), huge(1)), ([0, 4], [1024 + 4, 6]));
        let check = report.checks.iter().find(|check| check.name == "Hugetlb").unwrap();
        assert_eq!(check.difference_bytes, Some(0));
        assert_eq!(codes(&report, &sources), Vec::<&str>::new());
    }

    #[test]
    fn tiers_are_of_the_nodes_whose_memory_is_in_them() {
        let (report, _) = read("6.12/numa-tiers");
        let tiers: Vec<_> = report.nodes.iter().map(|node| (node.has_cpu, node.memory_tier)).collect();
        assert_eq!(tiers, [(Some(true), Some(4)), (Some(false), Some(180))]);
        assert_eq!(report.demotion_enabled, Some(true));
        let (report, _) = read("6.12/numa-4");
        let tiers: Vec<_> = report.nodes.iter().map(|node| node.memory_tier).collect();
        assert_eq!(tiers, [Some(4), Some(4), None, Some(4)]);
    }

    #[test]
    fn what_is_available_on_all_nodes_is_near_what_the_machine_says() {
        for tree in GUESTS {
            let (report, _) = read(tree);
            let sum: u64 = report.nodes.iter().map(|node| node.available_bytes.unwrap()).sum();
            let machine = report.machine_available_bytes.unwrap();
            // A node that is full counts as 0, not below it; halves are taken of each node's lists; counters moved.
            assert!(sum.abs_diff(machine) <= 16 << 20, "{tree} {sum} {machine}");
        }
    }
}
