//! `--owners` against smaps: the same pages private and shared, and the same PSS to the kB.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::json::{hex_address, number, number_or_zero, row_at, rows};
use crate::support::kernel::{Mapping, smaps};
use crate::support::run::pmem;
use crate::support::scene::{Scene, made_as};
use crate::support::skipped;
use crate::support::watch::Watch;

/// What differs between a row and smaps.
fn difference(row: &Value, mapping: &Mapping) -> Option<String> {
    let ours = ["exclusive_pages", "shared_pages", "pss_bytes"].map(|field| number_or_zero(&row[field]));
    let theirs = [
        mapping.pages(&["Private_Clean", "Private_Dirty"]),
        mapping.pages(&["Shared_Clean", "Shared_Dirty"]),
        mapping.value("Pss"),
    ];
    let same = ours[..2] == theirs[..2] && ours[2] / 1024 == theirs[2];
    (!same).then(|| format!("ours (exclusive, shared, PSS bytes) {ours:?}, smaps {theirs:?} (pages, pages, kB): {row}"))
}

/// Fails unless every row equals smaps: memory that only the scene has immediately, shared files (the C library, the
/// vdso) at some point, because who maps them changes with every process that starts.
#[track_caller]
fn assert_owners(pid: u32) {
    let mut watch = Watch::start(&["frames", "--owners", &pid.to_string()]);
    // In its first round pmem has not yet touched everything that it will share with the scene.
    watch.next();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut right = BTreeSet::new();
    loop {
        let process = watch.next();
        let smaps = smaps(pid).unwrap();
        let mut waiting = Vec::new();
        for row in rows(&process) {
            let start = hex_address(&row["start"]);
            let mapping = smaps.iter().find(|mapping| mapping.start == start).expect("the scene holds still");
            match difference(row, mapping) {
                None => drop(right.insert(start)),
                Some(found) if !is_of_others(row) => panic!("{found}"),
                Some(found) if !right.contains(&start) => waiting.push(found),
                Some(_) => {}
            }
        }
        if waiting.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "never the same as smaps: {waiting:#?}");
    }
}

/// Whether a mapping is of a file that other processes also map.
fn is_of_others(row: &Value) -> bool {
    row["kind"] == "special" || (row["kind"] == "file" && !row["name"].as_str().unwrap().ends_with(" (deleted)"))
}

#[test]
fn private_and_shared_pages_and_pss_are_those_of_smaps() {
    if !Uid::effective().is_root() {
        return skipped(
            "private_and_shared_pages_and_pss_are_those_of_smaps",
            "frame numbers are hidden from this user",
        );
    }
    let scene = Scene::start(&["everything"]);
    assert_owners(scene.pid());
    assert_owners(u32::try_from(number(&scene.report["child"]["pid"])).unwrap());
}

#[test]
fn what_a_child_has_written_is_its_own_and_the_rest_is_shared() {
    if !Uid::effective().is_root() {
        return skipped("what_a_child_has_written_is_its_own", "frame numbers are hidden from this user");
    }
    let scene = Scene::start(&["everything"]);
    let of_parent = made_as(&scene.report, "written, some again by a child");
    let of_child = made_as(&scene.report["child"], "written by a parent, some again");
    for (pid, made) in [(u64::from(scene.pid()), of_parent), (number(&scene.report["child"]["pid"]), of_child)] {
        let process = pmem(["frames", "--owners", "--json", &pid.to_string()]).with_status(0).process();
        let row = row_at(&process, made.address);
        let (exclusive, shared) = (made.number("exclusive"), made.number("present") - made.number("exclusive"));
        assert_eq!(number(&row["exclusive_pages"]), exclusive, "{row}");
        assert_eq!(number(&row["shared_pages"]), shared, "{row}");
        // A page with two owners counts as half a page for each.
        assert_eq!(number(&row["pss_bytes"]), (2 * exclusive + shared) * crate::support::page_size() / 2, "{row}");
    }
}

#[test]
fn zero_pages_are_nobodys() {
    if !Uid::effective().is_root() {
        return skipped("zero_pages_are_nobodys", "frame numbers are hidden from this user");
    }
    let scene = Scene::start(&["everything"]);
    let process = pmem(["frames", "--owners", "--json", &scene.target()]).with_status(0).process();
    let row = row_at(&process, made_as(&scene.report, "only read").address);
    for field in ["exclusive_pages", "shared_pages", "pss_bytes"] {
        assert_eq!(number(&row[field]), 0, "{row}");
    }
}
