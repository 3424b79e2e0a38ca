//! `pmem phys` over recorded machines: compared with their words, counted in another way.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recorded::{HEAD, KSM, Machine, TAIL, raw};
use crate::support::json::number;
use crate::support::text::assert_no_control;

/// `pmem phys` with everything.
fn phys(machine: &Machine) -> Value {
    machine.pmem(&["phys", "--json", "--mapcounts", "--cgroups"]).with_status(0).json()
}

/// A list of objects as a map from one field to another.
fn numbers(list: &Value, key: &str, value: &str) -> BTreeMap<String, u64> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut numbers = BTreeMap::new();
    for row in list.as_array().unwrap() {
        *numbers.entry(word(&row[key])).or_default() += number(&row[value]);
    }
    numbers
}

/// How often each key occurs.
fn counted<K: ToString>(keys: impl Iterator<Item = K>) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    keys.for_each(|key| *counted.entry(key.to_string()).or_default() += 1);
    counted
}

#[test]
fn classes_are_those_of_every_frame() {
    for machine in Machine::whole() {
        let expected = counted(machine.classes.values());
        let document = phys(machine);
        let data = &document["data"];
        let found = numbers(&data["classes"], "class", "frames");
        assert_eq!(found, expected, "{}", machine.tree);
        // Two sections of memory, 30 without memory, one of hot-plugged memory, and one that is offline.
        assert_eq!(data["frames"], 34 * 32768, "{}", machine.tree);
        assert_eq!(found.values().sum::<u64>(), 34 * 32768);
        assert_eq!(numbers(&data["classes"], "class", "bytes")["anon"], found["anon"] * 4096);
    }
}

#[test]
fn known_memory_is_in_its_class() {
    for machine in Machine::whole() {
        let classes = numbers(&phys(machine)["data"]["classes"], "class", "frames");
        // The pool of four; the zero page and the huge one; the section that is offline.
        assert_eq!((classes["hugetlb"], classes["zero_page"], classes["offline"]), (4 * 512, 1 + 512, 32768));
        // 32 equal pages are one frame, if the kernel reports it.
        let merged = machine.tells_ksm().then_some(&1);
        assert_eq!(classes.get("ksm"), merged, "{}", machine.tree);
        assert!(classes["hole"] >= 30 * 32768 && classes["hole"] < 31 * 32768, "{}", classes["hole"]);
    }
}

#[test]
fn a_ksm_flag_that_is_wrong_is_said_and_not_believed() {
    for machine in Machine::whole() {
        let document = phys(machine);
        let noted = document["notes"].as_array().unwrap().iter().any(|note| note["code"] == "ksm-flag-wrong");
        assert_eq!(noted, !machine.tells_ksm(), "{}", machine.tree);
        let with_flag = |class: &str| -> u64 {
            let rows = document["data"]["flags"].as_array().unwrap().iter();
            let has = |row: &&Value| row["class"] == class && raw(row) & KSM != 0;
            rows.filter(has).map(|row| number(&row["frames"])).sum()
        };
        let anon = numbers(&document["data"]["classes"], "class", "frames")["anon"];
        let merged = u64::from(machine.tells_ksm());
        assert_eq!((with_flag("anon"), with_flag("ksm")), (0, merged), "{}", machine.tree);
        let flagged =
            machine.flags.iter().filter(|(frame, flags)| machine.classes[frame] == "anon" && *flags & KSM != 0);
        let flagged = flagged.count() as u64;
        assert!(if machine.tells_ksm() { flagged == 0 } else { flagged > anon * 9 / 10 }, "{flagged} of {anon}");
    }
}

#[test]
fn flags_are_those_of_every_frame() {
    for machine in Machine::whole() {
        let expected = counted(machine.flags.values().map(|&word| machine.shown(word)));
        let mut found = BTreeMap::new();
        for row in phys(machine)["data"]["flags"].as_array().unwrap() {
            *found.entry(raw(row).to_string()).or_insert(0) += number(&row["frames"]);
        }
        assert_eq!(found, expected, "{}", machine.tree);
    }
}

#[test]
fn folios_are_heads_with_their_tails() {
    for machine in Machine::whole() {
        let tails =
            |head: u64| (head + 1..).take_while(|frame| machine.flags.get(frame).is_some_and(|f| f & TAIL != 0));
        let heads = machine.flags.iter().filter(|(_, flags)| *flags & HEAD != 0).map(|(&frame, _)| frame);
        let folio = |head: u64| format!("{} {}", machine.classes[&head], (1 + tails(head).count()).ilog2());
        let expected = counted(heads.map(folio));
        let document = phys(machine);
        let rows = document["data"]["folios"].as_array().unwrap().iter();
        let of = |row: &Value| format!("{} {}", row["class"].as_str().unwrap(), row["order"]);
        let large = rows.clone().filter(|row| row["order"] != 0);
        let found: BTreeMap<String, u64> = large.map(|row| (of(row), number(&row["folios"]))).collect();
        assert_eq!(found, expected, "{}", machine.tree);
        assert_eq!(document["data"]["torn_folios"], 0);
        // Two from `forks` and one from `everything`; two of the file, for whose tails Linux 6.1 reports MMAP and THP.
        let huge = ["anon 9", "shmem 9", "hugetlb 9", "zero_page 9"].map(|what| found[what]);
        assert_eq!(huge, [3, 2, 4, 1], "{}", machine.tree);
        let frames = |class: &str| -> u64 {
            rows.clone()
                .filter(|row| row["class"] == class)
                .map(|row| number(&row["folios"]) << number(&row["order"]))
                .sum()
        };
        let classes = numbers(&document["data"]["classes"], "class", "frames");
        for (class, found) in classes.iter().filter(|(class, _)| !["hole", "free", "offline"].contains(&class.as_str()))
        {
            assert_eq!(frames(class), *found, "{}: {class}", machine.tree);
        }
    }
}

#[test]
fn mapcounts_are_those_of_every_frame() {
    for machine in Machine::whole() {
        let mut expected = counted(machine.counts.values());
        // The file ends with the last word that is not zero.
        *expected.entry("0".to_owned()).or_default() += (machine.flags.len() - machine.counts.len()) as u64;
        let found = numbers(&phys(machine)["data"]["mapcounts"], "mapcount", "frames");
        assert_eq!(found, expected, "{}", machine.tree);
    }
}

#[test]
fn cgroups_are_those_of_every_frame() {
    for machine in Machine::whole() {
        let unhex = |hex: &str| {
            let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
            String::from_utf8(bytes.collect()).unwrap()
        };
        let text = machine.text("memory_cgroups");
        let paths: BTreeMap<&str, String> =
            text.lines().map(|line| line.split_once(' ').unwrap()).map(|(inode, path)| (inode, unhex(path))).collect();
        // On Linux 6.1 kpagecgroup has only the head of a folio, and all of the folio is charged.
        let inode = |frame: u64| machine.cgroups.get(&machine.head(frame)).copied().unwrap_or(0);
        // The flags of a few frames were read while they were free, and the group when they no longer were.
        let used = machine.flags.keys().filter(|frame| machine.classes[frame] != "free");
        let charged = used.map(|&frame| inode(frame)).filter(|&inode| inode != 0);
        let expected = counted(charged.map(|inode| paths[inode.to_string().as_str()].clone()));
        let document = phys(machine);
        let found = numbers(&document["data"]["cgroups"], "cgroup", "frames");
        assert_eq!(found, expected, "{}", machine.tree);
        // 64 pages of one file and two huge pages of another, written from a group that was removed: its parent is
        // charged for them.
        assert_eq!(found["/files.slice"], 64 + 1024, "{}", machine.tree);
        assert!(found.contains_key("/esc\u{1b}[31mred.slice"));
        let table = machine.pmem(&["phys", "--mapcounts", "--cgroups"]).with_status(0);
        assert_no_control(&table.stdout, machine.tree);
        assert!(table.text().contains("/esc\\x1b[31mred.slice"), "{}", table.text());
    }
}

#[test]
fn zones_are_cut_where_zoneinfo_says() {
    for machine in Machine::whole() {
        let document = phys(machine);
        let zones = numbers(&document["data"]["zones"], "zone", "frames");
        assert_eq!(zones, BTreeMap::from([("DMA".into(), 4095), ("DMA32".into(), 61408), ("Movable".into(), 32768)]));
        let movable = document["data"]["zones"].as_array().unwrap().iter().find(|zone| zone["zone"] == "Movable");
        // It contains nothing that cannot be moved.
        let classes = numbers(&movable.unwrap()["classes"], "class", "frames");
        assert!(!classes.contains_key("slab") && classes["anon"] > 1000 && classes["shmem"] > 1088, "{classes:?}");
    }
}

#[test]
fn the_kernels_counters_are_nearly_met() {
    for machine in Machine::whole() {
        let document = phys(machine);
        let checks = document["data"]["checks"].as_array().unwrap();
        assert!(checks.len() >= 9, "{checks:?}");
        for check in checks {
            // The capture itself used memory, and the counters were read a moment before the frames.
            let bound = if check["name"] == "slab and large kmalloc" { 3 << 20 } else { 2 << 20 };
            let difference = check["difference_bytes"].as_i64().unwrap();
            assert!(difference.unsigned_abs() <= bound, "{}: {check}", machine.tree);
            assert_eq!(difference, number(&check["ours_bytes"]) as i64 - number(&check["kernel_bytes"]) as i64);
            assert_eq!(check["why"].is_null(), difference == 0, "{check}");
        }
        let exact = checks.iter().find(|check| check["name"] == "hugetlb").unwrap();
        assert_eq!((exact["difference_bytes"].as_i64(), number(&exact["kernel_bytes"])), (Some(0), 8 << 20));
    }
}

#[test]
fn some_frames_are_not_all() {
    let some = Machine::of_some_frames();
    for command in ["phys", "lru"] {
        let refused = some.pmem(&[command]).with_status(3);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("capture --frames"), "{}", refused.stderr);
    }
}

#[test]
fn lists_are_those_of_every_frame() {
    const REFERENCED: u64 = 1 << 2;
    const ON_A_LIST: u64 = 1 << 5;
    const ACTIVE: u64 = 1 << 6;
    const UNEVICTABLE: u64 = 1 << 18;
    for machine in Machine::whole() {
        let mut expected = BTreeMap::<String, u64>::new();
        let mut unevictable = 0;
        for &frame in machine.flags.keys() {
            let flags = machine.flags[&machine.head(frame)];
            let class = machine.classes[&frame].replace("ksm", "anon");
            if flags & ON_A_LIST != 0 && ["anon", "shmem", "file"].contains(&class.as_str()) {
                unevictable += u64::from(flags & UNEVICTABLE != 0);
                if flags & UNEVICTABLE == 0 {
                    let state = (flags & ACTIVE != 0, flags & REFERENCED != 0);
                    *expected.entry(format!("{state:?} {class}")).or_default() += 1;
                }
            }
        }
        let document = machine.pmem(&["lru", "--json"]).with_status(0).json();
        let data = &document["data"];
        let state = |row: &Value| {
            let state = (row["active"].as_bool().unwrap(), row["referenced"].as_bool().unwrap());
            (format!("{state:?} {}", row["class"].as_str().unwrap()), number(&row["frames"]))
        };
        let rows = data["states"].as_array().unwrap().iter().map(state);
        assert_eq!(rows.filter(|(_, frames)| *frames > 0).collect::<BTreeMap<_, _>>(), expected, "{}", machine.tree);
        assert_eq!(data["unevictable_frames"], unevictable, "{}", machine.tree);
    }
}

#[test]
fn rounds_have_a_time_of_their_own() {
    for machine in Machine::whole() {
        for (command, rows) in [("phys", "classes"), ("lru", "states")] {
            let rounds = [command, "-n", "2", "-d", "0.01", "--format"];
            let csv = machine.pmem(&[&rounds[..], &["csv"]].concat()).with_status(0);
            let (head, records) = csv.text().split_once('\n').unwrap();
            assert!(head.starts_with("time,") && !records.contains("time,"), "{}", csv.text());
            let times = counted(records.lines().map(|line| line.split(',').next().unwrap()));
            let data = machine.pmem(&[command, "--json"]).with_status(0).json()["data"].take();
            let each = data[rows].as_array().unwrap().len() as u64;
            assert_eq!(times.values().collect::<Vec<_>>(), [&each, &each], "{command} of {}", machine.tree);
            // The same fields with the same names as in JSON lines, and no time without rounds.
            let jsonl = machine.pmem(&[&rounds[..], &["jsonl"]].concat()).with_status(0);
            let line: Value = serde_json::from_str(jsonl.text().lines().next().unwrap()).unwrap();
            let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
            let mut names: Vec<&str> = head.split(',').collect();
            names.sort_unstable();
            assert_eq!(keys, names);
            let single = machine.pmem(&[command, "--format", "csv"]).with_status(0);
            assert_eq!(format!("time,{}", single.text().lines().next().unwrap()), head);
        }
    }
}

#[test]
fn a_reason_is_given_only_where_it_is_known() {
    // MemFree is not more than the free blocks there: nothing speaks for memory that is not initialised yet.
    for machine in Machine::whole() {
        let data = machine.pmem(&["phys", "--json"]).with_status(0).json()["data"].take();
        let checks = data["checks"].as_array().unwrap();
        let why = |name: &str| &checks.iter().find(|check| check["name"] == name).unwrap()["why"];
        assert_eq!(why("free memory"), why("free blocks"), "{}", machine.tree);
    }
}
