//! The recorded trees of whole machines' memory (`fixtures/*/memory`): their files agree with each other and belong to
//! the kernel that they name. They are read here without pmem's parsers, which other tests compare with these trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::run::pmem;
use crate::support::tree::{fixtures, trees_with, trees_with_meminfo};

/// What may have changed from one file to the next, in KiB: reading them allocates memory, and each CPU keeps up to
/// some dozens of changes to a counter to itself.
const DRIFT_KIB: u64 = 400;

/// The trees of this kind.
fn memory_trees() -> Vec<String> {
    trees_with_meminfo().into_iter().filter(|tree| tree.ends_with("/memory")).collect()
}

/// The text of a file in a tree.
#[track_caller]
fn text(tree: &str, file: &str) -> String {
    let path = fixtures().join(tree).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `KEY VALUE …` or `KEY: VALUE …` lines.
fn keys(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.trim_end_matches(':').to_owned(), words.next()?.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn meminfo(tree: &str) -> BTreeMap<String, u64> {
    keys(&text(tree, "proc/meminfo"))
}

/// The sum of the numbers that follow a word in a text.
fn sum_after(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1].parse::<u64>().unwrap()).sum()
}

/// A row of slabinfo.
struct Row {
    name: String,
    active: u64,
    objects: u64,
    size: u64,
    per_slab: u64,
    pages: u64,
    tunables: Vec<u64>,
    active_slabs: u64,
    slabs: u64,
    statistics: usize,
}

fn slabinfo(tree: &str) -> Vec<Row> {
    let row = |line: &str| {
        let parts: Vec<Vec<&str>> = line.split(" : ").map(|part| part.split_whitespace().collect()).collect();
        let number = |part: usize, word: usize| parts[part][word].parse::<u64>().unwrap();
        assert_eq!((parts[0].len(), parts[1][0], parts[2][0]), (6, "tunables", "slabdata"), "{tree}: {line}");
        Row {
            name: parts[0][0].to_owned(),
            active: number(0, 1),
            objects: number(0, 2),
            size: number(0, 3),
            per_slab: number(0, 4),
            pages: number(0, 5),
            tunables: (1..4).map(|word| number(1, word)).collect(),
            active_slabs: number(2, 1),
            slabs: number(2, 2),
            statistics: parts[3..].iter().map(|part| part.len() - 1).sum(),
        }
    };
    text(tree, "proc/slabinfo").lines().skip(2).map(row).collect()
}

#[track_caller]
fn assert_near(tree: &str, what: &str, a_kib: u64, b_kib: u64) {
    assert!(a_kib.abs_diff(b_kib) <= DRIFT_KIB, "{tree}: {what}: {a_kib} kB and {b_kib} kB");
}

#[test]
fn there_is_one_of_every_kernel_and_doctor_opens_it() {
    assert_eq!(memory_trees().len(), 7, "{:?}", memory_trees());
    for tree in memory_trees() {
        let root = fixtures().join(&tree);
        pmem(["--root", root.to_str().unwrap(), "doctor"]).with_status(0);
        let manifest: Value = serde_json::from_str(&text(&tree, "pmem-capture.json")).unwrap();
        let kernel = manifest["host"]["kernel"].as_str().unwrap();
        assert!(kernel.starts_with(tree.strip_suffix("/memory").unwrap()), "{tree}: {kernel}");
    }
}

#[test]
fn slabs_hold_their_objects_as_the_allocator_of_the_kernel_does() {
    let mut small = BTreeSet::new();
    for tree in memory_trees() {
        let head = text(&tree, "proc/slabinfo").lines().next().unwrap().to_owned();
        let statistics = head == "slabinfo - version: 2.1 (statistics)";
        assert!(statistics || head == "slabinfo - version: 2.1", "{tree}: {head}");
        assert_eq!(statistics, tree == "4.19/memory");
        for row in slabinfo(&tree) {
            let what = format!("{tree}: {}", row.name);
            assert!(row.active <= row.objects && row.active_slabs <= row.slabs, "{what}");
            assert!(row.per_slab * row.size <= row.pages * 4096 && row.pages.is_power_of_two(), "{what}");
            if statistics {
                assert_eq!((row.objects, row.statistics), (row.slabs * row.per_slab, 13), "{what}");
                assert!(row.tunables[..2].iter().all(|&number| number > 0), "{what}");
            } else {
                assert!(row.objects <= row.slabs * row.per_slab && row.slabs == row.active_slabs, "{what}");
                assert_eq!((&row.tunables[..], row.statistics), (&[0, 0, 0][..], 0), "{what}");
                if row.objects < row.slabs * row.per_slab {
                    small.insert(tree.clone());
                }
            }
        }
    }
    assert!(small.len() >= 4, "slabs of a lower order than the cache prefers: {small:?}");
}

#[test]
fn slabinfo_is_what_meminfo_calls_slab_but_for_large_kmalloc() {
    for tree in memory_trees() {
        let meminfo = meminfo(&tree);
        assert_eq!(meminfo["Slab"], meminfo["SReclaimable"] + meminfo["SUnreclaim"], "{tree}");
        let all: u64 = slabinfo(&tree).iter().map(|row| row.slabs * row.pages * 4).sum();
        assert!(all * 10 >= meminfo["Slab"] * 8, "{tree}: {all} kB in caches, Slab {}", meminfo["Slab"]);
        // For a cache with slabs of a lower order, it is only certain that its objects fit.
        let least = |row: &Row| match row.objects == row.slabs * row.per_slab {
            true => row.slabs * row.pages * 4,
            false => row.objects * row.size / 1024,
        };
        let least: u64 = slabinfo(&tree).iter().map(least).sum();
        assert!(least <= meminfo["Slab"] + DRIFT_KIB, "{tree}: {least} kB in caches, Slab {}", meminfo["Slab"]);
    }
}

#[test]
fn sysfs_has_the_same_caches_as_slabinfo() {
    let with_sysfs: Vec<String> =
        trees_with("slab_sysfs").into_iter().filter(|tree| tree.ends_with("/memory")).collect();
    // SLAB does not have this directory.
    assert_eq!(with_sysfs, memory_trees().into_iter().filter(|tree| tree != "4.19/memory").collect::<Vec<_>>());
    for tree in with_sysfs {
        let all = text(&tree, "slab_sysfs");
        let fields: Vec<Vec<&str>> = all.lines().map(|line| line.split('\t').collect()).collect();
        assert!(fields.iter().all(|fields| fields.len() == 3), "{tree}");
        let links: BTreeMap<_, _> =
            fields.iter().filter(|fields| fields[1] == "->").map(|fields| (fields[0], fields[2])).collect();
        let files: BTreeMap<_, _> = fields
            .iter()
            .filter(|fields| fields[1] != "->")
            .map(|fields| ((fields[0], fields[1]), fields[2]))
            .collect();
        assert!(links.values().all(|target| files.contains_key(&(*target, "slab_size"))), "{tree}: a link to nowhere");
        let rows = slabinfo(&tree);
        for row in &rows {
            let directory = links.get(&row.name[..]).copied().unwrap_or(&row.name);
            let number = |attribute| -> u64 {
                let value = files.get(&(directory, attribute));
                let value = value.unwrap_or_else(|| panic!("{tree}: {directory} has no {attribute}"));
                value.split(' ').next().unwrap().parse().unwrap()
            };
            let what = format!("{tree}: {}", row.name);
            assert_eq!((number("slab_size"), number("objs_per_slab")), (row.size, row.per_slab), "{what}");
            assert_eq!(1 << number("order"), row.pages, "{what}");
            assert!(number("object_size") <= row.size, "{what}");
            // This was read last, and reading it created inodes and dentries when little memory was left.
            assert!(number("slabs").abs_diff(row.slabs) <= row.slabs / 4 + 20, "{what}");
        }
        let directories: BTreeSet<_> = files.keys().map(|(directory, _)| directory).collect();
        assert_eq!(directories.len(), rows.len(), "{tree}: as many directories as caches");
        assert!(links.len() > directories.len() / 4, "{tree}: caches were merged");
    }
}

#[test]
fn zones_and_free_blocks_add_up() {
    for tree in memory_trees() {
        let (meminfo, zones) = (meminfo(&tree), text(&tree, "proc/zoneinfo"));
        let free = sum_after(&zones, "nr_free_pages") * 4;
        if tree == "6.18/memory" {
            // Most of its memory is not initialised yet (deferred_init=lazy): it is in MemTotal and MemFree, but in no
            // zone.
            let missing = meminfo["MemTotal"] - sum_after(&zones, "managed") * 4;
            assert_near(&tree, "free", meminfo["MemFree"], free + missing);
        } else {
            assert_eq!(meminfo["MemTotal"], sum_after(&zones, "managed") * 4, "{tree}");
            assert_near(&tree, "free", meminfo["MemFree"], free);
        }
        let buddyinfo = text(&tree, "proc/buddyinfo");
        let blocks = |line: &str| -> u64 {
            let counts = line.split_whitespace().skip(4);
            counts.zip(0..).map(|(count, order)| count.parse::<u64>().unwrap() << order).sum()
        };
        assert_near(&tree, "buddyinfo", buddyinfo.lines().map(blocks).sum::<u64>() * 4, free);
    }
}

#[test]
fn meminfo_is_what_vmstat_and_vmallocinfo_say() {
    for tree in memory_trees() {
        let (meminfo, vmstat) = (meminfo(&tree), keys(&text(&tree, "proc/vmstat")));
        for (key, counter, unit) in [
            ("AnonPages", "nr_anon_pages", 4),
            ("Mapped", "nr_mapped", 4),
            ("Shmem", "nr_shmem", 4),
            ("PageTables", "nr_page_table_pages", 4),
            ("SReclaimable", "nr_slab_reclaimable", 4),
            ("SUnreclaim", "nr_slab_unreclaimable", 4),
            ("Dirty", "nr_dirty", 4),
            ("KernelStack", "nr_kernel_stack", 1),
        ] {
            assert_near(&tree, key, meminfo[key], vmstat[counter] * unit);
        }
        let file = meminfo["Cached"] + meminfo["Buffers"] + meminfo["SwapCached"];
        assert_near(&tree, "nr_file_pages", file, vmstat["nr_file_pages"] * 4);
        let areas = text(&tree, "proc/vmallocinfo");
        let pages: u64 =
            areas.split_whitespace().filter_map(|word| word.strip_prefix("pages=")?.parse::<u64>().ok()).sum();
        // Linux 4.19 does not count them.
        let expected = if tree == "4.19/memory" { 0 } else { pages * 4 };
        assert_near(&tree, "VmallocUsed", meminfo["VmallocUsed"], expected);
        assert!(pages > 0, "{tree}");
    }
}

#[test]
fn swap_and_hugetlb_add_up() {
    let mut swap_cached = 0;
    for tree in memory_trees() {
        let (meminfo, swaps) = (meminfo(&tree), text(&tree, "proc/swaps"));
        let column = |column| -> u64 {
            swaps.lines().skip(1).map(|line| line.split_whitespace().nth(column).unwrap().parse::<u64>().unwrap()).sum()
        };
        assert_eq!(meminfo["SwapTotal"], column(2), "{tree}");
        assert_near(&tree, "swap used", meminfo["SwapTotal"] - meminfo["SwapFree"], column(3));
        swap_cached += u64::from(meminfo["SwapCached"] > 0);
        let mut bytes = 0;
        for pool in fs::read_dir(fixtures().join(&tree).join("sys/kernel/mm/hugepages")).unwrap() {
            let pool = pool.unwrap().file_name().into_string().unwrap();
            let kib: u64 = pool.trim_start_matches("hugepages-").trim_end_matches("kB").parse().unwrap();
            let file = |name| -> u64 {
                text(&tree, &format!("sys/kernel/mm/hugepages/{pool}/{name}_hugepages")).trim().parse().unwrap()
            };
            bytes += kib * file("nr");
            assert!(file("resv") <= file("free") && file("free") <= file("nr"), "{tree}: {pool}");
            if kib == meminfo["Hugepagesize"] {
                let [total, free, reserved] = ["Total", "Free", "Rsvd"].map(|key| meminfo[&format!("HugePages_{key}")]);
                assert_eq!([total, free, reserved], [file("nr"), file("free"), file("resv")], "{tree}");
                // The program reserved five pages and touched three; the machine of 6.18 has none.
                assert_eq!([total, free, reserved], if tree == "6.18/memory" { [0; 3] } else { [6, 3, 2] }, "{tree}");
            }
        }
        assert_eq!(meminfo["Hugetlb"], bytes, "{tree}");
    }
    assert!(swap_cached >= 5, "of {swap_cached} trees something is in the swap cache");
}
