//! Recorded machines, and what their files say: read and combined by the tests, without pmem.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::json::{hex_address, number};
use crate::support::run::{Finished, pmem};
use crate::support::tree::{fixtures, words};

// The bits of kpageflags, by include/uapi/linux/kernel-page-flags.h and, from 32 on, fs/proc/page.c.
const UPTODATE: u64 = 1 << 3;
const LRU: u64 = 1 << 5;
const SLAB: u64 = 1 << 7;
const BUDDY: u64 = 1 << 10;
const MMAP: u64 = 1 << 11;
const ANON: u64 = 1 << 12;
const SWAPCACHE: u64 = 1 << 13;
const SWAPBACKED: u64 = 1 << 14;
pub(super) const HEAD: u64 = 1 << 15;
pub(super) const TAIL: u64 = 1 << 16;
const HUGE: u64 = 1 << 17;
const NOPAGE: u64 = 1 << 20;
pub(super) const KSM: u64 = 1 << 21;
const OFFLINE: u64 = 1 << 23;
const ZERO_PAGE: u64 = 1 << 24;
const PGTABLE: u64 = 1 << 26;
const RESERVED: u64 = 1 << 32;

/// The tests' own page size: all of these trees are of x86-64.
pub(super) const PAGE: u64 = 4096;

/// A process, according to its page map.
pub(super) struct Recorded {
    pub(super) pid: u64,
    /// The words of its page map that are not empty, by index.
    pub(super) pages: BTreeMap<u64, u64>,
    /// Whether another process has the same address space, which is counted there.
    pub(super) of_another: bool,
}

/// A recorded tree of several processes.
pub(super) struct Machine {
    pub(super) tree: &'static str,
    /// What the recorded programs reported about themselves.
    pub(super) known: Value,
    pub(super) flags: BTreeMap<u64, u64>,
    pub(super) counts: BTreeMap<u64, u64>,
    pub(super) cgroups: BTreeMap<u64, u64>,
    /// What every frame is used for; empty if only some are recorded.
    pub(super) classes: BTreeMap<u64, &'static str>,
}

static MACHINES: LazyLock<[Machine; 3]> =
    LazyLock::new(|| ["6.1/machine", "6.12/machine", "6.18/forks"].map(Machine::open));

impl Machine {
    /// Those with every frame, and one with the frames of its processes only.
    pub(super) fn all() -> &'static [Self] {
        &*MACHINES
    }

    /// Those with every frame.
    pub(super) fn whole() -> &'static [Self] {
        &MACHINES[..2]
    }

    /// The one with only some frames.
    pub(super) fn of_some_frames() -> &'static Self {
        &MACHINES[2]
    }

    fn open(tree: &'static str) -> Self {
        let known = fs::read(fixtures().join(format!("{tree}.known.json"))).unwrap();
        let frames = |name: &str| words(&fixtures().join(tree).join("proc").join(name));
        let mut machine = Self {
            tree,
            known: serde_json::from_slice(&known).unwrap(),
            flags: frames("kpageflags"),
            counts: frames("kpagecount"),
            cgroups: frames("kpagecgroup"),
            classes: BTreeMap::new(),
        };
        if machine.text("proc/kpageflags").starts_with("pmem-words 1 holes=zero") {
            let end = *machine.flags.last_key_value().unwrap().0;
            for frame in 0..end {
                machine.flags.entry(frame).or_insert(0);
            }
            let ram = Ram::of(&machine);
            machine.classes = machine.flags.keys().map(|&frame| (frame, machine.class(frame, &ram))).collect();
        }
        machine
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        fixtures().join(self.tree).join(relative)
    }

    pub(super) fn text(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    pub(super) fn pmem(&self, arguments: &[&str]) -> Finished {
        let root = fixtures().join(self.tree);
        pmem([&["--root", root.to_str().unwrap()], arguments].concat())
    }

    /// Whether the KSM flag can be trusted.
    pub(super) fn tells_ksm(&self) -> bool {
        self.tree == "6.1/machine"
    }

    /// A word of kpageflags as it is shown: without a flag that is wrong.
    pub(super) fn shown(&self, flags: u64) -> u64 {
        if self.tree == "6.12/machine" { flags & !KSM } else { flags }
    }

    /// The processes that have an address space.
    pub(super) fn processes(&self) -> Vec<Recorded> {
        let names = fs::read_dir(self.path("proc")).unwrap().map(|entry| entry.unwrap().path());
        let of = |path: PathBuf| {
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            let pagemap = path.join("pagemap");
            let pages = if pagemap.exists() { words(&pagemap) } else { return None };
            Some(Recorded { pid, pages, of_another: path.join("same_memory").exists() })
        };
        names.filter_map(of).collect()
    }

    /// Who maps a frame, for all that are mapped by a recorded process: PID and address.
    pub(super) fn mappers(&self) -> BTreeMap<u64, BTreeSet<(u64, u64)>> {
        let mut mappers = BTreeMap::<u64, BTreeSet<(u64, u64)>>::new();
        for process in self.processes() {
            for (index, pfn) in process.pages.iter().filter_map(|(index, &word)| Some((index, pfn(word)?))) {
                mappers.entry(pfn).or_default().insert((process.pid, index * PAGE));
            }
        }
        mappers
    }

    /// The first frame of the compound page that a frame belongs to, or the frame itself.
    pub(super) fn head(&self, frame: u64) -> u64 {
        (0..=frame).rev().find(|frame| self.flags[frame] & TAIL == 0).unwrap()
    }

    fn class(&self, frame: u64, ram: &Ram) -> &'static str {
        let own = self.flags[&frame];
        if own & !(NOPAGE | RESERVED) == 0 && ram.offline.contains_key(&(frame / ram.block_frames)) {
            return "offline";
        }
        if own & !(NOPAGE | RESERVED) == 0 && !ram.ranges.iter().any(|range| range.contains(&frame)) {
            return "hole";
        }
        let flags = self.flags[&self.head(frame)];
        let is = |bits: u64| flags & bits != 0;
        match () {
            () if is(NOPAGE) => "hole",
            () if is(BUDDY) => "free",
            () if is(OFFLINE) => "offline",
            () if is(SLAB) => "slab",
            () if is(PGTABLE) => "page_table",
            () if is(HUGE) => "hugetlb",
            () if is(ZERO_PAGE) => "zero_page",
            () if is(RESERVED) => "reserved",
            () if is(ANON) && is(MMAP | LRU | SWAPCACHE | SWAPBACKED) => {
                if self.tells_ksm() && is(KSM) {
                    "ksm"
                } else {
                    "anon"
                }
            }
            () if is(SWAPCACHE) => "anon",
            () if is(SWAPBACKED) => "shmem",
            () if is(LRU | MMAP | UPTODATE) => "file",
            () if is(HEAD) => "other_compound",
            () => "unclassified",
        }
    }
}

/// The frame of a word of a page map.
pub(super) fn pfn(word: u64) -> Option<u64> {
    (word >> 63 == 1).then_some(word & ((1 << 55) - 1))
}

/// Where a machine has memory.
struct Ram {
    ranges: Vec<std::ops::Range<u64>>,
    block_frames: u64,
    offline: BTreeMap<u64, ()>,
}

impl Ram {
    fn of(machine: &Machine) -> Self {
        let hex = |text: &str| u64::from_str_radix(text.trim(), 16).unwrap();
        let range = |line: &str| {
            let (first, last) = line.strip_suffix(" : System RAM")?.split_once('-')?;
            Some(hex(first).div_ceil(PAGE)..(hex(last) + 1) / PAGE)
        };
        let offline = |block: &u64| {
            let state = machine.path(&format!("sys/devices/system/memory/memory{block}/state"));
            fs::read_to_string(state).is_ok_and(|state| state.trim() == "offline")
        };
        Self {
            ranges: machine.text("proc/iomem").lines().filter_map(range).collect(),
            block_frames: hex(&machine.text("sys/devices/system/memory/block_size_bytes")) / PAGE,
            offline: (0..100).filter(offline).map(|block| (block, ())).collect(),
        }
    }
}

/// A field `flags` as a number.
pub(super) fn raw(row: &Value) -> u64 {
    hex_address(&row["flags"]["raw"])
}

/// The PID of a process that reported about itself.
pub(super) fn pid(said: &Value) -> String {
    number(&said["pid"]).to_string()
}

/// The index of the first page of what a program reported it had made.
pub(super) fn first_page(said: &Value) -> u64 {
    hex_address(&said["address"]) / PAGE
}

/// The addresses of what a program reported it had made, as an argument.
pub(super) fn range(said: &Value) -> String {
    let pages = if said["pages"].is_null() { &said["size_pages"] } else { &said["pages"] };
    let first = hex_address(&said["address"]);
    format!("{first:x}-{:x}", first + number(pages) * PAGE)
}
