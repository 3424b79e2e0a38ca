//! `pmem vmalloc`: what is in the kernel's vmalloc address space and who allocated it, next to the other mappings of
//! the kernel.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::note::Note;
use crate::analysis::physical::buddy::huge_order;
use crate::error::{Error, Result};
use crate::kernel::root::{Root, SMALL, text};
use crate::kernel::vmalloc;
use crate::model::meminfo::Meminfo;
use crate::model::vmallocinfo::{self, Area, Kind};
use crate::name::Name;
use crate::unit::{PageSize, PhysAddr, VirtAddr, difference};

/// The report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "VmallocReport"))]
pub struct Report {
    /// The areas by kind; `None` if vmallocinfo cannot be read.
    pub kinds: Option<Vec<Group>>,
    /// The same by who asked for them, and kind; those that the filter leaves.
    #[serde(skip)]
    pub callers: Option<Vec<Group>>,
    /// The areas themselves, in the order of the file unless they are sorted, those that the filter leaves; `None`
    /// unless they were asked for.
    #[serde(skip)]
    pub areas: Option<Vec<AreaRow>>,
    /// Whether the file shows addresses, not hashes; `None` if there is no area.
    pub addresses_known: Option<bool>,
    /// The size of a huge page.
    pub huge_page_bytes: u64,
    /// Comparisons with the kernel's counters.
    pub checks: Vec<Check>,
    /// The four kinds of the kernel's own mappings.
    pub mappings: Mappings,
}

/// Areas that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "VmallocGroup"))]
pub struct Group {
    /// The function that allocated them; `None` for a whole kind, or if no caller is recorded.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub function: Option<Name>,
    /// Its module; `None` for the kernel itself.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub module: Option<Name>,
    /// The two as they are shown; empty for all of a kind.
    #[serde(skip)]
    pub caller: Name,
    /// Their kind.
    pub kind: Kind,
    /// The number of areas.
    pub areas: u64,
    /// The addresses they take, including guard pages.
    pub size_bytes: u64,
    /// The pages they own.
    pub pages: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// Of these, pages in areas of huge page size.
    pub may_be_huge_pages: u64,
    /// The pages by node, ascending; empty if the kernel does not report them.
    pub nodes: Vec<NodePages>,
}

/// Serializes a name for JSON.
fn as_text<S: Serializer>(name: &Option<Name>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    name.as_ref().map(Name::shown_in_json).serialize(serializer)
}

/// Pages on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodePages {
    /// The node.
    pub node: u32,
    /// The number of pages.
    pub pages: u64,
}

/// One area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaRow {
    /// Where it begins; `None` if the kernel shows a hash.
    pub start: Option<VirtAddr>,
    /// Where it ends, the guard page included.
    pub end: Option<VirtAddr>,
    /// The physical address of what is mapped, if that is contiguous and not at 0.
    pub physical_address: Option<PhysAddr>,
    /// Processes may map it, too.
    pub user: bool,
    /// Its page array is in a separate area.
    pub vpages: bool,
    /// The rest, as a group of one.
    pub group: Group,
}

/// A sum compared with the kernel's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "VmallocCheck"))]
pub struct Check {
    /// The key in meminfo.
    pub name: &'static str,
    /// pmem's value: the sum over areas.
    pub ours_bytes: u64,
    /// meminfo after the areas were read; `None` if it does not report it, or always as 0 (VmallocUsed in Linux 4.4 to
    /// 5.2).
    pub kernel_bytes: Option<u64>,
    /// pmem's value minus the kernel's.
    pub difference_bytes: Option<i64>,
    /// Change in the counter during the reading.
    pub moved_bytes: Option<u64>,
}

/// The kernel's own mappings.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "KernelMappings"))]
pub struct Mappings {
    /// The direct map of all memory, by the size of the pages that map it (`DirectMap*` in meminfo); empty if the
    /// architecture does not report it.
    pub direct_map: Vec<Direct>,
    /// The sum.
    pub direct_map_bytes: Option<u64>,
    /// MemTotal: the memory that the kernel manages; the direct map also covers reserved memory.
    pub memory_bytes: Option<u64>,
    /// VmallocTotal: the size of the vmalloc address space.
    pub vmalloc_total_bytes: Option<u64>,
    /// Of this, addresses taken by areas.
    pub vmalloc_size_bytes: Option<u64>,
    /// Memory owned by areas.
    pub vmalloc_bytes: Option<u64>,
    /// Temporary mappings of single pages: not reported by any kernel.
    pub kmap_bytes: Option<u64>,
    /// Addresses fixed at build time: not reported by any kernel.
    pub fixmap_bytes: Option<u64>,
}

/// Part of the direct map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DirectMap"))]
pub struct Direct {
    /// The size of the pages that map it.
    pub page_bytes: u64,
    /// How much memory they map.
    pub bytes: u64,
}

/// The keys of meminfo for x86, s390 and powerpc, with their page sizes.
pub const DIRECT: [(&str, u64); 7] = [
    ("DirectMap4k", 4 << 10),
    ("DirectMap64k", 64 << 10),
    ("DirectMap1M", 1 << 20),
    ("DirectMap2M", 2 << 20),
    ("DirectMap4M", 4 << 20),
    ("DirectMap1G", 1 << 30),
    ("DirectMap2G", 2 << 30),
];

/// What the kernel's files say, read in quick succession.
#[derive(Debug)]
pub struct Machine {
    before: Meminfo,
    areas: Result<Vec<u8>>,
    after: Meminfo,
    path: PathBuf,
    page_size: PageSize,
    huge_pages: u64,
}

/// A report, and what is missing in it.
#[derive(Debug)]
pub struct Found {
    /// The report.
    pub report: Report,
    /// Why areas are not known, or which line of the file could not be parsed.
    pub missing: Option<Error>,
    /// How many lines could not be parsed.
    pub lines_missing: u64,
}

impl Machine {
    /// Reads vmallocinfo, and meminfo before and after it. If vmallocinfo cannot be read, the report says so.
    pub fn read(root: &Root) -> Self {
        let dir = root.dir();
        let meminfo = || Meminfo::parse(&dir.read("proc/meminfo", SMALL).unwrap_or_default());
        let before = meminfo();
        let areas = vmalloc::read(root).map_err(|error| match error {
            Error::Missing { path } if root.is_recorded() => {
                Error::Unsupported { what: format!("{}: not in this tree", path.display()) }
            }
            Error::Missing { path } => Error::Unsupported {
                what: format!(
                    "{}: does not exist: procfs is mounted with subset=pid, or the kernel has no MMU",
                    path.display()
                ),
            },
            other => other,
        });
        let huge = text(dir, "sys/kernel/mm/transparent_hugepage/hpage_pmd_size").and_then(|size| size.parse().ok());
        Self {
            before,
            areas,
            after: meminfo(),
            path: dir.path().join("proc/vmallocinfo"),
            page_size: root.page_size(),
            huge_pages: 1 << huge_order(root.page_size(), huge),
        }
    }

    /// The report, with the callers and areas whose name `wanted` accepts; areas only if `each_area` is set.
    pub fn report(self, each_area: bool, wanted: impl Fn(&str) -> bool) -> Found {
        let mut sums = Sums::default();
        let (mut missing, mut lines_missing) = (None, 0);
        let (text, known) = match &self.areas {
            Ok(text) => (text.as_slice(), true),
            Err(_) => (&[][..], false),
        };
        for area in vmallocinfo::areas(text, &self.path) {
            match area {
                Ok(area) => sums.add(&area, each_area, &self, &wanted),
                Err(error) => {
                    lines_missing += 1;
                    missing.get_or_insert(error);
                }
            }
        }
        // Zeros would not be a count: a file in which nothing could be parsed says nothing.
        let known = known && !sums.kinds.is_empty();
        let sum = |field: fn(&Group) -> u64| known.then(|| sums.kinds.values().map(field).fold(0, u64::saturating_add));
        let direct =
            DIRECT.iter().filter_map(|&(key, page_bytes)| Some(Direct { page_bytes, bytes: self.after.bytes(key)? }));
        let direct_map: Vec<_> = direct.collect();
        let direct_map_bytes = direct_map.iter().map(|direct| direct.bytes).reduce(u64::saturating_add);
        let mappings = Mappings {
            direct_map,
            direct_map_bytes,
            memory_bytes: self.after.bytes("MemTotal"),
            vmalloc_total_bytes: self.after.bytes("VmallocTotal"),
            vmalloc_size_bytes: sum(|group| group.size_bytes),
            vmalloc_bytes: sum(|group| group.bytes),
            kmap_bytes: None,
            fixmap_bytes: None,
        };
        let report = Report {
            checks: if known { self.checks(&sums) } else { Vec::new() },
            kinds: known.then(|| sorted(sums.kinds)),
            callers: known.then(|| sorted(sums.callers)),
            areas: (known && each_area).then_some(sums.areas),
            addresses_known: sums.addresses_known,
            huge_page_bytes: self.page_size.bytes_of(self.huge_pages),
            mappings,
        };
        Found { report, missing: self.areas.err().or(missing), lines_missing }
    }

    fn checks(&self, sums: &Sums) -> Vec<Check> {
        let owned = sums.kinds.get(&(Name::default(), Kind::Vmalloc)).map_or(0, |group| group.bytes);
        let check = |name, ours_bytes| {
            // If something was counted, 0 is the constant that Linux 4.4 to 5.2 print.
            let kernel_bytes = self.after.bytes(name).filter(|&bytes| bytes > 0 || ours_bytes == 0);
            let moved = |after| self.before.bytes(name).map(|before| before.abs_diff(after));
            Check {
                name,
                ours_bytes,
                kernel_bytes,
                difference_bytes: kernel_bytes.map(|kernel| difference(ours_bytes, kernel)),
                moved_bytes: kernel_bytes.and_then(moved),
            }
        };
        let mut checks = vec![check("VmallocUsed", owned)];
        // Without CONFIG_VMAP_STACK stacks are elsewhere.
        if sums.stacks > 0 {
            checks.push(check("KernelStack", self.page_size.bytes_of(sums.stacks)));
        }
        checks
    }

    /// Whether huge pages would fit an area: it owns a multiple of them, at an address aligned to them. The kernel does
    /// not report how an area is mapped: since Linux 5.13 some are mapped with huge pages, since 5.18 those requested
    /// with VM_ALLOW_HUGE_VMAP. (vmap_try_huge_pmd, mm/vmalloc.c)
    fn may_be_huge(&self, area: &Area<'_>) -> bool {
        let at = area.start.filter(|_| area.is_at_its_address()).unwrap_or(0);
        area.kind == Kind::Vmalloc
            && area.pages >= self.huge_pages
            && area.pages.is_multiple_of(self.huge_pages)
            && at.is_multiple_of(self.page_size.bytes_of(self.huge_pages))
    }

    fn group(&self, area: &Area<'_>) -> Group {
        let caller = match (area.function, area.module) {
            (Some(function), Some(module)) => Name::new(&[function, b" [", module, b"]"].concat()),
            (function, _) => Name::new(function.unwrap_or_default()),
        };
        Group {
            function: area.function.map(Name::new),
            module: area.module.map(Name::new),
            caller,
            kind: area.kind,
            areas: 1,
            size_bytes: area.size,
            pages: area.pages,
            bytes: self.page_size.bytes_of(area.pages),
            may_be_huge_pages: if self.may_be_huge(area) { area.pages } else { 0 },
            nodes: area.nodes.iter().map(|&(node, pages)| NodePages { node, pages }).collect(),
        }
    }
}

/// What the areas of a group have in common: who allocated them, and their kind.
type Key = (Name, Kind);

#[derive(Default)]
struct Sums {
    kinds: HashMap<Key, Group>,
    callers: HashMap<Key, Group>,
    areas: Vec<AreaRow>,
    /// Pages of kernel stacks.
    stacks: u64,
    addresses_known: Option<bool>,
}

impl Sums {
    fn add(&mut self, area: &Area<'_>, each_area: bool, machine: &Machine, wanted: impl Fn(&str) -> bool) {
        let group = machine.group(area);
        let of_kind = Group { function: None, module: None, caller: Name::default(), ..group.clone() };
        add_to(&mut self.kinds, of_kind);
        if area.is_stack() {
            self.stacks = self.stacks.saturating_add(area.pages);
        }
        let at_its_address = area.is_at_its_address();
        *self.addresses_known.get_or_insert(at_its_address) &= at_its_address;
        // An area without a caller goes by its kind.
        let of_nobody = group.caller.is_empty();
        if !wanted(if of_nobody { area.kind.name().into() } else { group.caller.escaped() }.as_ref()) {
            return;
        }
        if each_area {
            self.areas.push(AreaRow {
                start: area.start.filter(|_| at_its_address).map(VirtAddr),
                end: area.end.filter(|_| at_its_address).map(VirtAddr),
                physical_address: area.physical.map(PhysAddr),
                user: area.user,
                vpages: area.vpages,
                group: group.clone(),
            });
        }
        add_to(&mut self.callers, group);
    }
}

fn add_to(groups: &mut HashMap<Key, Group>, more: Group) {
    let key = (more.caller.clone(), more.kind);
    match groups.entry(key) {
        Entry::Occupied(mut entry) => entry.get_mut().add(&more),
        Entry::Vacant(entry) => {
            entry.insert(more);
        }
    }
}

impl Group {
    fn add(&mut self, more: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.areas, more.areas);
        add(&mut self.size_bytes, more.size_bytes);
        add(&mut self.pages, more.pages);
        add(&mut self.bytes, more.bytes);
        add(&mut self.may_be_huge_pages, more.may_be_huge_pages);
        for &of in &more.nodes {
            match self.nodes.binary_search_by_key(&of.node, |own| own.node) {
                Ok(place) => add(&mut self.nodes[place].pages, of.pages),
                Err(place) => self.nodes.insert(place, of),
            }
        }
    }
}

/// Those with the most memory first, then those with the most address space.
fn sorted(groups: HashMap<Key, Group>) -> Vec<Group> {
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| {
        let most = (b.pages, b.size_bytes).cmp(&(a.pages, a.size_bytes));
        most.then_with(|| (&a.caller, a.kind).cmp(&(&b.caller, b.kind)))
    });
    groups
}

impl Found {
    /// What the reader must know; with `huge`, also what it means that pages may be huge, if some may.
    pub fn notes(&self, huge: bool) -> Vec<Note> {
        let mut notes = Vec::new();
        let only_json = |code, text: String| Note { in_json_only: true, ..Note::general(code, text) };
        if let Some(error) = &self.missing {
            let (code, what) = match self.report.kinds {
                None => ("areas-unknown", "the areas are not known"),
                Some(_) => ("areas-incomplete", "not all areas are known"),
            };
            // It is also reported as an error.
            notes.push(only_json(code, format!("{what}: {error}")));
        }
        let callers = || self.report.callers.iter().flatten();
        if huge && callers().any(|group| group.may_be_huge_pages > 0) {
            let addresses = match self.report.addresses_known {
                Some(true) => "and addresses",
                _ => "(addresses are hidden here)",
            };
            let text = format!(
                "HUGE? counts areas of huge page size, judging by their page counts {addresses}. The kernel does not \
                 report whether huge pages map them: only some callers allow it, and none before Linux 5.13"
            );
            notes.push(Note::general("may-be-huge", text));
        }
        if self.report.areas.is_some() && self.report.addresses_known == Some(false) {
            let text = "the kernel hides addresses: it shows hashes or zeros. The boot option no_hash_pointers makes them \
                        visible, and on older kernels kernel.kptr_restrict=1 does";
            notes.push(Note::general("addresses-hidden", text));
        }
        if callers().any(|group| group.function.as_ref().is_some_and(|name| name.bytes() == b"pcpu_get_vm_areas")) {
            let text = "the memory at the addresses of pcpu_get_vm_areas is per-CPU data, counted as Percpu in meminfo";
            notes.push(Note::general("per-cpu-elsewhere", text));
        }
        notes.push(only_json("kmap-fixmap-not-exported", "no kernel reports how much kmap and fixmap map".to_owned()));
        notes
    }
}
