//! `page` and `pages`: what a frame is, for memory of every kind, and for numbers without a frame.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::frames::{BUDDY, FrameFile, by_number, frame_at, frames_of, pages, range, visible};
use crate::support::json::{hex_address, number};
use crate::support::run::{pmem, workload};
use crate::support::scene::{Scene, made, made_as};
use crate::support::{page_size, skipped};

/// What `pmem page` reports about one frame.
#[track_caller]
fn page(frame: &str) -> Value {
    let document = pmem(["page", "--json", frame]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.page/1");
    let frames = document["data"]["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 1, "{frame}");
    frames[0].clone()
}

/// Fails unless `count` pages from an address on are all present and of one class, by `pages` and by `page`.
#[track_caller]
fn assert_class(pid: u32, what: &str, address: u64, count: u64, class: &str) {
    let shown = pages(&[&pid.to_string(), "--range", &range(address, count)]);
    assert_eq!(shown.len() as u64, count, "{what}");
    for page in &shown {
        assert_eq!((&page.run["state"], page.class()), (&Value::from("present"), class), "{what}: {page:?}");
    }
    for at in [0, count - 1] {
        let address = address + at * page_size();
        let frame = page(&format!("{pid}:{address:#x}"));
        let pfn = frame_at(u64::from(pid), address);
        assert_eq!((number(&frame["pfn"]), frame["class"].as_str()), (pfn, Some(class)), "{what}: {frame}");
        assert_eq!(hex_address(&frame["physical_address"]), pfn * page_size(), "{what}: {frame}");
    }
}

/// What `everything` makes: the class of this many of its first pages, and that of the rest.
fn class_of_everything(what: &str, kind: &str) -> (&'static str, u64, &'static str) {
    let cached = if kind == "shmem" { "shmem" } else { "file" };
    match what {
        "only read" | "huge zero page" => ("zero_page", u64::MAX, ""),
        "file, read" => (cached, u64::MAX, ""),
        // A private page is the file's until it is written.
        "file, some written" => ("anon", 8, cached),
        "memfd" | "SysV segment" | "shared anonymous" => ("shmem", u64::MAX, ""),
        "hugetlb private" | "hugetlb shared" => ("hugetlb", u64::MAX, ""),
        _ => ("anon", u64::MAX, ""),
    }
}

#[test]
fn memory_of_every_kind_is_of_its_class() {
    const TEST: &str = "memory_of_every_kind_is_of_its_class";
    if !visible(TEST) {
        return;
    }
    // Not made to end with the test: it restores the setting when the test is gone.
    let lent = Scene::from_command(Command::new(workload()).args(["hugepages", "4"]));
    let scene = Scene::start(&["everything", "with-hugetlb"]);
    let (made, skip) = made(&scene.report);
    skip.iter().for_each(|(what, reason)| skipped(&format!("{TEST}: {what}"), reason));
    for made in made {
        if made.what == "half swapped out" {
            continue;
        }
        let (first, count, rest) = class_of_everything(made.what, made.claims["kind"].as_str().unwrap());
        let present = made.number("present");
        let count = count.min(present);
        assert_class(scene.pid(), made.what, made.address, count, first);
        if count < present {
            assert_class(scene.pid(), made.what, made.address + count * page_size(), present - count, rest);
        }
    }
    drop(scene);
    drop(lent);
}

#[test]
fn memory_of_rarer_kinds_is_of_its_class() {
    const TEST: &str = "memory_of_rarer_kinds_is_of_its_class";
    if !visible(TEST) {
        return;
    }
    let scene = Scene::start(&["classes"]);
    let (made, skip) = made(&scene.report);
    skip.iter().for_each(|(what, reason)| skipped(&format!("{TEST}: {what}"), reason));
    for made in &made {
        let class = made.claims["class"].as_str().unwrap();
        assert_class(scene.pid(), made.what, made.address, made.number("pages"), class);
    }
    for (what, flag, set) in [
        ("freed lazily", "SWAPBACKED", false),
        ("freed lazily", "ANON", true),
        ("locked", "MLOCKED", true),
        ("secret memory", "UNEVICTABLE", true),
        ("tmpfs file", "SWAPBACKED", true),
    ] {
        if let Some(made) = made.iter().find(|made| made.what == what) {
            let shown = pages(&[&scene.target(), "--range", &range(made.address, made.number("pages"))]);
            assert!(shown.iter().all(|page| page.has_flag(flag) == set), "{what}, {flag}: {shown:?}");
        }
    }
}

#[test]
fn the_stack_is_anonymous_and_the_vdso_reserved() {
    if !visible("the_stack_is_anonymous_and_the_vdso_reserved") {
        return;
    }
    let scene = Scene::start(&["sparse"]);
    let maps = fs::read_to_string(format!("/proc/{}/maps", scene.pid())).unwrap();
    for (name, class) in [("[stack]", "anon"), ("[vdso]", "reserved")] {
        let Some(line) = maps.lines().find(|line| line.ends_with(name)) else {
            skipped(name, "this machine has none");
            continue;
        };
        let addresses = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [addresses.0, addresses.1].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let present = frames_of(u64::from(scene.pid()), start, (end - start) / page_size());
        assert!(present.iter().any(Option::is_some), "{name}");
        for (at, _) in present.iter().enumerate().filter(|(_, pfn)| pfn.is_some()) {
            assert_class(scene.pid(), name, start + at as u64 * page_size(), 1, class);
        }
    }
}

#[test]
fn pages_that_ksm_has_merged_are_one_ksm_frame() {
    const TEST: &str = "pages_that_ksm_has_merged_are_one_ksm_frame";
    if !visible(TEST) {
        return;
    }
    // Not made to end with the test: it restores the setting.
    let scene = Scene::start(&["ksm"]);
    if let Some(reason) = scene.skipped() {
        return skipped(TEST, reason);
    }
    let (address, count) = (hex_address(&scene.report["address"]), number(&scene.report["pages"]));
    // Before Linux 7.1, without the fix, every anonymous frame has the flag, and pmem does not trust it.
    let document = pmem(["page", "--json", &format!("{}:{address:#x}", scene.pid())]).with_status(0).json();
    let notes = document["notes"].as_array().unwrap();
    let class = if notes.iter().any(|note| note["code"] == "ksm-flag-wrong") { "anon" } else { "ksm" };
    assert_class(scene.pid(), "KSM", address, count, class);
    let pfn = frame_at(u64::from(scene.pid()), address);
    let frame = page(&format!("{pfn}"));
    // Each place that maps it is counted.
    assert_eq!(number(&frame["mapcount"]), count, "{frame}");
    let by: Vec<_> = (0..count).map(|at| (u64::from(scene.pid()), address + at * page_size())).collect();
    let document = pmem(["rmap", "--json", &pfn.to_string()]).with_status(0).json();
    let found = &by_number(&document)[&pfn];
    assert_eq!(crate::support::frames::mappers(found), by);
    assert_eq!((&found["complete"], number(&found["found"])), (&Value::from(true), count), "{found}");
}

#[test]
fn a_huge_page_is_a_folio_and_says_which_part_of_it_this_is() {
    const TEST: &str = "a_huge_page_is_a_folio_and_says_which_part_of_it_this_is";
    if !visible(TEST) {
        return;
    }
    let scene = Scene::start(&["everything"]);
    let (made, skip) = made(&scene.report);
    if let Some((_, reason)) = skip.into_iter().find(|(what, _)| *what == "huge page") {
        return skipped(TEST, reason);
    }
    let made = made.into_iter().find(|made| made.what == "huge page").unwrap();
    let head = frame_at(u64::from(scene.pid()), made.address);
    for at in [0, 1, made.number("huge") / 2, made.number("huge") - 1] {
        let frame = page(&format!("{:#x}", head + at));
        assert_eq!(frame["folio"]["head_pfn"], head, "{frame}");
        assert_eq!(1 << number(&frame["folio"]["order"]), made.number("huge"), "{frame}");
        // The child has it too.
        assert_eq!((&frame["class"], &frame["mapcount"]), (&Value::from("anon"), &Value::from(2)), "{frame}");
    }
}

#[test]
fn a_frame_is_charged_to_the_cgroup_of_who_wrote_it_and_lies_in_a_zone() {
    if !visible("a_frame_is_charged_to_the_cgroup_of_who_wrote_it_and_lies_in_a_zone") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let frame = page(&format!("{}:{}", scene.pid(), scene.report["address"].as_str().unwrap()));
    // `ID:memory:/path` in version 1, `0::/path` in version 2.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", scene.pid())).unwrap();
    let path = |wanted: &str| {
        let mut groups = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        groups.find(|group| group[1].split(',').any(|name| name == wanted)).map(|group| group[2].to_owned())
    };
    match path("memory").or_else(|| path("")) {
        Some(path) if frame["cgroup"].is_string() => {
            // Seen from a cgroup namespace, its path can be longer than the one in the process's file.
            assert!(frame["cgroup"].as_str().unwrap().ends_with(path.as_str()), "{path}: {frame}");
        }
        _ => skipped("the cgroup of a frame", "this machine has none, or it is out of sight"),
    }
    assert!(fs::read_to_string("/proc/zoneinfo").unwrap().lines().any(|line| {
        line.starts_with(&format!("Node {}, ", frame["node"]))
            && line.split_whitespace().last() == frame["zone"].as_str()
    }));
}

#[test]
fn a_number_behind_the_end_of_memory_is_said_to_be_none() {
    if !visible("a_number_behind_the_end_of_memory_is_said_to_be_none") {
        return;
    }
    let end = FrameFile::open("kpageflags").end();
    for number in [end, end + 1, 1 << 36, (1 << 52) - 1] {
        for command in ["page", "rmap"] {
            let run = pmem([command, &format!("{number:#x}")]).with_status(1);
            assert!(format!("{}{}", run.text(), run.stderr).contains("end of memory"), "{}{}", run.text(), run.stderr);
        }
        let document = pmem(["page", "--json", &number.to_string()]).with_status(1).json();
        let frame = &by_number(&document)[&number];
        assert!(["class", "flags", "mapcount"].iter().all(|field| frame[field].is_null()), "{frame}");
    }
    let last = page(&(end - 1).to_string());
    assert!(last["class"].is_string(), "{last}");
    // A range that extends past the end gives what is before it.
    let run = pmem(["page", "--json", &format!("{}+4", end - 2)]).with_status(1);
    let frames = by_number(&run.json());
    assert!(frames[&(end - 1)]["class"].is_string());
    // And numbers that are not valid at all.
    for wrong in ["0xfffffffffffffffff", "99999999999999999999", "-1"] {
        assert_eq!(pmem(["page", wrong]).status, 2, "{wrong}");
    }
}

/// A memory block that the machine does not have, between others that it has: its first frame.
fn hole() -> Option<u64> {
    const MEMORY: &str = "/sys/devices/system/memory";
    let size = fs::read_to_string(format!("{MEMORY}/block_size_bytes")).ok()?;
    let size = u64::from_str_radix(size.trim(), 16).ok()?;
    let blocks: Vec<u64> = fs::read_dir(MEMORY)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("memory")?.parse().ok())
        .collect();
    let last = *blocks.iter().max()?;
    (0..last).find(|block| !blocks.contains(block)).map(|block| block * size / page_size())
}

#[test]
fn a_hole_is_a_hole() {
    const TEST: &str = "a_hole_is_a_hole";
    if !visible(TEST) {
        return;
    }
    let Some(first) = hole() else { return skipped(TEST, "this machine's memory has none") };
    for pfn in [first, first + 1, first + 0x800] {
        let frame = page(&format!("{pfn:#x}"));
        assert_eq!((&frame["class"], number(&frame["pfn"])), (&Value::from("hole"), pfn), "{frame}");
        assert_eq!(page(&format!("phys:{:#x}", pfn * page_size() + 77)), frame);
        assert_eq!(frame["mapcount"].as_u64().unwrap_or(0), 0, "{frame}");
    }
}

#[test]
fn a_frame_that_was_freed_is_told_as_what_it_is_now() {
    if !visible("a_frame_that_was_freed_is_told_as_what_it_is_now") {
        return;
    }
    let mut scene = Scene::start(&["forks"]);
    let address = hex_address(&scene.report["address"]);
    let pids: Vec<u64> = scene.report["children"].as_array().unwrap().iter().map(|c| number(&c["pid"])).collect();
    let frames: Vec<u64> = frames_of(u64::from(scene.pid()), address, 1000).into_iter().flatten().collect();
    let before = page(&frames[500].to_string());
    assert_eq!((&before["class"], number(&before["mapcount"])), (&Value::from("anon"), 4), "{before}");
    let own = u64::from(scene.pid());
    scene.kill_and_reap();
    // Its children end because it did, but not immediately.
    while pids.iter().any(|pid| !frames_of(*pid, address, 1).is_empty()) {
        std::thread::yield_now();
    }
    let flags = FrameFile::open("kpageflags");
    let (mut free, mut told) = (0, 0);
    for pfn in frames.iter().copied().step_by(100) {
        let was = flags.word(pfn).unwrap();
        let frame = page(&pfn.to_string());
        // It may be pmem itself that has it now, and then it becomes free again.
        let raw = hex_address(&frame["flags"]["raw"]);
        told += u32::from([Some(was), flags.word(pfn)].contains(&Some(raw)));
        free += u32::from(raw & BUDDY != 0);
        assert_eq!(frame["class"] == "free", raw & BUDDY != 0, "{frame}");
        // Free but in no block, it is on a per-CPU list: that cannot be recognised.
        assert!(raw != 0 || frame["class"] == "unclassified", "{frame}");
    }
    let frames: Vec<String> = frames.iter().map(u64::to_string).collect();
    let arguments = ["rmap", "--json"].into_iter().chain(frames.iter().map(String::as_str));
    // The processes that map them now may not be readable: that is status 1.
    let run = pmem(arguments);
    assert!([0, 1].contains(&run.status), "{}: {}", run.status, run.stderr);
    for frame in by_number(&run.json()).values() {
        let dead = |(pid, _): &(u64, u64)| *pid == own || pids.contains(pid);
        assert!(!crate::support::frames::mappers(frame).iter().any(dead), "the dead map nothing: {frame}");
    }
    eprintln!("{free} of {told} frames are free");
    assert!(told > 0, "no frame held still");
}

#[test]
fn several_frames_are_told_in_one_call() {
    if !visible("several_frames_are_told_in_one_call") {
        return;
    }
    let scene = Scene::start(&["classes"]);
    let names: BTreeMap<u64, String> = made(&scene.report)
        .0
        .iter()
        .map(|made| (frame_at(u64::from(scene.pid()), made.address), format!("{}:{:#x}", scene.pid(), made.address)))
        .collect();
    let all: Vec<&str> = ["page", "--json"].into_iter().chain(names.values().map(String::as_str)).collect();
    let frames = by_number(&pmem(all).with_status(0).json());
    assert!(frames.keys().eq(names.keys()), "{frames:?}");
    let locked = made_as(&scene.report, "locked");
    let pfn = frame_at(u64::from(scene.pid()), locked.address);
    let names = frames[&pfn]["flags"]["names"].as_array().unwrap();
    assert!(["ANON", "MMAP", "MLOCKED"].iter().all(|flag| names.iter().any(|name| name == flag)), "{names:?}");
}
