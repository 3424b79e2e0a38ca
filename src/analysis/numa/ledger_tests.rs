use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::kernel::numa::NodePool;
use crate::kernel::root::Root;
use crate::model::meminfo::Meminfo;
use crate::model::node_meminfo;

fn page_size() -> PageSize {
    PageSize::new(4096).unwrap()
}

fn sources(tree: &str) -> Sources {
    let root = Root::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(tree)).unwrap();
    Sources::read(&root).unwrap()
}

fn of(sources: &Sources, node: usize) -> Ledger {
    ledger(&Node::new(sources, &sources.nodes[node], page_size()))
}

/// A node with these keys of meminfo, in kB, on a machine with those.
fn with(node: &str, machine: &str) -> Sources {
    let lines = |text: &str, prefix: &str| -> String {
        text.split(", ").filter(|line| !line.is_empty()).map(|line| format!("{prefix}{line} kB\n")).collect()
    };
    let meminfo = node_meminfo::parse(lines(node, "Node 0 ").as_bytes(), 0);
    let machine = Meminfo::parse(lines(machine, "").as_bytes());
    Sources { machine, nodes: vec![NodeFiles { meminfo, ..NodeFiles::default() }], ..Sources::default() }
}

fn line_of<'l>(ledger: &'l Ledger, name: &str) -> &'l Line {
    ledger.lines.iter().find(|line| line.name == name).unwrap()
}

fn kib(ledger: &Ledger, name: &str) -> Option<i64> {
    line_of(ledger, name).bytes.map(|bytes| bytes >> 10)
}

#[test]
fn zoneinfo_says_the_same_as_meminfo_of_a_node() {
    for tree in ["6.12/numa-2", "6.12/numa-4", "6.12/numa-tiers", "6.1/numa-8"] {
        let whole = sources(tree);
        let mut without = whole.clone();
        without.nodes.iter_mut().for_each(|node| node.meminfo = Meminfo::default());
        for node in 0..whole.nodes.len() {
            let (whole, without) = (of(&whole, node), of(&without, node));
            assert_eq!(whole.total, without.total, "{tree} {node}");
            for (line, other) in whole.lines.iter().zip(&without.lines) {
                // They were read one after the other.
                let [bytes, other] = [line.bytes, other.bytes].map(|bytes| bytes.unwrap_or(-1));
                assert!((bytes - other).abs() <= 1 << 20, "{tree} {node} {} {bytes} {other}", line.name);
            }
        }
    }
}

#[test]
fn memory_of_files_is_counted_once() {
    let sources = with(
        "MemTotal: 1000, MemFree: 100, FilePages: 500, Shmem: 80, SwapCached: 20, AnonPages: 210, \
                        Active(anon): 200, Inactive(anon): 95, Active(file): 300, Inactive(file): 110, Unevictable: 0",
        "",
    );
    let ledger = of(&sources, 0);
    // 705 on lists, of which 210 are anonymous and 480 of files.
    assert_eq!(
        (kib(&ledger, "file"), kib(&ledger, "shared_memory"), kib(&ledger, "swap_cache")),
        (Some(400), Some(80), Some(15))
    );
    assert_eq!(kib(&ledger, REST), Some(1000 - 100 - 400 - 80 - 15 - 210));
}

#[test]
fn what_is_not_known_is_in_another_line() {
    let ledger = of(&with("MemTotal: 1000, FilePages: 500", "SwapCached: 7"), 0);
    let lines = ["free", "file", "shared_memory", "swap_cache", "anonymous", REST].map(|name| {
        let line = line_of(&ledger, name);
        (line.bytes.map(|bytes| bytes >> 10), line.counted_in)
    });
    let (rest, file) = (Some(REST), Some("file"));
    assert_eq!(lines, [(None, rest), (Some(500), None), (None, file), (None, file), (None, rest), (Some(500), None)]);
    let nothing = of(&with("MemTotal: 1000", ""), 0);
    assert_eq!(line_of(&nothing, "shared_memory").counted_in, rest);
}

#[test]
fn what_the_machine_has_none_of_no_node_has() {
    let ledger = of(&with("MemTotal: 1000", "Shmem: 0, Hugetlb: 0, AnonPages: 5, SecPageTables: 0"), 0);
    let found = ["shared_memory", "secondary_page_tables", "hugetlb_used", "anonymous"].map(|name| kib(&ledger, name));
    assert_eq!(found, [Some(0), Some(0), Some(0), None]);
}

#[test]
fn a_node_without_a_total_has_no_ledger() {
    assert_eq!(of(&with("MemFree: 100", "MemTotal: 1000"), 0), Ledger::default());
}

#[test]
fn lines_above_the_total_say_why_where_that_is_known() {
    let text = "MemTotal: 1000, FilePages: 600, AnonPages: 500, MemFree: 0";
    let found = of(&with(text, "SwapCached: 90"), 0);
    assert_eq!(kib(&found, REST), Some(-100));
    assert!(line_of(&found, REST).note.is_some_and(|note| note.contains("swap cache")));
    let found = of(&with(text, "SwapCached: 0"), 0);
    assert_eq!((kib(&found, REST), line_of(&found, REST).note), (Some(-100), None));
}

#[test]
fn stacks_are_kib_in_zoneinfo_and_not_counted_as_vmalloc_too() {
    let counters = [("nr_vmalloc", 300), ("nr_kernel_stack", 640)];
    let zone = Zone {
        managed: 1000,
        node_counters: counters.map(|(name, pages)| (name.to_owned(), pages)).to_vec(),
        ..Zone::default()
    };
    let mut sources = with("", "");
    sources.zones = vec![zone];
    let ledger = of(&sources, 0);
    assert_eq!((kib(&ledger, "kernel_stacks"), kib(&ledger, "vmalloc")), (Some(640), Some(300 * 4 - 640)));
}

#[test]
fn counters_of_zones_are_those_of_their_node_on_old_kernels() {
    let zone = |node, managed, pages: Option<u64>| Zone {
        node,
        managed,
        counters: pages.map(|pages| ("nr_page_table_pages".to_owned(), pages)).into_iter().collect(),
        ..Zone::default()
    };
    let mut sources = with("", "");
    sources.zones = vec![zone(0, 10, Some(3)), zone(0, 10, Some(4)), zone(0, 0, None), zone(1, 10, Some(50))];
    assert_eq!(kib(&of(&sources, 0), "page_tables"), Some(7 * 4));
    sources.zones[1].counters.clear();
    assert_eq!(kib(&of(&sources, 0), "page_tables"), None);
}

#[test]
fn pools_of_other_sizes_are_missed_where_only_meminfo_counts() {
    let mut sources = with("MemTotal: 9000", "Hugetlb: 6144, Hugepagesize: 2048");
    let counts = b"Node 0 MemTotal: 9000 kB\nNode 0 HugePages_Total: 2\nNode 0 HugePages_Free: 1\n";
    sources.nodes[0].meminfo = node_meminfo::parse(counts, 0);
    let ledger = of(&sources, 0);
    assert_eq!((kib(&ledger, "hugetlb_used"), kib(&ledger, "hugetlb_free")), (Some(2048), Some(2048)));
    assert!(line_of(&ledger, "hugetlb_used").note.is_some());
    // More free ones than there are, and more than a machine has.
    sources.nodes[0].pools = vec![NodePool { size: 2 << 20, pages: 3, free: 4 }];
    let ledger = of(&sources, 0);
    assert_eq!((kib(&ledger, "hugetlb_used"), kib(&ledger, "hugetlb_free")), (Some(0), Some(6144)));
    sources.nodes[0].pools.push(NodePool { size: u64::MAX, pages: u64::MAX, free: 4 });
    assert_eq!(kib(&of(&sources, 0), "hugetlb_used"), None);
    // Each is possible, but not all of them together.
    sources.nodes[0].pools = vec![NodePool { size: 1 << 30, pages: 1 << 27, free: 1 }; 100];
    assert_eq!(kib(&of(&sources, 0), "hugetlb_used"), None);
}

#[test]
fn a_balloon_is_in_the_total_or_outside() {
    let mut sources = with("MemTotal: 1000, Balloon: 200", "");
    let found = |sources: &Sources| (kib(&of(sources, 0), "balloon"), kib(&of(sources, 0), REST));
    assert_eq!(found(&sources), (None, Some(1000)));
    sources.balloon_in_total = Some(true);
    assert_eq!(found(&sources), (Some(200), Some(800)));
    sources.balloon_in_total = Some(false);
    assert_eq!(found(&sources), (Some(0), Some(1000)));
}

/// Keys that a node's ledger is made from, and some that it is not.
const KEYS: [&str; 26] = [
    "MemTotal",
    "MemFree",
    "FilePages",
    "Shmem",
    "SwapCached",
    "AnonPages",
    "Active(anon)",
    "Inactive(anon)",
    "Active(file)",
    "Inactive(file)",
    "Unevictable",
    "Slab",
    "SReclaimable",
    "SUnreclaim",
    "KReclaimable",
    "PageTables",
    "SecPageTables",
    "KernelStack",
    "ShadowCallStack",
    "Bounce",
    "WritebackTmp",
    "GPUActive",
    "GPUReclaim",
    "Balloon",
    "Mapped",
    "Dirty",
];

const COUNTERS: [&str; 8] = [
    "nr_anon_pages",
    "nr_file_pages",
    "nr_vmalloc",
    "nr_kernel_stack",
    "nr_zspages",
    "nr_kernel_misc_reclaimable",
    "nr_swapcached",
    "nr_slab_reclaimable",
];

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000u64, any::<u64>(), 0..1u64 << 50, Just(0)]
}

proptest! {
    #[test]
    fn lines_add_up_whatever_the_counters_are(
        meminfo in prop::collection::vec(prop::option::of(number()), KEYS.len()),
        counters in prop::collection::vec(prop::option::of(number()), COUNTERS.len()),
        numbers in prop::array::uniform6(number()),
        balloon_in_total in any::<Option<bool>>(),
        pages in prop_oneof![Just(4096u64), Just(65536)],
    ) {
        let lines = |prefix: &str| -> String {
            let keys = KEYS.iter().zip(&meminfo);
            keys.filter_map(|(key, value)| Some(format!("{prefix}{key}: {} kB\n", (*value)?))).collect()
        };
        let [managed, free, pool, pool_free, count, machine] = numbers;
        let owned = COUNTERS.iter().zip(&counters).filter_map(|(key, value)| Some(((*key).to_owned(), (*value)?)));
        let zone = Zone { managed, free, node_counters: owned.clone().collect(), counters: owned.collect(), ..Zone::default() };
        let text = format!("{}Node 0 HugePages_Total: {count}\nNode 0 HugePages_Free: {pool_free}\n", lines("Node 0 "));
        let files = NodeFiles {
            meminfo: node_meminfo::parse(text.as_bytes(), 0),
            pools: if machine % 2 == 0 { vec![NodePool { size: pool, pages: count, free: pool_free }; 2] } else { Vec::new() },
            ..NodeFiles::default()
        };
        let text = format!("{}Hugepagesize: 2048 kB\nHugetlb: {machine} kB\nHugePages_Total: {count}\n", lines(""));
        let machine = Meminfo::parse(text.as_bytes());
        let sources = Sources { machine, nodes: vec![files], zones: vec![zone], balloon_in_total, ..Sources::default() };
        let found = ledger(&Node::new(&sources, &sources.nodes[0], PageSize::new(pages).unwrap()));
        if let Some(total) = found.total {
            let sum: i128 = found.lines.iter().filter_map(|line| line.bytes).map(i128::from).sum();
            prop_assert_eq!(sum, i128::from(total));
            prop_assert!(found.lines.iter().all(|line| line.name == REST || line.bytes.is_none_or(|bytes| bytes >= 0)));
            prop_assert!(found.lines.iter().all(|line| line.bytes.is_none() == line.counted_in.is_some()));
        } else {
            prop_assert!(found.lines.is_empty());
        }
    }
}
