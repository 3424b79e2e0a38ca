//! A process's pages by node: `/proc/PID/numa_maps`, mapping by mapping and in sum.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::kernel::numa::mappings;
use crate::kernel::process::Process;
use crate::model::numa_maps::{self, Mapping, Policy};
use crate::name::{Name, as_comm};
use crate::unit::{PageSize, VirtAddr};

/// One process. hugetlb pages count as base pages; zero pages, the kernel's own mappings (`[vdso]`) and swapped-out
/// pages do not count.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessNodes {
    /// The process.
    pub pid: u32,
    /// Its name.
    #[serde(flatten, serialize_with = "as_comm")]
    #[cfg_attr(test, schemars(with = "crate::name::schema::AsComm"))]
    pub comm: Name,
    /// Its mapped memory, on all nodes.
    pub bytes: u64,
    /// Its mapped memory on each node, ascending; nodes without any are left out.
    pub nodes: Vec<Share>,
    /// Its mappings, ascending.
    #[serde(skip)]
    pub mappings: Vec<MappingNodes>,
    /// Whether the process changed its mappings during the reading: one may be missing or wrong.
    pub moved: bool,
}

/// A process's mapped memory on one node: the parts add up to `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NodeShare"))]
pub struct Share {
    /// The node.
    pub node: u32,
    /// The total.
    pub bytes: u64,
    /// The same in base pages.
    pub pages: u64,
    /// The heap (brk).
    pub heap_bytes: u64,
    /// The stack of the first thread.
    pub stack_bytes: u64,
    /// hugetlb mappings.
    pub hugetlb_bytes: u64,
    /// Other file mappings, including tmpfs, shared memory and private copies.
    pub file_bytes: u64,
    /// Other anonymous mappings.
    pub anon_bytes: u64,
}

/// One mapping.
#[derive(Clone, Debug)]
pub struct MappingNodes {
    /// Where it starts.
    pub start: VirtAddr,
    /// The memory policy that it follows.
    pub policy: Policy,
    /// What it is.
    pub kind: Kind,
    /// The name of its file; empty where it has none.
    pub name: Name,
    /// What is mapped, in bytes.
    pub bytes: u64,
    /// The size of a page of this mapping, in which `anon` and the counts after it are given; `None` if nothing is
    /// mapped. A transparent huge page counts as base pages.
    pub kernel_page_size_bytes: Option<u64>,
    /// Of its pages, the anonymous ones.
    pub anon_pages: u64,
    /// Of these, the dirty ones.
    pub dirty_pages: u64,
    /// The highest mapcount of its pages; `None` if nothing is mapped.
    pub mapcount_max: Option<u64>,
    /// Of its pages, those in the swap cache.
    pub swap_cache_pages: u64,
    /// Of its pages, those on the active list.
    pub active_pages: u64,
    /// Of its pages, those being written back.
    pub writeback_pages: u64,
    /// What is mapped on each node, ascending; nodes without any are left out.
    pub nodes: Vec<OnNode>,
}

/// What a mapping has on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnNode {
    /// The node.
    pub node: u32,
    /// In bytes.
    pub bytes: u64,
    /// In pages of the mapping's size.
    pub pages: u64,
}

/// What a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anonymous memory.
    Anon,
    /// The heap that `brk` moves.
    Heap,
    /// The stack of the first thread.
    Stack,
    /// A file, which includes tmpfs and shared memory.
    File,
    /// Hugetlb.
    Hugetlb,
}

impl Kind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::File => "file",
            Self::Hugetlb => "hugetlb",
        }
    }

    /// The name shown for a mapping of this kind without one.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Heap => "[heap]",
            Self::Stack => "[stack]",
            Self::Anon | Self::File | Self::Hugetlb => "[anon]",
        }
    }
}

impl ProcessNodes {
    /// Reads a process.
    ///
    /// # Errors
    /// See [`mappings`].
    pub fn read(process: &Process, page_size: PageSize) -> Result<Self> {
        let comm = process.comm()?;
        let mut found = Vec::new();
        let moved = mappings(process, |mapping| found.push(mapping))?;
        Ok(Self::of(process.pid(), comm, found, moved, page_size))
    }

    /// The process of these mappings.
    pub fn of(pid: u32, comm: Name, mappings: Vec<Mapping>, moved: bool, page_size: PageSize) -> Self {
        let mappings: Vec<MappingNodes> = mappings.into_iter().map(MappingNodes::new).collect();
        let mut nodes: BTreeMap<u32, Share> = BTreeMap::new();
        for (mapping, on) in mappings.iter().flat_map(|mapping| mapping.nodes.iter().map(move |on| (mapping, on))) {
            let share = nodes.entry(on.node).or_insert(Share { node: on.node, ..Share::default() });
            let part = match mapping.kind {
                Kind::Anon => &mut share.anon_bytes,
                Kind::Heap => &mut share.heap_bytes,
                Kind::Stack => &mut share.stack_bytes,
                Kind::File => &mut share.file_bytes,
                Kind::Hugetlb => &mut share.hugetlb_bytes,
            };
            *part = part.saturating_add(on.bytes);
            share.bytes = share.bytes.saturating_add(on.bytes);
            share.pages = page_size.pages_in(share.bytes);
        }
        let bytes = mappings.iter().fold(0u64, |sum, mapping| sum.saturating_add(mapping.bytes));
        Self { pid, comm, bytes, nodes: nodes.into_values().collect(), mappings, moved }
    }
}

impl MappingNodes {
    fn new(mapping: Mapping) -> Self {
        let page_bytes = mapping.page_bytes.unwrap_or(0);
        let on = |(node, pages): (u32, u64)| OnNode { node, bytes: pages.saturating_mul(page_bytes), pages };
        Self {
            start: mapping.start,
            policy: mapping.policy,
            kind: match (mapping.huge, mapping.kind) {
                (true, _) => Kind::Hugetlb,
                (false, numa_maps::Kind::Anon) => Kind::Anon,
                (false, numa_maps::Kind::Heap) => Kind::Heap,
                (false, numa_maps::Kind::Stack) => Kind::Stack,
                (false, numa_maps::Kind::File) => Kind::File,
            },
            name: mapping.file,
            bytes: mapping.pages.saturating_mul(page_bytes),
            kernel_page_size_bytes: mapping.page_bytes,
            anon_pages: mapping.anon,
            dirty_pages: mapping.dirty,
            mapcount_max: mapping.page_bytes.map(|_| mapping.mapcount_max),
            swap_cache_pages: mapping.swap_cache,
            active_pages: mapping.active,
            writeback_pages: mapping.writeback,
            nodes: mapping.nodes.into_iter().map(on).collect(),
        }
    }

    /// What it has on a node, in bytes.
    pub fn on(&self, node: u32) -> u64 {
        self.nodes.iter().find(|on| on.node == node).map_or(0, |on| on.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::root::Root;
    use crate::model::smaps::{self, Value};
    use crate::model::vma::Vma;
    use std::collections::BTreeSet;
    use std::path::Path;

    const PAGE: u64 = 4096;

    fn process(tree: &str, pid: u32) -> (ProcessNodes, Process) {
        let root = Root::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(tree)).unwrap();
        let process = Process::open(&root, pid).unwrap();
        (ProcessNodes::read(&process, root.page_size()).unwrap(), process)
    }

    /// The trees with the process that was recorded.
    const TREES: [(&str, u32); 4] =
        [("6.12/numa-2", 183), ("6.12/numa-4", 169), ("6.12/numa-tiers", 150), ("6.1/numa-8", 173)];

    #[test]
    fn every_mapping_has_what_smaps_says() {
        for (tree, pid) in TREES {
            let (found, process) = process(tree, pid);
            let keys = ["Rss", "Shared_Hugetlb", "Private_Hugetlb"].map(str::to_owned);
            let counted = process.smaps(&keys).unwrap();
            let mut kernels = BTreeSet::new();
            let is_kernels = |vma: &Vma| [&b"[vdso]"[..], b"[vvar]", b"[vsyscall]"].contains(&vma.name.bytes());
            let add = |vma: Vma| kernels.extend(is_kernels(&vma).then_some(vma.range.start));
            process.vmas(&process.open_file("maps").unwrap(), add).unwrap();
            let counted = counted.iter().filter(|of| !kernels.contains(&of.range.start));
            let by_start: BTreeMap<VirtAddr, u64> = counted.map(|of| (of.range.start, sum(of))).collect();
            for mapping in found.mappings.iter().filter(|mapping| !kernels.contains(&mapping.start)) {
                assert_eq!(Some(&mapping.bytes), by_start.get(&mapping.start), "{tree} {}", mapping.start);
            }
            assert_eq!(found.bytes, by_start.values().sum::<u64>(), "{tree}");
        }
    }

    fn sum(values: &smaps::Values) -> u64 {
        let bytes = |value: &Option<Value>| match value {
            Some(Value::Bytes(bytes)) => *bytes,
            _ => 0,
        };
        values.values.iter().map(bytes).sum()
    }

    #[test]
    fn parts_of_a_node_and_nodes_of_a_process_add_up() {
        for (tree, pid) in TREES {
            let (found, _) = process(tree, pid);
            assert_eq!(found.nodes.iter().map(|share| share.bytes).sum::<u64>(), found.bytes, "{tree}");
            for share in &found.nodes {
                let Share { heap_bytes, stack_bytes, hugetlb_bytes, file_bytes, anon_bytes, .. } = *share;
                assert_eq!(share.bytes, heap_bytes + stack_bytes + hugetlb_bytes + file_bytes + anon_bytes);
                assert_eq!(share.bytes, share.pages * PAGE);
            }
        }
    }

    #[test]
    fn what_the_program_bound_is_where_it_bound_it() {
        let (found, _) = process("6.12/numa-2", 183);
        let of = |start: u64| found.mappings.iter().find(|of| of.start.0 == start).unwrap();
        let is = |start, policy: &str, kind, on: [u64; 2]| {
            let found = of(start);
            let bytes = [found.on(0), found.on(1)].map(|bytes| bytes >> 20);
            assert_eq!((found.policy.as_str(), found.kind, bytes), (policy, kind, on), "{start:x}");
        };
        is(0x2002_0000_0000, "bind:1", Kind::Anon, [0, 12]);
        is(0x2003_0000_0000, "interleave:0-1", Kind::Anon, [4, 4]);
        is(0x2006_0000_0000, "prefer (many):0-1", Kind::Anon, [0, 4]);
        is(0x2007_0000_0000, "weighted interleave:0-1", Kind::Anon, [2, 2]);
        is(0x2008_0000_0000, "bind=static:0-1", Kind::Anon, [0, 4]);
        // Huge pages of either kind.
        is(0x2009_0000_0000, "bind:1", Kind::Anon, [0, 8]);
        is(0x200a_0000_0000, "bind:1", Kind::Hugetlb, [0, 4]);
        is(0x200b_0000_0000, "default", Kind::Hugetlb, [0, 1024]);
        is(0x200c_0000_0000, "bind:1", Kind::File, [0, 6]);
        is(0x200d_0000_0000, "default", Kind::File, [3, 0]);
        assert_eq!(of(0x200d_0000_0000).name.bytes(), b"/disk/a file = with\\012odd name");
        assert_eq!(of(0x200b_0000_0000).kernel_page_size_bytes, Some(1 << 30));
        // Zero pages do not count, nor do pages that are swapped out.
        assert_eq!((of(0x200e_0000_0000).bytes, of(0x200e_0000_0000).mapcount_max), (0, None));
        is(0x200f_0000_0000, "bind:0", Kind::Anon, [2, 0]);
    }
}
