//! `slab`: slabinfo, sysfs and meminfo, each read by the tests themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use crate::support::counters::{Compared, assert_same_as_counters, meminfo};
use crate::support::json::number;
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::{page_size, skipped};

fn readable(test: &str) -> bool {
    let readable = fs::read("/proc/slabinfo").is_ok();
    if !readable {
        skipped(test, "/proc/slabinfo cannot be read");
    }
    readable
}

fn caches(arguments: &[&str]) -> Vec<Value> {
    let mut document = pmem([&["slab", "--json"], arguments].concat()).with_status(0).json();
    assert_eq!(document["schema"], "pmem.slab/1");
    match document["data"]["caches"].take() {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

#[test]
fn every_cache_is_there_with_what_does_not_move() {
    if !readable("every_cache_is_there_with_what_does_not_move") {
        return;
    }
    // The first and the fourth to sixth word of a line.
    let kernel = || {
        let text = fs::read_to_string("/proc/slabinfo").unwrap();
        let fixed = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].to_owned(), [3, 4, 5].map(|at| words[at].parse().unwrap()))
        };
        text.lines().skip(2).map(fixed).collect::<BTreeMap<String, [u64; 3]>>()
    };
    // A module may be loaded in the meantime, once.
    let same = (0..3).any(|_| {
        let before = kernel();
        let fixed = |row: &Value| {
            let name = row["name"].as_str().unwrap().to_owned();
            (name, ["object_size_bytes", "objects_per_slab", "pages_per_slab"].map(|field| number(&row[field])))
        };
        before == caches(&[]).iter().map(fixed).collect()
    });
    assert!(same);
}

#[test]
fn reclaimable_slabs_are_those_of_meminfo() {
    const TEST: &str = "reclaimable_slabs_are_those_of_meminfo";
    if !readable(TEST) {
        return;
    }
    if fs::read("/sys/kernel/slab/dentry/reclaim_account").is_err() {
        return skipped(TEST, "/sys/kernel/slab does not tell");
    }
    assert_same_as_counters(TEST, || {
        let before = meminfo("SReclaimable");
        let document = pmem(["slab", "--json"]).with_status(0).json();
        let ours = number(&document["data"]["reconcile"]["reclaimable_bytes"]) / page_size();
        vec![Compared { name: "SReclaimable", ours, kernel: [before, meminfo("SReclaimable")], own: 64 }]
    });
}

#[test]
fn every_name_is_there_once() {
    const TEST: &str = "every_name_is_there_once";
    if !readable(TEST) {
        return;
    }
    if fs::read_dir("/sys/kernel/slab").is_err() {
        return skipped(TEST, "no /sys/kernel/slab");
    }
    let names = |row: &Value| -> Vec<String> {
        let aliases = row["aliases"].as_array().unwrap().iter().chain([&row["name"]]);
        aliases.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    // A cache may be created or destroyed in the meantime: only what is wrong each time is wrong.
    let wrong = || {
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap();
        let listed: Vec<&str> = slabinfo.lines().skip(2).filter_map(|line| line.split(' ').next()).collect();
        let shown: Vec<String> = caches(&[]).iter().flat_map(names).collect();
        let once: BTreeSet<&String> = shown.iter().collect();
        // Two caches can have the same name: then it appears as often as in slabinfo.
        let twice = |name: &&String| {
            let times = shown.iter().filter(|of| of == name).count();
            times > listed.iter().filter(|of| *of == *name).count().max(1)
        };
        let entries = fs::read_dir("/sys/kernel/slab").unwrap().map(|entry| entry.unwrap().file_name().into_string());
        let nowhere = entries.map(Result::unwrap).filter(|name| !name.starts_with(':') && !once.contains(name));
        once.iter().copied().filter(twice).cloned().chain(nowhere).collect::<BTreeSet<String>>()
    };
    let again = (0..3).map(|_| wrong()).reduce(|a, b| &a & &b).unwrap();
    assert!(again.is_empty(), "twice or nowhere: {again:?}");
}

#[test]
fn sockets_are_found_by_their_own_name() {
    const TEST: &str = "sockets_are_found_by_their_own_name";
    if !readable(TEST) {
        return;
    }
    if fs::metadata("/sys/kernel/slab/UNIX").is_err() {
        return skipped(TEST, "/sys/kernel/slab has no UNIX");
    }
    let active = || {
        let rows = caches(&["--filter", "^UNIX$"]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        number(&rows[0]["active_objects"])
    };
    let before = active();
    let sockets: Vec<_> = (0..150).map(|_| UnixDatagram::pair().unwrap()).collect();
    let with = active();
    // Some may be free objects in per-CPU slabs that already counted as used, so half of them must do.
    assert!(with >= before + sockets.len() as u64, "{before} and {with}, with {} pairs more", sockets.len());
}

#[test]
fn dentries_are_those_of_dentry_state() {
    let state = || {
        let text = fs::read_to_string("/proc/sys/fs/dentry-state").unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        [numbers[0], numbers[1], numbers[4]]
    };
    if !readable("dentries_are_those_of_dentry_state") {
        return;
    }
    // Other tests and programs use names all the time, some of them thousands at once: then try again.
    const SLACK: u64 = 2000;
    let wrong = || {
        let before = state();
        let story = pmem(["slab", "show", "dentry", "--json"]).with_status(0).json()["data"]["caches"][0].take();
        let after = state();
        let dentries = &story["dentries"];
        let is_between = |(at, field): (usize, &str)| {
            let (low, high) = (before[at].min(after[at]), before[at].max(after[at]));
            (low.saturating_sub(SLACK)..=high + SLACK).contains(&dentries[field].as_u64().unwrap_or(0))
        };
        let all_between = ["total", "unused", "negative"].into_iter().enumerate().all(is_between);
        // Each has an object; those that CPUs keep count as used, too.
        let enough = number(&story["objects"]) + SLACK >= number(&dentries["total"]);
        (!(all_between && enough)).then(|| format!("{before:?}, {story}, {after:?}"))
    };
    let mut last = None;
    let fits = (0..5).any(|_| {
        last = wrong();
        last.is_none()
    });
    assert!(fits, "{last:?}");
}

#[test]
fn who_may_not_read_slabinfo_gets_the_names() {
    const TEST: &str = "who_may_not_read_slabinfo_gets_the_names";
    let ordinary = Ordinary::new();
    if fs::metadata("/proc/slabinfo").is_err() || fs::metadata("/sys/kernel/slab").is_err() {
        return skipped(TEST, "no /proc/slabinfo or no /sys/kernel/slab");
    }
    let denied = ordinary.pmem(&["slab", "--json"]);
    if denied.status == 0 {
        return skipped(TEST, "everybody may read /proc/slabinfo");
    }
    let denied = denied.with_status(4);
    assert!(denied.stderr.contains("slabinfo: permission denied") && denied.stderr.contains("CAP_DAC_READ_SEARCH"));
    let data = denied.json()["data"].take();
    let rows = data["caches"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["objects"].is_null() && row["reclaimable"].is_null()), "{data}");
    assert!(rows.iter().any(|row| row["name"] == "dentry"), "{data}");
    let reconcile = &data["reconcile"];
    assert!(data["totals"].is_null() && reconcile["held_bytes"].is_null() && reconcile["meminfo_slab_bytes"].is_u64());
    let table = ordinary.pmem(&["slab"]).with_status(4);
    assert!(table.text().starts_with("NAME\n") && table.text().contains("Slab in meminfo = "), "{}", table.text());
    for undecided in [&["--growing", "-d", "0.01"][..], &["--min", "1M"]] {
        assert!(ordinary.pmem(&[&["slab"], undecided].concat()).with_status(4).stdout.is_empty(), "{undecided:?}");
    }
    let story = ordinary.pmem(&["slab", "show", "dentry"]).with_status(4);
    assert!(story.text().contains("fs/dcache.c"), "{}", story.text());
}
