//! `phys`: all of memory adds up, and agrees with the kernel's own counters.

use std::fs;
use std::sync::LazyLock;

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::counters::{Compared, assert_same_as_counters, buddyinfo, meminfo, slabinfo};
use crate::support::frames::{FrameFile, visible};
use crate::support::json::number;
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::scene::Scene;
use crate::support::text::assert_no_control;
use crate::support::{page_size, skipped};

/// What `pmem phys` reports about the machine.
#[track_caller]
fn phys(more: &[&str]) -> Value {
    let mut document = pmem([&["phys", "--json"], more].concat()).with_status(0).json();
    assert_eq!(document["schema"], "pmem.phys/1");
    document["data"].take()
}

/// One reading of all memory while two scenes exist. Several tests share it, because it takes a while.
struct Seen {
    phys: Value,
    /// The group of one of the frames that the scene of small pages has written.
    group: Value,
    /// The order of a huge page, or why there is none.
    huge: Result<u32, String>,
}

fn seen() -> &'static Seen {
    static SEEN: LazyLock<Seen> = LazyLock::new(|| {
        let (scene, huge) = (Scene::start(&["forks"]), Scene::start(&["forks", "huge"]));
        let phys = phys(&["--mapcounts", "--cgroups"]);
        let at = format!("{}:{}", scene.pid(), scene.report["address"].as_str().unwrap());
        let group = pmem(["page", "--json", &at]).with_status(0).json()["data"]["frames"][0]["cgroup"].take();
        let order = |why: Option<&str>| match why {
            Some(why) => Err(why.to_owned()),
            None => Ok((number(&huge.report["pages"]) / 2).ilog2()),
        };
        Seen { phys, group, huge: order(huge.skipped()) }
    });
    &SEEN
}

/// The sum of a field over a list.
#[track_caller]
fn sum(list: &Value, field: &str) -> u64 {
    list.as_array().expect("a list").iter().map(|row| number(&row[field])).sum()
}

/// The frames of some classes.
#[track_caller]
fn class(phys: &Value, names: &[&str]) -> u64 {
    let classes = phys["classes"].as_array().unwrap().iter();
    classes.filter(|row| names.contains(&row["class"].as_str().unwrap())).map(|row| number(&row["frames"])).sum()
}

#[test]
fn every_list_adds_up_to_the_frames_looked_at() {
    if !visible("every_list_adds_up_to_the_frames_looked_at") {
        return;
    }
    let phys = &seen().phys;
    let frames = number(&phys["frames"]);
    assert_eq!(frames, FrameFile::open("kpageflags").end(), "all there are");
    for list in ["classes", "flags", "mapcounts"] {
        assert_eq!(sum(&phys[list], "frames"), frames, "{list}");
    }
    assert_eq!(sum(&phys["classes"], "bytes"), frames * page_size());
    assert!(sum(&phys["cgroups"], "frames") <= frames);
    assert!(sum(&phys["zones"], "frames") <= frames);
    let folios = phys["folios"].as_array().unwrap().iter();
    let in_folios: u64 = folios.map(|row| number(&row["folios"]) << number(&row["order"])).sum();
    assert!(in_folios <= frames, "{in_folios} frames in folios");
    let mut names: Vec<&str> =
        phys["classes"].as_array().unwrap().iter().map(|row| row["class"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "each class once");
}

#[test]
fn what_is_not_asked_for_is_null() {
    if !visible("what_is_not_asked_for_is_null") {
        return;
    }
    let phys = phys(&[]);
    assert!(phys["mapcounts"].is_null() && phys["cgroups"].is_null());
    assert_eq!(sum(&phys["flags"], "frames"), number(&phys["frames"]));
}

#[test]
fn classes_are_what_the_kernel_counts() {
    const TEST: &str = "classes_are_what_the_kernel_counts";
    if !visible(TEST) {
        return;
    }
    // Many slabs and page tables, and anonymous and shared memory of every kind.
    let _scenes = [Scene::start(&["everything"]), Scene::start(&["sparse"]), Scene::start(&["classes"])];
    let kernel = || [slabinfo(), buddyinfo(), meminfo("PageTables"), meminfo("AnonPages"), meminfo("Shmem")];
    // The last field: what pmem uses itself, as far as it shows there.
    const NAMES: [(&str, &[&str], u64); 5] = [
        ("slab and slabinfo", &["slab"], 128),
        ("free and buddyinfo", &["free"], 2048),
        ("page tables and PageTables", &["page_table"], 64),
        ("anon and AnonPages", &["anon", "ksm"], 1024),
        ("shmem and Shmem", &["shmem"], 0),
    ];
    assert_same_as_counters(TEST, || {
        let before = kernel();
        let phys = phys(&[]);
        let after = kernel();
        let compared = NAMES.iter().enumerate();
        compared
            .map(|(at, &(name, classes, own))| Compared {
                name,
                ours: class(&phys, classes),
                kernel: [before[at], after[at]],
                own,
            })
            .collect()
    });
}

#[test]
fn its_checks_are_the_kernels_numbers_and_the_difference() {
    if !visible("its_checks_are_the_kernels_numbers_and_the_difference") {
        return;
    }
    let phys = &seen().phys;
    let checks = phys["checks"].as_array().unwrap();
    assert!(checks.len() >= 4, "{checks:?}");
    for check in checks {
        let [ours, kernel, difference] =
            ["ours_bytes", "kernel_bytes", "difference_bytes"].map(|field| check[field].as_i64());
        if let (Some(ours), Some(kernel)) = (ours, kernel) {
            assert_eq!(difference.map(i64::abs), Some((ours - kernel).abs()), "{check}");
        }
    }
}

#[test]
fn huge_pages_are_folios_of_their_order() {
    if !visible("huge_pages_are_folios_of_their_order") {
        return;
    }
    let Seen { phys, huge, .. } = seen();
    let order = match huge {
        Ok(order) => *order,
        Err(why) => return skipped("huge_pages_are_folios_of_their_order", why),
    };
    let folios = phys["folios"].as_array().unwrap().iter();
    let found = folios.filter(|row| row["class"] == "anon" && row["order"] == order).map(|row| number(&row["folios"]));
    assert!(found.sum::<u64>() >= 2, "{}", phys["folios"]);
}

#[test]
fn frames_of_a_scene_are_among_the_mapcounts_and_the_groups() {
    if !visible("frames_of_a_scene_are_among_the_mapcounts_and_the_groups") {
        return;
    }
    let Seen { phys, group, .. } = seen();
    for (mapcount, frames) in [(1, 30), (2, 10), (3, 10), (4, 980)] {
        let mut rows = phys["mapcounts"].as_array().unwrap().iter();
        let row = rows.find(|row| row["mapcount"] == mapcount).expect("there are such");
        assert!(number(&row["frames"]) >= frames, "{row}");
    }
    // The group of one of the scene's frames is charged for all of them.
    if !group.is_null() {
        let mut rows = phys["cgroups"].as_array().unwrap().iter();
        let row = rows.find(|row| row["cgroup"] == *group).expect("the group is there");
        assert!(number(&row["frames"]) >= 1030, "{row}");
    }
}

#[test]
fn zones_have_as_many_frames_as_they_span() {
    if !visible("zones_have_as_many_frames_as_they_span") {
        return;
    }
    let zoneinfo = fs::read_to_string("/proc/zoneinfo").unwrap();
    let mut present = Vec::new();
    for line in zoneinfo.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["Node", node, "zone", name] => {
                present.push((node.trim_end_matches(',').parse::<u64>().unwrap(), *name, 0));
            }
            ["present", pages] => present.last_mut().unwrap().2 = pages.parse::<u64>().unwrap(),
            _ => {}
        }
    }
    let phys = &seen().phys;
    for (node, name, present) in present.iter().filter(|zone| zone.2 > 0) {
        let mut zones = phys["zones"].as_array().unwrap().iter();
        let row = zones.find(|row| row["node"] == *node && row["zone"] == *name).expect(name);
        assert!(number(&row["frames"]) >= *present, "{present} are present: {row}");
    }
}

#[test]
fn the_map_and_the_picture_are_drawn() {
    if !visible("the_map_and_the_picture_are_drawn") {
        return;
    }
    let run = pmem(["phys", "--map"]).with_status(0);
    assert_no_control(&run.stdout, "standard output");
    let wide = run.text().lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "80 columns suffice");
    // Each row begins with its physical address.
    let address = |line: &str| u64::from_str_radix(line.trim().split(' ').next()?.strip_prefix("0x")?, 16).ok();
    let rows: Vec<u64> = run.text().lines().filter_map(address).collect();
    assert!(rows.len() > 1 && rows[0] == 0, "{}", run.text());
    assert!(rows.windows(2).all(|pair| pair[1] - pair[0] == rows[1]), "rows of one length: {rows:x?}");
    let end = FrameFile::open("kpageflags").end() * page_size();
    assert!(rows[rows.len() - 1] < end && end <= rows[rows.len() - 1] + rows[1], "{end:#x} is in the last: {rows:x?}");
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("memory.svg");
    pmem(["phys", "--svg", path.to_str().unwrap()]).with_status(0);
    let picture = fs::read_to_string(&path).unwrap();
    assert!(picture.contains("<svg") && picture.trim_end().ends_with("</svg>"));
}

#[test]
fn the_table_has_every_class_that_there_is() {
    if !visible("the_table_has_every_class_that_there_is") {
        return;
    }
    let table = pmem(["phys"]).with_status(0);
    for class in ["free", "slab", "page tables", "anonymous", "shared memory", "file", "reserved"] {
        assert!(table.text().contains(class), "{class}: {}", table.text());
    }
    assert_no_control(&table.stdout, "standard output");
}

#[test]
fn as_an_ordinary_user_phys_and_lru_are_4_and_name_what_would_help() {
    let user = Ordinary::new();
    for arguments in [&["phys"][..], &["phys", "--mapcounts", "--cgroups"], &["phys", "--map"], &["lru"]] {
        for format in ["table", "json", "jsonl", "csv"] {
            let run = user.pmem(&[arguments, &["--format", format]].concat()).with_status(4);
            assert!(run.stdout.is_empty(), "{arguments:?}");
            assert!(run.stderr.contains("/proc/kpage"), "which file: {}", run.stderr);
            assert!(run.stderr.contains("root") || run.stderr.contains("CAP_"), "{}", run.stderr);
        }
    }
    assert!(Uid::effective().is_root() || pmem(["phys"]).status == 4);
}
