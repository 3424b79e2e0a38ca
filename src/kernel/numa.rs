//! The kernel's files about NUMA nodes, read one right after the other, and a process's pages by node.

use std::collections::BTreeSet;
use std::path::Path;

use super::counters::known;
use super::dir::Dir;
use super::lines;
use super::process::Process;
use super::root::{Root, SMALL, text};
use super::r#where::{balloon_in_total, pool_names, zones};
use crate::error::{Error, Result};
use crate::model::id_list::IdList;
use crate::model::meminfo::{self, Meminfo};
use crate::model::numa_maps::Mapping;
use crate::model::zoneinfo::Zone;
use crate::model::{distance, node_meminfo};
use crate::unit::decimal;

/// A reading of all files. `None` if unreadable or missing in this kernel.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `/proc/meminfo` of the whole machine.
    pub machine: Meminfo,
    /// The nodes, ascending: those with a directory in sysfs, and those with memory in zoneinfo.
    pub nodes: Vec<NodeFiles>,
    /// `/proc/zoneinfo`; empty if it cannot be read.
    pub zones: Vec<Zone>,
    /// Whether memory taken by a balloon is still part of the managed memory; see [`super::where::Sources`].
    pub balloon_in_total: Option<bool>,
    /// Whether reclaim may demote pages to a node in a slower tier (`/sys/kernel/mm/numa/demotion_enabled`, Linux 6.1).
    pub demotion_enabled: Option<bool>,
    /// Files that are truncated, or exist but cannot be read for a reason other than permission: the values in them are
    /// missing.
    pub troubles: Vec<String>,
}

/// What sysfs reports for one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFiles {
    /// The node.
    pub node: u32,
    /// `nodeN/meminfo`: sizes in bytes, and counts of huge pages of the default size. Empty if the file does not exist.
    pub meminfo: Meminfo,
    /// `nodeN/cpulist`: its online CPUs.
    pub cpus: Option<IdList>,
    /// Whether it has CPUs: from `has_cpu`, or else from its list.
    pub has_cpu: Option<bool>,
    /// Whether it has memory: from `has_memory`, or else from its managed pages.
    pub has_memory: Option<bool>,
    /// Its distances to all online nodes, in ascending order of nodes: 10 is itself.
    pub distances: Vec<(u32, u32)>,
    /// Its hugetlb pools, one per page size; empty if any of them cannot be read, because the sums would be partial.
    pub pools: Vec<NodePool>,
    /// The memory tier it belongs to: lower is faster (`memory_tierN/nodelist`, Linux 6.1).
    pub memory_tier: Option<u32>,
}

/// The hugetlb pages of one size on one node. Reservations are not tracked per node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodePool {
    /// The page size, in bytes.
    pub size: u64,
    /// All pages, including surplus pages.
    pub pages: u64,
    /// Of these, free pages.
    pub free: u64,
}

/// The directory of nodes.
const NODES: &str = "sys/devices/system/node";

/// The directory of tiers.
const TIERS: &str = "sys/devices/virtual/memory_tiering";

const DEMOTION: &str = "sys/kernel/mm/numa/demotion_enabled";

/// The node lists below [`NODES`].
const LISTS: [&str; 5] = ["has_cpu", "has_memory", "has_normal_memory", "online", "possible"];

/// The files of one node.
const NODE_FILES: [&str; 3] = ["cpulist", "distance", "meminfo"];

/// The files of one pool on one node.
const POOL_FILES: [&str; 2] = ["nr_hugepages", "free_hugepages"];

/// No kernel has more nodes (CONFIG_NODES_SHIFT is at most 10); a recorded tree can claim any number.
const MOST_NODES: u32 = 1024;

impl Sources {
    /// Reads all files.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if neither sysfs nor zoneinfo has a node.
    pub fn read(root: &Root) -> Result<Self> {
        let dir = root.dir();
        let mut troubles = Vec::new();
        let path = |file: &str| dir.path().join(file);
        let machine = known(dir.read("proc/meminfo", SMALL), &mut troubles);
        if let Some(why) = machine.as_ref().and_then(|text| meminfo::torn(text)) {
            troubles.push(format!("{}: {why}", path("proc/meminfo").display()));
        }
        let zones = dir.read("proc/zoneinfo", SMALL).and_then(|text| zones(&text, &path("proc/zoneinfo")));
        let zones = known(zones, &mut troubles).unwrap_or_default();
        let [has_cpu, has_memory, _, online, _] =
            LISTS.map(|list| list_of(dir, &format!("{NODES}/{list}"), &mut troubles));
        let tiers = tiers(dir);
        let in_sysfs = node_names(dir);
        let mut nodes: BTreeSet<u32> = in_sysfs.iter().copied().collect();
        nodes.extend(zones.iter().filter(|zone| zone.managed > 0 && zone.node < MOST_NODES).map(|zone| zone.node));
        if nodes.is_empty() {
            return Err(no_nodes(root));
        }
        // Distances are to online nodes, which are those with a directory.
        let online: Vec<u32> =
            online.map_or_else(|| in_sysfs.clone(), |list| list.iter().take(MOST_NODES as usize).collect());
        let mut node = |node: u32| {
            let file = |name: &str| format!("{NODES}/node{node}/{name}");
            let text = known(dir.read(file("meminfo"), SMALL), &mut troubles);
            let meminfo = node_meminfo::parse(&text.clone().unwrap_or_default(), node);
            if text.is_some()
                && (meminfo.bytes("MemTotal").is_none() || text.is_some_and(|text| !text.ends_with(b"\n")))
            {
                troubles.push(format!("{}: the file is truncated", path(&file("meminfo")).display()));
            }
            let cpus = list_of(dir, &file("cpulist"), &mut troubles);
            let managed = zones.iter().any(|zone| zone.node == node && zone.managed > 0);
            let total = meminfo.bytes("MemTotal").map(|bytes| bytes > 0);
            NodeFiles {
                node,
                has_cpu: has_cpu
                    .as_ref()
                    .map(|list| list.contains(node))
                    .or(cpus.as_ref().map(|cpus| !cpus.is_empty())),
                has_memory: has_memory.as_ref().map(|list| list.contains(node)).or(total).or(managed.then_some(true)),
                cpus,
                distances: distances(dir, &file("distance"), &online, &mut troubles),
                pools: pools(dir, node),
                memory_tier: tiers.iter().find(|(_, nodes)| nodes.contains(node)).map(|(tier, _)| *tier),
                meminfo,
            }
        };
        let nodes = nodes.into_iter().map(&mut node).collect();
        let flag = |text: String| match text.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        Ok(Self {
            machine: Meminfo::parse(&machine.unwrap_or_default()),
            nodes,
            zones,
            balloon_in_total: balloon_in_total(dir),
            demotion_enabled: text(dir, DEMOTION).and_then(flag),
            troubles,
        })
    }
}

/// Why no node is known.
fn no_nodes(root: &Root) -> Error {
    let who = if root.is_recorded() { "the recorded tree" } else { "this kernel" };
    let what = format!("{who} does not list its NUMA nodes: it has neither /{NODES} nor a /proc/zoneinfo with memory");
    Error::Unsupported { what }
}

/// The nodes with a directory in sysfs, ascending.
fn node_names(dir: &Dir) -> Vec<u32> {
    let mut nodes = numbered(dir, NODES, "node");
    nodes.retain(|&node| node < MOST_NODES);
    nodes
}

/// The numbers of the entries named `prefix` followed by a number, ascending, without duplicates.
fn numbered(dir: &Dir, path: &str, prefix: &str) -> Vec<u32> {
    let names = dir.open_dir(path).and_then(|dir| dir.names()).unwrap_or_default();
    let number = |name: Vec<u8>| {
        let number = u32::try_from(decimal(std::str::from_utf8(&name).ok()?.strip_prefix(prefix)?)?).ok()?;
        // Not `node00`: the files are looked up by the number.
        (name == format!("{prefix}{number}").as_bytes()).then_some(number)
    };
    let numbers: BTreeSet<u32> = names.into_iter().filter_map(number).collect();
    numbers.into_iter().collect()
}

fn list_of(dir: &Dir, path: &str, troubles: &mut Vec<String>) -> Option<IdList> {
    let parsed = dir.read(path, SMALL).and_then(|text| {
        IdList::parse(&text).ok_or_else(|| Error::malformed(&dir.path().join(path), 1, "not a list such as 0-3,8"))
    });
    known(parsed, troubles)
}

fn distances(dir: &Dir, path: &str, online: &[u32], troubles: &mut Vec<String>) -> Vec<(u32, u32)> {
    let parsed = dir.read(path, SMALL).and_then(|text| {
        distance::parse(&text)
            .filter(|distances| distances.len() == online.len())
            .ok_or_else(|| Error::malformed(&dir.path().join(path), 1, "not one distance per online node"))
    });
    online.iter().copied().zip(known(parsed, troubles).unwrap_or_default()).collect()
}

fn pools(dir: &Dir, node: u32) -> Vec<NodePool> {
    let pools = format!("{NODES}/node{node}/hugepages");
    let pool = |(name, size): (String, u64)| {
        let [pages, free] = POOL_FILES.map(|file| decimal(&text(dir, &format!("{pools}/{name}/{file}"))?));
        Some(NodePool { size, pages: pages?, free: free? })
    };
    pool_names(dir, &pools).into_iter().map(pool).collect::<Option<_>>().unwrap_or_default()
}

/// The memory tiers with their nodes.
fn tiers(dir: &Dir) -> Vec<(u32, IdList)> {
    let nodes = |tier: u32| Some((tier, IdList::parse(&dir.read(tier_file(tier), SMALL).ok()?)?));
    numbered(dir, TIERS, "memory_tier").into_iter().filter_map(nodes).collect()
}

fn tier_file(tier: u32) -> String {
    format!("{TIERS}/memory_tier{tier}/nodelist")
}

/// The files of all nodes, as paths relative to the root.
pub fn node_files(root: &Root) -> Vec<String> {
    let dir = root.dir();
    let mut files: Vec<String> = LISTS.map(|list| format!("{NODES}/{list}")).to_vec();
    for node in node_names(dir) {
        files.extend(NODE_FILES.map(|file| format!("{NODES}/node{node}/{file}")));
        let pools = format!("{NODES}/node{node}/hugepages");
        for (name, _) in pool_names(dir, &pools) {
            files.extend(POOL_FILES.map(|file| format!("{pools}/{name}/{file}")));
        }
    }
    files.retain(|file| dir.exists(file));
    files
}

/// The files of all memory tiers, as paths relative to the root.
pub fn tier_files(root: &Root) -> Vec<String> {
    numbered(root.dir(), TIERS, "memory_tier").into_iter().map(tier_file).collect()
}

/// The file with a process's pages by node.
pub const NUMA_MAPS: &str = "numa_maps";

/// Passes every mapping of a process to `each`, in ascending order, without duplicates; none for a kernel thread or a zombie.
/// Returns whether the process changed its mappings during the read: if a mapping is printed twice, the first line is used.
///
/// # Errors
/// [`Error::Unsupported`] if the kernel or the recorded tree does not have the file, [`Error::Denied`], [`Error::Gone`],
/// [`Error::Malformed`].
pub fn mappings(process: &Process, mut each: impl FnMut(Mapping)) -> Result<bool> {
    let path = process.path(NUMA_MAPS);
    let mut file = process.open_file(NUMA_MAPS).map_err(|error| missing(process, &path, error))?;
    let (mut last, mut torn) = (None, false);
    lines::for_each(&mut file, &path, |number, line| {
        let mapping = Mapping::parse(line, &path, number)?;
        if last.is_some_and(|last| mapping.start <= last) {
            torn = true;
        } else {
            last = Some(mapping.start);
            each(mapping);
        }
        Ok(())
    })?;
    Ok(torn)
}

/// Why a process has no such file: it exited, or this kernel does not have the file at all.
fn missing(process: &Process, path: &Path, error: Error) -> Error {
    match error {
        Error::Missing { .. } if process.is_recorded() => {
            Error::Unsupported { what: format!("{}: the recorded tree does not have it", path.display()) }
        }
        Error::Missing { .. } if process.dir().exists("stat") => {
            Error::Unsupported { what: format!("{}: this kernel was built without it (CONFIG_NUMA)", path.display()) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::VirtAddr;

    fn fixture(name: &str) -> Root {
        Root::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
    }

    /// A copy of a fixture, to be damaged.
    fn copy(name: &str) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        for entry in walkdir::WalkDir::new(&from).into_iter().flatten() {
            let to = top.path().join(entry.path().strip_prefix(&from).unwrap());
            match entry.file_type().is_dir() {
                true => std::fs::create_dir_all(&to).unwrap(),
                false => std::fs::copy(entry.path(), &to).map(drop).unwrap(),
            }
        }
        top
    }

    #[test]
    fn nodes_without_memory_and_without_processors_are_nodes() {
        let sources = Sources::read(&fixture("6.12/numa-4")).unwrap();
        assert_eq!(sources.troubles, Vec::<String>::new());
        let has: Vec<_> = sources.nodes.iter().map(|node| (node.node, node.has_cpu, node.has_memory)).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(has, [(0, yes, yes), (1, yes, yes), (2, yes, no), (3, no, yes)]);
        assert_eq!(sources.nodes[3].distances, [(0, 41), (1, 41), (2, 17), (3, 10)]);
        assert_eq!(sources.nodes[3].cpus, Some(IdList::default()));
        assert_eq!(sources.nodes[2].meminfo.bytes("MemTotal"), Some(0));
        assert_eq!(sources.demotion_enabled, Some(false));
    }

    #[test]
    fn pools_are_of_every_size() {
        let sources = Sources::read(&fixture("6.12/numa-2")).unwrap();
        let mut pools = sources.nodes[1].pools.clone();
        pools.sort_unstable_by_key(|pool| pool.size);
        let pool = |size, pages, free| NodePool { size, pages, free };
        assert_eq!(pools, [pool(2 << 20, 5, 3), pool(1 << 30, 1, 0)]);
    }

    #[test]
    fn what_has_no_sysfs_has_the_nodes_of_zoneinfo() {
        let sources = Sources::read(&fixture("6.1/numa-imbalance")).unwrap();
        assert_eq!(sources.nodes.iter().map(|node| node.node).collect::<Vec<_>>(), [0, 1]);
        let node = &sources.nodes[0];
        assert_eq!((node.has_cpu, node.has_memory, node.cpus.clone()), (None, Some(true), None));
        assert!(node.distances.is_empty() && node.pools.is_empty() && node.meminfo.keys().next().is_none());
        assert_eq!((sources.troubles.len(), sources.demotion_enabled), (0, None));
    }

    #[test]
    fn what_knows_no_node_is_refused() {
        let tree = copy("6.1/numa-imbalance");
        std::fs::remove_file(tree.path().join("proc/zoneinfo")).unwrap();
        let error = Sources::read(&Root::open(tree.path()).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }

    #[test]
    fn what_is_torn_is_told_and_not_known() {
        let tree = copy("6.12/numa-4");
        let spoil = |file: &str, text: &str| std::fs::write(tree.path().join(NODES).join(file), text).unwrap();
        spoil("has_cpu", "0-\n");
        spoil("node0/distance", "10 20\n");
        spoil("node1/meminfo", "Node 1 MemTotal:   219956 kB\nNode 1 MemFr");
        spoil("node3/cpulist", "none");
        std::fs::create_dir_all(tree.path().join(NODES).join("node00")).unwrap();
        std::fs::create_dir_all(tree.path().join(NODES).join("node4096")).unwrap();
        let sources = Sources::read(&Root::open(tree.path()).unwrap()).unwrap();
        assert_eq!(sources.troubles.len(), 4, "{:?}", sources.troubles);
        assert_eq!(sources.nodes.len(), 4);
        assert!(sources.nodes[0].distances.is_empty());
        // From its own list.
        assert_eq!((sources.nodes[0].has_cpu, sources.nodes[3].has_cpu), (Some(true), None));
        assert_eq!(sources.nodes[1].meminfo.bytes("MemFree"), None);
    }

    #[test]
    fn a_recorded_tree_needs_what_is_there() {
        let root = fixture("6.12/numa-2");
        let mut files = node_files(&root);
        files.extend(tier_files(&root));
        for file in ["has_cpu", "node1/meminfo", "node0/hugepages/hugepages-1048576kB/free_hugepages"] {
            assert!(files.contains(&format!("{NODES}/{file}")), "{file}");
        }
        assert!(files.contains(&format!("{TIERS}/memory_tier4/nodelist")));
        assert_eq!(files.len(), 5 + 2 * (3 + 2 * 2) + 1);
        assert!(node_files(&fixture("6.1/numa-imbalance")).is_empty());
    }

    #[test]
    fn a_mapping_that_is_printed_twice_is_taken_once() {
        let tree = copy("6.12/numa-2");
        let proc = tree.path().join("proc/183");
        let read = || {
            let process = Process::open(&Root::open(tree.path()).unwrap(), 183).unwrap();
            let mut found = Vec::new();
            mappings(&process, |mapping| found.push(mapping)).map(|torn| (torn, found))
        };
        let (torn, whole) = read().unwrap();
        assert!(!torn && whole.len() == 25, "{}", whole.len());
        let line = "N1=1 kernelpagesize_kB=4";
        let text = format!("1000 default {line}\n1000 default {line}\n2000 default {line}\n1000 default {line}\n");
        std::fs::write(proc.join(NUMA_MAPS), text).unwrap();
        let (torn, found) = read().unwrap();
        assert_eq!((torn, found.len(), found[1].start), (true, 2, VirtAddr(0x2000)));
        std::fs::remove_file(proc.join(NUMA_MAPS)).unwrap();
        assert!(matches!(read(), Err(Error::Unsupported { .. })));
    }
}
